/* SPDX-License-Identifier: BSD-2-Clause */
#include "stack/call_times.h"

/* From the first call on that was not on its CPU only, parts have histograms of their own. */
static bool split(struct ptf_call_times *times, struct ptf_arena *arena)
{
	if (times->parts)
		return true;
	times->parts = ptf_arena_alloc(arena, PTF_PARTS * sizeof(*times->parts));
	return times->parts &&
	       ptf_latency_merge(&times->parts[PTF_PART_ON], arena, &times->total) &&
	       ptf_latency_add_zeros(&times->parts[PTF_PART_KERNEL], arena, times->total.count) &&
	       ptf_latency_add_zeros(&times->parts[PTF_PART_OFF], arena, times->total.count);
}

static bool add_parts(
        struct ptf_call_times *times, struct ptf_arena *arena, const struct ptf_time_parts *call)
{
	if (!split(times, arena))
		return false;
	for (unsigned i = 0; i < PTF_PARTS; i++) {
		if (!ptf_latency_add(&times->parts[i], arena, call->ns[i]))
			return false;
	}
	return true;
}

bool ptf_call_times_add(
        struct ptf_call_times *times, struct ptf_arena *arena, const struct ptf_time_parts *call)
{
	bool on_only = !call->ns[PTF_PART_KERNEL] && !call->ns[PTF_PART_OFF];

	if ((times->parts || !on_only) && !add_parts(times, arena, call))
		return false;
	return ptf_latency_add(&times->total, arena, ptf_time_parts_sum(call));
}

bool ptf_call_times_merge(
        struct ptf_call_times *times, struct ptf_arena *arena, const struct ptf_call_times *other)
{
	const struct ptf_latency *on = other->parts ? &other->parts[PTF_PART_ON] : &other->total;

	if (!times->parts && !other->parts)
		return ptf_latency_merge(&times->total, arena, &other->total);
	if (!split(times, arena) || !ptf_latency_merge(&times->parts[PTF_PART_ON], arena, on))
		return false;
	for (unsigned i = PTF_PART_KERNEL; i < PTF_PARTS; i++) {
		struct ptf_latency *part = &times->parts[i];

		if (!(other->parts ? ptf_latency_merge(part, arena, &other->parts[i])
		                   : ptf_latency_add_zeros(part, arena, other->total.count)))
			return false;
	}
	return ptf_latency_merge(&times->total, arena, &other->total);
}

void ptf_call_times_recycle(struct ptf_call_times *times, struct ptf_arena *arena)
{
	ptf_latency_recycle(&times->total, arena);
	for (unsigned i = 0; times->parts && i < PTF_PARTS; i++)
		ptf_latency_recycle(&times->parts[i], arena);
	ptf_arena_recycle(arena, times->parts, PTF_PARTS * sizeof(*times->parts));
	times->parts = NULL;
}

uint64_t ptf_call_times_sum(const struct ptf_call_times *times, enum ptf_time_part part)
{
	if (times->parts)
		return times->parts[part].sum_ns;
	return part == PTF_PART_ON ? times->total.sum_ns : 0;
}

uint64_t ptf_call_times_percentile(
        const struct ptf_call_times *times, enum ptf_time_part part, double share)
{
	if (times->parts)
		return ptf_latency_percentile(&times->parts[part], share);
	return part == PTF_PART_ON ? ptf_latency_percentile(&times->total, share) : 0;
}
