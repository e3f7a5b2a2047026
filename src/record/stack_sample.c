/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/perf_event.h>
#include <string.h>

#include "record/stack_sample.h"

size_t ptf_stack_sample_fill(
        struct ptf_stack_sample *sample, const struct ptf_ips *ips, size_t from)
{
	size_t n = ips->n - from;

	if (n > PTF_STACK_SAMPLE_IPS)
		n = PTF_STACK_SAMPLE_IPS;
	sample->chain[0] = (uint64_t)PERF_CONTEXT_USER;
	memcpy(sample->chain + 1, ips->v + from, n * sizeof(*ips->v));
	sample->record = (struct ptf_record_sample){.ip = ips->v[from],
	        .period = 1,
	        .callchain = (const uint8_t *)sample->chain,
	        .callchain_n = n + 1};
	return n;
}
