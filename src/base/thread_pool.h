/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs numbered jobs on several threads and hands their results back in order.
 *
 * Work runs unordered, `done` in the order of job numbers on the calling thread; at most
 * `window` jobs are past `work` and not yet `done`, which bounds memory.
 */
#ifndef PTF_THREAD_POOL_H
#define PTF_THREAD_POOL_H

#include <stddef.h>

struct ptf_jobs {
	/* Does job `job` on worker `worker` (0 <= worker < threads) and returns its result. */
	void *(*work)(void *context, unsigned worker, size_t job);
	/* Takes the result of the job; <0 stops the run (results not handed over go to `drop`). */
	int (*done)(void *context, size_t job, void *result);
	/* Frees a result that will not be handed over; may be NULL. */
	void (*drop)(void *context, void *result);
	void *context; /* borrowed, passed to all three */
};

/* Number of threads for a wish of n: n, or the number of usable CPUs for 0. */
unsigned ptf_thread_count(unsigned n);

/* Runs jobs 0..count-1 on `threads` threads (1: on the caller's thread alone, no thread is made).
 * Returns 0, or the first negative value that `done` returned, or -PTF_ENOMEM. */
int ptf_jobs_run(const struct ptf_jobs *jobs, size_t count, unsigned threads);

#endif
