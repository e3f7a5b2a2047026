/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include "stack/call_tree.h"

void ptf_call_tree_init(struct ptf_call_tree *tree)
{
	*tree = (struct ptf_call_tree){0};
}

void ptf_call_tree_release(struct ptf_call_tree *tree)
{
	ptf_arena_release(&tree->arena);
	ptf_call_tree_init(tree);
}

struct ptf_call_node *ptf_call_tree_child(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function)
{
	struct ptf_call_node **link = &parent->children;
	struct ptf_call_node *node;

	for (node = *link; node; link = &node->sibling, node = *link) {
		if (node->function != function)
			continue;
		/* Move to front: a loop calls the same few callees, the next search is short. */
		*link = node->sibling;
		node->sibling = parent->children;
		parent->children = node;
		return node;
	}
	node = ptf_arena_alloc(&tree->arena, sizeof(*node));
	if (!node)
		return NULL;
	node->function = function;
	node->parent = parent;
	node->sibling = parent->children;
	parent->children = node;
	tree->nodes++;
	return node;
}

bool ptf_call_tree_add_time(
        struct ptf_call_tree *tree, struct ptf_call_node *node, unsigned time_class, uint64_t ns)
{
	if (time_class == PTF_TIME_ON) {
		node->on_ns += ns;
		return true;
	}
	if (!ns)
		return true;
	if (!node->other_ns) {
		node->other_ns =
		        ptf_arena_alloc(&tree->arena, PTF_TIME_CLASSES * sizeof(*node->other_ns));
		if (!node->other_ns)
			return false;
	}
	node->other_ns[time_class] += ns;
	return true;
}

static bool make_times(struct ptf_call_tree *tree, struct ptf_call_node *node)
{
	if (!node->times)
		node->times = ptf_arena_alloc(&tree->arena, sizeof(*node->times));
	return node->times != NULL;
}

bool ptf_call_tree_add_call(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_time_parts *call)
{
	return make_times(tree, node) && ptf_call_times_add(node->times, &tree->arena, call);
}

void ptf_call_node_states(const struct ptf_call_node *node, uint64_t states[PTF_STATES])
{
	for (unsigned i = 0; i < PTF_STATES; i++)
		states[i] = 0;
	states[PTF_STATE_ON] = node->on_ns;
	for (unsigned i = PTF_TIME_ON + 1; node->other_ns && i < PTF_TIME_CLASSES; i++)
		states[ptf_time_class_state(i)] += node->other_ns[i];
}

static bool add_counts(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_call_node *source)
{
	node->calls += source->calls;
	node->jump_calls += source->jump_calls;
	node->partial_calls += source->partial_calls;
	node->insns += source->insns;
	node->on_ns += source->on_ns;
	for (unsigned i = PTF_TIME_ON + 1; source->other_ns && i < PTF_TIME_CLASSES; i++) {
		if (!ptf_call_tree_add_time(tree, node, i, source->other_ns[i]))
			return false;
	}
	return !source->times || (make_times(tree, node) && ptf_call_times_merge(node->times,
	                                                            &tree->arena, source->times));
}

bool ptf_call_tree_merge(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_call_node *source)
{
	const struct ptf_call_node *from = source;
	unsigned up;

	if (!add_counts(tree, node, source))
		return false;
	while ((from = ptf_call_node_next(source, from, &up))) {
		for (; up; up--)
			node = node->parent;
		node = ptf_call_tree_child(tree, node, from->function);
		if (!node || !add_counts(tree, node, from))
			return false;
	}
	return true;
}

static bool is_blank(const struct ptf_call_node *node)
{
	return !node->calls && !node->partial_calls && !node->insns && !node->on_ns &&
	       !node->other_ns && !node->times && !node->children;
}

/* Depth first without recursion: a node's children are taken out when it is entered, and each is
 * put back, if it is worth it, when it is left. */
void ptf_call_tree_prune(struct ptf_call_tree *tree)
{
	struct ptf_call_node *node = &tree->root, *todo = node->children;

	node->children = NULL;
	while (todo || node != &tree->root) {
		if (todo) {
			node = todo;
			todo = node->children;
			node->children = NULL;
			continue;
		}
		todo = node->sibling;
		if (is_blank(node)) {
			tree->nodes--;
		} else {
			node->sibling = node->parent->children;
			node->parent->children = node;
		}
		node = node->parent;
	}
}

const struct ptf_call_node *ptf_call_node_next(
        const struct ptf_call_node *top, const struct ptf_call_node *node, unsigned *up)
{
	*up = 0;
	if (node->children)
		return node->children;
	for (; node != top; node = node->parent) {
		++*up;
		if (node->sibling)
			return node->sibling;
	}
	return NULL;
}
