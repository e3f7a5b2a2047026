/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile/profile_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"
#include "base/vec.h"
#include "profile/syscall_name.h"

/* A name with its kind: what tells the children of one parent apart. */
struct frame_name {
	const char *text;
	enum ptf_view_kind kind;
	uint32_t id;             /* from 1 */
	struct frame_name *next; /* with the same hash, or NULL */
};

/* What a view is made with, and needs no longer afterwards. */
struct builder {
	struct ptf_profile_view *view;
	const struct ptf_profile *profile;
	struct ptf_hash_map names;     /* hash of text and kind -> struct frame_name */
	struct ptf_hash_map functions; /* function id -> struct frame_name */
	struct ptf_hash_map syscalls;  /* function id -> struct frame_name, of the pseudo-frame */
	struct ptf_hash_map children;  /* parent's order << 32 | name id -> struct ptf_view_node */
	uint32_t n_names;
	PTF_VEC(struct ptf_view_node *) nodes; /* in order of making: parents first */
};

enum ptf_view_weight ptf_profile_view_weight(
        const struct ptf_profile *profile, enum ptf_view_weight wanted)
{
	if (profile->window.timed || wanted == PTF_WEIGHT_CALLS)
		return wanted;
	return PTF_WEIGHT_INSNS;
}

const char *ptf_view_weight_unit(enum ptf_view_weight weight)
{
	if (weight == PTF_WEIGHT_CALLS)
		return "calls";
	return weight == PTF_WEIGHT_INSNS ? "instructions" : "ns";
}

const char *ptf_view_weight_name(enum ptf_view_weight weight)
{
	static const char *const names[] = {
	        [PTF_WEIGHT_WALL] = "wall",
	        [PTF_WEIGHT_ON] = "on",
	        [PTF_WEIGHT_KERNEL] = "kernel",
	        [PTF_WEIGHT_OFF] = "off",
	        [PTF_WEIGHT_CALLS] = "calls",
	        [PTF_WEIGHT_INSNS] = "insns",
	};

	return names[weight];
}

/* The entry for text and kind, made (with a copy of text, unless the profile owns it) when absent.
 */
static struct frame_name *intern(
        struct builder *b, const char *text, enum ptf_view_kind kind, bool copy)
{
	uint64_t hash = ptf_hash_u64(ptf_hash_bytes(text, strlen(text)) + kind);
	uint64_t *slot = ptf_hash_map_at(&b->names, hash, NULL);
	struct frame_name *name;

	if (!slot)
		return NULL;
	for (name = (struct frame_name *)(uintptr_t)*slot; name; name = name->next) {
		if (name->kind == kind && !strcmp(name->text, text))
			return name;
	}
	name = ptf_arena_alloc(&b->view->arena, sizeof(*name));
	if (!name)
		return NULL;
	name->text = copy ? ptf_arena_strdup(&b->view->arena, text) : text;
	name->kind = kind;
	name->id = ++b->n_names;
	name->next = (struct frame_name *)(uintptr_t)*slot;
	*slot = (uintptr_t)name;
	return name->text ? name : NULL;
}

/* A function of the kernel is marked, as flame graphs of perf's samples have it. */
static struct frame_name *kernel_name(struct builder *b, const struct ptf_function *function)
{
	char *text;
	struct frame_name *name;

	if (asprintf(&text, "%s_[k]", function->name) < 0)
		return NULL;
	name = intern(b, text, PTF_VIEW_KERNEL, true);
	free(text);
	return name;
}

static struct frame_name *function_name(struct builder *b, const struct ptf_function *function)
{
	uint64_t *slot = ptf_hash_map_at(&b->functions, function->id, NULL);

	if (!slot)
		return NULL;
	if (!*slot)
		*slot = (uintptr_t)(function->kernel
		                            ? kernel_name(b, function)
		                            : intern(b, function->name, PTF_VIEW_USER, false));
	return (struct frame_name *)(uintptr_t)*slot;
}

