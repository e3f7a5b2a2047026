/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latency of the calls of one function: count, sum, extremes and a log-linear histogram.
 *
 * A value below 256 has a bucket of its own; above, each power of two is cut into 128 buckets, so
 * a percentile is off by at most 1/256 of its value (the HDR histogram idea, Tene 2013). Memory is
 * at most 57 rows of 1 kB, made when first hit, in the owner's arena.
 */
#ifndef PTF_LATENCY_H
#define PTF_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

#define PTF_LATENCY_ROW 128u /* buckets of a row */
#define PTF_LATENCY_ROWS 58u

struct ptf_latency {
	uint64_t count;  /* timed calls */
	uint64_t sum_ns; /* of their durations */
	uint64_t min_ns; /* when count > 0 */
	uint64_t max_ns;
	uint64_t *rows[PTF_LATENCY_ROWS]; /* PTF_LATENCY_ROW counts each, in the arena, or NULL */
};

/* Adds a call of ns nanoseconds; false when out of memory. */
bool ptf_latency_add(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t ns);

/* Adds all of `other`; false when out of memory. */
bool ptf_latency_merge(
        struct ptf_latency *latency, struct ptf_arena *arena, const struct ptf_latency *other);

/* The value that a share of the calls (0 < share <= 1) does not exceed, ns; 0 without calls. Exact
 * min and max bound it. */
uint64_t ptf_latency_percentile(const struct ptf_latency *latency, double share);

/* The latencies of many functions, by function id. A zeroed struct is empty. */
struct ptf_latency_table {
	struct ptf_arena arena;           /* owns the entries and their rows */
	struct ptf_latency **by_function; /* owned; `count` entries, NULL: no call */
	uint32_t count;
};

void ptf_latency_table_release(struct ptf_latency_table *table);

/* Adds a call of the function with this id; false when out of memory. */
bool ptf_latency_table_add(struct ptf_latency_table *table, uint32_t function_id, uint64_t ns);

/* Adds all of `other`; false when out of memory. */
bool ptf_latency_table_merge(
        struct ptf_latency_table *table, const struct ptf_latency_table *other);

#endif
