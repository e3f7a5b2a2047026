/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "stack/latency.h"

/* Values below this have a bucket of their own: rows 0 and 1. */
enum { EXACT = 2 * PTF_LATENCY_ROW, ROW_BITS = 7 };

static unsigned row_of(uint64_t ns)
{
	return ns < PTF_LATENCY_ROW ? 0 : 63 - ROW_BITS + 1 - (unsigned)__builtin_clzll(ns);
}

static unsigned column_of(uint64_t ns, unsigned row)
{
	return row == 0 ? (unsigned)ns : (unsigned)(ns >> (row - 1)) - PTF_LATENCY_ROW;
}

/* The middle of a bucket, ns. */
static uint64_t value_of(unsigned row, unsigned column)
{
	uint64_t width;

	if (row == 0)
		return column;
	width = 1ull << (row - 1);
	return ((uint64_t)(PTF_LATENCY_ROW + column) << (row - 1)) + (width - 1) / 2;
}

static uint64_t *row_at(struct ptf_latency *latency, struct ptf_arena *arena, unsigned row)
{
	if (!latency->rows[row])
		latency->rows[row] = ptf_arena_alloc(arena, PTF_LATENCY_ROW * sizeof(uint64_t));
	return latency->rows[row];
}

static void note_extremes(struct ptf_latency *latency, uint64_t min_ns, uint64_t max_ns)
{
	if (!latency->count || min_ns < latency->min_ns)
		latency->min_ns = min_ns;
	if (!latency->count || max_ns > latency->max_ns)
		latency->max_ns = max_ns;
}

bool ptf_latency_add(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t ns)
{
	unsigned row = row_of(ns);
	uint64_t *counts = row_at(latency, arena, row);

	if (!counts)
		return false;
	counts[column_of(ns, row)]++;
	note_extremes(latency, ns, ns);
	latency->count++;
	latency->sum_ns += ns;
	return true;
}

bool ptf_latency_merge(
        struct ptf_latency *latency, struct ptf_arena *arena, const struct ptf_latency *other)
{
	if (!other->count)
		return true;
	for (unsigned row = 0; row < PTF_LATENCY_ROWS; row++) {
		uint64_t *counts;

		if (!other->rows[row])
			continue;
		counts = row_at(latency, arena, row);
		if (!counts)
			return false;
		for (unsigned i = 0; i < PTF_LATENCY_ROW; i++)
			counts[i] += other->rows[row][i];
	}
	note_extremes(latency, other->min_ns, other->max_ns);
	latency->count += other->count;
	latency->sum_ns += other->sum_ns;
	return true;
}

static uint64_t clamp_to_extremes(const struct ptf_latency *latency, uint64_t ns)
{
	if (ns < latency->min_ns)
		return latency->min_ns;
	return ns > latency->max_ns ? latency->max_ns : ns;
}

uint64_t ptf_latency_percentile(const struct ptf_latency *latency, double share)
{
	uint64_t rank = (uint64_t)(share * (double)latency->count);
	uint64_t seen = 0;

	if (!latency->count)
		return 0;
	if ((double)rank < share * (double)latency->count)
		rank++;
	if (rank < 1)
		rank = 1;
	for (unsigned row = 0; row < PTF_LATENCY_ROWS; row++) {
		for (unsigned i = 0; latency->rows[row] && i < PTF_LATENCY_ROW; i++) {
			seen += latency->rows[row][i];
			if (seen >= rank)
				return clamp_to_extremes(latency, value_of(row, i));
		}
	}
	return latency->max_ns;
}

void ptf_latency_table_release(struct ptf_latency_table *table)
{
	ptf_arena_release(&table->arena);
	free(table->by_function);
	*table = (struct ptf_latency_table){0};
}

static bool table_grow(struct ptf_latency_table *table, uint32_t need)
{
	uint32_t grown = table->count ? table->count * 2 : 256;
	struct ptf_latency **moved;

	if (grown < need)
		grown = need;
	moved = realloc(table->by_function, grown * sizeof(struct ptf_latency *));
	if (!moved)
		return false;
	memset(moved + table->count, 0, (grown - table->count) * sizeof(*moved));
	table->by_function = moved;
	table->count = grown;
	return true;
}

static struct ptf_latency *table_at(struct ptf_latency_table *table, uint32_t id)
{
	if (id >= table->count && !table_grow(table, id + 1))
		return NULL;
	if (!table->by_function[id])
		table->by_function[id] = ptf_arena_alloc(&table->arena, sizeof(struct ptf_latency));
	return table->by_function[id];
}

bool ptf_latency_table_add(struct ptf_latency_table *table, uint32_t function_id, uint64_t ns)
{
	struct ptf_latency *latency = table_at(table, function_id);

	return latency && ptf_latency_add(latency, &table->arena, ns);
}

bool ptf_latency_table_merge(struct ptf_latency_table *table, const struct ptf_latency_table *other)
{
	for (uint32_t id = 0; id < other->count; id++) {
		struct ptf_latency *latency;

		if (!other->by_function[id])
			continue;
		latency = table_at(table, id);
		if (!latency || !ptf_latency_merge(latency, &table->arena, other->by_function[id]))
			return false;
	}
	return true;
}
