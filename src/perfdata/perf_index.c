/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A natural merge sort: it is stable, and a perf.data is a row of sorted runs (what one ring buffer
 * held at one time), so that few passes do.
 */
#include <string.h>

#include "perfdata/perf_index.h"

typedef struct ptf_perf_index_entry entry_t;

void ptf_perf_index_release(struct ptf_perf_index *index)
{
	ptf_vec_release(&index->entries);
}

/* The end of the sorted run that begins at from < n. */
static size_t run_end(const entry_t *entries, size_t from, size_t n)
{
	size_t to = from + 1;

	while (to < n && entries[to - 1].time_ns <= entries[to].time_ns)
		to++;
	return to;
}

/* Merges from[0..middle) and from[middle..n), both sorted, into to. */
static void merge(const entry_t *from, size_t middle, size_t n, entry_t *to)
{
	size_t left = 0, right = middle;

	while (left < middle && right < n) {
		bool take_right = from[right].time_ns < from[left].time_ns;

		*to++ = from[take_right ? right++ : left++];
	}
	memcpy(to, from + left, (middle - left) * sizeof(*to));
	memcpy(to + (middle - left), from + right, (n - right) * sizeof(*to));
}

/* Merges neighbouring runs of from into to; returns the number of runs that there are now. */
static size_t merge_runs(const entry_t *from, size_t n, entry_t *to)
{
	size_t runs = 0;

	for (size_t at = 0; at < n; runs++) {
		size_t middle = run_end(from, at, n);
		size_t end = middle < n ? run_end(from, middle, n) : n;

		merge(from + at, middle - at, end - at, to + at);
		at = end;
	}
	return runs;
}

bool ptf_perf_index_sort(struct ptf_perf_index *index)
{
	size_t n = index->entries.n, runs;
	entry_t *from = index->entries.v, *to, *other;

	if (n < 2 || run_end(from, 0, n) == n)
		return true;
	to = other = malloc(n * sizeof(*to));
	if (!to)
		return false;
	do {
		entry_t *swap = from;

		runs = merge_runs(from, n, to);
		from = to;
		to = swap;
	} while (runs > 1);
	if (from == other)
		memcpy(index->entries.v, from, n * sizeof(*from));
	free(other);
	return true;
}
