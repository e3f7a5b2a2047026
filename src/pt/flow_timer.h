/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives flow items their times: holds items back until the next anchor (a point of the flow whose
 * time a packet gives) and interpolates between the two neighbouring anchors by retired
 * instructions. The one place where times are made, for every engine.
 */
#ifndef PTF_FLOW_TIMER_H
#define PTF_FLOW_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "pt/flow_item.h"

/* Histogram of the distances between neighbouring anchors: 8 buckets for each power of two ns. */
#define PTF_DISTANCE_BUCKETS 512u
struct ptf_anchor_distances {
	uint64_t count[PTF_DISTANCE_BUCKETS];
};

/* Median distance, ns (middle of its bucket); 0 when there is none. */
uint64_t ptf_anchor_distances_median(const struct ptf_anchor_distances *distances);

struct ptf_timed_item {
	struct ptf_flow_item item;
	uint64_t position; /* instructions retired since begin */
};

struct ptf_flow_timer {
	PTF_VEC(struct ptf_timed_item) items; /* queue: [head, ready) timed, [ready, n) waiting */
	size_t head, ready;
	uint64_t position;                      /* instructions retired since begin */
	uint64_t item_position;                 /* of the last item added */
	uint64_t anchor_position, anchor_ns;    /* last anchor; anchor_ns PTF_NO_TIME: none yet */
	struct ptf_anchor_distances *distances; /* borrowed */
};

void ptf_flow_timer_release(struct ptf_flow_timer *timer);

/* Forgets all items: a new segment. */
void ptf_flow_timer_begin(struct ptf_flow_timer *timer, struct ptf_anchor_distances *distances);

/* n more instructions retired. */
static inline void ptf_flow_timer_retire(struct ptf_flow_timer *timer, uint64_t n)
{
	timer->position += n;
}

/* Makes room for an item and drops those that were handed out; false: out of memory. */
bool ptf_flow_timer_make_room(struct ptf_flow_timer *timer);

/* Appends an item at a position (not before that of the last item); its insns are filled in.
 * False: out of memory. */
static inline bool ptf_flow_timer_add_at(
        struct ptf_flow_timer *timer, const struct ptf_flow_item *item, uint64_t position)
{
	struct ptf_timed_item *timed;

	if (timer->items.n == timer->items.cap && !ptf_flow_timer_make_room(timer))
		return false;
	timed = &timer->items.v[timer->items.n++];
	timed->item = *item;
	timed->item.insns = (uint32_t)(position - timer->item_position);
	timed->position = position;
	timer->item_position = position;
	return true;
}

/* Appends an item at the current position. */
static inline bool ptf_flow_timer_add(
        struct ptf_flow_timer *timer, const struct ptf_flow_item *item)
{
	return ptf_flow_timer_add_at(timer, item, timer->position);
}

/* Takes the last item back, which was added at the current position and has no time yet. */
void ptf_flow_timer_drop_last(struct ptf_flow_timer *timer);

/* Time at a position (not behind the current one): items up to it get their times. ns:
 * PTF_NO_TIME changes nothing. */
void ptf_flow_timer_anchor_at(struct ptf_flow_timer *timer, uint64_t position, uint64_t ns);

static inline void ptf_flow_timer_anchor(
        struct ptf_flow_timer *timer, uint64_t position, uint64_t ns)
{
	if (ns != PTF_NO_TIME)
		ptf_flow_timer_anchor_at(timer, position, ns);
}

/* No anchor comes any more: what waits gets the last known time. */
void ptf_flow_timer_flush(struct ptf_flow_timer *timer);

/* The next timed item, NULL when none is ready; valid until the next call of any function. */
static inline const struct ptf_flow_item *ptf_flow_timer_next(struct ptf_flow_timer *timer)
{
	return timer->head < timer->ready ? &timer->items.v[timer->head++].item : NULL;
}

#endif
