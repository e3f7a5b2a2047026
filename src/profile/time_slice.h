/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time slice: the part of a recording's window that is analysed.
 *
 * What happens before it is replayed only as far as needed to know where each thread stands, and
 * is not counted. Consecutive slices add up to the whole: to the nanosecond for times, exactly for
 * calls and instructions.
 */
#ifndef PTF_TIME_SLICE_H
#define PTF_TIME_SLICE_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "pt/flow_item.h"

struct ptf_time_slice {
	uint64_t from_ns;  /* from the window's start */
	uint64_t to_ns;    /* from the window's start, > from_ns; 0: up to the window's end */
	bool whole_stacks; /* decode from the start, so that frames from before from_ns are known */
	bool instant;      /* wanted is where threads are at to_ns - 1: the window is not clipped */
};

/* The slice in the clock of a recording. */
struct ptf_slice_bounds {
	uint64_t from_ns, to_ns; /* what has a time in [from_ns, to_ns) counts; 0 and UINT64_MAX at
	                            the window's ends, since a trace may reach beyond them */
	uint64_t decode_from_ns; /* what is in front of that need not be decoded */
};

/* The instant at_ns after the window's start. */
static inline struct ptf_time_slice ptf_time_slice_at(uint64_t at_ns)
{
	return (struct ptf_time_slice){.to_ns = at_ns + 1, .instant = true};
}

/* Does a slice leave anything out? */
static inline bool ptf_time_slice_cuts(const struct ptf_time_slice *slice)
{
	return slice->from_ns || slice->to_ns;
}

/* What the items in a slice count. */
struct ptf_slice_counts {
	uint64_t instructions, calls, returns; /* executed */
	uint64_t syncs;                        /* PSBs */
	uint64_t overflows, errors;            /* places where the flow was lost */
};

void ptf_slice_counts_item(struct ptf_slice_counts *counts, const struct ptf_flow_item *item);
void ptf_slice_counts_add(struct ptf_slice_counts *to, const struct ptf_slice_counts *from);

/* Clips (or keeps) the window [*start_ns, *end_ns] of a recording; timed: it has times. Fails with
 * PTF_EUNSUPPORTED when it has none, with PTF_EINVAL when the slice begins
 * (or the instant is) behind its end. */
int ptf_time_slice_clip(const struct ptf_time_slice *slice, bool timed, uint64_t *start_ns,
        uint64_t *end_ns, struct ptf_slice_bounds *bounds, struct ptf_error *err);

#endif
