/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slice plan: which segments must be decoded for a slice of time.
 *
 * Those that reach into the slice, and for every thread the segment in which it ran last before
 * the slice: it shows whether the thread waits in a system call, is interrupted or lost, and in
 * which function. What lies in between is not decoded, so fragments of runs that something
 * undecoded follows are of no use: the stack they leave is not the thread's any more. So are copies
 * of stacks that were made earlier.
 */
#ifndef PTF_SLICE_PLAN_H
#define PTF_SLICE_PLAN_H

#include "base/hash_map.h"
#include "profile/recording.h"

struct ptf_slice_plan {
	bool *needed;                 /* owned, by index of the segment */
	struct ptf_hash_map since_ns; /* by tid: what happened earlier is of no use */
};

/* For the recording's slice, whose segments have start times that do not fall within a stream. 0 or
 * -PTF_ENOMEM. */
int ptf_slice_plan_init(struct ptf_slice_plan *plan, const struct ptf_recording *recording);
void ptf_slice_plan_release(struct ptf_slice_plan *plan);

/* All of a thread is decoded from this time on. */
uint64_t ptf_slice_plan_since(const struct ptf_slice_plan *plan, int32_t tid);

#endif
