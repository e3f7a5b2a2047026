/* SPDX-License-Identifier: BSD-2-Clause */
#include "stack/latency.h"

enum { CHUNKS = PTF_LATENCY_BUCKETS / PTF_LATENCY_CHUNK };

uint64_t ptf_latency_bucket_start(unsigned bucket)
{
	unsigned row = bucket / 128;

	return row == 0 ? bucket : (uint64_t)(128 + bucket % 128) << (row - 1);
}

/* The middle of a bucket, ns. */
static uint64_t bucket_middle(unsigned bucket)
{
	uint64_t width = bucket < 128 ? 1 : 1ull << (bucket / 128 - 1);

	return ptf_latency_bucket_start(bucket) + (width - 1) / 2;
}

static struct ptf_latency_chunk *find_chunk(
        struct ptf_latency *latency, struct ptf_arena *arena, uint32_t number)
{
	struct ptf_latency_chunk **link = &latency->chunks, *chunk;

	for (; (chunk = *link) && chunk->number != number; link = &chunk->next)
		;
	if (chunk) {
		*link = chunk->next;
	} else {
		chunk = ptf_arena_alloc(arena, sizeof(*chunk));
		if (!chunk)
			return NULL;
		chunk->number = number;
	}
	chunk->next = latency->chunks;
	latency->chunks = chunk;
	return chunk;
}

static inline struct ptf_latency_chunk *chunk_at(
        struct ptf_latency *latency, struct ptf_arena *arena, uint32_t number)
{
	if (latency->chunks && latency->chunks->number == number)
		return latency->chunks;
	return find_chunk(latency, arena, number);
}

static void note_extremes(struct ptf_latency *latency, uint64_t min_ns, uint64_t max_ns)
{
	if (!latency->count || min_ns < latency->min_ns)
		latency->min_ns = min_ns;
	if (!latency->count || max_ns > latency->max_ns)
		latency->max_ns = max_ns;
}

static bool add_calls(
        struct ptf_latency *latency, struct ptf_arena *arena, uint64_t ns, uint64_t count)
{
	unsigned bucket = ptf_latency_bucket(ns);
	struct ptf_latency_chunk *chunk = chunk_at(latency, arena, bucket / PTF_LATENCY_CHUNK);

	if (!chunk)
		return false;
	chunk->counts[bucket % PTF_LATENCY_CHUNK] += count;
	note_extremes(latency, ns, ns);
	latency->count += count;
	latency->sum_ns += ns * count;
	return true;
}

bool ptf_latency_add(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t ns)
{
	return add_calls(latency, arena, ns, 1);
}

bool ptf_latency_add_zeros(struct ptf_latency *latency, struct ptf_arena *arena, uint64_t count)
{
	return !count || add_calls(latency, arena, 0, count);
}

bool ptf_latency_merge(
        struct ptf_latency *latency, struct ptf_arena *arena, const struct ptf_latency *other)
{
	if (!other->count)
		return true;
	for (const struct ptf_latency_chunk *from = other->chunks; from; from = from->next) {
		struct ptf_latency_chunk *chunk = chunk_at(latency, arena, from->number);

		if (!chunk)
			return false;
		for (unsigned i = 0; i < PTF_LATENCY_CHUNK; i++)
			chunk->counts[i] += from->counts[i];
	}
	note_extremes(latency, other->min_ns, other->max_ns);
	latency->count += other->count;
	latency->sum_ns += other->sum_ns;
	return true;
}

void ptf_latency_recycle(struct ptf_latency *latency, struct ptf_arena *arena)
{
	while (latency->chunks) {
		struct ptf_latency_chunk *next = latency->chunks->next;

		ptf_arena_recycle(arena, latency->chunks, sizeof(*latency->chunks));
		latency->chunks = next;
	}
	*latency = (struct ptf_latency){0};
}

static uint64_t clamp_to_extremes(const struct ptf_latency *latency, uint64_t ns)
{
	if (ns < latency->min_ns)
		return latency->min_ns;
	return ns > latency->max_ns ? latency->max_ns : ns;
}

/* The position, from 1, of the call that a share of `count` calls does not exceed. */
static uint64_t rank_of(uint64_t count, double share)
{
	uint64_t rank = (uint64_t)(share * (double)count);

	if ((double)rank < share * (double)count)
		rank++;
	return rank < 1 ? 1 : rank;
}

uint64_t ptf_latency_percentile(const struct ptf_latency *latency, double share)
{
	const struct ptf_latency_chunk *by_number[CHUNKS] = {NULL};
	uint64_t rank = rank_of(latency->count, share), seen = 0;

	if (!latency->count)
		return 0;
	for (const struct ptf_latency_chunk *chunk = latency->chunks; chunk; chunk = chunk->next)
		by_number[chunk->number] = chunk;
	for (unsigned bucket = 0; bucket < PTF_LATENCY_BUCKETS; bucket++) {
		const struct ptf_latency_chunk *chunk = by_number[bucket / PTF_LATENCY_CHUNK];

		if (!chunk)
			continue;
		seen += chunk->counts[bucket % PTF_LATENCY_CHUNK];
		if (seen >= rank)
			return clamp_to_extremes(latency, bucket_middle(bucket));
	}
	return latency->max_ns;
}

uint64_t ptf_latency_between(const struct ptf_latency *latency, unsigned from, unsigned to)
{
	uint64_t count = 0;

	for (const struct ptf_latency_chunk *chunk = latency->chunks; chunk; chunk = chunk->next) {
		for (unsigned i = 0; i < PTF_LATENCY_CHUNK; i++) {
			unsigned bucket = chunk->number * PTF_LATENCY_CHUNK + i;

			if (bucket >= from && bucket < to)
				count += chunk->counts[i];
		}
	}
	return count;
}
