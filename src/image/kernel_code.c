/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/kernel_code.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "symbol/elf_symtab.h"

struct ptf_kernel_code {
	const struct ptf_module_context *context;
	char *kcore, *vmlinux, *kallsyms; /* owned paths, NULL: not found */
	struct ptf_file_map map;          /* of kcore or vmlinux */
	struct ptf_elf_file elf;          /* of map, when has_elf */
	bool has_elf;
	uint64_t moved; /* vmlinux: ran at its own addresses plus this */
	pthread_mutex_t lock;
	bool read;                          /* kallsyms was read */
	struct ptf_module_symbols *symbols; /* owned, or NULL */
};

/* ---- files ---- */

/* Opens path as the kernel's code if that is a file of this build; build_id may be NULL: any. */
static bool open_code(
        struct ptf_kernel_code *kernel, const char *path, const struct ptf_kernel_facts *facts)
{
	if (ptf_file_map_init(&kernel->map, path, NULL) < 0)
		return false;
	kernel->has_elf =
	        ptf_elf_file_init(&kernel->elf, kernel->map.bytes, kernel->map.size, NULL) == 0;
	if (kernel->has_elf && (!facts || ptf_elf_file_has_build_id(&kernel->elf, facts->build_id,
	                                          facts->build_id_size)))
		return true;
	if (kernel->has_elf)
		ptf_elf_file_release(&kernel->elf);
	kernel->has_elf = false;
	ptf_file_map_release(&kernel->map);
	return false;
}

static char *path_of(const char *format, const char *a, const char *b)
{
	char *path;

	return asprintf(&path, format, a, b) < 0 ? NULL : path;
}

/* Takes a directory with kcore and kallsyms. */
static bool try_kcore_dir(struct ptf_kernel_code *kernel, const char *directory)
{
	char *kcore = path_of("%s/%s", directory, "kcore");
	char *kallsyms = path_of("%s/%s", directory, "kallsyms");

	if (!kernel->kallsyms && kallsyms && access(kallsyms, R_OK) == 0) {
		kernel->kallsyms = kallsyms;
		kallsyms = NULL;
	}
	if (kcore && open_code(kernel, kcore, NULL)) {
		kernel->kcore = kcore;
		kcore = NULL;
	}
	free(kcore);
	free(kallsyms);
	return kernel->kcore;
}

static void hex_of(char hex[2 * PTF_BUILD_ID_MAX + 1], const struct ptf_kernel_facts *facts)
{
	hex[0] = 0;
	for (size_t i = 0; i < facts->build_id_size && i < PTF_BUILD_ID_MAX; i++)
		snprintf(hex + 2 * i, 3, "%02x", facts->build_id[i]);
}

/* ~/.debug/[kernel.kcore]/BUILD_ID/DATE/, the newest of them: perf buildid-cache --kcore. */
static void try_cached_kcore(struct ptf_kernel_code *kernel, const char *cache, const char *hex)
{
	char *parent = path_of("%s/[kernel.kcore]/%s", cache, hex), *directory;
	struct dirent **names = NULL;
	int n = parent ? scandir(parent, &names, NULL, alphasort) : -1;

	for (int i = n - 1; i >= 0; i--) {
		directory = names[i]->d_name[0] == '.' || kernel->kcore
		                    ? NULL
		                    : path_of("%s/%s", parent, names[i]->d_name);
		if (directory)
			try_kcore_dir(kernel, directory);
		free(directory);
		free(names[i]);
	}
	free(names);
	free(parent);
}

static void try_kallsyms(struct ptf_kernel_code *kernel, char *path)
{
	if (path && !kernel->kallsyms && access(path, R_OK) == 0)
		kernel->kallsyms = path;
	else
		free(path);
}

/* How far the kernel was moved, by a symbol of its file; false when that does not have it. */
static bool find_move(struct ptf_kernel_code *kernel, const struct ptf_kernel_facts *facts)
{
	struct ptf_elf_symtab symtab = {0};
	bool found = false;

	if (!facts->symbol)
		return true;
	if (ptf_elf_symtab_read(&symtab, &kernel->elf, SHT_SYMTAB)) {
		ptf_vec_foreach (symbol, &symtab.list) {
			if (found || strcmp(symbol->name, facts->symbol) != 0)
				continue;
			found = true;
			kernel->moved = facts->symbol_address - symbol->start;
		}
	}
	ptf_elf_symtab_release(&symtab);
	return found;
}

