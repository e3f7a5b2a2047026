/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks that are known whole at some time: copied from a thread while it stood still, or a
 * parent's at fork. Marks tell the stitcher when to believe them.
 */
#ifndef PTF_KNOWN_STACK_H
#define PTF_KNOWN_STACK_H

#include "stack/shadow_stack.h"

struct ptf_known_stack {
	struct ptf_frames frames;   /* outermost first, without nodes and times; owned */
	enum ptf_place place;       /* of the innermost one */
	struct ptf_ip_range resume; /* where tracing goes on when it is off there */
	bool known;                 /* the above is filled in */
	/* Borrowed: the parent's stack, to be copied if nothing has been until it is needed. NULL:
	 * no fork. */
	const struct ptf_shadow_stack *parent;
};

/* Something that happens to a thread's stack at a time and that no flow item tells. */
struct ptf_stack_mark {
	uint64_t time_ns;
	struct ptf_known_stack *stack; /* borrowed */
	bool forks; /* the thread's stack goes to `stack`; else it comes from it */
	bool execs; /* neither: a new program takes the place of the old one */
};

PTF_VEC_TYPEDEF(ptf_stack_marks, struct ptf_stack_mark); /* of one life, by time */

void ptf_known_stack_release(struct ptf_known_stack *known);

/* What a forked child has of `stack`. 0 or -PTF_ENOMEM. */
int ptf_known_stack_copy(struct ptf_known_stack *known, const struct ptf_shadow_stack *stack);

/*
 * The stack is `known` now. When the frames seen so far are its innermost ones, the others slip in
 * below all that was booked; else the stack is given up as after a gap and begins anew. 0 or
 * -PTF_ENOMEM.
 */
int ptf_known_stack_impose(const struct ptf_known_stack *known, struct ptf_shadow_stack *stack);

#endif
