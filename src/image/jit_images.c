/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/jit_images.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash_map.h"
#include "base/log.h"
#include "image/code_module.h"
#include "image/jit_code.h"
#include "image/jit_dump.h"
#include "image/perf_map.h"

/* ---- jitdump ---- */

/* A dump that is being read. */
struct loader {
	struct ptf_code_history *history;
	const struct ptf_jit_clock *clock;
	const struct ptf_code_dump *source;
	struct ptf_jit_dump dump;
	PTF_VEC(struct ptf_code_map) loads; /* all so far, those of moves included */
	struct ptf_hash_map by_start;       /* address -> index of the newest there, + 1 */
	int64_t shift_ns;                   /* from the dump's clock, if that is no TSC */
	bool timed;                         /* times can be told at all */
	size_t clear;                       /* next of history->clears */
};

/* The dump's clock against the recording's. Where they are different ones the dump was made in the
 * moment in which it was mapped. */
static void tie_clock(struct loader *l)
{
	l->timed = !l->clock->unrelated;
	if (l->dump.tsc)
		l->timed = l->timed && l->clock->tsc_ns;
	else if (!l->clock->monotonic && l->source->time_ns > 0)
		l->shift_ns = (int64_t)(l->source->time_ns - l->dump.made);
	else if (!l->clock->monotonic)
		l->timed = false;
}

static uint64_t time_of(const struct loader *l, uint64_t time)
{
	if (!l->timed)
		return 0;
	return l->dump.tsc ? l->clock->tsc_ns(l->clock->context, time)
	                   : time + (uint64_t)l->shift_ns;
}

static const struct ptf_function *function_of(
        const struct loader *l, const struct ptf_jit_event *event)
{
	struct ptf_module *module = l->source->module;

	return ptf_function_table_intern(module->priv->context->functions, module->path,
	        event->start, event->size, PTF_FUNCTION_JIT, event->name, PTF_INTERN_DEMANGLE);
}

/* The mapping that an event makes; false when out of memory. Its end is its start when there is
 * none: what was moved is not known. */
static bool map_of(
        const struct loader *l, const struct ptf_jit_event *event, struct ptf_code_map *map)
{
	const uint64_t *index;

	if (event->kind == PTF_JIT_LOAD) {
		*map = (struct ptf_code_map){.start = event->start,
		        .end = event->start + event->size,
		        .file_offset = event->file_offset,
		        .module = l->source->module,
		        .function = function_of(l, event)};
		return map->function;
	}
	index = ptf_hash_map_find(&l->by_start, event->old_start);
	if (!index) {
		*map = (struct ptf_code_map){0};
		return true;
	}
	*map = l->loads.v[*index - 1];
	if (event->size < map->end - map->start)
		map->end = map->start + event->size;
	if (map->end - map->start > UINT64_MAX - event->start)
		map->end = map->start;
	map->end = event->start + (map->end - map->start);
	map->start = event->start;
	return true;
}

static bool clear_up_to(struct loader *l, uint64_t time_ns)
{
	for (; l->clear < l->history->clears.n && l->history->clears.v[l->clear] <= time_ns;
	        l->clear++)
		if (!ptf_jit_code_clear(l->history->jit, l->history->clears.v[l->clear]))
			return false;
	return true;
}

static bool take_event(struct loader *l, const struct ptf_jit_event *event)
{
	uint64_t time_ns = time_of(l, event->time), *index;
	struct ptf_code_map map;

	if (!map_of(l, event, &map))
		return false;
	if (map.start == map.end)
		return true;
	index = ptf_hash_map_at(&l->by_start, map.start, NULL);
	if (!index || !ptf_vec_push(&l->loads, map))
		return false;
	*index = l->loads.n;
	return (!l->timed || clear_up_to(l, time_ns)) &&
	       ptf_jit_code_add(l->history->jit, &map, time_ns);
}

