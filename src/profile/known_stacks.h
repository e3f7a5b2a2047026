/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a recording knows of whole stacks: copies made at attach (SAMPLE records of the dummy event
 * with a callchain; samples of one thread and time that follow each other are one stack, innermost
 * part first), forks and execve. Becomes marks for the replay of each thread's life.
 */
#ifndef PTF_KNOWN_STACKS_H
#define PTF_KNOWN_STACKS_H

#include <ptflame/error.h>

#include "image/code_images.h"
#include "perfdata/perf_reader.h"
#include "sched/thread_timeline.h"
#include "stack/stitch.h"

/* A chain of addresses, a fork, or execve. */
struct ptf_stack_note {
	uint64_t time_ns;
	int32_t pid, tid;    /* of the thread; fork: of the child */
	int32_t parent_tid;  /* fork: who forked; else -1 */
	bool execs;          /* neither: execve */
	size_t first, n_ips; /* chain: part of `ips` */
};

struct ptf_known_stacks {
	PTF_VEC(struct ptf_stack_note) notes;
	PTF_VEC(uint64_t) ips;          /* of all chains, innermost first */
	struct ptf_known_stack *stacks; /* owned, one for each note; after freeze */
	size_t *parents;                /* owned, by note: index of the parent's life */
	struct ptf_stack_marks *marks;  /* owned, by index of the life; NULL: none at all */
	size_t n_lives;
};

void ptf_known_stacks_release(struct ptf_known_stacks *known);

/* Takes a record; kinds that say nothing of stacks are ignored. Errors: PTF_ENOMEM. */
int ptf_known_stacks_add(struct ptf_known_stacks *known, const struct ptf_perf_info *info,
        const struct ptf_record *record, struct ptf_error *err);

/* Finds functions and makes the marks; timelines and images are frozen. */
int ptf_known_stacks_freeze(struct ptf_known_stacks *known, const struct ptf_timelines *timelines,
        const struct ptf_code_images *images, struct ptf_error *err);

/* The marks of a life (by its index in the timelines), NULL: none. */
const struct ptf_stack_marks *ptf_known_stacks_marks(
        const struct ptf_known_stacks *known, size_t life);

/* Tells the stacks of children where their parents' are: stitches by index of the life. Those that
 * an earlier replay has filled are forgotten. */
void ptf_known_stacks_bind(struct ptf_known_stacks *known, const struct ptf_stitch *stitches);

#endif