/* Takes path (owned by the call, NULL: out of memory) as the vmlinux. */
static bool try_vmlinux(struct ptf_kernel_code *kernel, char *path,
        const struct ptf_kernel_facts *facts, bool any_build)
{
	if (path && !kernel->has_elf && open_code(kernel, path, any_build ? NULL : facts)) {
		if (find_move(kernel, facts)) {
			kernel->vmlinux = path;
			return true;
		}
		ptf_log(PTF_LOG_WARN, "%s: has no symbol %s: where the kernel ran is not known",
		        path, facts->symbol);
		ptf_elf_file_release(&kernel->elf);
		kernel->has_elf = false;
		ptf_file_map_release(&kernel->map);
	}
	free(path);
	return false;
}

/* Where distributions and perf keep a vmlinux. Only one of the same build is taken. */
static void find_vmlinux(struct ptf_kernel_code *kernel, const char *cache, const char *hex,
        const struct ptf_kernel_facts *facts)
{
	static const char *const places[] = {"%s/usr/lib/debug/boot/vmlinux-%s",
	        "%s/usr/lib/debug/lib/modules/%s/vmlinux", "%s/boot/vmlinux-%s",
	        "%s/lib/modules/%s/build/vmlinux"};
	const char *symfs = kernel->context->symfs ? kernel->context->symfs : "";
	char first[3] = {hex[0], hex[0] ? hex[1] : 0, 0};
	char *cached = hex[0] ? path_of("%s/.build-id/%s/", cache, first) : NULL;

	if (facts->build_id_size == 0)
		return;
	try_vmlinux(kernel, cached ? path_of("%s%s/vmlinux", cached, hex + 2) : NULL, facts, false);
	try_vmlinux(kernel, cached ? path_of("%s%s/elf", cached, hex + 2) : NULL, facts, false);
	free(cached);
	for (size_t i = 0; facts->release && i < sizeof(places) / sizeof(*places); i++)
		try_vmlinux(kernel, path_of(places[i], symfs, facts->release), facts, false);
}

static void find_files(struct ptf_kernel_code *kernel, const struct ptf_kernel_facts *facts)
{
	const char *home = getenv("HOME");
	char hex[2 * PTF_BUILD_ID_MAX + 1];
	char *cache = path_of("%s%s", home ? home : "", "/.debug"), *directory;

	hex_of(hex, facts);
	if (facts->vmlinux && !try_vmlinux(kernel, strdup(facts->vmlinux), facts, true))
		ptf_log(PTF_LOG_WARN, "%s: no kernel image that can be used", facts->vmlinux);
	if (kernel->context->search_dir) {
		directory = path_of("%s/%s", kernel->context->search_dir, "kcore_dir");
		if (directory && !kernel->has_elf)
			try_kcore_dir(kernel, directory);
		else if (directory)
			try_kallsyms(kernel, path_of("%s/%s", directory, "kallsyms"));
		free(directory);
	}
	if (cache && hex[0]) {
		if (!kernel->has_elf)
			try_cached_kcore(kernel, cache, hex);
		find_vmlinux(kernel, cache, hex, facts);
		try_kallsyms(kernel, path_of("%s/[kernel.kallsyms]/%s/kallsyms", cache, hex));
	}
	free(cache);
}

struct ptf_kernel_code *ptf_kernel_code_create(
        const struct ptf_module_context *context, const struct ptf_kernel_facts *facts)
{
	struct ptf_kernel_code *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return NULL;
	kernel->context = context;
	pthread_mutex_init(&kernel->lock, NULL);
	find_files(kernel, facts);
	return kernel;
}

