/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <ptflame/error.h>

#include "stack/shadow_frames.h"

void ptf_shadow_stack_release(struct ptf_shadow_stack *stack)
{
	ptf_vec_foreach (parked, &stack->parked)
		ptf_vec_release(&parked->frames);
	ptf_vec_release(&stack->parked);
	ptf_vec_release(&stack->switchers);
	ptf_vec_release(&stack->frames);
}

void ptf_shadow_stack_rebase(struct ptf_shadow_stack *stack, struct ptf_call_node *base)
{
	stack->base = base;
	stack->frames.n = 0;
	stack->from_ns = PTF_NO_TIME;
	stack->since.known = false;
	stack->base_label = PTF_NO_RANGE;
	stack->booked = (struct ptf_time_parts){0};
	stack->watched = 0;
	stack->slow = NULL;
}

void ptf_shadow_stack_fired(struct ptf_shadow_stack *stack, enum ptf_stack_rule rule)
{
	stack->rules->fired[rule] += !stack->muted;
}

/* ---- time ---- */

/* PREEMPTED inside sched_yield is the thread's own wish. */
static enum ptf_off_reason off_reason(const struct ptf_shadow_stack *stack, uint8_t reason)
{
	const struct ptf_function *function = ptf_shadow_stack_top(stack)->function;

	if (reason == PTF_OFF_PREEMPTED && stack->place == PTF_PLACE_SYSCALL && function &&
	        function->raw_name && strstr(function->raw_name, "sched_yield"))
		return PTF_OFF_YIELDED;
	return (enum ptf_off_reason)reason;
}

static bool is_kernel(const struct ptf_call_node *node)
{
	return node->function && node->function->kernel;
}

unsigned ptf_shadow_stack_class(
        const struct ptf_shadow_stack *stack, const struct ptf_off_span *span)
{
	bool lost = stack->state == PTF_STACK_LOST;

	if (!span && lost)
		return PTF_TIME_LOST;
	if (!span && stack->place == PTF_PLACE_USER && is_kernel(ptf_shadow_stack_top(stack)))
		return PTF_TIME_KERNEL_CODE;
	if (!span)
		return ptf_time_class_running(stack->place);
	return ptf_time_class_off(
	        lost ? PTF_PLACE_USER : stack->place, off_reason(stack, span->reason));
}

static uint64_t clip_to_life(const struct ptf_shadow_stack *stack, uint64_t ns)
{
	if (ns < stack->thread->start_ns)
		return stack->thread->start_ns;
	return ns > stack->thread->end_ns ? stack->thread->end_ns : ns;
}

/* Nearly always the thread just ran on in user code: nothing switched it off up to to_ns. */
static bool ran_on(const struct ptf_shadow_stack *stack, uint64_t to_ns)
{
	const struct ptf_thread_timeline *thread = stack->thread;
	const struct ptf_off_span *span = &thread->off[stack->off_cursor];

	return stack->state == PTF_STACK_RUNS && stack->place == PTF_PLACE_USER &&
	       stack->from_ns != PTF_NO_TIME && stack->now_ns <= to_ns && to_ns <= thread->end_ns &&
	       (stack->off_cursor >= thread->n_off ||
	               (span->from_ns >= to_ns && span->to_ns > stack->now_ns));
}

int ptf_shadow_stack_advance(struct ptf_shadow_stack *stack, uint64_t to_ns)
{
	const struct ptf_thread_timeline *thread = stack->thread;
	struct ptf_call_node *top = ptf_shadow_stack_top(stack);

	if (!thread || to_ns == PTF_NO_TIME)
		return 0;
	if (ran_on(stack, to_ns) && !is_kernel(top)) {
		top->on_ns += to_ns - stack->now_ns;
		stack->booked.ns[PTF_PART_ON] += to_ns - stack->now_ns;
		stack->now_ns = to_ns;
		return 0;
	}
	to_ns = clip_to_life(stack, to_ns);
	if (stack->now_ns == PTF_NO_TIME || stack->state == PTF_STACK_UNKNOWN) {
		stack->now_ns = to_ns;
		stack->off_cursor = ptf_thread_timeline_off_after(thread, to_ns);
		return 0;
	}
	if (stack->from_ns == PTF_NO_TIME)
		stack->from_ns = stack->now_ns;
	while (stack->now_ns < to_ns) {
		const struct ptf_off_span *span =
		        stack->off_cursor < thread->n_off ? &thread->off[stack->off_cursor] : NULL;
		uint64_t until = to_ns;
		unsigned time_class;

		if (span && span->to_ns <= stack->now_ns) {
			stack->off_cursor++;
			continue;
		}
		if (span && span->from_ns <= stack->now_ns) {
			time_class = ptf_shadow_stack_class(stack, span);
			until = span->to_ns < to_ns ? span->to_ns : to_ns;
		} else {
			time_class = ptf_shadow_stack_class(stack, NULL);
			if (span && span->from_ns < to_ns)
				until = span->from_ns;
		}
		if (!ptf_call_tree_add_time(stack->tree, top, time_class, until - stack->now_ns))
			return -PTF_ENOMEM;
		stack->booked.ns[ptf_time_part_of(time_class)] += until - stack->now_ns;
		stack->now_ns = until;
	}
	return 0;
}

