/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "pt/flow_timer.h"
#include "pt/pt_clock.h"

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
}

void ptf_flow_timer_begin(struct ptf_flow_timer *timer, struct ptf_anchor_distances *distances)
{
	timer->items.n = 0;
	timer->head = timer->ready = 0;
	timer->position = timer->item_position = 0;
	timer->anchor_position = 0;
	timer->anchor_ns = PTF_NO_TIME;
	timer->distances = distances;
}

/* The queue grows with the items that wait for a time, not with the segment. */
bool ptf_flow_timer_make_room(struct ptf_flow_timer *timer)
{
	size_t left = timer->items.n - timer->head;

	if (timer->head <= left)
		return ptf_vec_reserve(&timer->items, timer->items.n ? timer->items.n : 256);
	memmove(timer->items.v, timer->items.v + timer->head, left * sizeof(*timer->items.v));
	timer->items.n = left;
	timer->ready -= timer->head;
	timer->head = 0;
	return true;
}

void ptf_flow_timer_drop_last(struct ptf_flow_timer *timer)
{
	timer->item_position = timer->position - timer->items.v[timer->items.n - 1].item.insns;
	timer->items.n--;
}

void ptf_flow_timer_anchor_at(struct ptf_flow_timer *timer, uint64_t position, uint64_t ns)
{
	uint64_t from_ns = timer->anchor_ns, from = timer->anchor_position;
	uint64_t insns = position - from, span;

	if (from_ns == PTF_NO_TIME)
		from_ns = ns;
	if (ns < from_ns)
		ns = from_ns;
	span = ns - from_ns;
	for (; timer->ready < timer->items.n; timer->ready++) {
		struct ptf_timed_item *timed = &timer->items.v[timer->ready];
		uint64_t at = timed->position - from;

		if (at > insns)
			break;
		timed->item.time_ns = at == insns ? ns : from_ns + ptf_mul_div(span, at, insns);
	}
	if (timer->anchor_ns != PTF_NO_TIME && position != from)
		timer->distances->count[bucket_of(span)]++;
	timer->anchor_position = position;
	timer->anchor_ns = ns;
}

void ptf_flow_timer_flush(struct ptf_flow_timer *timer)
{
	for (; timer->ready < timer->items.n; timer->ready++)
		timer->items.v[timer->ready].item.time_ns = timer->anchor_ns;
}
