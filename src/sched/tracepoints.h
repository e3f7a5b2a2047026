/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What samples of the scheduler's tracepoints say: sched:sched_switch, and sched:sched_waking with
 * its later and rarer kin sched_wakeup and sched_wakeup_new.
 *
 * The numbers and fields of tracepoints differ between kernels; the formats are in the recording's
 * tracing data (tools/perf/util/trace-event-info.c), in the words of /sys/kernel/tracing/events.
 * They are read here and not by libtraceevent because that trusts them: 1.7.1 crashes on a format
 * with one wrong bit.
 */
#ifndef PTF_TRACEPOINTS_H
#define PTF_TRACEPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "perfdata/perf_record.h"

enum ptf_tracepoint_kind {
	PTF_TRACEPOINT_OTHER,
	PTF_TRACEPOINT_SWITCH, /* a CPU goes from a thread to the next */
	PTF_TRACEPOINT_WAKING, /* a thread becomes runnable */
};

struct ptf_tracepoint {
	enum ptf_tracepoint_kind kind;
	int32_t prev_tid; /* SWITCH: who leaves, 0 the idle task; the sample is in its name */
	int32_t next_tid; /* SWITCH: who comes, 0 the idle task */
	bool runnable;    /* SWITCH: the one that leaves could go on */
	int32_t tid;      /* WAKING: who is woken */
};

struct ptf_tracepoints;

/* From tracing data, or from none (NULL, 0): then every sample is OTHER, as is one whose format is
 * missing or makes no sense. NULL: out of memory. */
struct ptf_tracepoints *ptf_tracepoints_create(const uint8_t *tracing_data, size_t size);
void ptf_tracepoints_destroy(struct ptf_tracepoints *tracepoints);

/* Reads a SAMPLE record. */
struct ptf_tracepoint ptf_tracepoints_read(
        const struct ptf_tracepoints *tracepoints, const struct ptf_record *record);

#endif
