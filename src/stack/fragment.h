/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragment: one segment of one thread, replayed while the stack below it is unknown.
 *
 * It is cut into pieces. A piece is what happened on top of one unknown frame: a small call tree,
 * the frames open at its end, and the item that only the stack below can decide (a return below
 * the piece's first frame, a longjmp, a resume after a signal ...). Fragments are made on any
 * thread in any order; the stitcher (stack/stitch.h) joins them in time order.
 */
#ifndef PTF_FRAGMENT_H
#define PTF_FRAGMENT_H

#include "pt/flow_item.h"
#include "stack/known_stack.h"
#include "stack/shadow_stack.h"

struct ptf_piece {
	struct ptf_call_node *root;     /* stands for the frame below, whose function it has (NULL:
	                                 * unknown); in the arena */
	struct ptf_frames frames;       /* open at the end, outermost first; owned */
	enum ptf_stack_state state;     /* at the end */
	enum ptf_place place;           /* at the end */
	struct ptf_ip_range resume;     /* at the end */
	bool untraced_call;             /* at the end */
	struct ptf_stack_since since;   /* at the end */
	struct ptf_ip_range base_label; /* at the end: of the frame that root stands for */
	struct ptf_time_parts booked;   /* in all of the piece */
	size_t watched;                 /* 1 + index of the frame that is a watched call, 0: none */
	struct ptf_slow_calls *slow;    /* that ended in the piece, or NULL; in the arena */
	uint64_t from_ns;               /* booked from here on, PTF_NO_TIME: not at all */
	uint64_t now_ns;                /* booked up to here, PTF_NO_TIME: nothing */
	struct ptf_flow_item item;      /* to be applied behind it, when has_item */
	bool has_item;
	bool muted; /* the item does not count (ptf_shadow_stack.muted) */
};

struct ptf_fragment {
	int32_t pid, tid;
	uint64_t start_ns;         /* of its first item, PTF_NO_TIME unknown */
	uint64_t order;            /* place among fragments of equal start: stream and number */
	bool gap_before;           /* AUX data is missing before it */
	bool has_sync;             /* `sync` is its first item */
	struct ptf_flow_item sync; /* where it begins */
	bool sync_muted;           /* it does not count */
	struct ptf_call_tree tree; /* owns the nodes of all pieces */
	PTF_VEC(struct ptf_piece) pieces;
};

void ptf_fragment_destroy(struct ptf_fragment *fragment);

/* Builds fragments from flow items. */
struct ptf_fragment_builder {
	struct ptf_shadow_stack stack;       /* local machine */
	struct ptf_fragment *fragment;       /* being built, NULL: none */
	const struct ptf_stack_marks *marks; /* borrowed: of the thread's life, NULL: none */
	size_t next_mark;                    /* the first one that is not passed */
	uint64_t from_ns;                    /* earlier marks do not count; 0: all do */
	struct ptf_stack_rule_counts *rules; /* borrowed */
};

void ptf_fragment_builder_init(
        struct ptf_fragment_builder *builder, struct ptf_stack_rule_counts *rules);
void ptf_fragment_builder_release(struct ptf_fragment_builder *builder);

/* Begins the fragment of a thread's life (timeline may be NULL: no accounting of time), without
 * marks: set builder->marks then, if there are any. */
int ptf_fragment_builder_begin(struct ptf_fragment_builder *builder, int32_t pid, int32_t tid,
        const struct ptf_thread_timeline *timeline);

/* Adds an item, which counts unless builder->stack.muted is set. 0 or -PTF_ENOMEM. */
int ptf_fragment_builder_add(
        struct ptf_fragment_builder *builder, const struct ptf_flow_item *item);

/* Ends the fragment; the caller owns it. NULL: none was begun, or out of memory (*rc). */
struct ptf_fragment *ptf_fragment_builder_end(struct ptf_fragment_builder *builder, int *rc);

#endif
