/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which threads of a recording are analysed: those of a thread id and of a name.
 *
 * The choice is made for each life, since a thread id can be used again. A thread that was renamed
 * has its last name, also for what it did before.
 */
#ifndef PTF_THREAD_FILTER_H
#define PTF_THREAD_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/hash_map.h"
#include "sched/thread_timeline.h"

struct ptf_thread_filter {
	int32_t tid;              /* 0: any */
	const char *comm;         /* borrowed, NULL: any */
	struct ptf_hash_map tids; /* owned: of the lives that pass */
};

/* For the lives in the timelines (frozen). Fails with PTF_ENODATA and a message that lists the
 * threads there are when none passes, or with PTF_ENOMEM. */
int ptf_thread_filter_init(struct ptf_thread_filter *filter, int32_t tid, const char *comm,
        const struct ptf_timelines *timelines, struct ptf_error *err);
void ptf_thread_filter_release(struct ptf_thread_filter *filter);

bool ptf_thread_filter_passes(
        const struct ptf_thread_filter *filter, const struct ptf_thread_timeline *life);

/* Does a life of this thread id pass? Thread-safe. */
bool ptf_thread_filter_passes_tid(const struct ptf_thread_filter *filter, int32_t tid);

#endif
