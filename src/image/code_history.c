/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/code_history.h"

#include <string.h>

#include "image/jit_code.h"

static struct ptf_code_epoch *last_epoch(const struct ptf_code_history *history)
{
	return history->epochs.v[history->epochs.n - 1];
}

/* Begins an epoch with a copy of `n` maps. */
static bool begin_epoch(struct ptf_code_history *history, uint64_t time_ns,
        const struct ptf_code_map *maps, size_t n)
{
	struct ptf_code_epoch *epoch = calloc(1, sizeof(*epoch));

	if (!epoch)
		return false;
	epoch->from_ns = time_ns;
	epoch->made_by = history->epochs.n ? last_epoch(history)->made_by : history;
	epoch->made_ns = history->epochs.n ? last_epoch(history)->made_ns : 0;
	epoch->maps = malloc((n ? n : 1) * sizeof(*maps));
	if (!epoch->maps || !ptf_vec_push(&history->epochs, epoch)) {
		free(epoch->maps);
		free(epoch);
		return false;
	}
	if (n)
		memcpy(epoch->maps, maps, n * sizeof(*maps));
	epoch->n_maps = n;
	history->cap = n ? n : 1;
	return true;
}

struct ptf_code_history *ptf_code_history_create(uint64_t time_ns)
{
	struct ptf_code_history *history = calloc(1, sizeof(*history));

	if (!history || !begin_epoch(history, time_ns, NULL, 0)) {
		free(history);
		return NULL;
	}
	return history;
}

void ptf_code_history_destroy(struct ptf_code_history *history)
{
	if (!history)
		return;
	ptf_vec_foreach (epoch, &history->epochs) {
		if (!(*epoch)->shares_maps)
			free((*epoch)->maps);
		free(*epoch);
	}
	ptf_vec_release(&history->epochs);
	ptf_vec_release(&history->dumps);
	ptf_vec_release(&history->clears);
	ptf_jit_code_destroy(history->jit);
	ptf_jit_code_destroy(history->names);
	free(history);
}

/* Can the present epoch be changed in place for something that happens at time_ns? */
static bool is_present(const struct ptf_code_history *history, uint64_t time_ns)
{
	return time_ns <= last_epoch(history)->from_ns;
}

bool ptf_code_history_clear(struct ptf_code_history *history, uint64_t time_ns)
{
	struct ptf_code_epoch *epoch = last_epoch(history);

	history->exited = false;
	if (!ptf_vec_push(&history->clears, time_ns))
		return false;
	if (epoch->n_maps > 0 && !is_present(history, time_ns)) {
		if (!begin_epoch(history, time_ns, NULL, 0))
			return false;
		epoch = last_epoch(history);
	}
	epoch->n_maps = 0;
	epoch->made_by = history;
	return true;
}

bool ptf_code_history_copy(
        struct ptf_code_history *history, const struct ptf_code_history *from, uint64_t time_ns)
{
	const struct ptf_code_epoch *epoch = last_epoch(from);

	history->exited = false;
	if (epoch->n_maps == 0)
		return ptf_code_history_clear(history, time_ns);
	if (!begin_epoch(history, time_ns, epoch->maps, epoch->n_maps))
		return false;
	last_epoch(history)->made_by = epoch->made_by;
	last_epoch(history)->made_ns = epoch->made_by == from ? time_ns : epoch->made_ns;
	/* An epoch that never held anything says nothing: the copy takes its place. */
	if (history->epochs.n == 2 && history->epochs.v[0]->n_maps == 0) {
		free(history->epochs.v[0]->maps);
		free(history->epochs.v[0]);
		history->epochs.v[0] = history->epochs.v[1];
		history->epochs.n = 1;
	}
	return true;
}

static bool same_content(const struct ptf_code_map *a, const struct ptf_code_map *b)
{
	return a->module == b->module && a->file_offset - a->start == b->file_offset - b->start;
}