/* The pseudo-frame of a system call that `function` made (NULL: not known). */
static struct frame_name *syscall_frame(struct builder *b, const struct ptf_function *function)
{
	char call[PTF_SYSCALL_NAME_SIZE];
	char text[PTF_SYSCALL_NAME_SIZE + sizeof("syscall:_[k]")];
	uint64_t *slot;

	if (!function)
		return intern(b, "[kernel]_[k]", PTF_VIEW_KERNEL, false);
	slot = ptf_hash_map_at(&b->syscalls, function->id, NULL);
	if (!slot)
		return NULL;
	if (*slot)
		return (struct frame_name *)(uintptr_t)*slot;
	if (ptf_syscall_name(function, call))
		snprintf(text, sizeof(text), "syscall:%s_[k]", call);
	else
		strcpy(text, "[kernel]_[k]");
	*slot = (uintptr_t)intern(b, text, PTF_VIEW_KERNEL, true);
	return (struct frame_name *)(uintptr_t)*slot;
}

/* The child of parent called name (NULL: out of memory), made when absent. */
static struct ptf_view_node *child(
        struct builder *b, struct ptf_view_node *parent, const struct frame_name *name)
{
	struct ptf_view_node *node;
	uint64_t *slot;

	if (!name)
		return NULL;
	slot = ptf_hash_map_at(&b->children, parent->order << 32 | name->id, NULL);
	if (!slot)
		return NULL;
	if (*slot)
		return (struct ptf_view_node *)(uintptr_t)*slot;
	node = ptf_arena_alloc(&b->view->arena, sizeof(*node));
	if (!node || !ptf_vec_push(&b->nodes, node))
		return NULL;
	node->name = name->text;
	node->kind = name->kind;
	node->parent = parent;
	node->order = b->nodes.n;
	*slot = (uintptr_t)node;
	return node;
}

/* A pseudo-frame with a constant name. */
static struct ptf_view_node *pseudo(
        struct builder *b, struct ptf_view_node *parent, const char *text, enum ptf_view_kind kind)
{
	return child(b, parent, intern(b, text, kind, false));
}

/* The node for time in the kernel (or behind a filter) under a user frame; the user frame itself
 * for time in the traced code. */
static struct ptf_view_node *place_node(struct builder *b, struct ptf_view_node *user,
        const struct ptf_function *function, enum ptf_place place)
{
	bool kernel = place != PTF_PLACE_USER && place != PTF_PLACE_FILTERED;

	if (kernel && !b->profile->window.switches)
		return pseudo(b, user, "[kernel+off]_[k]", PTF_VIEW_KERNEL);
	switch (place) {
	case PTF_PLACE_SYSCALL:
		return child(b, user, syscall_frame(b, function));
	case PTF_PLACE_INTERRUPT:
		return pseudo(b, user, "[interrupt]_[k]", PTF_VIEW_KERNEL);
	case PTF_PLACE_KERNEL:
		return pseudo(b, user, "[kernel]_[k]", PTF_VIEW_KERNEL);
	case PTF_PLACE_FILTERED:
		return pseudo(b, user, "[filtered]", PTF_VIEW_FILTERED);
	default:
		return user;
	}
}

static enum ptf_place running_place(unsigned time_class)
{
	switch (time_class) {
	case PTF_TIME_FILTERED:
		return PTF_PLACE_FILTERED;
	case PTF_TIME_SYSCALL:
		return PTF_PLACE_SYSCALL;
	case PTF_TIME_INTERRUPT:
		return PTF_PLACE_INTERRUPT;
	case PTF_TIME_KERNEL:
		return PTF_PLACE_KERNEL;
	default:
		return PTF_PLACE_USER;
	}
}

