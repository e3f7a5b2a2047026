/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watched function: what happened in its calls only, in all of them or in the slowest.
 *
 * A watched call is one with no other below it on the stack: recursive calls belong to the
 * outermost. Calls are chosen by slices (stack/call_tree.h), so all calls of one bucket of the
 * latency histogram are chosen, or none.
 */
#ifndef PTF_WATCH_H
#define PTF_WATCH_H

#include <ptflame/error.h>

#include "profile/profile.h"

enum ptf_watch_kind {
	PTF_WATCH_ALL,     /* partial calls too */
	PTF_WATCH_SLOWEST, /* of the timed calls, `percent` that took longest */
	PTF_WATCH_FASTEST, /* all timed calls but those that SLOWEST with 100 - percent chooses */
};

struct ptf_watch_choice {
	enum ptf_watch_kind kind;
	double percent; /* > 0, <= 100 */
};

/* How many calls there are, and were chosen. */
struct ptf_watch_counts {
	uint64_t timed;        /* watched calls, entry and exit seen */
	uint64_t partial;      /* watched calls with one of them not seen */
	uint64_t chosen;       /* of the timed ones; ALL: of both */
	uint64_t threshold_ns; /* slowest: from here on; fastest: below; else 0 */
};

/* Is the function called `name` in the profile? Else PTF_ENODATA, with names that are alike. */
int ptf_watch_check(const struct ptf_profile *profile, const char *name, struct ptf_error *err);

/*
 * Makes a profile of what happened in the chosen calls of the watched function: their callers are
 * there, with nothing of their own, and threads' times are those inside. It borrows from `whole`,
 * which must outlive it. Threads that made no such call are left out. Fails with PTF_ENODATA when
 * calls are to be chosen by duration and none is timed, with PTF_ENOMEM.
 */
int ptf_watch_choose(struct ptf_profile **part, const struct ptf_profile *whole,
        const struct ptf_watch_choice *choice, struct ptf_watch_counts *counts,
        struct ptf_error *err);

/* A slow call and its thread. */
struct ptf_watch_slow {
	const struct ptf_slow_call *call;
	const struct ptf_profile_thread *thread;
};

/* The slowest watched calls of all threads, the longest first; returns how many. */
size_t ptf_watch_slowest(
        const struct ptf_profile *profile, struct ptf_watch_slow slowest[PTF_SLOW_CALLS]);

#endif
