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

void ptf_call_node_attach(struct ptf_call_node *node, struct ptf_call_node *parent)
{
	node->parent = parent;
	node->sibling = parent->children;
	parent->children = node;
}

static struct ptf_call_node *make_child(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function, uint32_t slice)
{
	struct ptf_call_node *node = ptf_arena_alloc(&tree->arena, sizeof(*node));

	if (!node)
		return NULL;
	node->function = function;
	node->slice = slice;
	ptf_call_node_attach(node, parent);
	tree->nodes++;
	return node;
}

/* Finds a child and moves it to the front: a loop calls the same few callees, the next search is
 * short. */
static struct ptf_call_node *find_child(
        struct ptf_call_node *parent, const struct ptf_function *function, uint32_t slice)
{
	struct ptf_call_node **link = &parent->children;
	struct ptf_call_node *node;

	for (node = *link; node; link = &node->sibling, node = *link) {
		if (node->function != function || node->slice != slice)
			continue;
		*link = node->sibling;
		node->sibling = parent->children;
		parent->children = node;
		return node;
	}
	return NULL;
}

struct ptf_call_node *ptf_call_tree_slice(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function, uint32_t slice)
{
	struct ptf_call_node *node = find_child(parent, function, slice);

	return node ? node : make_child(tree, parent, function, slice);
}

struct ptf_call_node *ptf_call_tree_child(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function)
{
	return ptf_call_tree_slice(tree, parent, function, PTF_SLICE_NONE);
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

struct ptf_visits *ptf_call_tree_visits(struct ptf_call_tree *tree, struct ptf_call_node *node)
{
	if (!node->visits)
		node->visits =
		        ptf_arena_alloc(&tree->arena, PTF_VISIT_KINDS * sizeof(*node->visits));
	return node->visits;
}

static bool add_visits(
        struct ptf_call_tree *tree, struct ptf_call_node *node, const struct ptf_visits *from)
{
	struct ptf_visits *to = ptf_call_tree_visits(tree, node);

	for (unsigned i = 0; to && i < PTF_VISIT_KINDS; i++) {
		to[i].calls += from[i].calls;
		to[i].partial += from[i].partial;
		if (from[i].times.total.count &&
		        !ptf_call_times_merge(&to[i].times, &tree->arena, &from[i].times))
			return false;
	}
	return to != NULL;
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
	if (source->visits && !add_visits(tree, node, source->visits))
		return false;
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
		node = ptf_call_tree_slice(tree, node, from->function, from->slice);
		if (!node || !add_counts(tree, node, from))
			return false;
	}
	return true;
}

