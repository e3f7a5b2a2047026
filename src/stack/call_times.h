/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call times: the latencies of the calls on one path, whole and by what the thread did meanwhile.
 */
#ifndef PTF_CALL_TIMES_H
#define PTF_CALL_TIMES_H

#include "sched/time_class.h"
#include "stack/latency.h"

enum ptf_time_part {
	PTF_PART_ON,
	PTF_PART_KERNEL,
	PTF_PART_OFF, /* off its CPU; lost time is here too */
	PTF_PARTS
};

/* ns by part. */
struct ptf_time_parts {
	uint64_t ns[PTF_PARTS];
};

struct ptf_call_times {
	struct ptf_latency total;  /* of whole calls */
	struct ptf_latency *parts; /* PTF_PARTS, of the same calls; in the owner's arena. NULL:
	                            * every call was on its CPU only */
};

static inline enum ptf_time_part ptf_time_part_of(unsigned time_class)
{
	static const unsigned char of_state[PTF_STATES] = {
	        PTF_PART_ON, PTF_PART_KERNEL, PTF_PART_OFF, PTF_PART_OFF};

	return (enum ptf_time_part)of_state[ptf_time_class_state(time_class)];
}

static inline uint64_t ptf_time_parts_sum(const struct ptf_time_parts *parts)
{
	return parts->ns[PTF_PART_ON] + parts->ns[PTF_PART_KERNEL] + parts->ns[PTF_PART_OFF];
}

/* later - earlier, part by part. */
static inline struct ptf_time_parts ptf_time_parts_since(
        const struct ptf_time_parts *later, const struct ptf_time_parts *earlier)
{
	struct ptf_time_parts difference;

	for (unsigned i = 0; i < PTF_PARTS; i++)
		difference.ns[i] = later->ns[i] - earlier->ns[i];
	return difference;
}

/* Adds a call that took the sum of its parts; false when out of memory. */
bool ptf_call_times_add(
        struct ptf_call_times *times, struct ptf_arena *arena, const struct ptf_time_parts *call);

/* Adds all of `other`; false when out of memory. */
bool ptf_call_times_merge(
        struct ptf_call_times *times, struct ptf_arena *arena, const struct ptf_call_times *other);

/* Gives the memory of the histograms back to the arena. */
void ptf_call_times_recycle(struct ptf_call_times *times, struct ptf_arena *arena);

/* The sum of a part over all calls, ns. */
uint64_t ptf_call_times_sum(const struct ptf_call_times *times, enum ptf_time_part part);

/* The value of a part that a share of the calls does not exceed, ns (ptf_latency_percentile). */
uint64_t ptf_call_times_percentile(
        const struct ptf_call_times *times, enum ptf_time_part part, double share);

#endif
