/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile/time_slice.h"

int ptf_time_slice_clip(const struct ptf_time_slice *slice, bool timed, uint64_t *start_ns,
        uint64_t *end_ns, struct ptf_slice_bounds *bounds, struct ptf_error *err)
{
	uint64_t length = *end_ns - *start_ns;

	*bounds = (struct ptf_slice_bounds){.to_ns = UINT64_MAX};
	if (!ptf_time_slice_cuts(slice))
		return 0;
	if (!timed)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "the trace has no timing: a part of it cannot be chosen by time");
	if (slice->instant ? slice->to_ns - 1 > length : slice->from_ns >= length)
		return ptf_error_set(err, PTF_EINVAL,
		        "second %.9f is behind the end of the recording, which is %.9f s long",
		        1e-9 * (double)(slice->instant ? slice->to_ns - 1 : slice->from_ns),
		        1e-9 * (double)length);
	if (slice->from_ns)
		bounds->from_ns = *start_ns + slice->from_ns;
	if (!slice->whole_stacks)
		bounds->decode_from_ns = bounds->from_ns;
	if (slice->to_ns && slice->to_ns < length)
		bounds->to_ns = *start_ns + slice->to_ns;
	if (slice->instant)
		return 0;
	*start_ns += slice->from_ns;
	if (bounds->to_ns < *end_ns)
		*end_ns = bounds->to_ns;
	return 0;
}

void ptf_slice_counts_item(struct ptf_slice_counts *counts, const struct ptf_flow_item *item)
{
	counts->instructions += item->insns;
	counts->calls += item->kind == PTF_FLOW_CALL;
	counts->returns += item->kind == PTF_FLOW_RETURN;
	counts->syncs += item->kind == PTF_FLOW_SYNC;
	if (item->kind == PTF_FLOW_LOST) {
		counts->overflows += item->cause == PTF_CAUSE_OVERFLOW;
		counts->errors += item->cause == PTF_CAUSE_ERROR;
	}
}

void ptf_slice_counts_add(struct ptf_slice_counts *to, const struct ptf_slice_counts *from)
{
	to->instructions += from->instructions;
	to->calls += from->calls;
	to->returns += from->returns;
	to->syncs += from->syncs;
	to->overflows += from->overflows;
	to->errors += from->errors;
}
