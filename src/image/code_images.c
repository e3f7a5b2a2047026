/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/code_images.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "image/code_history.h"
#include "image/code_module.h"
#include "image/jit_code.h"
#include "image/jit_dump.h"
#include "image/jit_images.h"
#include "image/kernel_code.h"

#define PROT_EXEC_BIT 4u          /* of struct ptf_record_mmap.prot */
#define MISC_DATA (1u << 13)      /* MMAP, MMAP2: a mapping of data (PERF_RECORD_MISC_MMAP_DATA) */
#define MISC_FORK_EXEC (1u << 13) /* FORK: made up by perf for a process that was there before */
#define CPUMODE_KERNEL 1u
#define CPUMODE_GUEST_KERNEL 4u
#define KERNEL_PID (-1)
#define KERNEL_NAME "[kernel.kallsyms]"
#define KERNEL_ADDRESSES (1ull << 63) /* and above */

/* A module and what finds it again. */
struct module {
	struct ptf_module module; /* first: the pointer that callers have */
	struct ptf_module_private priv;
	struct module *next; /* with the same hash of the path, or NULL */
};

struct expected_id {
	const char *path;
	uint8_t id[PTF_BUILD_ID_MAX];
	size_t size;
	struct expected_id *next; /* with the same hash of the path, or NULL */
};

struct process {
	int32_t pid;
	struct ptf_code_history *history; /* owned */
};

struct ptf_code_images {
	struct ptf_module_context context;
	struct ptf_jit_clock jit_clock;
	struct ptf_kernel_options kernel_options;
	struct ptf_arena arena;     /* modules, paths, expected build-ids */
	struct ptf_hash_map by_pid; /* pid -> index into processes */
	PTF_VEC(struct process) processes;
	struct ptf_hash_map by_path;  /* hash of a path -> struct module */
	struct ptf_hash_map expected; /* hash of a path -> struct expected_id */
	PTF_VEC(struct ptf_module *) modules;
	const struct ptf_code_epoch *kernel; /* once frozen, NULL: no kernel mapping known */
};

static char *copy_of(const char *text, bool *ok)
{
	char *copy = text && text[0] ? strdup(text) : NULL;

	*ok = *ok && (copy || !text || !text[0]);
	return copy;
}

struct ptf_code_images *ptf_code_images_create(
        struct ptf_function_table *functions, const struct ptf_code_images_options *options)
{
	struct ptf_code_images *images = calloc(1, sizeof(*images));
	bool ok = true;

	if (!images)
		return NULL;
	images->context.functions = functions;
	images->context.attached = options ? options->attached : NULL;
	images->context.recorded_s = options ? options->recorded_s : 0;
	if (options)
		images->jit_clock = options->jit_clock;
	images->context.symfs = copy_of(options ? options->symfs : NULL, &ok);
	images->context.search_dir = copy_of(options ? options->search_dir : NULL, &ok);
	if (ok)
		return images;
	ptf_code_images_destroy(images);
	return NULL;
}

void ptf_code_images_destroy(struct ptf_code_images *images)
{
	if (!images)
		return;
	ptf_vec_foreach (process, &images->processes)
		ptf_code_history_destroy(process->history);
	ptf_vec_foreach (module, &images->modules)
		ptf_module_release(*module);
	ptf_vec_release(&images->processes);
	ptf_vec_release(&images->modules);
	ptf_hash_map_release(&images->by_pid);
	ptf_hash_map_release(&images->by_path);
	ptf_hash_map_release(&images->expected);
	ptf_kernel_code_destroy(images->context.kernel);
	ptf_arena_release(&images->arena);
	free(images->context.symfs);
	free(images->context.search_dir);
	free(images);
}

static struct ptf_code_history *find_history(const struct ptf_code_images *images, int32_t pid)
{
	const uint64_t *index = ptf_hash_map_find(&images->by_pid, (uint32_t)pid);

	return index ? images->processes.v[*index].history : NULL;
}

/* The history of a process, made when absent; NULL when out of memory. */
static struct ptf_code_history *history_of(
        struct ptf_code_images *images, int32_t pid, uint64_t time_ns)
{
	struct ptf_code_history *history = find_history(images, pid);
	uint64_t *index;