static bool is_blank(const struct ptf_call_node *node)
{
	return !node->calls && !node->partial_calls && !node->insns && !node->on_ns &&
	       !node->other_ns && !node->visits && !node->times && !node->children;
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

const struct ptf_call_node *ptf_call_node_skip(
        const struct ptf_call_node *top, const struct ptf_call_node *node, unsigned *up)
{
	*up = 0;
	for (; node != top; node = node->parent) {
		++*up;
		if (node->sibling)
			return node->sibling;
	}
	return NULL;
}

const struct ptf_call_node *ptf_call_node_next(
        const struct ptf_call_node *top, const struct ptf_call_node *node, unsigned *up)
{
	*up = 0;
	return node->children ? node->children : ptf_call_node_skip(top, node, up);
}

/* ---- watched calls ---- */

void ptf_call_node_detach(struct ptf_call_node *node)
{
	struct ptf_call_node **link = &node->parent->children;

	for (; *link != node; link = &(*link)->sibling)
		;
	*link = node->sibling;
	node->parent = node->sibling = NULL;
}

struct ptf_call_node *ptf_call_tree_copy(
        struct ptf_call_tree *tree, const struct ptf_call_node *source)
{
	struct ptf_call_node *copy = ptf_arena_alloc(&tree->arena, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->function = source->function;
	tree->nodes++;
	return ptf_call_tree_merge(tree, copy, source) ? copy : NULL;
}

struct ptf_call_node *ptf_call_tree_open(struct ptf_call_tree *tree, struct ptf_call_node *parent,
        const struct ptf_function *function)
{
	return make_child(tree, parent, function, PTF_SLICE_OPEN);
}

bool ptf_call_tree_close(struct ptf_call_tree *tree, struct ptf_call_node *node, uint32_t slice)
{
	struct ptf_call_node *home = find_child(node->parent, node->function, slice);

	if (!home) {
		node->slice = slice;
		return true;
	}
	ptf_call_node_detach(node);
	if (!ptf_call_tree_merge(tree, home, node))
		return false;
	ptf_call_tree_recycle(tree, node);
	return true;
}

static void recycle_node(struct ptf_call_tree *tree, struct ptf_call_node *node)
{
	struct ptf_arena *arena = &tree->arena;

	if (node->times)
		ptf_call_times_recycle(node->times, arena);
	ptf_arena_recycle(arena, node->times, sizeof(*node->times));
	for (unsigned i = 0; node->visits && i < PTF_VISIT_KINDS; i++)
		ptf_call_times_recycle(&node->visits[i].times, arena);
	ptf_arena_recycle(arena, node->visits, PTF_VISIT_KINDS * sizeof(*node->visits));
	ptf_arena_recycle(arena, node->other_ns, PTF_TIME_CLASSES * sizeof(*node->other_ns));
	ptf_arena_recycle(arena, node, sizeof(*node));
	tree->nodes--;
}

void ptf_call_tree_recycle(struct ptf_call_tree *tree, struct ptf_call_node *node)
{
	while (node) {
		struct ptf_call_node *child = node->children, *parent = node->parent;

		if (child) {
			/* What is unlinked comes back to its parent for the next child. */
			node->children = child->sibling;
			node = child;
			continue;
		}
		recycle_node(tree, node);
		node = parent;
	}
}

void ptf_call_node_unwatch(struct ptf_call_node *top)
{
	struct ptf_call_node *node = top;
	unsigned up;

	while ((node = (struct ptf_call_node *)ptf_call_node_next(top, node, &up)))
		node->slice = PTF_SLICE_NONE;
}

/* Is x before y in the list of slow calls? */
static bool is_slower(const struct ptf_slow_call *x, const struct ptf_slow_call *y)
{
	uint64_t x_ns = ptf_time_parts_sum(&x->parts), y_ns = ptf_time_parts_sum(&y->parts);

	return x_ns != y_ns ? x_ns > y_ns : x->start_ns < y->start_ns;
}

bool ptf_slow_calls_add(
        struct ptf_slow_calls **list, struct ptf_call_tree *tree, const struct ptf_slow_call *call)
{
	struct ptf_slow_call added = *call;
	struct ptf_slow_calls *calls = *list;
	size_t at;

	if (!calls)
		*list = calls = ptf_arena_alloc(&tree->arena, sizeof(*calls));
	if (!calls)
		return false;
	if (calls->n == PTF_SLOW_CALLS && !is_slower(call, &calls->v[calls->n - 1]))
		return true;
	added.node = ptf_call_tree_copy(tree, call->node);
	if (!added.node)
		return false;
	if (calls->n == PTF_SLOW_CALLS)
		ptf_call_tree_recycle(tree, calls->v[--calls->n].node);
	for (at = calls->n++; at > 0 && is_slower(&added, &calls->v[at - 1]); at--)
		calls->v[at] = calls->v[at - 1];
	calls->v[at] = added;
	return true;
}

void ptf_slow_calls_drop(
        struct ptf_slow_calls *calls, struct ptf_call_tree *tree, const struct ptf_call_node *base)
{
	size_t kept = 0;

	for (size_t i = 0; calls && i < calls->n; i++) {
		if (calls->v[i].base == base)
			ptf_call_tree_recycle(tree, calls->v[i].node);
		else
			calls->v[kept++] = calls->v[i];
	}
	if (calls)
		calls->n = kept;
}
