/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "profile/profile.h"

void ptf_profile_destroy(struct ptf_profile *profile)
{
	if (!profile)
		return;
	for (size_t i = 0; i < profile->n_threads; i++)
		ptf_call_tree_release(&profile->threads[i].tree);
	ptf_latency_table_release(&profile->latency);
	ptf_function_table_destroy(profile->functions);
	ptf_arena_release(&profile->arena);
	free(profile);
}

/* Sums over the trees while they are walked depth first. */
struct summing {
	struct ptf_profile_function *by_id; /* function NULL: does not occur */
	uint32_t *on_path;                  /* frames of the function on the current path */
	PTF_VEC(uint64_t) open;             /* ns in the subtree so far, for each open node */
};

static uint64_t node_self(struct ptf_profile_function *sum, const struct ptf_call_node *node)
{
	uint64_t states[PTF_STATES], ns = 0;

	ptf_call_node_states(node, states);
	for (unsigned i = 0; i < PTF_STATES; i++) {
		sum->self[i] += states[i];
		ns += states[i];
	}
	return ns;
}

static bool open_node(
        struct summing *sums, const struct ptf_function *function, const struct ptf_call_node *node)
{
	struct ptf_profile_function *sum = &sums->by_id[function->id];

	sum->function = function;
	sum->calls += node->calls;
	sum->jump_calls += node->jump_calls;
	sum->partial_calls += node->partial_calls;
	sum->timed_calls += node->timed_calls;
	sum->insns += node->insns;
	sums->on_path[function->id]++;
	return ptf_vec_push(&sums->open, node_self(sum, node));
}

/* Leaves the innermost open node, which is `function`'s. */
static void close_node(struct summing *sums, const struct ptf_function *function)
{
	uint64_t ns = sums->open.v[--sums->open.n];

	if (--sums->on_path[function->id] == 0)
		sums->by_id[function->id].total_ns += ns;
	if (sums->open.n)
		sums->open.v[sums->open.n - 1] += ns;
}

static bool has_self(const struct ptf_call_node *node)
{
	return node->on_ns || node->other_ns || node->insns;
}

static bool sum_tree(
        struct summing *sums, const struct ptf_call_node *root, const struct ptf_function *unknown)
{
	const struct ptf_call_node *node = root, *next;
	unsigned up;

	/* The empty stack is [unknown]'s, but nobody's caller. */
	if (has_self(root)) {
		if (!open_node(sums, unknown, root))
			return false;
		close_node(sums, unknown);
	}
	while ((next = ptf_call_node_next(root, node, &up)) || up) {
		for (; up; up--, node = node->parent) {
			if (node != root)
				close_node(sums, node->function);
		}
		if (!next)
			break;
		if (!open_node(sums, next->function, next))
			return false;
		node = next;
	}
	return true;
}

static uint64_t self_ns(const struct ptf_profile_function *f)
{
	return f->self[0] + f->self[1] + f->self[2] + f->self[3];
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int compare_functions(const void *a, const void *b)
{
	const struct ptf_profile_function *x = a, *y = b;
	int order = compare_u64(self_ns(x), self_ns(y));

	if (!order)
		order = compare_u64(x->insns, y->insns);
	if (!order)
		order = compare_u64(x->calls, y->calls);
	if (!order)
		order = strcmp(x->function->name, y->function->name);
	if (!order)
		order = strcmp(x->function->module, y->function->module);
	return order ? order : -compare_u64(x->function->address, y->function->address);
}

/* Keeps the functions that occur, with their latencies. */
static size_t pack(
        const struct ptf_profile *profile, struct ptf_profile_function *functions, uint32_t count)
{
	size_t kept = 0;

	for (uint32_t id = 0; id < count; id++) {
		struct ptf_profile_function f = functions[id];

		if (!f.function)
			continue;
		if (id < profile->latency.count)
			f.latency = profile->latency.by_function[id];
		functions[kept++] = f;
	}
	return kept;
}

struct ptf_profile_function *ptf_profile_functions(const struct ptf_profile *profile, size_t *n)
{
	uint32_t count = ptf_function_table_count(profile->functions);
	struct summing sums = {0};
	bool ok;

	*n = 0;
	sums.by_id = calloc(count, sizeof(*sums.by_id));
	sums.on_path = calloc(count, sizeof(*sums.on_path));
	ok = sums.by_id && sums.on_path;
	for (size_t i = 0; i < profile->n_threads && ok; i++)
		ok = sum_tree(&sums, &profile->threads[i].tree.root,
		        ptf_function_table_unknown(profile->functions));
	free(sums.on_path);
	ptf_vec_release(&sums.open);
	if (!ok) {
		free(sums.by_id);
		return NULL;
	}
	*n = pack(profile, sums.by_id, count);
	qsort(sums.by_id, *n, sizeof(*sums.by_id), compare_functions);
	return sums.by_id;
}
