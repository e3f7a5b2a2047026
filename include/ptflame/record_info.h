/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `ptflame record` adds to a perf.data, under header feature bit 255 (perf ignores bits that
 * it does not know). Little-endian: u32 magic, u32 version, then version 1's fields in order:
 * u64 start_ns, u64 end_ns, u32 simulated, u32 clock, f64 dilation, u32 switches, u32 lossy.
 * Version 2 has the waits behind them, to the end of the section: i32 tid, u32 0, u64 from_ns,
 * u64 to_ns each. What a later version adds is ignored.
 */
#ifndef PTFLAME_RECORD_INFO_H
#define PTFLAME_RECORD_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTF_RECORD_INFO_MAGIC 0x6d6c6670u /* "pflm" */
#define PTF_RECORD_INFO_VERSION 2u
#define PTF_RECORD_INFO_SIZE 48u /* bytes without waits */
#define PTF_RECORD_WAIT_SIZE 24u /* bytes of a wait */

enum ptf_sim_clock {
	PTF_SIM_CLOCK_REAL = 0, /* nanoseconds of CLOCK_MONOTONIC */
	PTF_SIM_CLOCK_INSN = 1, /* one instruction = 1 ns */
};

struct ptf_record_info {
	uint64_t start_ns, end_ns; /* the window: recorder enable to disable, perf clock */
	bool simulated;            /* simulated PT */
	enum ptf_sim_clock clock;  /* when simulated */
	double dilation;           /* simulated CPU time / native CPU time, of a calibration loop */
	bool switches;             /* context switches were recorded */
	bool lossy;                /* the simulator was allowed to lose data */
};

/* A simulated thread waited for the recorder: the program itself would not have. */
struct ptf_record_wait {
	int32_t tid;
	uint64_t from_ns, to_ns; /* perf clock */
};

/* Writes PTF_RECORD_INFO_SIZE bytes. */
void ptf_record_info_encode(const struct ptf_record_info *info, uint8_t *out);

/* 0, or -1 when the bytes are no such section (too short, other magic, version 0). */
int ptf_record_info_decode(struct ptf_record_info *info, const uint8_t *bytes, size_t size);

/* Writes PTF_RECORD_WAIT_SIZE bytes. */
void ptf_record_wait_encode(const struct ptf_record_wait *wait, uint8_t *out);

/* The wait of a number, from 0 on, in a section that ptf_record_info_decode takes; false when there
 * are not so many. */
bool ptf_record_wait_decode(
        struct ptf_record_wait *wait, const uint8_t *bytes, size_t size, size_t number);

#endif