/* ---- visits of the kernel ---- */

static bool visit_kind(const struct ptf_shadow_stack *stack, enum ptf_visit_kind *kind)
{
	*kind = stack->place == PTF_PLACE_SYSCALL ? PTF_VISIT_SYSCALL : PTF_VISIT_INTERRUPT;
	return stack->state == PTF_STACK_RUNS &&
	       (stack->place == PTF_PLACE_SYSCALL || stack->place == PTF_PLACE_INTERRUPT);
}

static struct ptf_visits *visits_of(struct ptf_shadow_stack *stack, enum ptf_visit_kind kind)
{
	struct ptf_visits *visits = ptf_call_tree_visits(stack->tree, ptf_shadow_stack_top(stack));

	return visits ? &visits[kind] : NULL;
}

int ptf_shadow_stack_begin(struct ptf_shadow_stack *stack, uint64_t time_ns)
{
	struct ptf_visits *visits;
	enum ptf_visit_kind kind;

	stack->since = (struct ptf_stack_since){
	        .known = true, .counts = !stack->muted, .ns = time_ns, .booked = stack->booked};
	if (!visit_kind(stack, &kind) || !stack->since.counts)
		return 0;
	visits = visits_of(stack, kind);
	if (!visits)
		return -PTF_ENOMEM;
	visits->calls++;
	return 0;
}

int ptf_shadow_stack_end_visit(struct ptf_shadow_stack *stack, uint64_t time_ns, bool seen)
{
	struct ptf_time_parts visit = ptf_time_parts_since(&stack->booked, &stack->since.booked);
	struct ptf_visits *visits;
	enum ptf_visit_kind kind;

	if (stack->muted || !visit_kind(stack, &kind))
		return 0;
	visits = visits_of(stack, kind);
	if (!visits)
		return -PTF_ENOMEM;
	if (!seen || !stack->since.counts) {
		visits->partial++;
		return 0;
	}
	if (!stack->thread || stack->since.ns == PTF_NO_TIME || time_ns == PTF_NO_TIME ||
	        time_ns < stack->since.ns)
		return 0;
	return ptf_call_times_add(&visits->times, &stack->tree->arena, &visit) ? 0 : -PTF_ENOMEM;
}

int ptf_shadow_stack_lose(struct ptf_shadow_stack *stack)
{
	int rc = ptf_shadow_stack_end_visit(stack, PTF_NO_TIME, false);

	if (rc < 0 || stack->state == PTF_STACK_LOST)
		return rc;
	stack->state = PTF_STACK_LOST;
	return ptf_shadow_stack_begin(stack, stack->now_ns);
}

/* ---- frames ---- */

/* The node of a call to `function`: the top's own when the call stays inside its function. */
static struct ptf_call_node *callee_node(
        struct ptf_shadow_stack *stack, const struct ptf_function *function, bool inside)
{
	struct ptf_call_node *top = ptf_shadow_stack_top(stack);

	return inside && top->function == function
	               ? top
	               : ptf_call_tree_child(stack->tree, top, function);
}

/* The node of a watched call, alone or with what it did before it was parked. */
static struct ptf_call_node *watched_node(
        struct ptf_shadow_stack *stack, const struct ptf_frame *frame)
{
	struct ptf_call_node *top = ptf_shadow_stack_top(stack);

	if (!frame->resumed || frame->node->slice != PTF_SLICE_OPEN)
		return ptf_call_tree_open(stack->tree, top, frame->function);
	if (frame->node->parent != top) {
		ptf_call_node_detach(frame->node);
		ptf_call_node_attach(frame->node, top);
	}
	return frame->node;
}

/* Frames are large: one that is made for every call is copied once. */
static struct ptf_frame *push(struct ptf_shadow_stack *stack, const struct ptf_frame *frame)
{
	bool outermost = frame->function->watched && !frame->inside && !stack->watched;
	struct ptf_call_node *node;
	struct ptf_frame *top;