	if (history)
		return history;
	history = ptf_code_history_create(time_ns);
	if (!history)
		return NULL;
	if (!ptf_vec_push(&images->processes, (struct process){.pid = pid, .history = history})) {
		ptf_code_history_destroy(history);
		return NULL;
	}
	index = ptf_hash_map_at(&images->by_pid, (uint32_t)pid, NULL);
	if (!index)
		return NULL;
	*index = images->processes.n - 1;
	return history;
}

static bool same_module(const struct module *m, const char *path, const uint8_t *id, size_t size)
{
	return strcmp(m->module.path, path) == 0 && m->priv.build_id_size == size &&
	       memcmp(m->priv.build_id, id, size) == 0;
}

static struct module *add_module(
        struct ptf_code_images *images, const struct ptf_record_mmap *mmap, bool kernel)
{
	struct module *m = ptf_arena_alloc(&images->arena, sizeof(*m));

	if (!m)
		return NULL;
	m->module.path = ptf_arena_strdup(&images->arena, mmap->filename);
	m->module.index = (uint32_t)images->modules.n;
	m->module.kernel = kernel;
	m->module.anonymous = !kernel && ptf_module_is_anonymous(mmap->filename);
	if (!m->module.path || !ptf_vec_push(&images->modules, &m->module))
		return NULL;
	memcpy(m->priv.build_id, mmap->build_id, mmap->build_id_size);
	m->priv.build_id_size = mmap->build_id_size;
	m->priv.first_start = mmap->addr;
	m->priv.first_len = mmap->len;
	m->priv.first_pgoff = mmap->pgoff;
	ptf_module_init(&m->module, &m->priv, &images->context);
	return m;
}

/* The module of a mapping: one for each path, or for each build-id where records have them. */
static struct ptf_module *module_of(
        struct ptf_code_images *images, const struct ptf_record_mmap *mmap, bool kernel)
{
	uint64_t hash = ptf_hash_bytes(mmap->filename, strlen(mmap->filename));
	uint64_t *first = ptf_hash_map_at(&images->by_path, hash, NULL);
	struct module *m;

	if (!first)
		return NULL;
	for (m = (struct module *)(uintptr_t)*first; m; m = m->next)
		if (same_module(m, mmap->filename, mmap->build_id, mmap->build_id_size))
			return &m->module;
	m = add_module(images, mmap, kernel);
	if (!m)
		return NULL;
	m->next = (struct module *)(uintptr_t)*first;
	*first = (uintptr_t)m;
	return &m->module;
}

static bool is_code(const struct ptf_record *record)
{
	unsigned cpumode = record->misc & PTF_MISC_CPUMODE_MASK;

	if (cpumode >= CPUMODE_GUEST_KERNEL || (record->misc & MISC_DATA))
		return false;
	return record->mmap.len > 0 && (record->type == PTF_RECORD_MMAP || record->mmap.prot == 0 ||
	                                       (record->mmap.prot & PROT_EXEC_BIT));
}

/* A jitdump is mapped to be found, not to be run. */
static bool add_dump(struct ptf_code_images *images, struct ptf_code_history *history,
        const struct ptf_record_mmap *mmap, uint64_t time_ns)
{
	struct ptf_module *module = module_of(images, mmap, false);

	ptf_vec_foreach (dump, &history->dumps)
		if (dump->module == module)
			return true;
	return module && ptf_vec_push(&history->dumps, (struct ptf_code_dump){module, time_ns});
}

static bool add_mmap(
        struct ptf_code_images *images, const struct ptf_record *record, uint64_t time_ns)
{
	const struct ptf_record_mmap *mmap = &record->mmap;
	bool kernel =
	        mmap->pid == KERNEL_PID || (record->misc & PTF_MISC_CPUMODE_MASK) == CPUMODE_KERNEL;
	struct ptf_code_history *history;
	struct ptf_code_map map = {.start = mmap->addr, .file_offset = mmap->pgoff};

