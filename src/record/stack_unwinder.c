/* SPDX-License-Identifier: BSD-2-Clause */
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "record/stack_unwinder.h"

/* libdwfl asks for a process and a thread; the copy is all it gets. */
enum { COPY_ID = 1 };
/* The image of the vdso ends where its section headers do; it has some pages. */
enum { VDSO_MAX = 64 << 10 };

struct ptf_stack_unwinder {
	Dwfl *dwfl;
	const struct ptf_thread_copy *copy; /* being unwound */
	struct ptf_ips *ips;                /* where its addresses go */
	size_t max;                         /* as many can be in ips */
	bool out_of_memory;
};

/* ---- memory and registers: the copy's ---- */

static pid_t next_thread(Dwfl *dwfl, void *context, void **thread_context)
{
	if (*thread_context)
		return 0;
	*thread_context = context;
	return COPY_ID;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *context, void **thread_context)
{
	*thread_context = context;
	return tid == COPY_ID;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *word, void *context)
{
	const struct ptf_thread_copy *copy = ((struct ptf_stack_unwinder *)context)->copy;

	if (addr < copy->addr || copy->size < sizeof(*word) ||
	        addr - copy->addr > copy->size - sizeof(*word))
		return false;
	memcpy(word, copy->stack + (addr - copy->addr), sizeof(*word));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *context)
{
	const struct ptf_thread_copy *copy = ((struct ptf_stack_unwinder *)context)->copy;

	return dwfl_thread_state_registers(thread, 0, PTF_UNWIND_REGS, copy->regs);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
        .next_thread = next_thread,
        .get_thread = get_thread,
        .memory_read = read_memory,
        .set_initial_registers = set_registers,
};

/* ---- modules ---- */

/* Every process of this system has the vdso that we have. */
static int find_vdso(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
        char **file_name, Elf **elf)
{
	char *image = (char *)getauxval(AT_SYSINFO_EHDR); // NOLINT: that is where it is
	GElf_Ehdr header;

	if (strcmp(name, "[vdso]") != 0 || !image)
		return -1;
	*elf = elf_memory(image, VDSO_MAX);
	if (*elf && gelf_getehdr(*elf, &header)) {
		size_t size = header.e_shoff + (size_t)header.e_shnum * header.e_shentsize;

		elf_end(*elf);
		*elf = elf_memory(image, size);
	}
	return -1; /* the file descriptor; the image needs none */
}

/* .eh_frame is in the file itself; debug files are large, and asking servers for them is slow. */
static int no_debug_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
        const char *file, const char *link, GElf_Word crc, char **found)
{
	return -1;
}

static const Dwfl_Callbacks module_callbacks = {
        .find_elf = find_vdso,
        .find_debuginfo = no_debug_file,
};

/* Where the file's virtual address 0 is, from the loadable segment that the map is of. */
static bool find_bias(Elf *elf, const struct ptf_unwind_map *map, GElf_Addr *bias)
{
	GElf_Phdr header;
	size_t n;

	if (elf_getphdrnum(elf, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		/* The file offset in page units: maps begin at pages, segments need not. */
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD ||
		        !(header.p_flags & PF_X) || map->pgoff + map->len <= header.p_offset ||
		        map->pgoff >= header.p_offset + header.p_filesz)
			continue;
		*bias = map->addr - map->pgoff + header.p_offset - header.p_vaddr;
		return true;
	}
	return false;
}

static void report_file(Dwfl *dwfl, const struct ptf_unwind_map *map)
{
	int fd = open(map->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
	GElf_Addr bias;

	/* libdwfl keeps the descriptor when it takes the file. */
	if (elf && find_bias(elf, map, &bias) &&
	        dwfl_report_elf(dwfl, map->path, map->path, fd, bias, true))
		fd = -1;
	elf_end(elf);
	if (fd >= 0)
		close(fd);
}

static void report(Dwfl *dwfl, const struct ptf_unwind_map *map)
{
	if (strcmp(map->path, "[vdso]") == 0)
		dwfl_report_module(dwfl, map->path, map->addr, map->addr + map->len);
	else if (map->path[0] == '/')
		report_file(dwfl, map);
}

int ptf_stack_unwinder_create(
        struct ptf_stack_unwinder **out, const struct ptf_unwind_maps *maps, struct ptf_error *err)
{
	struct ptf_stack_unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	elf_version(EV_CURRENT);
	u->dwfl = dwfl_begin(&module_callbacks);
	if (u->dwfl) {
		dwfl_report_begin(u->dwfl);
		ptf_vec_foreach (map, maps)
			report(u->dwfl, map);
		dwfl_report_end(u->dwfl, NULL, NULL);
	}
	if (!u->dwfl || !dwfl_attach_state(u->dwfl, NULL, COPY_ID, &thread_callbacks, u)) {
		ptf_stack_unwinder_destroy(u);
		return ptf_error_set(err, PTF_EIO, "unwinding stacks: %s", dwfl_errmsg(-1));
	}
	*out = u;
	return 0;
}

void ptf_stack_unwinder_destroy(struct ptf_stack_unwinder *u)
{
	if (!u)
		return;
	if (u->dwfl)
		dwfl_end(u->dwfl);
	free(u);
}

/* ---- frames ---- */

static int take_frame(Dwfl_Frame *frame, void *context)
{
	struct ptf_stack_unwinder *u = context;
	Dwarf_Addr pc;

	if (!dwfl_frame_pc(frame, &pc, NULL) || !pc)
		return DWARF_CB_ABORT;
	u->out_of_memory = !ptf_vec_push(u->ips, pc);
	/* Broken tables can go round in circles; every frame needs room for its return address. */
	if (u->out_of_memory || u->ips->n >= u->max)
		return DWARF_CB_ABORT;
	return DWARF_CB_OK;
}

int ptf_stack_unwinder_run(struct ptf_stack_unwinder *u, const struct ptf_thread_copy *copy,
        struct ptf_ips *ips, struct ptf_error *err)
{
	size_t before = ips->n;

	u->copy = copy;
	u->ips = ips;
	u->max = before + copy->size / sizeof(uint64_t) + 1;
	u->out_of_memory = false;
	/* Whatever stops it, the frames so far are right. */
	dwfl_getthread_frames(u->dwfl, COPY_ID, take_frame, u);
	if (!u->out_of_memory && ips->n == before)
		u->out_of_memory = !ptf_vec_push(ips, copy->regs[PTF_UNWIND_RIP]);
	return u->out_of_memory ? ptf_error_set(err, PTF_ENOMEM, "out of memory") : 0;
}
