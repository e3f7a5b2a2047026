/* SPDX-License-Identifier: BSD-2-Clause */
#include <ptflame/error.h>

#include "stack/shadow_frames.h"
#include "stack/stitch.h"

int ptf_stitch_init(struct ptf_stitch *stitch, const struct ptf_thread_timeline *timeline,
        struct ptf_stack_rule_counts *rules)
{
	struct ptf_call_node *base;

	*stitch = (struct ptf_stitch){.to_ns = UINT64_MAX};
	ptf_call_tree_init(&stitch->tree);
	base = ptf_arena_alloc(&stitch->tree.arena, sizeof(*base));
	if (!base)
		return -PTF_ENOMEM;
	stitch->stack = (struct ptf_shadow_stack){
	        .tree = &stitch->tree,
	        .base = base,
	        .state = PTF_STACK_RUNS,
	        .place = PTF_PLACE_KERNEL,
	        .resume = PTF_NO_RANGE,
	        .base_label = PTF_NO_RANGE,
	        .since = {.ns = timeline ? timeline->start_ns : PTF_NO_TIME},
	        .now_ns = timeline ? timeline->start_ns : PTF_NO_TIME,
	        .thread = timeline,
	        .rules = rules,
	};
	return 0;
}

void ptf_stitch_release(struct ptf_stitch *stitch)
{
	ptf_shadow_stack_release(&stitch->stack);
	ptf_call_tree_release(&stitch->tree);
	*stitch = (struct ptf_stitch){0};
}

/* Before the first code that is seen the thread was in the kernel, under that code. */
static int book_start(struct ptf_stitch *stitch, const struct ptf_flow_item *first)
{
	stitch->seen_code = true;
	if (first->cause == PTF_CAUSE_SYSCALL)
		stitch->stack.place = PTF_PLACE_SYSCALL;
	return ptf_shadow_stack_found(&stitch->stack, first->to_function);
}

/* Nothing was seen of the thread: its stack was what is known of a later time. */
static void book_known_start(struct ptf_stitch *stitch, const struct ptf_known_stack *known)
{
	stitch->seen_code = true;
	stitch->stack.place = known->place;
	stitch->stack.resume = known->resume;
}

static int apply_mark(struct ptf_stitch *stitch, size_t index)
{
	const struct ptf_stack_mark *mark = &stitch->marks->v[index];
	struct ptf_known_stack *known = mark->stack;
	int rc = 0;

	if (index < stitch->next_mark)
		return 0;
	stitch->next_mark = index + 1;
	/* What comes behind the end says at most where a thread was that had not run. */
	if (mark->time_ns >= stitch->to_ns && stitch->seen_code)
		return 0;
	if (mark->time_ns < stitch->since_ns) {
		if (known)
			known->parent = NULL;
		return 0;
	}
	stitch->stack.muted = mark->time_ns < stitch->from_ns;
	if (mark->execs) {
		stitch->stack.execs = true;
		return 0;
	}
	if (mark->forks) /* unless the child has asked for it already */
		return known->known ? 0 : ptf_known_stack_copy(known, &stitch->stack);
	if (!known->known && known->parent)
		rc = ptf_known_stack_copy(known, known->parent);
	if (rc < 0 || !known->frames.n)
		return rc;
	if (stitch->seen_code)
		rc = ptf_shadow_stack_advance(&stitch->stack, mark->time_ns);
	else
		book_known_start(stitch, known);
	return rc < 0 ? rc : ptf_known_stack_impose(known, &stitch->stack);
}

/* Marks that stand before what begins at until_ns. */
static int apply_marks(struct ptf_stitch *stitch, uint64_t until_ns)
{
	int rc = 0;

	while (stitch->marks && rc == 0 && stitch->next_mark < stitch->marks->n &&
	        stitch->marks->v[stitch->next_mark].time_ns <= until_ns)
		rc = apply_mark(stitch, stitch->next_mark);
	return rc;
}

/* Applies an item on the whole stack, with the time up to it. */
static int apply(struct ptf_stitch *stitch, const struct ptf_flow_item *item)
{
	int rc = 0;

	if (item->kind == PTF_FLOW_MARK)
		return apply_mark(stitch, (size_t)item->code);

	/* In the dark: what the time was is not known before the first code, if any comes. */
	if (!stitch->ran && !item->to_function &&
	        (!stitch->seen_code || item->kind == PTF_FLOW_SYNC))
		return ptf_shadow_stack_apply(&stitch->stack, item);
	stitch->ran = stitch->ran || item->to_function;
	if (!stitch->seen_code)
		rc = book_start(stitch, item);
	if (rc == 0)
		rc = ptf_shadow_stack_advance(&stitch->stack, item->time_ns);
	return rc < 0 ? rc : ptf_shadow_stack_apply(&stitch->stack, item);
}