	if (!is_code(record))
		return true;
	history = history_of(images, kernel ? KERNEL_PID : mmap->pid, time_ns);
	if (history && ptf_jit_dump_is_name(mmap->filename))
		return add_dump(images, history, mmap, time_ns);
	map.module = history ? module_of(images, mmap, kernel) : NULL;
	if (!map.module)
		return false;
	if (__builtin_add_overflow(mmap->addr, mmap->len, &map.end))
		map.end = UINT64_MAX;
	/* The kernel makes up offsets of anonymous memory; addresses name its code better, and
	 * two mappings of it never conflict: its content is not known anyway. */
	if (kernel || map.module->anonymous)
		map.file_offset = map.start;
	else if (strcmp(mmap->filename, "[vdso]") == 0)
		map.file_offset = 0;
	history->anonymous |= map.module->anonymous;
	/* The number of a process that has exited belongs to a new one now. */
	if (history->exited && mmap->tid == mmap->pid && !ptf_code_history_clear(history, time_ns))
		return false;
	return ptf_code_history_map(history, &map, kernel ? 0 : time_ns);
}

/* perf makes up FORK records for processes that it finds running, and reports their maps: what
 * such a process had of its parent is not known. */
static bool add_fork(
        struct ptf_code_images *images, const struct ptf_record *record, uint64_t time_ns)
{
	const struct ptf_record_task *task = &record->task;
	bool made_up = (record->misc & MISC_FORK_EXEC) || time_ns == 0;
	const struct ptf_code_history *parent;
	struct ptf_code_history *child;

	if (task->pid == task->ppid || made_up)
		return true;
	child = history_of(images, task->pid, time_ns);
	if (!child)
		return false;
	parent = find_history(images, task->ppid);
	return parent ? ptf_code_history_copy(child, parent, time_ns)
	              : ptf_code_history_clear(child, time_ns);
}

static bool add_exec(
        struct ptf_code_images *images, const struct ptf_record *record, uint64_t time_ns)
{
	struct ptf_code_history *history = find_history(images, record->comm.pid);

	if (!(record->misc & PTF_MISC_COMM_EXEC) || !history)
		return true;
	return ptf_code_history_clear(history, time_ns);
}

static void add_exit(struct ptf_code_images *images, const struct ptf_record *record)
{
	struct ptf_code_history *history = find_history(images, record->task.pid);

	/* Other threads may outlive the main one, so the maps stay until the number is used
	 * again. */
	if (history && record->task.tid == record->task.pid)
		history->exited = true;
}

int ptf_code_images_add(
        struct ptf_code_images *images, const struct ptf_record *record, struct ptf_error *err)
{
	uint64_t time_ns = record->sid.has_time ? record->sid.time_ns : 0;
	bool ok = true;

	switch (record->type) {
	case PTF_RECORD_MMAP:
	case PTF_RECORD_MMAP2:
		ok = add_mmap(images, record, time_ns);
		break;
	case PTF_RECORD_FORK:
		if (!time_ns)
			time_ns = record->task.time_ns;
		ok = add_fork(images, record, time_ns);
		break;
	case PTF_RECORD_COMM:
		ok = add_exec(images, record, time_ns);
		break;
	case PTF_RECORD_EXIT:
		add_exit(images, record);
		break;
	default:
		break;
	}
	return ok ? 0 : ptf_error_set(err, PTF_ENOMEM, "out of memory");
}

int ptf_code_images_expect_build_id(struct ptf_code_images *images, const char *filename,
        const uint8_t *id, size_t size, struct ptf_error *err)
{
	uint64_t *first = ptf_hash_map_at(
	        &images->expected, ptf_hash_bytes(filename, strlen(filename)), NULL);
	struct expected_id *e = first ? ptf_arena_alloc(&images->arena, sizeof(*e)) : NULL;

	if (e)
		e->path = ptf_arena_strdup(&images->arena, filename);
	if (!e || !e->path)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	e->size = size < sizeof(e->id) ? size : sizeof(e->id);
	memcpy(e->id, id, e->size);
	e->next = (struct expected_id *)(uintptr_t)*first;
	*first = (uintptr_t)e;
	return 0;
}