void ptf_kernel_code_destroy(struct ptf_kernel_code *kernel)
{
	if (!kernel)
		return;
	ptf_module_symbols_destroy(kernel->symbols);
	if (kernel->has_elf)
		ptf_elf_file_release(&kernel->elf);
	ptf_file_map_release(&kernel->map);
	free(kernel->kcore);
	free(kernel->vmlinux);
	free(kernel->kallsyms);
	pthread_mutex_destroy(&kernel->lock);
	free(kernel);
}

const char *ptf_kernel_code_file(
        const struct ptf_kernel_code *kernel, const struct ptf_module *module, bool *is_vmlinux)
{
	*is_vmlinux = false;
	if (!kernel || kernel->kcore)
		return kernel ? kernel->kcore : NULL;
	/* A vmlinux has no modules. */
	if (strncmp(module->path, "[kernel.kallsyms]", strlen("[kernel.kallsyms]")) != 0)
		return NULL;
	*is_vmlinux = kernel->vmlinux;
	return kernel->vmlinux;
}

/* ---- mappings ---- */

/* Maps the part of a segment that lies in [start, end). */
static bool map_part(const struct ptf_kernel_code *kernel, struct ptf_code_history *history,
        const struct ptf_elf_segment *segment, const struct ptf_code_map *whole)
{
	uint64_t from = segment->vaddr + kernel->moved, to = from + segment->filesz;
	struct ptf_code_map part = *whole;

	if (to < from || from >= whole->end || to <= whole->start)
		return true;
	part.start = from > whole->start ? from : whole->start;
	part.end = to < whole->end ? to : whole->end;
	part.file_offset = segment->offset + (part.start - from);
	return ptf_code_history_map(history, &part, 0);
}

static bool map_whole(const struct ptf_kernel_code *kernel, struct ptf_code_history *history,
        const struct ptf_code_map *whole)
{
	bool is_vmlinux;

	if (!ptf_kernel_code_file(kernel, whole->module, &is_vmlinux))
		return true;
	for (size_t i = 0; i < kernel->elf.n_segments; i++) {
		const struct ptf_elf_segment *segment = &kernel->elf.segments[i];

		if (segment->exec && !map_part(kernel, history, segment, whole))
			return false;
	}
	return true;
}

bool ptf_kernel_code_map(const struct ptf_kernel_code *kernel, struct ptf_code_history *history,
        struct ptf_module *text)
{
	const struct ptf_code_epoch *old = ptf_code_history_at(history, PTF_NO_TIME);
	struct ptf_code_map all = {.start = 1ull << 63, .end = UINT64_MAX, .module = text};
	struct ptf_code_map *maps = calloc(old->n_maps + 1, sizeof(*maps));
	size_t n = old->n_maps;
	bool ok = maps;

	if (ok && n)
		memcpy(maps, old->maps, n * sizeof(*maps));
	if (kernel->kcore)
		ok = ok && map_whole(kernel, history, &all);
	for (size_t i = 0; ok && i < n; i++)
		ok = ptf_code_history_map(history, &maps[i], 0) &&
		     map_whole(kernel, history, &maps[i]);
	free(maps);
	return ok;
}

/* ---- names ---- */

static struct ptf_module_symbols *read_kallsyms(const struct ptf_kernel_code *kernel)
{
	struct ptf_module_symbols *symbols;
	struct ptf_file_map map;
	int rc;

	if (!kernel->kallsyms || ptf_file_map_init(&map, kernel->kallsyms, NULL) < 0)
		return NULL;
	symbols = calloc(1, sizeof(*symbols));
	rc = symbols ? ptf_elf_symbols_from_kallsyms(&symbols->elf, map.bytes, map.size, NULL) : -1;
	ptf_file_map_release(&map);
	if (rc < 0) {
		ptf_module_symbols_destroy(symbols);
		return NULL;
	}
	return ptf_module_symbols_finish(symbols);
}

struct ptf_module_symbols *ptf_kernel_code_symbols(struct ptf_kernel_code *kernel)
{
	struct ptf_module_symbols *symbols;

	if (!kernel)
		return NULL;
	pthread_mutex_lock(&kernel->lock);
	if (!kernel->read)
		kernel->symbols = read_kallsyms(kernel);
	kernel->read = true;
	symbols = kernel->symbols;
	pthread_mutex_unlock(&kernel->lock);
	return symbols;
}
