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
	if (!profile->whole)
		ptf_function_table_destroy(profile->functions);
	ptf_arena_release(&profile->arena);
	free(profile);
}

void ptf_profile_thread_sum(struct ptf_profile_thread *thread)
{
	const struct ptf_call_node *node = &thread->tree.root;
	uint64_t states[PTF_STATES];
	unsigned up;

	memset(thread->states, 0, sizeof(thread->states));
	for (; node; node = ptf_call_node_next(&thread->tree.root, node, &up)) {
		ptf_call_node_states(node, states);
		for (unsigned i = 0; i < PTF_STATES; i++)
			thread->states[i] += states[i];
	}
}

/* ns by state in a subtree. */
struct open_sum {
	uint64_t states[PTF_STATES];
};

/* Sums over the trees while they are walked depth first. */
struct summing {
	struct ptf_arena *arena;
	struct ptf_profile_function *by_id; /* function NULL: does not occur */
	uint32_t *on_path;                  /* frames of the function on the current path */
	PTF_VEC(struct open_sum) open;      /* so far, for each open node */
};

static void add_states(uint64_t sum[PTF_STATES], const uint64_t states[PTF_STATES])
{
	for (unsigned i = 0; i < PTF_STATES; i++)
		sum[i] += states[i];
}

static bool open_node(
        struct summing *sums, const struct ptf_function *function, const struct ptf_call_node *node)
{
	struct ptf_profile_function *sum = &sums->by_id[function->id];
	struct open_sum self;

	sum->function = function;
	sum->calls += node->calls;
	sum->jump_calls += node->jump_calls;
	sum->partial_calls += node->partial_calls;
	sum->insns += node->insns;
	if (node->times && !ptf_call_times_merge(&sum->times, sums->arena, node->times))
		return false;
	ptf_call_node_states(node, self.states);
	add_states(sum->self, self.states);
	sums->on_path[function->id]++;
	return ptf_vec_push(&sums->open, self);
}

/* Leaves the innermost open node, which is `function`'s. */
static void close_node(struct summing *sums, const struct ptf_function *function)
{
	struct open_sum sum = sums->open.v[--sums->open.n];

	if (--sums->on_path[function->id] == 0)
		add_states(sums->by_id[function->id].total, sum.states);
	if (sums->open.n)
		add_states(sums->open.v[sums->open.n - 1].states, sum.states);
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

static int compare_u64(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int compare_functions(const void *a, const void *b)
{
	const struct ptf_profile_function *x = a, *y = b;
	int order = compare_u64(ptf_states_sum(x->self), ptf_states_sum(y->self));

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

/* Keeps the functions that occur; returns how many. */
static size_t pack(struct ptf_profile_function *functions, uint32_t count)
{
	size_t kept = 0;

	for (uint32_t id = 0; id < count; id++) {
		if (functions[id].function)
			functions[kept++] = functions[id];
	}
	return kept;
}

bool ptf_profile_functions_init(
        struct ptf_profile_functions *functions, const struct ptf_profile *profile)
{
	uint32_t count = ptf_function_table_count(profile->functions);
	struct summing sums = {.arena = &functions->arena};
	bool ok;

	*functions = (struct ptf_profile_functions){0};
	functions->v = calloc(count, sizeof(*functions->v));
	sums.by_id = functions->v;
	sums.on_path = calloc(count, sizeof(*sums.on_path));
	ok = sums.by_id && sums.on_path;
	for (size_t i = 0; i < profile->n_threads && ok; i++)
		ok = sum_tree(&sums, &profile->threads[i].tree.root,
		        ptf_function_table_unknown(profile->functions));
	free(sums.on_path);
	ptf_vec_release(&sums.open);
	if (!ok) {
		ptf_profile_functions_release(functions);
		return false;
	}
	functions->n = pack(functions->v, count);
	qsort(functions->v, functions->n, sizeof(*functions->v), compare_functions);
	return true;
}

void ptf_profile_functions_release(struct ptf_profile_functions *functions)
{
	ptf_arena_release(&functions->arena);
	free(functions->v);
	*functions = (struct ptf_profile_functions){0};
}