	if (frame->resumed && frame->node->slice == PTF_SLICE_OPEN && !outermost)
		frame->node->slice = PTF_SLICE_UNTIMED;
	node = outermost ? watched_node(stack, frame)
	                 : callee_node(stack, frame->function, frame->inside);
	if (!node || !ptf_vec_reserve(&stack->frames, 1))
		return NULL;
	top = &stack->frames.v[stack->frames.n++];
	*top = *frame;
	top->node = node;
	top->resumed = false;
	if (outermost)
		stack->watched = stack->frames.n;
	return top;
}

bool ptf_shadow_stack_push(struct ptf_shadow_stack *stack, struct ptf_frame frame)
{
	return push(stack, &frame);
}

void ptf_shadow_stack_note_label(struct ptf_shadow_stack *stack, struct ptf_ip_range label)
{
	if (stack->frames.n)
		ptf_shadow_stack_top_frame(stack)->label = label;
	else
		stack->base_label = label;
}

int ptf_shadow_stack_enter(struct ptf_shadow_stack *stack, const struct ptf_function *function,
        struct ptf_ip_range ret, uint64_t time_ns, bool jump)
{
	struct ptf_frame frame = {.function = function,
	        .ret = ret,
	        .resume = PTF_NO_RANGE,
	        .label = PTF_NO_RANGE,
	        .called = jump ? NULL : function,
	        .entry_ns = time_ns,
	        .before = stack->booked,
	        .entered = !stack->muted};
	const struct ptf_frame *top;

	if (function->role == PTF_ROLE_RETURNS_TWICE)
		ptf_shadow_stack_note_label(stack, ret);
	top = push(stack, &frame);
	if (!top)
		return -PTF_ENOMEM;
	if (stack->muted)
		return 0;
	top->node->calls++;
	top->node->jump_calls += jump;
	return 0;
}

int ptf_shadow_stack_found(struct ptf_shadow_stack *stack, const struct ptf_function *function)
{
	struct ptf_frame frame = {.function = function,
	        .ret = PTF_NO_RANGE,
	        .resume = PTF_NO_RANGE,
	        .label = PTF_NO_RANGE,
	        .entry_ns = PTF_NO_TIME};

	return ptf_shadow_stack_push(stack, frame) ? 0 : -PTF_ENOMEM;
}

/* Is anything below the node on a stack that was parked? */
static bool is_parked_below(const struct ptf_shadow_stack *stack, const struct ptf_call_node *node)
{
	ptf_vec_foreach (parked, &stack->parked) {
		const struct ptf_call_node *before = NULL; /* of the frame outside */

		ptf_vec_foreach (frame, &parked->frames) {
			const struct ptf_call_node *at = frame->node->parent;

			/* Below the frame outside: looked at already. */
			for (; at && (!before || (at != before && at != before->parent));
			        at = at->parent) {
				if (at == node)
					return true;
			}
			before = frame->node;
		}
	}
	return false;
}

void ptf_shadow_stack_take_off(struct ptf_shadow_stack *stack, size_t from)
{
	stack->frames.n = from;
	if (stack->watched > from)
		stack->watched = 0;
	else if (stack->watched)
		stack->frames.v[stack->watched - 1].host = true;
}

/* A watched call ends: what happened in it goes to the calls that took as long. call: NULL when
 * that is not known. */
static int close_watched(struct ptf_shadow_stack *stack, const struct ptf_frame *frame,
        const struct ptf_time_parts *call)
{
	struct ptf_slow_call slow = {
	        .start_ns = frame->entry_ns, .node = frame->node, .base = stack->base};
	uint32_t slice = PTF_SLICE_UNTIMED;

	if (call) {
		slice = PTF_SLICE_FIRST + ptf_latency_bucket(ptf_time_parts_sum(call));
		slow.parts = *call;
		if (!ptf_slow_calls_add(&stack->slow, stack->tree, &slow))
			return -PTF_ENOMEM;
	}
	/* Nodes of parked frames must stay where they are. */
	if (frame->host && is_parked_below(stack, frame->node)) {
		frame->node->slice = slice;
		return 0;
	}
	return ptf_call_tree_close(stack->tree, frame->node, slice) ? 0 : -PTF_ENOMEM;
}

int ptf_shadow_stack_book_exit(
        struct ptf_shadow_stack *stack, const struct ptf_frame *frame, uint64_t time_ns, bool seen)
{
	struct ptf_time_parts call;
	bool timed;

	if (frame->inside)
		return 0;
	timed = frame->entered && seen && stack->thread && frame->entry_ns != PTF_NO_TIME &&
	        time_ns != PTF_NO_TIME && time_ns >= frame->entry_ns && !stack->muted;
	if ((!frame->entered || !seen) && !stack->muted)
		frame->node->partial_calls++;
	if (timed) {
		call = ptf_time_parts_since(&stack->booked, &frame->before);
		if (!ptf_call_tree_add_call(stack->tree, frame->node, &call))
			return -PTF_ENOMEM;
	}
	return frame->node->slice == PTF_SLICE_OPEN
	               ? close_watched(stack, frame, timed ? &call : NULL)
	               : 0;
}

