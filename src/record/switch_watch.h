/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Context switches of all threads of a simulated recording: one switch_ring for each guest thread
 * (never for the simulator's own threads), drained into the recording.
 */
#ifndef PTF_SWITCH_WATCH_H
#define PTF_SWITCH_WATCH_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>
#include <ptflame/sim_protocol.h>

#include "base/hash_map.h"
#include "base/vec.h"
#include "record/sim_recording.h"
#include "record/switch_ring.h"

struct ptf_watched_thread {
	pid_t real_tid;              /* host's thread id */
	int32_t pid, tid;            /* guest's */
	struct ptf_switch_ring ring; /* fd -1: the thread is gone */
	bool seen;                   /* a record came */
};

struct ptf_poll_set {
	PTF_VEC(struct pollfd) fds;
};

struct ptf_switch_watch {
	PTF_VEC(struct ptf_watched_thread) threads;
	struct ptf_hash_map by_tid; /* real_tid -> index */
	size_t failures;            /* threads that could not be watched */
	struct ptf_error why;       /* of the first failure */
};

void ptf_switch_watch_release(struct ptf_switch_watch *watch);

/* Watches a thread. Failing is counted, not an error, except for PTF_ENOMEM. */
int ptf_switch_watch_add(
        struct ptf_switch_watch *watch, const struct ptf_sim_task *task, struct ptf_error *err);

/* Adds one entry for each thread, to poll for POLLIN (-1 for closed rings). */
int ptf_switch_watch_fds(
        const struct ptf_switch_watch *watch, struct ptf_poll_set *set, struct ptf_error *err);

/* Moves what has come to the recording. polled: the n entries that ptf_switch_watch_fds made, after
 * poll and before any thread was added: rings of threads that ended are closed. */
int ptf_switch_watch_drain(struct ptf_switch_watch *watch, const struct pollfd *polled, size_t n,
        struct ptf_sim_recording *recording, struct ptf_error *err);

/* The first switch of a thread tells the state before it, but a thread that sleeps all the time
 * has none: gives those of process pid that sleep, and have not switched since they are watched,
 * a switch-out at time_ns. */
int ptf_switch_watch_sleepers(struct ptf_switch_watch *watch, struct ptf_sim_recording *recording,
        int32_t pid, uint64_t time_ns, struct ptf_error *err);

#endif
