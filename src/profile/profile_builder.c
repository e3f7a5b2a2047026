/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "profile/profile_builder.h"
#include "profile/thread_stack.h"

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for the profile");
}

struct ptf_profile *ptf_profile_create(void)
{
	struct ptf_profile *profile = calloc(1, sizeof(*profile));

	if (!profile)
		return NULL;
	profile->functions = ptf_function_table_create();
	if (!profile->functions) {
		free(profile);
		return NULL;
	}
	return profile;
}

/* ---- stats ---- */

enum { STATS_STEP = 16 };

bool ptf_profile_add_stat(
        struct ptf_profile *profile, const char *name, const char *text, uint64_t count)
{
	if (profile->n_stats % STATS_STEP == 0) {
		struct ptf_profile_stat *grown = ptf_arena_alloc(
		        &profile->arena, (profile->n_stats + STATS_STEP) * sizeof(*grown));

		if (!grown)
			return false;
		if (profile->n_stats)
			memcpy(grown, profile->stats, profile->n_stats * sizeof(*grown));
		profile->stats = grown;
	}
	profile->stats[profile->n_stats++] = (struct ptf_profile_stat){name, text, count};
	return true;
}

bool ptf_profile_add_rules(struct ptf_profile *profile, const struct ptf_stack_rule_counts *rules)
{
	for (unsigned i = 0; i < PTF_RULES; i++) {
		if (!ptf_profile_add_stat(profile, ptf_stack_rule_name((enum ptf_stack_rule)i),
		            ptf_stack_rule_text((enum ptf_stack_rule)i), rules->fired[i]))
			return false;
	}
	memcpy(profile->losses, rules->losses, sizeof(profile->losses));
	profile->n_losses = rules->n_losses;
	return true;
}

/* ---- threads ---- */

int ptf_thread_set_init(struct ptf_thread_set *set, const struct ptf_timelines *timelines,
        struct ptf_known_stacks *known, bool timed, const struct ptf_slice_bounds *slice,
        struct ptf_error *err)
{
	*set = (struct ptf_thread_set){.timelines = timelines,
	        .known = known,
	        .timed = timed,
	        .slice = *slice,
	        .at_ns = PTF_NO_TIME};
	ptf_timelines_all(timelines, &set->n);
	set->stitches = calloc(set->n + 1, sizeof(*set->stitches));
	set->used = calloc(set->n + 1, sizeof(*set->used));
	if (!set->stitches || !set->used)
		return no_memory(err);
	if (known)
		ptf_known_stacks_bind(known, set->stitches);
	return 0;
}

void ptf_thread_set_release(struct ptf_thread_set *set)
{
	for (size_t i = 0; set->used && i < set->n; i++) {
		if (set->used[i])
			ptf_stitch_release(&set->stitches[i]);
	}
	free(set->stitches);
	free(set->used);
	*set = (struct ptf_thread_set){0};
}

static int begin_life(struct ptf_thread_set *set, size_t index)
{
	size_t n;
	const struct ptf_thread_timeline *lives = ptf_timelines_all(set->timelines, &n);
	int rc;

	if (set->used[index])
		return 0;
	set->used[index] = true;
	rc = ptf_stitch_init(&set->stitches[index], set->timed ? &lives[index] : NULL, &set->rules);
	if (set->filtered)
		set->stitches[index].stack.place = PTF_PLACE_FILTERED;
	set->stitches[index].from_ns = set->slice.from_ns;
	set->stitches[index].to_ns = set->slice.to_ns;
	if (set->plan)
		set->stitches[index].since_ns = ptf_slice_plan_since(set->plan, lives[index].tid);
	if (rc == 0 && set->known)
		set->stitches[index].marks = ptf_known_stacks_marks(set->known, index);
	return rc;
}

struct ptf_stitch *ptf_thread_set_at(
        struct ptf_thread_set *set, int32_t tid, uint64_t time_ns, int *rc)
{
	size_t n;
	const struct ptf_thread_timeline *lives = ptf_timelines_all(set->timelines, &n);
	const struct ptf_thread_timeline *life = ptf_timelines_find(set->timelines, tid, time_ns);