static const struct expected_id *expected_id_of(
        const struct ptf_code_images *images, const char *path)
{
	const uint64_t *first =
	        ptf_hash_map_find(&images->expected, ptf_hash_bytes(path, strlen(path)));
	const struct expected_id *e = first ? (const struct expected_id *)(uintptr_t)*first : NULL;

	while (e && strcmp(e->path, path) != 0)
		e = e->next;
	return e;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Gives a module the build-id that the header has for its path, if its records had none. */
static void set_expected_id(const struct ptf_code_images *images, struct ptf_module *module)
{
	const struct expected_id *e = expected_id_of(images, module->path);

	if (e && module->priv->build_id_size == 0) {
		memcpy(module->priv->build_id, e->id, e->size);
		module->priv->build_id_size = e->size;
	}
	if (is_zero(module->priv->build_id, module->priv->build_id_size))
		module->priv->build_id_size = 0;
}

void ptf_code_images_set_kernel(
        struct ptf_code_images *images, const struct ptf_kernel_options *options)
{
	images->kernel_options = *options;
}

/* The kernel's own mapping is called after the symbol whose address it gives: the records have
 * "[kernel.kallsyms]_text" where the header has "[kernel.kallsyms]". */
static struct ptf_module *kernel_text(const struct ptf_code_images *images)
{
	ptf_vec_foreach (module, &images->modules)
		if ((*module)->kernel &&
		        strncmp((*module)->path, KERNEL_NAME, strlen(KERNEL_NAME)) == 0)
			return *module;
	return NULL;
}

static bool find_kernel(struct ptf_code_images *images)
{
	struct ptf_code_history *history = find_history(images, KERNEL_PID);
	struct ptf_module *text = kernel_text(images);
	const struct expected_id *e = expected_id_of(images, KERNEL_NAME);
	struct ptf_kernel_facts facts = {.release = images->kernel_options.release,
	        .vmlinux = images->kernel_options.vmlinux};

	if (!history || !text || !images->kernel_options.traced)
		return true;
	facts.build_id = text->priv->build_id_size || !e ? text->priv->build_id : e->id;
	facts.build_id_size = text->priv->build_id_size || !e ? text->priv->build_id_size : e->size;
	facts.symbol_address = text->priv->first_pgoff;
	if (text->path[strlen(KERNEL_NAME)])
		facts.symbol = text->path + strlen(KERNEL_NAME);
	images->context.kernel = ptf_kernel_code_create(&images->context, &facts);
	return images->context.kernel && ptf_kernel_code_map(images->context.kernel, history, text);
}

void ptf_code_images_set_jit_clock(
        struct ptf_code_images *images, const struct ptf_jit_clock *clock)
{
	images->jit_clock = *clock;
}

/* The module of a process's perf map; NULL when out of memory. */
static struct ptf_module *perf_map_of(struct ptf_code_images *images, int32_t pid)
{
	char path[64];
	struct ptf_record_mmap mmap = {.filename = path};

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)pid);
	return module_of(images, &mmap, false);
}

static bool read_jit_code(struct ptf_code_images *images, const struct process *process)
{
	struct ptf_code_history *history = process->history;
	struct ptf_module *module;
	const uint64_t *changes;
	size_t n;

	if (history->anonymous && process->pid != KERNEL_PID) {
		module = perf_map_of(images, process->pid);
		if (!module || !ptf_jit_names_build(history, module))
			return false;
	}
	if (!history->dumps.n)
		return true;
	if (!ptf_jit_code_build(history, &images->jit_clock))
		return false;
	changes = ptf_jit_code_changes(history->jit, &n);
	return ptf_code_history_cut(history, changes, n);
}

static void number_epochs(struct ptf_code_images *images)
{
	uint32_t id = 0;

	ptf_vec_foreach (process, &images->processes) {
		ptf_vec_foreach (at, &process->history->epochs) {
			struct ptf_code_epoch *epoch = *at;

			epoch->id = id++;
			epoch->images = images;
			epoch->jit = epoch->made_by->jit;
			epoch->names = process->history->names ? process->history->names
			                                       : epoch->made_by->names;
		}
	}
}

