/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow stack of one thread: applies flow items by the stack rules and books time, calls and
 * instructions on a call tree.
 *
 * One machine serves twice. With `local` set it replays a fragment whose lower stack is not known:
 * an item that only the lower stack can decide is refused (1) and left to the stitcher, which runs
 * the same machine with the thread's whole stack and `local` off.
 */
#ifndef PTF_SHADOW_STACK_H
#define PTF_SHADOW_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "pt/flow_item.h"
#include "sched/thread_timeline.h"
#include "stack/call_tree.h"
#include "stack/stack_rule.h"

/* Addresses first..last; first > last: none. A return address is a range where the size of the
 * call instruction is not known (text input). */
struct ptf_ip_range {
	uint64_t first, last;
};

#define PTF_NO_RANGE ((struct ptf_ip_range){1, 0})

static inline bool ptf_ip_range_has(struct ptf_ip_range range, uint64_t ip)
{
	return ip >= range.first && ip <= range.last;
}

struct ptf_frame {
	const struct ptf_function *function;
	struct ptf_call_node *node; /* this frame's path, in the machine's tree */
	struct ptf_ip_range ret;    /* where its return goes, PTF_NO_RANGE: unknown */
	struct ptf_ip_range resume; /* async frames: where the interrupted code goes on */
	struct ptf_ip_range label;  /* a place in it where a call returned to, to which control may
	                             * come back without a return: of setjmp, of a call of the
	                             * next instruction; PTF_NO_RANGE: none */
	const struct ptf_function *called; /* what the call instruction went to; NULL: no call */
	const struct ptf_function *via;    /* it is the outermost of a coroutine: the function that
	                                    * switched the stack when it came here; else NULL */
	uint64_t entry_ns;                 /* PTF_NO_TIME: not known */
	struct ptf_time_parts before;      /* what the machine had booked at its entry */
	bool entered;                      /* its entry was seen */
	bool inside;   /* a call to a label inside `function`: counted, never timed; books on
	                * the node below if that is the same function's */
	bool async;    /* signal handler, its restorer, interrupt */
	bool restorer; /* what a handler returned to: it calls sigreturn */
	bool resumed;  /* being pushed again: `node` is where it was before */
	bool host;     /* a watched call, above which frames were parked */
};

PTF_VEC_TYPEDEF(ptf_frames, struct ptf_frame);

PTF_VEC_TYPEDEF(ptf_functions, const struct ptf_function *);

/* Frames that were left without a return: a coroutine that may go on, or garbage. */
struct ptf_parked {
	struct ptf_frames frames;
	struct ptf_ip_range ret; /* where it would go on */
	bool topped;             /* its innermost frame is the call that switched away, which
	                          * is over when it goes on */
	bool jumped;             /* longjmp left it, from its innermost frame's label */
	bool suspended;          /* it looks like a coroutine; else like garbage */
	const struct ptf_function *leaver; /* whose instruction left it; NULL: one above it */
	uint64_t left_ns;                  /* when */
	struct ptf_time_parts before;      /* what the machine had booked then */
};

/* What the thread does between two items. */
enum ptf_stack_state {
	PTF_STACK_RUNS,    /* in `place` */
	PTF_STACK_LOST,    /* nobody knows */
	PTF_STACK_UNKNOWN, /* local: whatever the lower stack was doing; nothing is booked */
};

/* The beginning of what a thread does. */
struct ptf_stack_since {
	bool known;                   /* it was after the last rebase */
	bool counts;                  /* it was not muted */
	uint64_t ns;                  /* PTF_NO_TIME: not known */
	struct ptf_time_parts booked; /* by the machine, until then */
};

struct ptf_shadow_stack {
	struct ptf_call_tree *tree; /* borrowed: where nodes are made */
	struct ptf_call_node *base; /* node below the first frame; older ones (of stacks that were
	                             * given up) follow by `sibling` */
	struct ptf_frames frames;   /* outermost first */
	bool local;                 /* the stack below frames[0] exists but is not known here */
	enum ptf_stack_state state;
	enum ptf_place place;         /* when state is PTF_STACK_RUNS */
	struct ptf_ip_range resume;   /* where tracing should go on after OFF */
	struct ptf_stack_since since; /* when state and place became what they are */
	bool execs;                   /* whole stacks: what runs next is a new program */
	bool untraced_call;           /* tracing stopped at a call in an earlier segment */
	bool muted;                   /* frames come and go, but nothing is counted: calls,
	                               * durations, rules; frames that come now are partial later */
	uint64_t now_ns;              /* booked up to here; PTF_NO_TIME: nothing yet */
	uint64_t from_ns; /* booked from here on since the last rebase, PTF_NO_TIME: nothing */
	struct ptf_time_parts booked;             /* since the last rebase, all of it */
	const struct ptf_thread_timeline *thread; /* NULL: no timing */
	size_t off_cursor;                        /* first off span that ends after now_ns */
	struct ptf_stack_rule_counts *rules;      /* borrowed */
	PTF_VEC(struct ptf_parked) parked;        /* oldest first; whole stacks only */
	size_t garbage;                           /* of these, not suspended */
	struct ptf_functions switchers; /* that were seen to leave a stack that went on later */
	struct ptf_ip_range base_label; /* local: `label` of the frame below frames[0] */
	size_t watched;                 /* 1 + index of the frame that is a watched call, 0: none */
	struct ptf_slow_calls *slow;    /* of watched calls since the last rebase, or NULL; in the
	                                 * tree's arena */
};

/* Frees frames and parked stacks, not what is borrowed. */
void ptf_shadow_stack_release(struct ptf_shadow_stack *stack);

/* Empties the local stack: what follows stands on another base node. */
void ptf_shadow_stack_rebase(struct ptf_shadow_stack *stack, struct ptf_call_node *base);

/* The node that time and instructions are booked on now. */
static inline struct ptf_call_node *ptf_shadow_stack_top(const struct ptf_shadow_stack *stack)
{
	return stack->frames.n ? stack->frames.v[stack->frames.n - 1].node : stack->base;
}

/* Books the time up to to_ns (clipped to the thread's life) on the top. 0 or -PTF_ENOMEM. */
int ptf_shadow_stack_advance(struct ptf_shadow_stack *stack, uint64_t to_ns);

/* enum ptf_time_class of what the thread does now; span: that it is off its CPU in, or NULL. */
unsigned ptf_shadow_stack_class(
        const struct ptf_shadow_stack *stack, const struct ptf_off_span *span);

/* Applies an item whose time was booked. 0 done, 1 refused (local only), -PTF_ENOMEM. */
int ptf_shadow_stack_apply(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item);

/* The trace has a gap here: nobody knows what the thread does. 0 or -PTF_ENOMEM. */
int ptf_shadow_stack_lose(struct ptf_shadow_stack *stack);

/* State (not frames) as it is after the item, for a local stack whose item was refused. */
void ptf_shadow_stack_assume(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item);

/* Pushes a frame (its node is made); false: out of memory. */
bool ptf_shadow_stack_push(struct ptf_shadow_stack *stack, struct ptf_frame frame);

/* Pushes a frame that was there before we looked: partial, not a call. 0 or -PTF_ENOMEM. */
int ptf_shadow_stack_found(struct ptf_shadow_stack *stack, const struct ptf_function *function);

/* Ends all frames. seen: their exit was seen (exec); else they are partial. */
int ptf_shadow_stack_close(struct ptf_shadow_stack *stack, bool seen);

#endif