	*rc = 0;
	if (!life)
		return NULL;
	*rc = begin_life(set, (size_t)(life - lives));
	return *rc == 0 ? &set->stitches[life - lives] : NULL;
}

/* Moves a finished tree; the children of the root point to where it moved. */
static void move_tree(struct ptf_call_tree *to, struct ptf_call_tree *from)
{
	*to = *from;
	ptf_call_tree_init(from);
	for (struct ptf_call_node *node = to->root.children; node; node = node->sibling)
		node->parent = &to->root;
}

static const char *process_comm(
        const struct ptf_thread_timeline *lives, size_t n, const struct ptf_thread_timeline *life)
{
	for (size_t i = 0; i < n; i++) {
		if (lives[i].tid == life->pid && *lives[i].comm)
			return lives[i].comm;
	}
	return life->comm;
}

static int finish_life(struct ptf_thread_set *set, struct ptf_profile *profile, size_t index,
        struct ptf_profile_thread *thread, struct ptf_error *err)
{
	size_t n;
	const struct ptf_thread_timeline *lives = ptf_timelines_all(set->timelines, &n);
	const struct ptf_thread_timeline *life = &lives[index];

	if (begin_life(set, index) < 0 || ptf_stitch_settle(&set->stitches[index]) < 0)
		return no_memory(err);
	*thread = (struct ptf_profile_thread){.pid = life->pid,
	        .tid = life->tid,
	        .start_ns = set->timed ? life->start_ns : 0,
	        .end_ns = set->timed ? life->end_ns : 0};
	thread->comm = ptf_arena_strdup(&profile->arena, life->comm);
	thread->process_comm = ptf_arena_strdup(&profile->arena, process_comm(lives, n, life));
	if (!thread->comm || !thread->process_comm)
		return no_memory(err);
	if (set->at_ns != PTF_NO_TIME) {
		thread->stack = ptf_thread_stack_make(
		        &profile->arena, &set->stitches[index].stack, life, set->at_ns);
		if (!thread->stack)
			return no_memory(err);
	}
	if (ptf_stitch_finish(&set->stitches[index]) < 0)
		return no_memory(err);
	ptf_call_tree_prune(&set->stitches[index].tree);
	move_tree(&thread->tree, &set->stitches[index].tree);
	thread->slow = set->stitches[index].stack.slow;
	ptf_profile_thread_sum(thread);
	return 0;
}

static int compare_threads(const void *a, const void *b)
{
	const struct ptf_profile_thread *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* A thread that did nothing in the window (no code, no time), or that only records of whole
 * CPUs tell of. */
static bool is_left_out(
        const struct ptf_profile_thread *thread, const struct ptf_thread_timeline *life)
{
	return !life->named || (thread->start_ns == thread->end_ns && !thread->tree.root.children);
}

int ptf_thread_set_finish(struct ptf_thread_set *set, struct ptf_profile *profile,
        const struct ptf_thread_filter *filter, struct ptf_error *err)
{
	size_t n;
	const struct ptf_thread_timeline *lives = ptf_timelines_all(set->timelines, &n);

	profile->threads = ptf_arena_alloc(&profile->arena, (n + 1) * sizeof(*profile->threads));
	if (!profile->threads)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct ptf_profile_thread *thread = &profile->threads[profile->n_threads];

		if (!ptf_thread_filter_passes(filter, &lives[i]))
			continue;
		profile->n_threads++;
		if (finish_life(set, profile, i, thread, err) < 0)
			return -PTF_ENOMEM;
		if (!is_left_out(thread, &lives[i]))
			continue;
		ptf_call_tree_release(&thread->tree);
		profile->n_threads--;
	}
	qsort(profile->threads, profile->n_threads, sizeof(*profile->threads), compare_threads);
	/* Roots moved again. */
	for (size_t i = 0; i < profile->n_threads; i++) {
		struct ptf_call_node *root = &profile->threads[i].tree.root;

		for (struct ptf_call_node *node = root->children; node; node = node->sibling)
			node->parent = root;
	}
	return 0;
}
