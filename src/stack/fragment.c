/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <ptflame/error.h>

#include "stack/fragment.h"

void ptf_fragment_destroy(struct ptf_fragment *fragment)
{
	if (!fragment)
		return;
	ptf_vec_foreach (piece, &fragment->pieces)
		ptf_vec_release(&piece->frames);
	ptf_vec_release(&fragment->pieces);
	ptf_call_tree_release(&fragment->tree);
	free(fragment);
}

void ptf_fragment_builder_init(
        struct ptf_fragment_builder *builder, struct ptf_stack_rule_counts *rules)
{
	*builder = (struct ptf_fragment_builder){.rules = rules};
}

void ptf_fragment_builder_release(struct ptf_fragment_builder *builder)
{
	ptf_shadow_stack_release(&builder->stack);
	ptf_fragment_destroy(builder->fragment);
	*builder = (struct ptf_fragment_builder){0};
}

static int new_piece(struct ptf_fragment_builder *builder, const struct ptf_function *function)
{
	struct ptf_fragment *fragment = builder->fragment;
	struct ptf_piece piece = {.from_ns = PTF_NO_TIME, .now_ns = PTF_NO_TIME};

	piece.root = ptf_arena_alloc(&fragment->tree.arena, sizeof(*piece.root));
	if (!piece.root || !ptf_vec_push(&fragment->pieces, piece))
		return -PTF_ENOMEM;
	piece.root->function = function;
	ptf_shadow_stack_rebase(&builder->stack, piece.root);
	return 0;
}

/* Puts the machine's state at the end of the current piece. */
static int seal_piece(struct ptf_fragment_builder *builder)
{
	struct ptf_shadow_stack *stack = &builder->stack;
	struct ptf_piece *piece = &builder->fragment->pieces.v[builder->fragment->pieces.n - 1];

	if (!ptf_vec_reserve(&piece->frames, stack->frames.n))
		return -PTF_ENOMEM;
	if (stack->frames.n)
		memcpy(piece->frames.v, stack->frames.v,
		        stack->frames.n * sizeof(*stack->frames.v));
	piece->frames.n = stack->frames.n;
	piece->state = stack->state;
	piece->place = stack->place;
	piece->resume = stack->resume;
	piece->untraced_call = stack->untraced_call;
	piece->since = stack->since;
	piece->base_label = stack->base_label;
	piece->booked = stack->booked;
	piece->watched = stack->watched;
	piece->slow = stack->slow;
	piece->now_ns = stack->state == PTF_STACK_UNKNOWN ? PTF_NO_TIME : stack->now_ns;
	piece->from_ns = stack->from_ns != PTF_NO_TIME ? stack->from_ns : piece->now_ns;
	return 0;
}

int ptf_fragment_builder_begin(struct ptf_fragment_builder *builder, int32_t pid, int32_t tid,
        const struct ptf_thread_timeline *timeline)
{
	struct ptf_fragment *fragment = calloc(1, sizeof(*fragment));
	struct ptf_frames frames = builder->stack.frames;

	if (!fragment)
		return -PTF_ENOMEM;
	builder->fragment = fragment;
	builder->marks = NULL;
	builder->next_mark = 0;
	*fragment = (struct ptf_fragment){.pid = pid, .tid = tid, .start_ns = PTF_NO_TIME};
	ptf_call_tree_init(&fragment->tree);
	builder->stack = (struct ptf_shadow_stack){
	        .tree = &fragment->tree,
	        .frames = frames,
	        .local = true,
	        .state = PTF_STACK_UNKNOWN,
	        .resume = PTF_NO_RANGE,
	        .now_ns = PTF_NO_TIME,
	        .from_ns = PTF_NO_TIME,
	        .thread = timeline,
	        .rules = builder->rules,
	};
	return new_piece(builder, NULL);
}

