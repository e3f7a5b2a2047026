/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies of the stacks of running threads: each thread is stopped (ptrace) just long enough to copy
 * its registers and the used part of its stack; unwinding (stack_unwinder.h) happens later.
 *
 * A stop changes nothing for the thread but the time: system calls that it interrupts are restarted
 * by the kernel, signals that come in between are delivered.
 */
#ifndef PTF_STACK_COPY_H
#define PTF_STACK_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>

#include "base/arena.h"
#include "base/vec.h"
#include "record/stack_unwinder.h"

/* One stopped thread. */
struct ptf_stack_copy {
	pid_t pid, tid;
	uint64_t time_ns;            /* perf clock, while it stood still */
	struct ptf_thread_copy copy; /* copy.stack is owned; NULL: not copied (yet) */
	bool waiting;                /* it was asked to stop and has not: in the kernel */
	uint64_t asked_ns;           /* CLOCK_MONOTONIC, when it was asked to stop */
};

/* Code of a process. */
struct ptf_process_code {
	pid_t pid;
	struct ptf_unwind_maps maps; /* executable ones; owned */
};

struct ptf_stack_copies {
	PTF_VEC(struct ptf_stack_copy) threads;
	PTF_VEC(struct ptf_process_code) processes;
	struct ptf_arena arena; /* names of files */
	void *clock;            /* ring of an event of ours, whose records tell the perf clock */
	uint8_t *scratch;       /* PTF_UNWIND_STACK_MAX bytes, mapped: where a stack is copied to */
	size_t refused;         /* threads that may not be stopped */
	uint64_t longest_stop_ns; /* from the request to stop to the release; of threads that stop
	                           * late, from when that was noticed */
};

/* Errors: those of perf_event_open. */
int ptf_stack_copies_init(struct ptf_stack_copies *copies, struct ptf_error *err);
void ptf_stack_copies_release(struct ptf_stack_copies *copies);

/* Copies the stacks of all threads of a process, those included that appear meanwhile, or (only_tid
 * not 0) of one thread. What is not permitted is counted, who is gone is left out. Errors:
 * PTF_ENOMEM; PTF_ENOENT when there is no such process. */
int ptf_stack_copies_take(
        struct ptf_stack_copies *copies, pid_t pid, pid_t only_tid, struct ptf_error *err);

/* Copies threads that could not stop at once (they sleep where signals do not wake them) and have
 * done so since. To be called as often as a child's state changes, until no thread waits (false).
 */
bool ptf_stack_copies_poll(struct ptf_stack_copies *copies);

/* The perf clock now, ns: the time that records of perf events have. */
uint64_t ptf_stack_copies_now(const struct ptf_stack_copies *copies);

#endif
