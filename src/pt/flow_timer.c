/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "pt/flow_timer.h"

/* Items handed out before the queue is moved up: the move costs little beside them. */
enum { COMPACT_AT = 1024 };

static unsigned bucket_of(uint64_t ns)
{
	unsigned power;

	if (ns < 8)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns);
	return (power - 2) * 8 + ((unsigned)(ns >> (power - 3)) & 7);
}

static uint64_t middle_of(unsigned bucket)
{
	unsigned power = bucket / 8 + 2;

	if (bucket < 16)
		return bucket;
	return ((uint64_t)(8 + bucket % 8) << (power - 3)) + (1ull << (power - 3)) / 2;
}

uint64_t ptf_anchor_distances_median(const struct ptf_anchor_distances *distances)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < PTF_DISTANCE_BUCKETS; i++)
		total += distances->count[i];
	for (unsigned i = 0; i < PTF_DISTANCE_BUCKETS; i++) {
		seen += distances->count[i];
		if (seen * 2 >= total && total)
			return middle_of(i);
	}
	return 0;
}

void ptf_flow_timer_release(struct ptf_flow_timer *timer)
{
	ptf_vec_release(&timer->items);
	ptf_vec_release(&timer->positions);
}

void ptf_flow_timer_begin(struct ptf_flow_timer *timer, struct ptf_anchor_distances *distances)
{
	timer->items.n = timer->positions.n = 0;
	timer->head = timer->ready = 0;
	timer->position = timer->item_position = 0;
	timer->anchor_position = 0;
	timer->anchor_ns = PTF_NO_TIME;
	timer->distances = distances;
}

/* Drops the items that were handed out, so that the queue does not grow with the segment. */
static void compact(struct ptf_flow_timer *timer)
{
	size_t left = timer->items.n - timer->head;

	memmove(timer->items.v, timer->items.v + timer->head, left * sizeof(*timer->items.v));
	memmove(timer->positions.v, timer->positions.v + timer->head,
	        left * sizeof(*timer->positions.v));
	timer->items.n = timer->positions.n = left;
	timer->ready -= timer->head;
	timer->head = 0;
}

bool ptf_flow_timer_add(struct ptf_flow_timer *timer, struct ptf_flow_item item)
{
	if (timer->head >= COMPACT_AT)
		compact(timer);
	item.insns = (uint32_t)(timer->position - timer->item_position);
	timer->item_position = timer->position;
	return ptf_vec_push(&timer->items, item) &&
	       ptf_vec_push(&timer->positions, timer->position);
}

void ptf_flow_timer_drop_last(struct ptf_flow_timer *timer)
{
	timer->item_position = timer->position - timer->items.v[timer->items.n - 1].insns;
	timer->items.n--;
	timer->positions.n--;
}

/* x * n / d with x * n in 128 bits only where that is needed: the division is 5 times slower. */
static uint64_t scale(uint64_t x, uint64_t n, uint64_t d)
{
	if (x <= UINT32_MAX && n <= UINT32_MAX)
		return x * n / d;
	return (uint64_t)((unsigned __int128)x * n / d);
}

void ptf_flow_timer_anchor(struct ptf_flow_timer *timer, uint64_t position, uint64_t ns)
{
	uint64_t from_ns = timer->anchor_ns, from = timer->anchor_position;
	uint64_t insns = position - from, span;

	if (ns == PTF_NO_TIME)
		return;
	if (from_ns == PTF_NO_TIME)
		from_ns = ns;
	if (ns < from_ns)
		ns = from_ns;
	span = ns - from_ns;
	for (; timer->ready < timer->items.n && timer->positions.v[timer->ready] <= position;
	        timer->ready++) {
		uint64_t at = timer->positions.v[timer->ready] - from;

		timer->items.v[timer->ready].time_ns =
		        insns ? from_ns + scale(span, at, insns) : ns;
	}
	if (timer->anchor_ns != PTF_NO_TIME && position != from)
		timer->distances->count[bucket_of(span)]++;
	timer->anchor_position = position;
	timer->anchor_ns = ns;
}

void ptf_flow_timer_flush(struct ptf_flow_timer *timer)
{
	for (; timer->ready < timer->items.n; timer->ready++)
		timer->items.v[timer->ready].time_ns = timer->anchor_ns;
}

const struct ptf_flow_item *ptf_flow_timer_next(struct ptf_flow_timer *timer)
{
	return timer->head < timer->ready ? &timer->items.v[timer->head++] : NULL;
}