static void note_start(struct ptf_fragment *fragment, const struct ptf_flow_item *item, bool muted)
{
	if (fragment->start_ns == PTF_NO_TIME)
		fragment->start_ns = item->time_ns;
	if (item->kind == PTF_FLOW_SYNC && fragment->pieces.n == 1 && !fragment->has_sync) {
		fragment->has_sync = true;
		fragment->sync = *item;
		fragment->sync_muted = muted;
		fragment->pieces.v[0].root->function = item->to_function;
	}
}

/* Ends the piece with an item that only the lower stack can decide. */
static int defer(struct ptf_fragment_builder *builder, const struct ptf_flow_item *item)
{
	struct ptf_fragment *fragment = builder->fragment;

	if (seal_piece(builder) < 0)
		return -PTF_ENOMEM;
	fragment->pieces.v[fragment->pieces.n - 1].item = *item;
	fragment->pieces.v[fragment->pieces.n - 1].has_item = true;
	fragment->pieces.v[fragment->pieces.n - 1].muted = builder->stack.muted;
	if (new_piece(builder, item->to_function) < 0)
		return -PTF_ENOMEM;
	ptf_shadow_stack_assume(&builder->stack, item);
	return ptf_shadow_stack_advance(&builder->stack, item->time_ns);
}

/* A segment that ends in the dark does not say that the thread was there until then: it may have
 * gone on in another CPU's stream. What comes next for the thread says how long. */
static bool ends_in_the_dark(const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	return item->kind == PTF_FLOW_END &&
	       (stack->state != PTF_STACK_RUNS || stack->place != PTF_PLACE_USER);
}

static int add(struct ptf_fragment_builder *builder, const struct ptf_flow_item *item)
{
	int rc = 0;

	if (!ends_in_the_dark(&builder->stack, item))
		rc = ptf_shadow_stack_advance(&builder->stack, item->time_ns);
	if (rc < 0)
		return rc;
	note_start(builder->fragment, item, builder->stack.muted);
	if (!builder->stack.muted)
		ptf_shadow_stack_top(&builder->stack)->insns += item->insns;
	rc = ptf_shadow_stack_apply(&builder->stack, item);
	return rc == 1 ? defer(builder, item) : rc;
}

/* Marks between the fragment's start (earlier ones come before the fragment) and the next item. */
static int pass_marks(struct ptf_fragment_builder *builder, uint64_t time_ns)
{
	const struct ptf_stack_marks *marks = builder->marks;
	uint64_t start_ns = builder->fragment->start_ns;
	bool muted = builder->stack.muted;
	int rc = 0;

	if (start_ns == PTF_NO_TIME || time_ns == PTF_NO_TIME)
		return 0;
	for (; builder->next_mark < marks->n && rc == 0; builder->next_mark++) {
		struct ptf_flow_item item = {.kind = PTF_FLOW_MARK,
		        .code = (int32_t)builder->next_mark,
		        .from = PTF_NO_IP,
		        .to = PTF_NO_IP,
		        .time_ns = marks->v[builder->next_mark].time_ns,
		        .to_function = ptf_shadow_stack_top(&builder->stack)->function};

		if (item.time_ns > time_ns)
			break;
		builder->stack.muted = item.time_ns < builder->from_ns;
		if (item.time_ns > start_ns)
			rc = add(builder, &item);
	}
	builder->stack.muted = muted;
	return rc;
}

int ptf_fragment_builder_add(struct ptf_fragment_builder *builder, const struct ptf_flow_item *item)
{
	int rc = builder->marks ? pass_marks(builder, item->time_ns) : 0;

	return rc < 0 ? rc : add(builder, item);
}

struct ptf_fragment *ptf_fragment_builder_end(struct ptf_fragment_builder *builder, int *rc)
{
	struct ptf_fragment *fragment = builder->fragment;

	*rc = 0;
	if (!fragment)
		return NULL;
	*rc = seal_piece(builder);
	builder->fragment = NULL;
	if (*rc < 0) {
		ptf_fragment_destroy(fragment);
		return NULL;
	}
	return fragment;
}