static bool read_events(struct loader *l)
{
	struct ptf_jit_event event;
	struct ptf_error err = {0};
	int rc;

	while ((rc = ptf_jit_dump_next(&l->dump, &event, &err)) == 0) {
		if (!take_event(l, &event))
			return false;
	}
	if (rc < 0)
		ptf_log(PTF_LOG_WARN, "%s: %s: code made later is not known",
		        l->source->module->path, err.msg);
	return true;
}

static bool read_dump(struct loader *l)
{
	struct ptf_module *module = l->source->module;
	struct ptf_error err = {0};
	const uint8_t *bytes;
	size_t size;

	bytes = ptf_module_bytes(module, &size);
	if (!bytes) {
		ptf_log(PTF_LOG_WARN, "%s: %s: the code that it holds cannot be followed",
		        module->path, module->problem);
		return true;
	}
	if (ptf_jit_dump_init(&l->dump, bytes, size, &err) < 0) {
		ptf_log(PTF_LOG_WARN, "%s: %s", module->path, err.msg);
		return true;
	}
	tie_clock(l);
	return read_events(l);
}

bool ptf_jit_code_build(struct ptf_code_history *history, const struct ptf_jit_clock *clock)
{
	struct loader l = {.history = history, .clock = clock};
	bool ok = true, timed = true;

	history->jit = ptf_jit_code_create();
	if (!history->jit)
		return false;
	ptf_vec_foreach (source, &history->dumps) {
		l.source = source;
		ok = ok && read_dump(&l);
		timed = timed && l.timed;
		ptf_vec_release(&l.loads);
		ptf_hash_map_release(&l.by_start);
	}
	ok = ok && (!timed || clear_up_to(&l, UINT64_MAX)) && ptf_jit_code_freeze(history->jit);
	if (ok && !timed && ptf_jit_code_ended(history->jit))
		ptf_log(PTF_LOG_WARN,
		        "%s: its clock is not the recording's: %zu pieces of code that were "
		        "replaced are not known, and what replaced them may be taken for them",
		        history->dumps.v[0].module->path, ptf_jit_code_ended(history->jit));
	return ok;
}

/* ---- perf map ---- */

/* A map that was made after the recording is of another process with the same number. Only the
 * birth of the file tells: a process that lives on goes on writing. */
static bool is_too_new(const struct ptf_module *module)
{
	struct statx stx;
	int64_t recorded_s = module->priv->context->recorded_s;

	return recorded_s && module->disk_path &&
	       statx(AT_FDCWD, module->disk_path, 0, STATX_BTIME, &stx) == 0 &&
	       (stx.stx_mask & STATX_BTIME) && stx.stx_btime.tv_sec > recorded_s;
}

static bool add_entry(struct ptf_code_history *history, struct ptf_module *module,
        const struct ptf_perf_map_entry *entry)
{
	struct ptf_code_map map = {.start = entry->start,
	        .end = entry->start + entry->size,
	        .file_offset = entry->start,
	        .module = module};
	char *name = strndup(entry->name, entry->name_len);

	if (name)
		map.function = ptf_function_table_intern(module->priv->context->functions,
		        module->path, entry->start, entry->size, PTF_FUNCTION_JIT, name,
		        PTF_INTERN_DEMANGLE);
	free(name);
	return map.function && ptf_jit_code_add(history->names, &map, 0);
}

bool ptf_jit_names_build(struct ptf_code_history *history, struct ptf_module *module)
{
	struct ptf_perf_map_entry entry;
	struct ptf_perf_map map;
	const uint8_t *bytes;
	size_t size;

	bytes = ptf_module_bytes(module, &size);
	if (!bytes || is_too_new(module))
		return true;
	history->names = ptf_jit_code_create();
	if (!history->names)
		return false;
	ptf_perf_map_init(&map, bytes, size);
	while (ptf_perf_map_next(&map, &entry) == 0) {
		if (!add_entry(history, module, &entry))
			return false;
	}
	if (map.bad_lines)
		ptf_log(PTF_LOG_NOTE, "%s: %llu lines are not \"START SIZE name\"", module->path,
		        (unsigned long long)map.bad_lines);
	return ptf_jit_code_freeze(history->names);
}