/* The watched calls of the piece: ordinary ones when one is open below. Else the one that is open
 * at its end is taken out of its tree and returned (NULL: none), the slow ones are noted. */
static int take_watched(
        struct ptf_shadow_stack *stack, struct ptf_piece *piece, struct ptf_call_node **open)
{
	*open = NULL;
	if (stack->watched) {
		ptf_call_node_unwatch(piece->root);
		return 0;
	}
	if (piece->watched) {
		*open = piece->frames.v[piece->watched - 1].node;
		ptf_call_node_detach(*open);
	}
	for (size_t i = 0; piece->slow && i < piece->slow->n; i++) {
		struct ptf_slow_call call = piece->slow->v[i];

		call.base = stack->base;
		if (!ptf_slow_calls_add(&stack->slow, stack->tree, &call))
			return -PTF_ENOMEM;
	}
	return 0;
}

/* What the whole stack had booked when the piece had booked `in_piece`; before: at its beginning.
 */
static struct ptf_time_parts whole_booked(const struct ptf_piece *piece,
        struct ptf_time_parts in_piece, const struct ptf_time_parts *before)
{
	for (unsigned part = 0; part < PTF_PARTS; part++) {
		/* Less than it was when an overlap was cut off. */
		if (in_piece.ns[part] > piece->booked.ns[part])
			in_piece.ns[part] = piece->booked.ns[part];
		in_piece.ns[part] += before->ns[part];
	}
	return in_piece;
}

static void take_since(struct ptf_shadow_stack *stack, const struct ptf_piece *piece,
        const struct ptf_time_parts *booked)
{
	if (!piece->since.known)
		return;
	stack->since = piece->since;
	stack->since.booked = whole_booked(piece, piece->since.booked, booked);
}

/* booked: by the whole stack before the piece; open: of take_watched. */
static int push_open_frames(struct ptf_shadow_stack *stack, const struct ptf_piece *piece,
        const struct ptf_time_parts *booked, const struct ptf_call_node *open)
{
	for (size_t i = 0; i < piece->frames.n; i++) {
		struct ptf_frame frame = piece->frames.v[i];

		frame.before = whole_booked(piece, frame.before, booked);
		if (!ptf_shadow_stack_push(stack, frame))
			return -PTF_ENOMEM;
		if (open && i + 1 == piece->watched &&
		        !ptf_call_tree_merge(stack->tree, ptf_shadow_stack_top(stack), open))
			return -PTF_ENOMEM;
	}
	return 0;
}

/* Takes ns off the time of a node of the piece; returns what it did not have. */
static uint64_t take_time(struct ptf_piece *piece, struct ptf_call_node *node, uint64_t ns)
{
	for (unsigned i = PTF_TIME_ON; i < PTF_TIME_CLASSES && ns; i++) {
		uint64_t *at = i == PTF_TIME_ON ? &node->on_ns
		               : node->other_ns ? &node->other_ns[i]
		                                : NULL;
		uint64_t taken = !at ? 0 : *at < ns ? *at : ns;

		if (at)
			*at -= taken;
		piece->booked.ns[ptf_time_part_of(i)] -= taken;
		ns -= taken;
	}
	return ns;
}

/* The clocks of two CPUs' streams may disagree: what a piece booked before now_ns was booked
 * already and is taken off it, so that no instant counts twice. */
static void cut_overlap(struct ptf_piece *piece, uint64_t now_ns)
{
	struct ptf_call_node *node = piece->root;
	uint64_t until, ns;
	unsigned up;

	if (piece->from_ns == PTF_NO_TIME || piece->now_ns == PTF_NO_TIME ||
	        now_ns == PTF_NO_TIME || piece->from_ns >= now_ns)
		return;
	until = piece->now_ns < now_ns ? piece->now_ns : now_ns;
	ns = until - piece->from_ns;
	for (; node && ns;
	        node = (struct ptf_call_node *)ptf_call_node_next(piece->root, node, &up))
		ns = take_time(piece, node, ns);
}

