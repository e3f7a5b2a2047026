/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stack as perf's SAMPLE records hold it. A record has room for some thousand addresses; a deeper
 * stack goes on in further records of the same thread and time.
 */
#ifndef PTF_STACK_SAMPLE_H
#define PTF_STACK_SAMPLE_H

#include "perfdata/perf_record.h"
#include "record/stack_unwinder.h"

enum { PTF_STACK_SAMPLE_IPS = 8000 };

struct ptf_stack_sample {
	struct ptf_record_sample record;          /* points to chain */
	uint64_t chain[1 + PTF_STACK_SAMPLE_IPS]; /* PERF_CONTEXT_USER, then addresses */
};

/* Takes the addresses from number `from` on, as many as fit; returns their number. */
size_t ptf_stack_sample_fill(
        struct ptf_stack_sample *sample, const struct ptf_ips *ips, size_t from);

#endif