/* The node on which time of a class is drawn. */
static struct ptf_view_node *class_node(struct builder *b, struct ptf_view_node *user,
        const struct ptf_function *function, unsigned time_class)
{
	static const char *const reasons[PTF_OFF_REASONS] = {
	        [PTF_OFF_BLOCKED] = "[blocked]",
	        [PTF_OFF_PREEMPTED] = "[preempted]",
	        [PTF_OFF_YIELDED] = "[yielded]",
	        [PTF_OFF_RUNQUEUE] = "[runqueue]",
	        [PTF_OFF_UNKNOWN] = "[off]",
	        [PTF_OFF_RECORDER] = "[recorder]",
	};
	struct ptf_view_node *place;

	if (time_class == PTF_TIME_LOST)
		return pseudo(b, user, "[lost]", PTF_VIEW_LOST);
	if (time_class < PTF_TIME_OFF)
		return place_node(b, user, function, running_place(time_class));
	place = place_node(b, user, function, ptf_time_class_place(time_class));
	if (!place)
		return NULL;
	return pseudo(b, place, reasons[ptf_time_class_reason(time_class)], PTF_VIEW_OFF);
}

static bool is_weighed(enum ptf_view_weight weight, unsigned time_class)
{
	enum ptf_time_state state = ptf_time_class_state(time_class);

	switch (weight) {
	case PTF_WEIGHT_WALL:
		return true;
	case PTF_WEIGHT_ON:
		return state == PTF_STATE_ON;
	case PTF_WEIGHT_KERNEL:
		return state == PTF_STATE_KERNEL;
	case PTF_WEIGHT_OFF:
		return state == PTF_STATE_OFF;
	default:
		return false;
	}
}

static bool add_times(
        struct builder *b, struct ptf_view_node *user, const struct ptf_call_node *from)
{
	for (unsigned i = 0; i < PTF_TIME_CLASSES; i++) {
		uint64_t ns = ptf_call_node_time(from, i);
		struct ptf_view_node *node;

		if (!ns || !is_weighed(b->view->weight, i))
			continue;
		node = class_node(b, user, from->function, i);
		if (!node)
			return false;
		node->self += ns;
	}
	return true;
}

/* Adds what happened on one path to its node. */
static bool add_node(
        struct builder *b, struct ptf_view_node *node, const struct ptf_call_node *from)
{
	node->calls += from->calls;
	node->partial_calls += from->partial_calls;
	if (b->view->weight == PTF_WEIGHT_CALLS)
		node->self += from->calls;
	if (b->view->weight == PTF_WEIGHT_INSNS)
		node->self += from->insns;
	if (from->times && !ptf_call_times_merge(&node->times, &b->view->arena, from->times))
		return false;
	return add_times(b, node, from);
}

static bool has_anything(const struct ptf_call_node *node)
{
	return node->insns || node->on_ns || node->other_ns;
}

/* The empty stack is drawn as a frame, since time directly on a label would look like a mistake. */
static bool add_empty_stack(
        struct builder *b, struct ptf_view_node *label, const struct ptf_call_node *root)
{
	struct ptf_view_node *node;

	if (!has_anything(root))
		return true;
	node = pseudo(b, label, "[unknown]", PTF_VIEW_USER);
	return node && add_node(b, node, root);
}

static bool is_before(const struct ptf_function *a, const struct ptf_function *b)
{
	int order = strcmp(a->module, b->module);

	return order < 0 || (order == 0 && a->address < b->address);
}

static bool add_tree(
        struct builder *b, struct ptf_view_node *label, const struct ptf_call_tree *tree)
{
	const struct ptf_call_node *from = &tree->root;
	struct ptf_view_node *node = label;
	unsigned up;

	if (!add_empty_stack(b, label, from))
		return false;
	while ((from = ptf_call_node_next(&tree->root, from, &up))) {
		for (; up; up--)
			node = node->parent;
		node = child(b, node, function_name(b, from->function));
		if (!node || !add_node(b, node, from))
			return false;
		if (!node->function || is_before(from->function, node->function))
			node->function = from->function;
	}
	return true;
}

/* "name-pid/tid" and so on, in the view's arena; without a name perf's ":1234" stands for it. */
static struct frame_name *label_name(
        struct builder *b, const struct ptf_profile_thread *thread, enum ptf_view_by by)
{
	const char *comm = by == PTF_BY_PROCESS ? thread->process_comm : thread->comm;
	char number[16];
	char text[256];

