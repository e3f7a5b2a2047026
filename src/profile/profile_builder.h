/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds a profile out of the stitched threads: the end of every kind of analysis. */
#ifndef PTF_PROFILE_BUILDER_H
#define PTF_PROFILE_BUILDER_H

#include <ptflame/error.h>

#include "profile/known_stacks.h"
#include "profile/profile.h"
#include "profile/slice_plan.h"
#include "profile/time_slice.h"
#include "profile/thread_filter.h"
#include "sched/thread_timeline.h"
#include "stack/stitch.h"

/* The threads of an analysis: one stitch for each life in the timelines. */
struct ptf_thread_set {
	const struct ptf_timelines *timelines; /* borrowed, frozen */
	struct ptf_known_stacks *known;        /* borrowed, frozen; NULL: nothing is known */
	const struct ptf_slice_plan *plan;     /* borrowed; NULL: all is decoded */
	struct ptf_slice_bounds slice;         /* what counts */
	uint64_t at_ns;              /* the stacks at that time are wanted; PTF_NO_TIME: none */
	struct ptf_stitch *stitches; /* owned, by index of the life; tree.nodes.. zeroed: unused */
	bool *used;                  /* owned: the stitch was initialised */
	size_t n;
	bool timed;
	bool filtered; /* where nothing is traced, code runs that an address filter leaves out */
	struct ptf_stack_rule_counts rules;
};

/* Borrowed: timelines, known. Set plan, at_ns and filtered then, if need be. */
int ptf_thread_set_init(struct ptf_thread_set *set, const struct ptf_timelines *timelines,
        struct ptf_known_stacks *known, bool timed, const struct ptf_slice_bounds *slice,
        struct ptf_error *err);
void ptf_thread_set_release(struct ptf_thread_set *set);

/* The stitch of the life of tid at a time; NULL: no such thread (*rc 0) or no memory. */
struct ptf_stitch *ptf_thread_set_at(
        struct ptf_thread_set *set, int32_t tid, uint64_t time_ns, int *rc);

/* Finishes the threads that pass and moves their results into the profile (sorted by pid, tid). */
int ptf_thread_set_finish(struct ptf_thread_set *set, struct ptf_profile *profile,
        const struct ptf_thread_filter *filter, struct ptf_error *err);

/* A profile with an empty function table; NULL when out of memory. */
struct ptf_profile *ptf_profile_create(void);

/* Appends to profile->stats. name and text are static. False: out of memory. */
bool ptf_profile_add_stat(
        struct ptf_profile *profile, const char *name, const char *text, uint64_t count);

/* Adds the rule counts as stats, and where stacks were given up. */
bool ptf_profile_add_rules(struct ptf_profile *profile, const struct ptf_stack_rule_counts *rules);

#endif
