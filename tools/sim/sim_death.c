/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a signal ends the guest, QEMU resets the host's handler and sends itself that signal with
 * kill(), without a word to plugins. Our kill() takes the place of that import in QEMU's linkage
 * table: outside of a guest's system call it can only be this.
 */
#include "sim.h"

#include <elf.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

struct tables {
	const Elf64_Sym *symbols;
	const char *strings;
	const Elf64_Rela *rela[2]; /* .rela.plt, .rela.dyn */
	size_t size[2];            /* bytes */
};

static int watched_kill(pid_t pid, int signo)
{
	struct sim_thread *t = sim_thread_self();

	if (t && signo && pid == getpid() && t->gate == SIM_GATE_THREAD) {
		if (t->on)
			sim_flow_finish_at(
			        t, sim_signal_next_ip(t->regs), sim_signal_is_fault(signo));
		sim_server_end(t);
		sim_server_stop();
	}
	return kill(pid, signo);
}

static void read_dynamic(
        const struct dl_phdr_info *program, const Elf64_Dyn *dynamic, struct tables *tables)
{
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		uint64_t value = dynamic->d_un.d_val;

		/* glibc has relocated these in place; other loaders may not have. */
		const void *at =
		        (void *)(value < program->dlpi_addr ? value + program->dlpi_addr : value);

		if (dynamic->d_tag == DT_SYMTAB)
			tables->symbols = at;
		else if (dynamic->d_tag == DT_STRTAB)
			tables->strings = at;
		else if (dynamic->d_tag == DT_JMPREL)
			tables->rela[0] = at;
		else if (dynamic->d_tag == DT_PLTRELSZ)
			tables->size[0] = value;
		else if (dynamic->d_tag == DT_RELA)
			tables->rela[1] = at;
		else if (dynamic->d_tag == DT_RELASZ)
			tables->size[1] = value;
	}
}

static bool replace(void **slot, void *function)
{
	void *page = (void *)((uintptr_t)slot & ~(uintptr_t)(PAGE - 1));

	/* The table is read-only after relocation; a slot does not cross pages. */
	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) < 0)
		return false;
	*slot = function;
	return mprotect(page, PAGE, PROT_READ) == 0;
}

static bool patch(const struct dl_phdr_info *program, const struct tables *tables, const char *name,
        void *function)
{
	size_t table, i;

	for (table = 0; table < 2; table++)
		for (i = 0; i < tables->size[table] / sizeof(Elf64_Rela); i++) {
			const Elf64_Rela *rela = &tables->rela[table][i];
			const Elf64_Sym *symbol = &tables->symbols[ELF64_R_SYM(rela->r_info)];
			unsigned type = ELF64_R_TYPE(rela->r_info);

			if ((type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) &&
			        strcmp(tables->strings + symbol->st_name, name) == 0)
				return replace(
				        (void **)(program->dlpi_addr + rela->r_offset), function);
		}
	return false;
}

/* The first object is the program itself. */
static int patch_program(struct dl_phdr_info *program, size_t size, void *data)
{
	struct tables tables = {0};
	int i;

	for (i = 0; i < program->dlpi_phnum; i++)
		if (program->dlpi_phdr[i].p_type == PT_DYNAMIC)
			read_dynamic(program,
			        (void *)(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr),
			        &tables);
	*(bool *)data = tables.symbols && tables.strings &&
	                patch(program, &tables, "kill", (void *)watched_kill);
	return 1;
}

bool sim_death_watch(void)
{
	bool done = false;

	(void)dl_iterate_phdr(patch_program, &done);
	return done;
}
