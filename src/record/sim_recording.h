/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that a simulated recording becomes: messages of simulators and context switches in,
 * perf.data out (perfdata/perf_writer.h). Knows threads and their AUX streams; no sockets.
 *
 * Clock `real`: everything is written as it comes. Clock `insn`: nothing of the host may show in
 * the data, not even the order in which processes were heard; records are kept and written sorted
 * by (time, process, order within the process) at the end, AUX data waits in unlinked files.
 */
#ifndef PTF_SIM_RECORDING_H
#define PTF_SIM_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

#include "record/record.h"
#include "record/sim_client.h"
#include "record/switch_ring.h"

struct ptf_sim_recording;

struct ptf_sim_recording_setup {
	const struct ptf_record_options *options; /* borrowed until finish */
	enum ptf_sim_clock clock;
	double dilation; /* as the simulator measured it */
	bool switches;   /* context switches can be recorded */
};

int ptf_sim_recording_create(struct ptf_sim_recording **recording,
        const struct ptf_sim_recording_setup *setup, struct ptf_error *err);

/* Without finish nothing is left behind. */
void ptf_sim_recording_destroy(struct ptf_sim_recording *recording);

/* Takes a message from a simulator: PROCESS, STACK (unwound at once), THREAD, MMAP, COMM, FORK,
 * EXEC, EXIT, AUX, STARTED, STOPPED; the others are ignored. Times of 0 (what existed at START)
 * become base_ns: the time of the fork or exec that the process came from, or 0. Errors:
 * PTF_EFORMAT for a body that is too short; I/O and memory. */
int ptf_sim_recording_message(struct ptf_sim_recording *recording, const struct ptf_sim_msg *msg,
        uint64_t base_ns, struct ptf_error *err);

/* Takes a context switch of guest thread tid. */
int ptf_sim_recording_switch(struct ptf_sim_recording *recording, int32_t pid, int32_t tid,
        const struct ptf_switch *sw, struct ptf_error *err);

/* The process pid is gone without a word (killed): its threads end at time_ns, or with the insn
 * clock at the last time heard of. */
int ptf_sim_recording_gone(
        struct ptf_sim_recording *recording, int32_t pid, uint64_t time_ns, struct ptf_error *err);

/* Everything that is older than the previous call of this has been given: a FINISHED_ROUND. */
int ptf_sim_recording_round(struct ptf_sim_recording *recording, struct ptf_error *err);

/* Some threads are without switches after all. */
void ptf_sim_recording_lacks_switches(struct ptf_sim_recording *recording);

/* Bytes of output so far, roughly. */
uint64_t ptf_sim_recording_size(const struct ptf_sim_recording *recording);

/* Writes what is left and closes the file; fills the fields of *result that it knows. */
int ptf_sim_recording_finish(struct ptf_sim_recording *recording, struct ptf_record_result *result,
        struct ptf_error *err);

#endif
