/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/profile_view.h"
#include "profile/time_places.h"

/* Pseudo-frames under a function: at most a place in the kernel and a reason for being off. */
enum { PLACE_NAME_SIZE = 256 };

/* "crc32", or what stands under the function, without it. */
static const char *place_name(struct ptf_arena *arena, const struct ptf_view_node *node)
{
	char text[PLACE_NAME_SIZE];

	if (node->kind == PTF_VIEW_USER || node->parent->kind == PTF_VIEW_USER)
		return ptf_arena_strdup(arena, node->name);
	snprintf(text, sizeof(text), "%s %s", node->parent->name, node->name);
	return ptf_arena_strdup(arena, text);
}

static int by_name(const void *a, const void *b)
{
	const struct ptf_time_place *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_time(const void *a, const void *b)
{
	const struct ptf_time_place *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns > y->ns ? -1 : 1;
	return by_name(a, b);
}

static bool take_places(struct ptf_time_places *places, const struct ptf_profile_view *view)
{
	const struct ptf_view_node *node = view->root;
	unsigned up;

	places->v = ptf_arena_alloc(&places->arena, (view->nodes + 1) * sizeof(*places->v));
	if (!places->v)
		return false;
	while ((node = ptf_view_node_next(view->root, node, &up))) {
		struct ptf_time_place *place = &places->v[places->n];

		if (!node->self)
			continue;
		place->name = place_name(&places->arena, node);
		place->ns = node->self;
		if (!place->name)
			return false;
		places->total_ns += node->self;
		places->n++;
	}
	return true;
}

/* Joins places of one name. */
static void join(struct ptf_time_places *places)
{
	size_t kept = 0;

	qsort(places->v, places->n, sizeof(*places->v), by_name);
	for (size_t i = 0; i < places->n; i++) {
		if (kept && strcmp(places->v[kept - 1].name, places->v[i].name) == 0)
			places->v[kept - 1].ns += places->v[i].ns;
		else
			places->v[kept++] = places->v[i];
	}
	places->n = kept;
	qsort(places->v, places->n, sizeof(*places->v), by_time);
}

/* The view names what is seen; it takes a profile, so the subtree becomes one of one thread. */
static int view_subtree(struct ptf_profile_view *view, const struct ptf_profile *profile,
        const struct ptf_call_node *node, struct ptf_profile_thread *thread, struct ptf_error *err)
{
	struct ptf_profile part = *profile;
	const struct ptf_view_options options = {.weight = PTF_WEIGHT_WALL};
	struct ptf_call_node *top =
	        ptf_call_tree_child(&thread->tree, &thread->tree.root, node->function);

	part.threads = thread;
	part.n_threads = 1;
	if (!top || !ptf_call_tree_merge(&thread->tree, top, node))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	return ptf_profile_view_init(view, &part, &options, err);
}

int ptf_time_places_init(struct ptf_time_places *places, const struct ptf_profile *profile,
        const struct ptf_call_node *node, struct ptf_error *err)
{
	struct ptf_profile_thread thread = {.comm = "-", .process_comm = "-"};
	struct ptf_profile_view view;
	bool ok;

	*places = (struct ptf_time_places){0};
	if (view_subtree(&view, profile, node, &thread, err) < 0) {
		ptf_call_tree_release(&thread.tree);
		return -PTF_ENOMEM;
	}
	ok = take_places(places, &view);
	ptf_profile_view_release(&view);
	ptf_call_tree_release(&thread.tree);
	if (!ok) {
		ptf_time_places_release(places);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	if (places->n)
		join(places);
	return 0;
}

void ptf_time_places_release(struct ptf_time_places *places)
{
	ptf_arena_release(&places->arena);
	*places = (struct ptf_time_places){0};
}
