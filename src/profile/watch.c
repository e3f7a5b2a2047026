/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "profile/profile_builder.h"
#include "profile/watch.h"
#include "symbol/name_distance.h"

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for the watched calls");
}

/* ---- is it there? ---- */

enum { MAX_SIMILAR = 5 };

struct similar {
	const struct ptf_function *function;
	unsigned distance;
};

static bool is_nearer(const struct similar *a, const struct similar *b)
{
	size_t a_len = strlen(a->function->name), b_len = strlen(b->function->name);

	if (a->distance != b->distance)
		return a->distance < b->distance;
	if (a_len != b_len)
		return a_len < b_len;
	return strcmp(a->function->name, b->function->name) < 0;
}

/* The functions whose names are most like `name`, the nearest first; returns how many. */
static size_t find_similar(const struct ptf_function_table *functions, const char *name,
        struct similar found[MAX_SIMILAR])
{
	uint32_t count = ptf_function_table_count(functions);
	size_t n = 0;

	for (uint32_t id = 1; id < count; id++) {
		struct similar next = {.function = ptf_function_table_get(functions, id)};
		size_t at = n;

		next.distance = ptf_name_distance(name, next.function->name);
		if (next.distance == PTF_NAME_UNLIKE ||
		        (n == MAX_SIMILAR && !is_nearer(&next, &found[n - 1])))
			continue;
		if (n < MAX_SIMILAR)
			n++;
		else
			at--;
		for (; at > 0 && is_nearer(&next, &found[at - 1]); at--)
			found[at] = found[at - 1];
		found[at] = next;
	}
	return n;
}

/* "no function 'x' was called; alike are y, z" */
static int nothing_found(
        const struct ptf_function_table *functions, const char *name, struct ptf_error *err)
{
	struct similar similar[MAX_SIMILAR];
	size_t n = find_similar(functions, name, similar);
	char text[sizeof(err->msg)];
	size_t at = (size_t)snprintf(text, sizeof(text), "no function '%.100s' was called", name);

	for (size_t i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.60s",
		        i ? ", " : "; alike are ", similar[i].function->name);
	return ptf_error_set(err, PTF_ENODATA, "%s", text);
}

int ptf_watch_check(const struct ptf_profile *profile, const char *name, struct ptf_error *err)
{
	for (size_t i = 0; i < profile->n_threads; i++) {
		const struct ptf_call_node *root = &profile->threads[i].tree.root, *node = root;
		unsigned up;

		while ((node = ptf_call_node_next(root, node, &up))) {
			if (node->function->watched)
				return 0;
		}
	}
	return nothing_found(profile->functions, name, err);
}

/* ---- which calls ---- */

/* The outermost watched node after `node`: what is below a watched one is passed over. */
static const struct ptf_call_node *next_outermost(
        const struct ptf_call_node *root, const struct ptf_call_node *node)
{
	unsigned up;

	do {
		node = node != root && node->function->watched
		               ? ptf_call_node_skip(root, node, &up)
		               : ptf_call_node_next(root, node, &up);
	} while (node && !node->function->watched);
	return node;
}

/* Counts the watched calls; *durations: of the timed ones, by bucket. */
static bool count_calls(const struct ptf_profile *profile, struct ptf_watch_counts *counts,
        struct ptf_latency *durations, struct ptf_arena *arena)
{
	for (size_t i = 0; i < profile->n_threads; i++) {
		const struct ptf_call_node *root = &profile->threads[i].tree.root, *node = root;

		while ((node = next_outermost(root, node))) {
			counts->partial += node->partial_calls;
			if (node->slice >= PTF_SLICE_FIRST && node->times &&
			        !ptf_latency_merge(durations, arena, &node->times->total))
				return false;
		}
	}
	counts->timed = durations->count;
	return true;
}

/* The first bucket of the slowest calls: as few buckets as hold that share of the calls. */
static unsigned first_slow_bucket(const struct ptf_latency *durations, double percent)
{
	double share = percent * (double)durations->count / 100;
	uint64_t wanted = (uint64_t)share, seen = 0;
	unsigned bucket = PTF_LATENCY_BUCKETS;

	/* 0.1 per cent of 1000 is 1, whatever the last bit says. */
	wanted += share - (double)wanted > 1e-6;
	while (bucket > 0 && seen < wanted) {
		bucket--;
		seen += ptf_latency_between(durations, bucket, bucket + 1);
	}
	return bucket;
}

/* The slices that are chosen: from..to-1. */
struct slices {
	uint32_t from, to;
};

static struct slices choose_slices(const struct ptf_watch_choice *choice,
        const struct ptf_latency *durations, struct ptf_watch_counts *counts)
{
	bool slowest = choice->kind == PTF_WATCH_SLOWEST;
	unsigned first;

	if (choice->kind == PTF_WATCH_ALL) {
		counts->chosen = counts->timed + counts->partial;
		return (struct slices){PTF_SLICE_NONE, UINT32_MAX};
	}
	first = first_slow_bucket(durations, slowest ? choice->percent : 100 - choice->percent);
	counts->threshold_ns =
	        first < PTF_LATENCY_BUCKETS ? ptf_latency_bucket_start(first) : UINT64_MAX;
	counts->chosen = slowest ? ptf_latency_between(durations, first, PTF_LATENCY_BUCKETS)
	                         : ptf_latency_between(durations, 0, first);
	return slowest ? (struct slices){PTF_SLICE_FIRST + first, UINT32_MAX}
	               : (struct slices){PTF_SLICE_FIRST, PTF_SLICE_FIRST + first};
}

/* ---- the part ---- */

/* The path to the present node of the whole, and its nodes in the part (NULL: not made yet). */
struct path {
	PTF_VEC(struct ptf_call_node *) part;
	struct ptf_call_tree *tree;
};

