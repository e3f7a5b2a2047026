/* SPDX-License-Identifier: BSD-2-Clause */
/* Tracepoints of the scheduler for tests: tracing data as perf records it, and samples' raw data.
 */
#ifndef PTF_TRACING_DATA_H
#define PTF_TRACING_DATA_H

#include <stddef.h>
#include <stdint.h>

enum {
	TRACING_DATA_MAX = 1 << 14, /* bytes */
	SCHED_SWITCH_ID = 316,
	SCHED_WAKING_ID = 319,
	SCHED_WAKEUP_NEW_ID = 317,
	SCHED_WAKEUP_ID = 318,
	SCHED_SWITCH_SIZE = 64, /* of the raw data, bytes */
	SCHED_WAKING_SIZE = 36,
};

/* Writes tracing data (Linux 6.1) into out, TRACING_DATA_MAX bytes; returns its size. */
size_t tracing_data_make(uint8_t *out);

/* Raw data of a sched_switch. */
void sched_switch_raw(
        uint8_t raw[SCHED_SWITCH_SIZE], int32_t prev, uint64_t prev_state, int32_t next);

/* Raw data of a sched_waking, sched_wakeup or sched_wakeup_new. */
void sched_waking_raw(uint8_t raw[SCHED_WAKING_SIZE], uint16_t id, int32_t tid);

#endif
