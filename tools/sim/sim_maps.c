/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's mappings. QEMU maps guest code without PROT_EXEC, and its own code is in the same
 * address space: so the table starts with what appeared between the plugin's start and the guest's
 * first block, with rights from the ELF program headers, and follows the guest's system calls.
 */
#include "sim.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/vec.h"

#define PAGE 4096u
#define MAX_PHDRS 64

struct mapping {
	uint64_t start, end, pgoff;
	uint64_t ino;
	uint32_t maj, min;
	uint32_t prot, flags;
	char *name; /* leaked on purpose when it is unmapped: pieces share it */
};

struct range {
	uint64_t start, size;
};

static PTF_VEC(struct mapping) maps, before;
static PTF_VEC(struct range) code; /* while the table is made */
static pthread_mutex_t maps_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t page_up(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

void sim_maps_lock(void)
{
	pthread_mutex_lock(&maps_lock);
}

void sim_maps_unlock(void)
{
	pthread_mutex_unlock(&maps_lock);
}

static bool parse_line(const char *line, struct mapping *map)
{
	char rights[5], name[PATH_MAX] = "";
	int n = sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %4095[^\n]", &map->start, &map->end, rights,
	        &map->pgoff, &map->maj, &map->min, &map->ino, name);

	if (n < 7)
		return false;
	map->prot = (rights[0] == 'r') * PROT_READ | (rights[1] == 'w') * PROT_WRITE |
	            (rights[2] == 'x') * PROT_EXEC;
	map->flags = rights[3] == 's' ? MAP_SHARED : MAP_PRIVATE;
	map->name = strdup(name);
	return map->name != NULL;
}

static bool was_before(const struct mapping *map)
{
	ptf_vec_foreach (old, &before)
		if (map->start < old->end && old->start < map->end)
			return true;
	return false;
}

static void read_maps(bool first)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	struct mapping map;

	while (file && fgets(line, sizeof(line), file)) {
		if (!parse_line(line, &map))
			continue;
		if (first)
			(void)ptf_vec_push(&before, map);
		else if (map.name[0] == '/' && !was_before(&map))
			(void)ptf_vec_push(&maps, map);
		else
			free(map.name);
	}
	if (file)
		fclose(file);
}

void sim_maps_snapshot(void)
{
	read_maps(true);
}

/* Adds the executable part of a file mapping [offset, end) in file offsets, read from its program
 * headers, to `code`. The host merges mappings that differ only in the guest's right to execute. */
static void find_code(const struct mapping *map, uint64_t offset, uint64_t end)
{
	uint64_t size = map->end - map->start;
	uint64_t from = offset > map->pgoff ? offset : map->pgoff;
	uint64_t to = end < map->pgoff + size ? end : map->pgoff + size;

	if (from < to)
		(void)ptf_vec_push(
		        &code, (struct range){map->start + from - map->pgoff, to - from});
}

static void read_segments(const struct mapping *map)
{
	Elf64_Ehdr header;
	Elf64_Phdr ph;
	int fd = open(map->name, O_RDONLY | O_CLOEXEC), i;

	if (fd < 0)
		return;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		header.e_phnum = 0;
	for (i = 0; i < header.e_phnum && i < MAX_PHDRS; i++) {
		uint64_t at = header.e_phoff + (uint64_t)i * sizeof(ph);

		if (pread(fd, &ph, sizeof(ph), (off_t)at) == sizeof(ph) && ph.p_type == PT_LOAD &&
		        ph.p_flags & PF_X)
			find_code(map, ph.p_offset & ~(uint64_t)(PAGE - 1),
			        page_up(ph.p_offset + ph.p_filesz));
	}
	close(fd);
}

static void send_map(const struct mapping *map, const struct sim_thread *t, uint64_t time)
{
	struct ptf_sim_mmap message = {.time_ns = time,
	        .pid = sim.pid,
	        .tid = t ? t->tid : sim.pid,
	        .addr = map->start,
	        .len = map->end - map->start,
	        .pgoff = map->pgoff,
	        .maj = map->maj,
	        .min = map->min,
	        .ino = map->ino,
	        .prot = map->prot,
	        .flags = map->flags};

	sim_server_send(PTF_SIM_MMAP, &message, sizeof(message), map->name, strlen(map->name) + 1);
}