int ptf_shadow_stack_leave(struct ptf_shadow_stack *stack, size_t keep, uint64_t time_ns, bool seen)
{
	while (stack->frames.n > keep) {
		if (ptf_shadow_stack_book_exit(
		            stack, ptf_shadow_stack_top_frame(stack), time_ns, seen) < 0)
			return -PTF_ENOMEM;
		if (stack->watched == stack->frames.n)
			stack->watched = 0;
		stack->frames.n--;
	}
	return 0;
}

bool ptf_shadow_stack_find_return(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	for (size_t i = stack->frames.n; i-- > 0;) {
		if (ptf_ip_range_has(stack->frames.v[i].ret, ip)) {
			*index = i;
			return true;
		}
	}
	return false;
}

/* In code that nothing covers a frame knows its entry, other places do not. */
static bool may_be_in(const struct ptf_function *place, const struct ptf_function *frame)
{
	return place == frame ||
	       (place->kind == PTF_FUNCTION_MODULE && frame->kind == PTF_FUNCTION_TARGET &&
	               strcmp(place->module, frame->module) == 0);
}

bool ptf_shadow_stack_find_owner(const struct ptf_shadow_stack *stack, size_t limit,
        const struct ptf_function *function, uint64_t ip, size_t *index)
{
	bool found = false;

	for (size_t i = limit; i-- > 0;) {
		const struct ptf_frame *frame = &stack->frames.v[i];

		if (!may_be_in(function, frame->function))
			continue;
		if (ptf_ip_range_has(frame->label, ip)) {
			*index = i;
			return true;
		}
		if (found ||
		        (i + 1 < stack->frames.n && frame[1].function->role == PTF_ROLE_UNWINDS_ON))
			continue;
		*index = i;
		found = true;
	}
	return found;
}

bool ptf_shadow_stack_find_resume(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	for (size_t i = stack->frames.n; i-- > 0;) {
		if (stack->frames.v[i].async && ptf_ip_range_has(stack->frames.v[i].resume, ip)) {
			*index = i;
			return true;
		}
	}
	return false;
}

int ptf_shadow_stack_close(struct ptf_shadow_stack *stack, bool seen)
{
	int rc = ptf_shadow_stack_end_visit(stack, PTF_NO_TIME, false);

	if (rc == 0)
		rc = ptf_shadow_stack_leave(stack, 0, stack->now_ns, seen);
	return rc < 0 ? rc : ptf_shadow_stack_drop_parked(stack, seen);
}

/* ---- bottom of the stack ---- */

void ptf_shadow_stack_slipped_in(struct ptf_shadow_stack *stack, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ptf_frame *frame = &stack->frames.v[i];

		if (!frame->function->watched || frame->inside)
			continue;
		frame->node->slice = PTF_SLICE_OPEN;
		ptf_call_node_unwatch(frame->node);
		ptf_slow_calls_drop(stack->slow, stack->tree, stack->base);
		stack->watched = i + 1;
		return;
	}
}

int ptf_shadow_stack_slip_in(struct ptf_shadow_stack *stack, const struct ptf_function *function)
{
	struct ptf_call_node *below = stack->base->children;
	struct ptf_call_node *node;

	stack->base->children = NULL;
	if (ptf_shadow_stack_found(stack, function) < 0)
		return -PTF_ENOMEM;
	node = ptf_shadow_stack_top(stack);
	node->children = below;
	for (; below; below = below->sibling)
		below->parent = node;
	ptf_shadow_stack_slipped_in(stack, 1);
	ptf_shadow_stack_fired(stack, PTF_RULE_OUTER_FRAME);
	return 0;
}

int ptf_shadow_stack_new_base(struct ptf_shadow_stack *stack)
{
	struct ptf_call_node *base = ptf_arena_alloc(&stack->tree->arena, sizeof(*base));

	if (!base)
		return -PTF_ENOMEM;
	base->sibling = stack->base;
	stack->base = base;
	return 0;
}

int ptf_shadow_stack_count(
        struct ptf_shadow_stack *stack, const struct ptf_function *function, bool inside)
{
	struct ptf_call_node *node;

	if (stack->muted)
		return 0;
	node = callee_node(stack, function, inside);
	if (!node)
		return -PTF_ENOMEM;
	node->calls++;
	node->partial_calls++;
	return 0;
}
