/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call tree: one node for each distinct call path, with what happened on it.
 *
 * Nodes live in the tree's arena and never move. The root stands for the empty stack. Fragments
 * (stack/fragment.h) are made of small trees; a thread's result is one tree.
 */
#ifndef PTF_CALL_TREE_H
#define PTF_CALL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "sched/time_class.h"
#include "stack/call_times.h"
#include "symbol/function_table.h"

struct ptf_call_node {
	const struct ptf_function *function; /* NULL: the empty stack, or not known */
	struct ptf_call_node *parent;        /* NULL: the root */
	struct ptf_call_node *children;      /* most recently used first */
	struct ptf_call_node *sibling;       /* next child of the same parent */
	uint64_t calls;                      /* entries seen on this path */
	uint64_t jump_calls;                 /* of these, by a jump or asynchronously */
	uint64_t partial_calls;              /* frames whose entry or exit was not seen */
	uint64_t insns;                      /* instructions retired with this node on top */
	uint64_t on_ns;                      /* time of class PTF_TIME_ON with this node on top */
	uint64_t *other_ns; /* by enum ptf_time_class ([PTF_TIME_ON] is 0), or NULL: all 0 */
	struct ptf_call_times *times; /* durations of the frames with both seen and timed, callees
	                               * included; NULL: none. In the tree's arena, as other_ns */
};

struct ptf_call_tree {
	struct ptf_arena arena;
	struct ptf_call_node root;
	uint64_t nodes; /* root not counted */
};

void ptf_call_tree_init(struct ptf_call_tree *tree);
void ptf_call_tree_release(struct ptf_call_tree *tree);

/* The child of parent for function, made when absent; NULL when out of memory. */
struct ptf_call_node *ptf_call_tree_child(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function);

/* Adds ns of a class to a node; false when out of memory. */
bool ptf_call_tree_add_time(
        struct ptf_call_tree *tree, struct ptf_call_node *node, unsigned time_class, uint64_t ns);

/* Adds a call, entry and exit seen and timed, to a node; false when out of memory. */
bool ptf_call_tree_add_call(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_time_parts *call);

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

#endif
