/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Context switches of one thread of another process: a software dummy event with a small ring
 * buffer (perf_event_open(2)). It needs no privilege beyond the right to ptrace the process at
 * perf_event_paranoid 2. Times are CLOCK_MONOTONIC.
 */
#ifndef PTF_SWITCH_RING_H
#define PTF_SWITCH_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>

struct ptf_switch_ring {
	int fd;      /* owned event; -1 when closed */
	void *map;   /* owned mapping: control page and data */
	size_t size; /* bytes of data, a power of two */
};

struct ptf_switch {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t lost;    /* records lost before this one; when > 0 the fields below mean nothing */
	int32_t cpu;
	bool out;     /* left the CPU, else came to it */
	bool preempt; /* ... and was still runnable */
};

/* Starts to watch thread tid. Errors: PTF_EPERM (perf_event_paranoid, mlock limit, another user's
 * process), PTF_EUNSUPPORTED (no perf events), PTF_ENOENT when the thread is gone. */
int ptf_switch_ring_init(struct ptf_switch_ring *ring, pid_t tid, struct ptf_error *err);
void ptf_switch_ring_release(struct ptf_switch_ring *ring);

/* Takes the oldest record: 0, or 1 when there is none. */
int ptf_switch_ring_next(struct ptf_switch_ring *ring, struct ptf_switch *out);

#endif
