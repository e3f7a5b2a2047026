/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stitch: joins the fragments of one thread, in time order, into its whole stack history.
 */
#ifndef PTF_STITCH_H
#define PTF_STITCH_H

#include "stack/fragment.h"

struct ptf_stitch {
	struct ptf_shadow_stack stack;   /* the whole stack */
	struct ptf_call_tree tree;       /* the thread's result (after finish: under tree.root) */
	bool started;                    /* a fragment was added */
	bool seen_code;                  /* ... and showed where the thread was */
	bool ran;                        /* ... by code of it, not only by a mark */
	struct ptf_thread_timeline idle; /* of a thread that did not run */
	const struct ptf_stack_marks *marks; /* borrowed, NULL: none */
	size_t next_mark;                    /* the first one that is not applied */
	uint64_t from_ns, to_ns; /* what happens before does not count, behind is not known */
	uint64_t since_ns;       /* marks from before are out of date: not all was decoded since */
};

/* Set marks, from_ns, to_ns and since_ns then, if need be. Borrowed: timeline (NULL: untimed),
 * rules. 0 or -PTF_ENOMEM. */
int ptf_stitch_init(struct ptf_stitch *stitch, const struct ptf_thread_timeline *timeline,
        struct ptf_stack_rule_counts *rules);
void ptf_stitch_release(struct ptf_stitch *stitch);

/* Adds the next fragment (not kept, but used up: time that was booked already is taken off it). 0
 * or -PTF_ENOMEM. */
int ptf_stitch_add(struct ptf_stitch *stitch, struct ptf_fragment *fragment);

/* Adds a single item, for input that is not cut into segments; it counts unless
 * stitch->stack.muted is set. 0 or -PTF_ENOMEM. */
int ptf_stitch_item(struct ptf_stitch *stitch, const struct ptf_flow_item *item);

/* No item comes any more: stitch->stack is what is known of the stack. 0 or -PTF_ENOMEM. */
int ptf_stitch_settle(struct ptf_stitch *stitch);

/* Settles, books the rest of the life and ends open frames; stitch->tree is complete. */
int ptf_stitch_finish(struct ptf_stitch *stitch);

#endif