void sim_maps_send_all(void)
{
	ptf_vec_foreach (map, &maps)
		if (map->prot & PROT_EXEC)
			send_map(map, NULL, 0);
}

/* Cuts [start, end) out of the table; split pieces keep their offsets. */
static void cut(uint64_t start, uint64_t end)
{
	size_t i;

	for (i = 0; i < maps.n; i++) {
		struct mapping *map = &maps.v[i], rest = *map;

		if (map->end <= start || map->start >= end)
			continue;
		if (map->start >= start) {
			*map = maps.v[--maps.n];
			i--;
		} else {
			map->end = start;
		}
		if (rest.end > end) {
			rest.pgoff += rest.ino ? end - rest.start : 0;
			rest.start = end;
			(void)ptf_vec_push(&maps, rest);
		}
	}
}

static void name_of_fd(struct mapping *map, int fd)
{
	char link[64], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	map->name = strdup(path);
	if (fstat(fd, &st) == 0) {
		map->ino = st.st_ino;
		map->maj = major(st.st_dev);
		map->min = minor(st.st_dev);
	}
}

static void insert(struct sim_thread *t, const struct mapping *map)
{
	sim_maps_lock();
	cut(map->start, map->end);
	(void)ptf_vec_push(&maps, *map);
	if (map->prot & PROT_EXEC && sim.recording)
		send_map(map, t, sim_thread_time(t));
	sim_maps_unlock();
}

void sim_maps_map(struct sim_thread *t, uint64_t addr, uint64_t len, int prot, int flags, int fd,
        uint64_t offset)
{
	struct mapping map = {.start = addr,
	        .end = addr + page_up(len),
	        .pgoff = offset,
	        .prot = (uint32_t)prot,
	        .flags = (uint32_t)flags & (MAP_SHARED | MAP_PRIVATE)};

	if (flags & MAP_ANONYMOUS) {
		map.pgoff = 0;
		map.name = "//anon";
	} else {
		name_of_fd(&map, fd);
	}
	if (map.name)
		insert(t, &map);
}

void sim_maps_unmap(uint64_t addr, uint64_t len)
{
	sim_maps_lock();
	cut(addr, addr + page_up(len));
	sim_maps_unlock();
}

/* The piece of map in [start, end). */
static struct mapping piece(const struct mapping *map, uint64_t start, uint64_t end)
{
	struct mapping part = *map;

	part.start = map->start > start ? map->start : start;
	part.end = map->end < end ? map->end : end;
	part.pgoff += part.ino ? part.start - map->start : 0;
	return part;
}

void sim_maps_protect(struct sim_thread *t, uint64_t addr, uint64_t len, int prot)
{
	uint64_t end = addr + page_up(len);
	PTF_VEC(struct mapping) parts = {0};

	sim_maps_lock();
	ptf_vec_foreach (map, &maps)
		if (map->start < end && map->end > addr)
			(void)ptf_vec_push(&parts, piece(map, addr, end));
	cut(addr, end);
	ptf_vec_foreach (part, &parts) {
		bool was = part->prot & PROT_EXEC;

		part->prot = (uint32_t)prot;
		(void)ptf_vec_push(&maps, *part);
		if (prot & PROT_EXEC && !was && sim.recording)
			send_map(part, t, sim_thread_time(t));
	}
	sim_maps_unlock();
	ptf_vec_release(&parts);
}

void sim_maps_move(
        struct sim_thread *t, uint64_t old, uint64_t old_len, uint64_t addr, uint64_t len)
{
	struct mapping moved = {0};

	sim_maps_lock();
	ptf_vec_foreach (map, &maps)
		if (map->start <= old && map->end > old)
			moved = piece(map, old, old + page_up(old_len));
	cut(old, old + page_up(old_len));
	sim_maps_unlock();
	moved.start = addr;
	moved.end = addr + page_up(len);
	if (moved.name)
		insert(t, &moved);
}

void sim_maps_init(void)
{
	read_maps(false);
	ptf_vec_foreach (map, &maps)
		if (!(map->prot & PROT_WRITE))
			read_segments(map);
	ptf_vec_foreach (range, &code)
		sim_maps_protect(NULL, range->start, range->size, PROT_READ | PROT_EXEC);
	ptf_vec_release(&code);
	ptf_vec_foreach (old, &before)
		free(old->name);
	ptf_vec_release(&before);
}