static int add_piece(struct ptf_stitch *stitch, struct ptf_piece *piece)
{
	struct ptf_shadow_stack *stack = &stitch->stack;
	struct ptf_time_parts booked;
	struct ptf_call_node *top, *open;

	/* Time in front of the piece that nobody has booked goes on as it was. */
	if (piece->from_ns != PTF_NO_TIME && ptf_shadow_stack_advance(stack, piece->from_ns) < 0)
		return -PTF_ENOMEM;
	cut_overlap(piece, stack->now_ns);
	if (piece->base_label.first <= piece->base_label.last)
		ptf_shadow_stack_note_label(stack, piece->base_label);
	top = ptf_shadow_stack_top(stack);
	booked = stack->booked;
	if (take_watched(stack, piece, &open) < 0 ||
	        !ptf_call_tree_merge(stack->tree, top, piece->root) ||
	        push_open_frames(stack, piece, &booked, open) < 0)
		return -PTF_ENOMEM;
	for (unsigned part = 0; part < PTF_PARTS; part++)
		stack->booked.ns[part] += piece->booked.ns[part];
	if (piece->state != PTF_STACK_UNKNOWN) {
		stack->state = piece->state;
		stack->place = piece->place;
		stack->resume = piece->resume;
		stack->untraced_call = piece->untraced_call;
		take_since(stack, piece, &booked);
	}
	if (piece->now_ns != PTF_NO_TIME && stack->thread &&
	        (stack->now_ns == PTF_NO_TIME || piece->now_ns > stack->now_ns)) {
		stack->now_ns = piece->now_ns;
		stack->off_cursor = ptf_thread_timeline_off_after(stack->thread, stack->now_ns);
	}
	if (!piece->has_item)
		return 0;
	stack->muted = piece->muted;
	return apply(stitch, &piece->item);
}

int ptf_stitch_add(struct ptf_stitch *stitch, struct ptf_fragment *fragment)
{
	int rc = fragment->start_ns == PTF_NO_TIME ? 0 : apply_marks(stitch, fragment->start_ns);

	if (rc < 0)
		return rc;
	if (fragment->gap_before && stitch->started) {
		rc = ptf_shadow_stack_lose(&stitch->stack);
		if (rc < 0)
			return rc;
		stitch->stack.resume = PTF_NO_RANGE;
	}
	stitch->started = true;
	stitch->stack.muted = fragment->sync_muted;
	if (fragment->has_sync)
		rc = apply(stitch, &fragment->sync);
	for (size_t i = 0; i < fragment->pieces.n && rc == 0; i++)
		rc = add_piece(stitch, &fragment->pieces.v[i]);
	return rc;
}

int ptf_stitch_item(struct ptf_stitch *stitch, const struct ptf_flow_item *item)
{
	if (!stitch->stack.muted)
		ptf_shadow_stack_top(&stitch->stack)->insns += item->insns;
	stitch->started = true;
	return apply(stitch, item);
}

/* A thread without switches, of which no code was traced, was not on its CPU. */
static void take_for_idle(struct ptf_stitch *stitch)
{
	struct ptf_shadow_stack *stack = &stitch->stack;

	if (!stack->thread || stitch->ran || stack->state != PTF_STACK_RUNS)
		return;
	stitch->idle = *stack->thread;
	if (stitch->idle.n_idle_off) {
		stitch->idle.off = stitch->idle.idle_off;
		stitch->idle.n_off = stitch->idle.n_idle_off;
	}
	stack->thread = &stitch->idle;
}

int ptf_stitch_settle(struct ptf_stitch *stitch)
{
	take_for_idle(stitch);
	return apply_marks(stitch, PTF_NO_TIME);
}

int ptf_stitch_finish(struct ptf_stitch *stitch)
{
	struct ptf_shadow_stack *stack = &stitch->stack;
	int rc = ptf_stitch_settle(stitch);

	if (rc == 0 && stack->thread)
		rc = ptf_shadow_stack_advance(stack, stack->thread->end_ns);
	/* A life that was over before the slice began leaves nothing in it. */
	stack->muted = stack->thread && stack->thread->end_ns <= stitch->from_ns;
	if (rc == 0)
		rc = ptf_shadow_stack_close(stack, false);
	for (struct ptf_call_node *base = stack->base; base && rc == 0; base = base->sibling) {
		if (!ptf_call_tree_merge(&stitch->tree, &stitch->tree.root, base))
			rc = -PTF_ENOMEM;
	}
	return rc;
}