/* The first map that ends behind ip. */
static size_t first_behind(const struct ptf_code_epoch *epoch, uint64_t ip)
{
	size_t low = 0, high = epoch->n_maps;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (epoch->maps[middle].end <= ip)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool conflicts(const struct ptf_code_epoch *epoch, const struct ptf_code_map *map)
{
	for (size_t i = first_behind(epoch, map->start);
	        i < epoch->n_maps && epoch->maps[i].start < map->end; i++)
		if (!same_content(&epoch->maps[i], map))
			return true;
	return false;
}

/* Puts map in place of all it lies over. At most two stumps of older maps stay at its sides; where
 * these have the same content they melt into it. */
static bool overlay(struct ptf_code_history *history, const struct ptf_code_map *map)
{
	struct ptf_code_epoch *epoch = last_epoch(history);
	struct ptf_code_map parts[3], whole = *map;
	size_t n = 0, from = first_behind(epoch, map->start), to = from;

	while (to < epoch->n_maps && epoch->maps[to].start < map->end)
		to++;
	if (to > from) {
		struct ptf_code_map left = epoch->maps[from], right = epoch->maps[to - 1];

		if (left.start < map->start && same_content(&left, map)) {
			whole.start = left.start;
			whole.file_offset = left.file_offset;
		} else if (left.start < map->start) {
			left.end = map->start;
			parts[n++] = left;
		}
		if (right.end > map->end && same_content(&right, map))
			whole.end = right.end;
		parts[n++] = whole;
		if (right.end > whole.end) {
			right.file_offset += map->end - right.start;
			right.start = map->end;
			parts[n++] = right;
		}
	} else {
		parts[n++] = whole;
	}
	if (epoch->n_maps + n > history->cap && !ptf_vec_grow((void **)&epoch->maps, &history->cap,
	                                                epoch->n_maps + n, sizeof(*epoch->maps)))
		return false;
	memmove(epoch->maps + from + n, epoch->maps + to,
	        (epoch->n_maps - to) * sizeof(*epoch->maps));
	memcpy(epoch->maps + from, parts, n * sizeof(*parts));
	epoch->n_maps += n - (to - from);
	return true;
}

bool ptf_code_history_map(
        struct ptf_code_history *history, const struct ptf_code_map *map, uint64_t time_ns)
{
	const struct ptf_code_epoch *epoch = last_epoch(history);

	if (!is_present(history, time_ns) && conflicts(epoch, map) &&
	        !begin_epoch(history, time_ns, epoch->maps, epoch->n_maps))
		return false;
	return overlay(history, map);
}

/* Begins an epoch with the maps of the one before. */
static bool share_epoch(struct ptf_code_history *history, uint64_t time_ns)
{
	struct ptf_code_epoch *epoch = malloc(sizeof(*epoch));

	if (!epoch)
		return false;
	*epoch = *last_epoch(history);
	epoch->from_ns = time_ns;
	epoch->shares_maps = true;
	if (ptf_vec_push(&history->epochs, epoch))
		return true;
	free(epoch);
	return false;
}

bool ptf_code_history_cut(struct ptf_code_history *history, const uint64_t *times, size_t n)
{
	struct ptf_code_history old = {
	        .epochs.v = history->epochs.v, .epochs.n = history->epochs.n};
	size_t t = 0;
	bool ok = true;

	history->epochs.v = NULL;
	history->epochs.n = history->epochs.cap = 0;
	if (!ptf_vec_reserve(&history->epochs, old.epochs.n + n)) {
		history->epochs.v = old.epochs.v;
		history->epochs.n = history->epochs.cap = old.epochs.n;
		return false;
	}
	for (size_t i = 0; i < old.epochs.n; i++) {
		uint64_t from = old.epochs.v[i]->from_ns;
		uint64_t to = i + 1 < old.epochs.n ? old.epochs.v[i + 1]->from_ns : UINT64_MAX;

		(void)ptf_vec_push(&history->epochs, old.epochs.v[i]);
		for (; t < n && times[t] < to; t++)
			ok = ok && (times[t] <= from || share_epoch(history, times[t]));
	}
	free(old.epochs.v);
	for (size_t i = 0; ok && i < history->epochs.n; i++) {
		bool last = i + 1 == history->epochs.n;

		history->epochs.v[i]->made_by = history;
		history->epochs.v[i]->made_ns =
		        last ? UINT64_MAX : history->epochs.v[i + 1]->from_ns - 1;
	}
	return ok;
}

const struct ptf_code_epoch *ptf_code_history_at(
        const struct ptf_code_history *history, uint64_t time_ns)
{
	size_t low = 0, high = history->epochs.n;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (history->epochs.v[middle]->from_ns <= time_ns)
			low = middle;
		else
			high = middle;
	}
	return history->epochs.v[low];
}

const struct ptf_code_map *ptf_code_maps_find(
        const struct ptf_code_map *maps, size_t n, uint64_t ip)
{
	const struct ptf_code_map *base = maps;

	if (n == 0 || maps[0].start > ip)
		return NULL;
	while (n > 1) {
		size_t half = n / 2;

		base = base[half].start <= ip ? base + half : base;
		n -= half;
	}
	return ip < base->end ? base : NULL;
}
