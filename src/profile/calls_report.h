/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls report: all about the calls of the watched function, over all threads. */
#ifndef PTF_CALLS_REPORT_H
#define PTF_CALLS_REPORT_H

#include "profile/time_places.h"
#include "profile/watch.h"

/* A slow call, with where its time went. */
struct ptf_calls_slow {
	struct ptf_watch_slow slow;
	struct ptf_time_places places;
};

struct ptf_calls_report {
	struct ptf_arena arena; /* of the histograms */
	const char *name;       /* the function's; of several of one name, any of them */
	size_t functions;       /* that have the name */
	uint64_t calls;         /* entries */
	uint64_t partial_calls; /* frames whose entry or exit was not seen */
	uint64_t nested_calls;  /* entries inside of another call; never among the slowest */
	struct ptf_call_times times;
	struct ptf_calls_slow slowest[PTF_SLOW_CALLS]; /* the longest first */
	size_t n_slowest;
};

/* Of a profile with a watched function, which must outlive the report. -PTF_ENOMEM: nothing to
 * release. */
int ptf_calls_report_init(
        struct ptf_calls_report *report, const struct ptf_profile *profile, struct ptf_error *err);
void ptf_calls_report_release(struct ptf_calls_report *report);

#endif