	if (!comm[0]) {
		snprintf(number, sizeof(number), ":%d",
		        by == PTF_BY_PROCESS ? thread->pid : thread->tid);
		comm = number;
	}
	if (by == PTF_BY_THREAD)
		snprintf(text, sizeof(text), "%s-%d/%d", comm, thread->pid, thread->tid);
	else if (by == PTF_BY_PROCESS)
		snprintf(text, sizeof(text), "%s-%d", comm, thread->pid);
	else
		snprintf(text, sizeof(text), "%s", comm);
	return intern(b, text, PTF_VIEW_LABEL, true);
}

static bool make_root(struct ptf_profile_view *view)
{
	view->root = ptf_arena_alloc(&view->arena, sizeof(*view->root));
	if (!view->root)
		return false;
	view->root->name = "all";
	view->root->kind = PTF_VIEW_ROOT;
	return true;
}

static bool add_threads(struct builder *b, const struct ptf_view_options *options)
{
	for (size_t i = 0; i < b->profile->n_threads; i++) {
		const struct ptf_profile_thread *thread = &b->profile->threads[i];
		struct ptf_view_node *label;

		label = child(b, b->view->root, label_name(b, thread, options->by));
		if (!label || !add_tree(b, label, &thread->tree))
			return false;
	}
	return true;
}

/* Every node comes after its parent: from the last to the first, all below is summed already. */
static void sum_totals(struct builder *b)
{
	for (size_t i = b->nodes.n; i-- > 0;) {
		struct ptf_view_node *node = b->nodes.v[i];

		node->total += node->self;
		node->parent->total += node->total;
	}
}

static int compare_nodes(const void *a, const void *b)
{
	const struct ptf_view_node *x = *(struct ptf_view_node *const *)a;
	const struct ptf_view_node *y = *(struct ptf_view_node *const *)b;
	int order;

	if (x->parent != y->parent)
		return x->parent->order < y->parent->order ? -1 : 1;
	order = strcmp(x->name, y->name);
	return order ? order : (int)x->kind - (int)y->kind;
}

/* Sorts all nodes by parent and name, then links them from the last to the first. */
static void link_children(struct builder *b)
{
	if (b->nodes.n)
		qsort(b->nodes.v, b->nodes.n, sizeof(*b->nodes.v), compare_nodes);
	for (size_t i = b->nodes.n; i-- > 0;) {
		struct ptf_view_node *node = b->nodes.v[i];

		node->sibling = node->parent->children;
		node->parent->children = node;
	}
}

static void release_builder(struct builder *b)
{
	ptf_hash_map_release(&b->names);
	ptf_hash_map_release(&b->functions);
	ptf_hash_map_release(&b->syscalls);
	ptf_hash_map_release(&b->children);
	ptf_vec_release(&b->nodes);
}

int ptf_profile_view_init(struct ptf_profile_view *view, const struct ptf_profile *profile,
        const struct ptf_view_options *options, struct ptf_error *err)
{
	struct builder b = {.view = view, .profile = profile};
	bool ok;

	*view = (struct ptf_profile_view){
	        .weight = ptf_profile_view_weight(profile, options->weight)};
	ok = make_root(view) && add_threads(&b, options);
	if (ok) {
		sum_totals(&b);
		link_children(&b);
		view->nodes = b.nodes.n;
	}
	release_builder(&b);
	if (ok)
		return 0;
	ptf_profile_view_release(view);
	return ptf_error_set(err, PTF_ENOMEM, "the view of the profile: out of memory");
}

void ptf_profile_view_release(struct ptf_profile_view *view)
{
	ptf_arena_release(&view->arena);
	*view = (struct ptf_profile_view){0};
}

const struct ptf_view_node *ptf_view_node_next(
        const struct ptf_view_node *top, const struct ptf_view_node *node, unsigned *up)
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