int ptf_code_images_freeze(struct ptf_code_images *images, struct ptf_error *err)
{
	const struct ptf_code_history *kernel = find_history(images, KERNEL_PID);

	ptf_vec_foreach (module, &images->modules)
		set_expected_id(images, *module);
	ptf_vec_foreach (process, &images->processes) {
		if (!read_jit_code(images, process))
			return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	if (!find_kernel(images))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	number_epochs(images);
	images->kernel = kernel ? ptf_code_history_at(kernel, PTF_NO_TIME) : NULL;
	return 0;
}

const struct ptf_code_epoch *ptf_code_images_epoch(
        const struct ptf_code_images *images, int32_t pid, uint64_t time_ns)
{
	const struct ptf_code_history *history = find_history(images, pid);

	return history ? ptf_code_history_at(history, time_ns) : NULL;
}

const struct ptf_code_epoch *ptf_code_images_kernel(const struct ptf_code_images *images)
{
	return images->kernel;
}

const struct ptf_code_epoch *const *ptf_code_images_epochs(
        const struct ptf_code_images *images, int32_t pid, size_t *n)
{
	const struct ptf_code_history *history = find_history(images, pid);

	*n = history ? history->epochs.n : 0;
	return history ? (const struct ptf_code_epoch *const *)history->epochs.v : NULL;
}

struct ptf_module *const *ptf_code_images_modules(const struct ptf_code_images *images, size_t *n)
{
	*n = images->modules.n;
	return images->modules.v;
}

const struct ptf_code_map *ptf_code_epoch_find(const struct ptf_code_epoch *epoch, uint64_t ip)
{
	const struct ptf_code_map *map;

	/* All processes share the kernel's mappings, which are kept once. */
	if (ip >= KERNEL_ADDRESSES && epoch->images->kernel)
		epoch = epoch->images->kernel;
	map = epoch->jit ? ptf_jit_code_find(epoch->jit, ip, epoch->made_ns) : NULL;
	if (map)
		return map;
	return ptf_code_maps_find(epoch->maps, epoch->n_maps, ip);
}

uint64_t ptf_code_map_vaddr(const struct ptf_code_map *map, uint64_t ip)
{
	return ptf_module_vaddr(map->module, map->file_offset + (ip - map->start));
}

size_t ptf_code_epoch_read(
        const struct ptf_code_epoch *epoch, uint64_t ip, uint8_t *out, size_t size)
{
	const struct ptf_code_map *map = ptf_code_epoch_find(epoch, ip);
	const struct ptf_module_private *priv;
	uint64_t offset;

	if (!map || ptf_module_open(map->module) < 0)
		return 0;
	priv = map->module->priv;
	offset = map->file_offset + (ip - map->start);
	if (offset >= priv->size)
		return 0;
	if (size > map->end - ip)
		size = map->end - ip;
	if (size > priv->size - offset)
		size = priv->size - offset;
	memcpy(out, priv->bytes + offset, size);
	return size;
}

size_t ptf_code_epoch_read_across(
        const struct ptf_code_epoch *epoch, uint64_t ip, uint8_t *out, size_t size)
{
	size_t got = 0, part;

	do {
		part = ptf_code_epoch_read(epoch, ip + got, out + got, size - got);
		got += part;
	} while (part && got < size);
	return got;
}

const struct ptf_function *ptf_code_epoch_function_entry(
        const struct ptf_code_epoch *epoch, uint64_t ip, bool target, uint64_t *entry)
{
	const struct ptf_code_map *map = ptf_code_epoch_find(epoch, ip);
	const struct ptf_function *function = NULL;
	uint64_t vaddr = 0, start = 0;
	bool has_entry = false;

	/* What symbols say of a file is better than a perf map, which knows no time. */
	if (epoch->names && (!map || map->module->anonymous)) {
		const struct ptf_code_map *named = ptf_jit_code_find(epoch->names, ip, PTF_NO_TIME);

		map = named ? named : map;
	}
	if (map && map->function) {
		*entry = map->start;
		return map->function;
	}
	if (map) {
		vaddr = ptf_code_map_vaddr(map, ip);
		function = ptf_module_function(map->module, vaddr, target, &has_entry, &start);
	}
	*entry = has_entry ? ip - (vaddr - start) : 0;
	return function ? function : ptf_function_table_unknown(epoch->images->context.functions);
}

const struct ptf_function *ptf_code_epoch_function(
        const struct ptf_code_epoch *epoch, uint64_t ip, bool target)
{
	uint64_t entry;

	return ptf_code_epoch_function_entry(epoch, ip, target, &entry);
}
