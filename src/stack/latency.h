/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latency: the distribution of durations of calls: count, sum, extremes and a log-linear histogram.
 *
 * A value below 256 has a bucket of its own; above, each power of two is cut into 128 buckets, so
 * a percentile is off by at most 1/256 of its value (the HDR histogram idea, Tene 2013). Buckets
 * are kept in chunks of 8 neighbours, made when first hit, so that the calls of one path, whose
 * durations are much alike, need a few hundred bytes.
 */
#ifndef PTF_LATENCY_H
#define PTF_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

#define PTF_LATENCY_BUCKETS (58u * 128u)
#define PTF_LATENCY_CHUNK 8u

struct ptf_latency_chunk {
	struct ptf_latency_chunk *next;
	uint32_t number;                    /* its first bucket / PTF_LATENCY_CHUNK */
	uint64_t counts[PTF_LATENCY_CHUNK]; /* values in each bucket */
};

struct ptf_latency {
	uint64_t count;  /* timed calls */
	uint64_t sum_ns; /* of their durations */
	uint64_t min_ns; /* when count > 0 */
	uint64_t max_ns;
	struct ptf_latency_chunk *chunks; /* most recently used first; in the owner's arena */
};

/* The bucket of a value; larger values never have a smaller one. */
static inline unsigned ptf_latency_bucket(uint64_t ns)
{
	unsigned row = ns < 128 ? 0 : 57u - (unsigned)__builtin_clzll(ns);

	return row == 0 ? (unsigned)ns : row * 128 + (unsigned)(ns >> (row - 1)) - 128;
}

/* The smallest value of a bucket, ns. */
uint64_t ptf_latency_bucket_start(unsigned bucket);

/* Adds a call of ns nanoseconds; false when out of memory. */
bool ptf_latency_add(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t ns);

/* Adds `count` calls of 0 ns; false when out of memory. */
bool ptf_latency_add_zeros(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t count);

/* Adds all of `other`; false when out of memory. */
bool ptf_latency_merge(
        struct ptf_latency *latency, struct ptf_arena *arena, const struct ptf_latency *other);

/* Gives the histogram's memory back to the arena; the latency is empty then. */
void ptf_latency_recycle(struct ptf_latency *latency, struct ptf_arena *arena);

/* sum / count to the nearest integer; 0 without a count. */
static inline uint64_t ptf_mean(uint64_t sum, uint64_t count)
{
	return count ? sum / count + (sum % count >= count - count / 2) : 0;
}

static inline uint64_t ptf_latency_mean(const struct ptf_latency *latency)
{
	return ptf_mean(latency->sum_ns, latency->count);
}

/* The value that a share of the calls (0 < share <= 1) does not exceed, ns; 0 without calls. Exact
 * min and max bound it. */
uint64_t ptf_latency_percentile(const struct ptf_latency *latency, double share);

/* How many calls are in the buckets from..to-1. */
uint64_t ptf_latency_between(const struct ptf_latency *latency, unsigned from, unsigned to);

#endif
