/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call tree: one node for each distinct call path, with what happened on it.
 *
 * Nodes live in the tree's arena and never move. The root stands for the empty stack. Fragments
 * (stack/fragment.h) are made of small trees; a thread's result is one tree.
 *
 * Calls of a watched function (symbol/function_table.h) with none below them on the stack are
 * sorted by duration: each of them has, while it runs, a node of its own (PTF_SLICE_OPEN); then all
 * that happened in it moves to the sibling of its slice. A slice is a bucket of the latency
 * histogram, so what the slowest calls did can be told from what the others did, exactly.
 */
#ifndef PTF_CALL_TREE_H
#define PTF_CALL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "sched/time_class.h"
#include "stack/call_times.h"
#include "symbol/function_table.h"

enum ptf_slice {
	PTF_SLICE_NONE,    /* not a watched call, or one inside of another */
	PTF_SLICE_OPEN,    /* a watched call that runs */
	PTF_SLICE_UNTIMED, /* watched calls whose duration is not known: entry or exit not seen */
	PTF_SLICE_FIRST,   /* + ptf_latency_bucket: watched calls of about one duration */
};

/* Ways into the kernel. */
enum ptf_visit_kind { PTF_VISIT_SYSCALL, PTF_VISIT_INTERRUPT, PTF_VISIT_KINDS };

/* Visits of the kernel from one node. */
struct ptf_visits {
	uint64_t calls;              /* beginnings seen */
	uint64_t partial;            /* beginning or end not seen */
	struct ptf_call_times times; /* of those with both seen and timed */
};

struct ptf_call_node {
	const struct ptf_function *function; /* NULL: the empty stack, or not known */
	struct ptf_call_node *parent;        /* NULL: the root */
	struct ptf_call_node *children;      /* most recently used first */
	struct ptf_call_node *sibling;       /* next child of the same parent */
	uint32_t slice;                      /* enum ptf_slice; with `function` it is the key */
	uint64_t calls;                      /* entries seen on this path */
	uint64_t jump_calls;                 /* of these, by a jump or asynchronously */
	uint64_t partial_calls;              /* frames whose entry or exit was not seen */
	uint64_t insns;                      /* instructions retired with this node on top */
	uint64_t on_ns;                      /* time of class PTF_TIME_ON with this node on top */
	uint64_t *other_ns;        /* by enum ptf_time_class ([PTF_TIME_ON] is 0), or NULL: all 0 */
	struct ptf_visits *visits; /* PTF_VISIT_KINDS, with this node on top; NULL: none. In the
	                            * tree's arena, as all of these */
	struct ptf_call_times *times; /* durations of the frames with both seen and timed, callees
	                               * included; NULL: none. In the tree's arena, as other_ns */
};

struct ptf_call_tree {
	struct ptf_arena arena;
	struct ptf_call_node root;
	uint64_t nodes; /* root not counted */
};

/* Watched calls that took longest, with what happened in each. */
enum { PTF_SLOW_CALLS = 10 };

struct ptf_slow_call {
	uint64_t start_ns;
	struct ptf_time_parts parts; /* their sum is its duration */
	struct ptf_call_node *node;  /* a subtree of its own, below nothing; in the tree's arena */
	const struct ptf_call_node *base; /* node below the outermost frame of its stack */
};

struct ptf_slow_calls {
	struct ptf_slow_call v[PTF_SLOW_CALLS]; /* the longest first, of equal ones the earliest */
	size_t n;
};

void ptf_call_tree_init(struct ptf_call_tree *tree);
void ptf_call_tree_release(struct ptf_call_tree *tree);

/* The child of parent for function, made when absent; NULL when out of memory. */
struct ptf_call_node *ptf_call_tree_child(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function);

/* The child of parent for a slice of function, made when absent; NULL when out of memory. */
struct ptf_call_node *ptf_call_tree_slice(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function, uint32_t slice);

/* A new child of parent for a watched call that begins; NULL when out of memory. */
struct ptf_call_node *ptf_call_tree_open(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function);

/* Moves what is at and below the node of an open call to its sibling of a slice; the node itself is
 * gone. False: out of memory. */
bool ptf_call_tree_close(struct ptf_call_tree *tree, struct ptf_call_node *node, uint32_t slice);

/* A detached copy of a node (of any tree) with all below; NULL when out of memory. */
struct ptf_call_node *ptf_call_tree_copy(
        struct ptf_call_tree *tree, const struct ptf_call_node *source);

/* Takes a node out of its parent's children, with all below; then its parent is NULL. */
void ptf_call_node_detach(struct ptf_call_node *node);

/* Makes a detached node the first child of parent. */
void ptf_call_node_attach(struct ptf_call_node *node, struct ptf_call_node *parent);

/* Gives back the memory of a detached node and of all below. */
void ptf_call_tree_recycle(struct ptf_call_tree *tree, struct ptf_call_node *node);

/* Watched calls below (not at) the node turned out to be inside of another: they are ordinary ones.
 * Nodes may have equal siblings then. */
void ptf_call_node_unwatch(struct ptf_call_node *node);

/* Adds a call, with a copy of its node, unless there are PTF_SLOW_CALLS longer ones. *calls is made
 * in the tree's arena when NULL. False: out of memory. */
bool ptf_slow_calls_add(struct ptf_slow_calls **calls, struct ptf_call_tree *tree,
        const struct ptf_slow_call *call);

/* Takes out the calls on stacks above `base`. */
void ptf_slow_calls_drop(
        struct ptf_slow_calls *calls, struct ptf_call_tree *tree, const struct ptf_call_node *base);

/* Adds ns of a class to a node; false when out of memory. */
bool ptf_call_tree_add_time(
        struct ptf_call_tree *tree, struct ptf_call_node *node, unsigned time_class, uint64_t ns);

/* Adds a call, entry and exit seen and timed, to a node; false when out of memory. */
bool ptf_call_tree_add_call(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_time_parts *call);

/* The visits from a node, PTF_VISIT_KINDS, made when absent; NULL when out of memory. */
struct ptf_visits *ptf_call_tree_visits(struct ptf_call_tree *tree, struct ptf_call_node *node);

/* How many frames of this node had both ends seen and timed. */
static inline uint64_t ptf_call_node_timed_calls(const struct ptf_call_node *node)
{
	return node->times ? node->times->total.count : 0;
}

/* ns of a class at this node. */
static inline uint64_t ptf_call_node_time(const struct ptf_call_node *node, unsigned time_class)
{
	if (time_class == PTF_TIME_ON)
		return node->on_ns;
	return node->other_ns ? node->other_ns[time_class] : 0;
}

/* ns at this node by enum ptf_time_state. */
void ptf_call_node_states(const struct ptf_call_node *node, uint64_t states[PTF_STATES]);

/* Takes out nodes with nothing counted or booked in and below them. */
void ptf_call_tree_prune(struct ptf_call_tree *tree);

/* Adds everything below and in `source` (a node of another tree) to `node`; false: no memory. */
bool ptf_call_tree_merge(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_call_node *source);

/* Depth-first order without recursion (paths can be a million frames deep): the node after `node`
 * in the subtree of `top`, NULL at the end; *up is the number of levels left upwards before it (0:
 * it is a child of node). Start with node = top. */
const struct ptf_call_node *ptf_call_node_next(
        const struct ptf_call_node *top, const struct ptf_call_node *node, unsigned *up);

/* The same, but what is below `node` is left out. */
const struct ptf_call_node *ptf_call_node_skip(
        const struct ptf_call_node *top, const struct ptf_call_node *node, unsigned *up);

#endif
