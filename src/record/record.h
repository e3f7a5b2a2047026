/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recording: what is to be recorded, how, and what came of it. Two backends fill the same
 * options and result: record_sim.h (simulated PT) and record_perf.h (hardware, through perf).
 */
#ifndef PTF_RECORD_H
#define PTF_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/record_info.h>

enum ptf_record_timing {
	PTF_TIMING_CYC, /* cycle-accurate packets, MTC and TSC */
	PTF_TIMING_MTC, /* MTC and TSC */
	PTF_TIMING_TSC, /* TSC only, at PSB */
};

struct ptf_record_options {
	/* Exactly one of: pids, tid, all_cpus, cpus, command (perf: command may join -a and -C). */
	const pid_t *pids; /* n_pids processes, or NULL */
	size_t n_pids;
	pid_t tid;                  /* one thread, or 0 */
	bool all_cpus;              /* the whole system */
	const char *cpus;           /* CPU list as perf takes it, or NULL */
	const char *const *command; /* NULL-terminated, or NULL */

	const char *output;            /* file name */
	double duration_s;             /* seconds, 0: no limit */
	uint64_t max_size;             /* bytes of output to stop at, 0: no limit */
	uint64_t buffer_size;          /* bytes of AUX buffer, 0: default */
	enum ptf_record_timing timing; /* timing packets */
	uint64_t psb_period;           /* bytes between PSBs, 0: default */
	bool kernel;                   /* trace the kernel too (perf) */
	bool sched;                    /* wakeups too (perf): time in the run queue */
	const char *filter;            /* address filter in perf's syntax, or NULL (perf) */
	bool snapshot;                 /* keep the last buffer only (perf) */
	bool lossy;                    /* drop data instead of stopping the program (sim) */
	enum ptf_sim_clock clock;      /* in which a command runs (sim) */

	int argc; /* our own command line, for the file's header */
	const char *const *argv;
};

struct ptf_record_result {
	uint64_t file_bytes;      /* size of the output */
	uint64_t aux_bytes;       /* of them trace data; sim only */
	uint64_t lost_aux_bytes;  /* trace bytes dropped, sim only */
	uint64_t truncations;     /* places where trace data is missing */
	uint64_t lost_switches;   /* context switch records lost */
	uint64_t switches;        /* context switch records written */
	uint64_t waited_ns;       /* by all threads, for the recorder; sim only */
	size_t threads;           /* threads seen */
	size_t processes;         /* processes recorded */
	size_t stacks;            /* threads whose stack was copied at attach, perf only */
	uint64_t longest_stop_ns; /* that one of them stood still for it */
	double seconds;           /* from enable to disable, host time */
	double dilation;          /* simulated CPU time / native, 0 unknown */
	bool simulated;           /* by the sim backend */
	bool switches_missing;    /* some or all threads are without context switches */
	bool command_ended;       /* command_status is valid */
	int command_status;       /* as the shell counts: 128 + n for signals */
};

#endif