/* The node in the part that stands for the caller on level `depth`, made with those below it. */
static struct ptf_call_node *caller_in_part(
        struct path *path, const struct ptf_call_node *caller, size_t depth)
{
	size_t known = depth;

	while (!path->part.v[known])
		known--;
	for (; known < depth; known++) {
		const struct ptf_call_node *at = caller;

		for (size_t up = depth - known - 1; up > 0; up--)
			at = at->parent;
		path->part.v[known + 1] =
		        ptf_call_tree_child(path->tree, path->part.v[known], at->function);
		if (!path->part.v[known + 1])
			return NULL;
	}
	return path->part.v[depth];
}

static bool copy_call(struct path *path, const struct ptf_call_node *call, size_t depth)
{
	struct ptf_call_node *caller = caller_in_part(path, call->parent, depth - 1);
	struct ptf_call_node *node =
	        caller ? ptf_call_tree_child(path->tree, caller, call->function) : NULL;

	return node && ptf_call_tree_merge(path->tree, node, call);
}

static bool copy_calls(
        struct path *path, const struct ptf_call_node *root, const struct slices *slices)
{
	const struct ptf_call_node *node = root;
	size_t depth = 0;
	unsigned up;

	if (!ptf_vec_push(&path->part, &path->tree->root))
		return false;
	for (;;) {
		bool watched = node != root && node->function->watched;

		if (watched && node->slice >= slices->from && node->slice < slices->to &&
		        !copy_call(path, node, depth))
			return false;
		node = watched ? ptf_call_node_skip(root, node, &up)
		               : ptf_call_node_next(root, node, &up);
		if (!node)
			return true;
		depth = depth + 1 - up;
		path->part.n = depth;
		if (!ptf_vec_push(&path->part, NULL))
			return false;
	}
}

static bool copy_thread(struct ptf_profile_thread *thread, const struct ptf_profile_thread *from,
        const struct slices *slices)
{
	struct path path = {.tree = &thread->tree};
	bool ok;

	*thread = *from;
	thread->slow = NULL;
	ptf_call_tree_init(&thread->tree);
	ok = copy_calls(&path, &from->tree.root, slices);
	ptf_vec_release(&path.part);
	ptf_call_node_unwatch(&thread->tree.root);
	ptf_profile_thread_sum(thread);
	return ok;
}

static int copy_threads(struct ptf_profile *part, const struct slices *slices)
{
	const struct ptf_profile *whole = part->whole;

	part->threads =
	        ptf_arena_alloc(&part->arena, (whole->n_threads + 1) * sizeof(*part->threads));
	for (size_t i = 0; part->threads && i < whole->n_threads; i++) {
		struct ptf_profile_thread *thread = &part->threads[part->n_threads++];

		if (!copy_thread(thread, &whole->threads[i], slices))
			return -PTF_ENOMEM;
		if (thread->tree.root.children)
			continue;
		ptf_call_tree_release(&thread->tree);
		part->n_threads--;
	}
	return part->threads ? 0 : -PTF_ENOMEM;
}

static int make_part(struct ptf_profile **out, const struct ptf_profile *whole,
        const struct slices *slices, struct ptf_error *err)
{
	struct ptf_profile *part = malloc(sizeof(*part));

	if (!part)
		return no_memory(err);
	*part = *whole;
	part->whole = whole;
	part->arena = (struct ptf_arena){0};
	part->n_threads = 0;
	if (copy_threads(part, slices) < 0) {
		ptf_profile_destroy(part);
		return no_memory(err);
	}
	*out = part;
	return 0;
}

int ptf_watch_choose(struct ptf_profile **part, const struct ptf_profile *whole,
        const struct ptf_watch_choice *choice, struct ptf_watch_counts *counts,
        struct ptf_error *err)
{
	struct ptf_latency durations = {0};
	struct ptf_arena arena = {0};
	struct slices slices;
	int rc = 0;

	*counts = (struct ptf_watch_counts){0};
	if (!count_calls(whole, counts, &durations, &arena))
		rc = no_memory(err);
	else if (choice->kind != PTF_WATCH_ALL && !counts->timed)
		rc = ptf_error_set(err, PTF_ENODATA,
		        "none of the %llu calls has a known duration: none can be chosen by it",
		        (unsigned long long)counts->partial);
	if (rc == 0) {
		slices = choose_slices(choice, &durations, counts);
		rc = make_part(part, whole, &slices, err);
	}
	ptf_arena_release(&arena);
	return rc;
}

/* ---- the slowest ---- */

static uint64_t duration(const struct ptf_watch_slow *slow)
{
	return ptf_time_parts_sum(&slow->call->parts);
}

static size_t insert_slow(struct ptf_watch_slow *slowest, size_t n, struct ptf_watch_slow slow)
{
	size_t at;

	if (n == PTF_SLOW_CALLS && duration(&slowest[n - 1]) >= duration(&slow))
		return n;
	if (n < PTF_SLOW_CALLS)
		n++;
	for (at = n - 1; at > 0 && duration(&slowest[at - 1]) < duration(&slow); at--)
		slowest[at] = slowest[at - 1];
	slowest[at] = slow;
	return n;
}

size_t ptf_watch_slowest(
        const struct ptf_profile *profile, struct ptf_watch_slow slowest[PTF_SLOW_CALLS])
{
	size_t n = 0;

	for (size_t i = 0; i < profile->n_threads; i++) {
		const struct ptf_slow_calls *slow = profile->threads[i].slow;

		for (size_t k = 0; slow && k < slow->n; k++)
			n = insert_slow(slowest, n,
			        (struct ptf_watch_slow){&slow->v[k], &profile->threads[i]});
	}
	return n;
}
