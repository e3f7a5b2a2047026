/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <ptflame/error.h>

#include "stack/shadow_stack.h"

/* Parked stacks kept for a thread: coroutine pools are larger than this only in exotic programs,
 * and a search looks at each. */
enum { MAX_PARKED = 256 };
/* Longest x86 instruction: how far a return address can lie behind its call. */
enum { MAX_INSN = 15, SYSCALL_INSN = 2 };
enum { DONE = 0, REFUSED = 1 };

static struct ptf_frame *top_frame(const struct ptf_shadow_stack *stack)
{
	return stack->frames.n ? &stack->frames.v[stack->frames.n - 1] : NULL;
}

struct ptf_call_node *ptf_shadow_stack_top(const struct ptf_shadow_stack *stack)
{
	return stack->frames.n ? stack->frames.v[stack->frames.n - 1].node : stack->base;
}

void ptf_shadow_stack_release(struct ptf_shadow_stack *stack)
{
	ptf_vec_foreach (parked, &stack->parked)
		ptf_vec_release(&parked->frames);
	ptf_vec_release(&stack->parked);
	ptf_vec_release(&stack->frames);
}

void ptf_shadow_stack_rebase(struct ptf_shadow_stack *stack, struct ptf_call_node *base)
{
	stack->base = base;
	stack->frames.n = 0;
	stack->from_ns = PTF_NO_TIME;
}

static void rule_fired(struct ptf_shadow_stack *stack, enum ptf_stack_rule rule)
{
	stack->rules->fired[rule]++;
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

static unsigned class_running(const struct ptf_shadow_stack *stack)
{
	return stack->state == PTF_STACK_LOST ? (unsigned)PTF_TIME_LOST
	                                      : ptf_time_class_running(stack->place);
}

static unsigned class_off(const struct ptf_shadow_stack *stack, const struct ptf_off_span *span)
{
	enum ptf_place place = stack->state == PTF_STACK_LOST ? PTF_PLACE_USER : stack->place;

	return ptf_time_class_off(place, off_reason(stack, span->reason));
}

static uint64_t clip_to_life(const struct ptf_shadow_stack *stack, uint64_t ns)
{
	if (ns < stack->thread->start_ns)
		return stack->thread->start_ns;
	return ns > stack->thread->end_ns ? stack->thread->end_ns : ns;
}

int ptf_shadow_stack_advance(struct ptf_shadow_stack *stack, uint64_t to_ns)
{
	const struct ptf_thread_timeline *thread = stack->thread;
	struct ptf_call_node *top = ptf_shadow_stack_top(stack);

	if (!thread || to_ns == PTF_NO_TIME)
		return 0;
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
			time_class = class_off(stack, span);
			until = span->to_ns < to_ns ? span->to_ns : to_ns;
		} else {
			time_class = class_running(stack);
			if (span && span->from_ns < to_ns)
				until = span->from_ns;
		}
		if (!ptf_call_tree_add_time(stack->tree, top, time_class, until - stack->now_ns))
			return -PTF_ENOMEM;
		stack->now_ns = until;
	}
	return 0;
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

bool ptf_shadow_stack_push(struct ptf_shadow_stack *stack, struct ptf_frame frame)
{
	frame.node = callee_node(stack, frame.function, frame.inside);
	return frame.node && ptf_vec_push(&stack->frames, frame);
}

/* Pushes a frame whose entry was seen and counts the call; jump: it was no call instruction. */
static int enter(struct ptf_shadow_stack *stack, const struct ptf_function *function,
        struct ptf_ip_range ret, uint64_t time_ns, bool jump)
{
	struct ptf_frame frame = {.function = function,
	        .ret = ret,
	        .resume = PTF_NO_RANGE,
	        .entry_ns = time_ns,
	        .entered = true};
	struct ptf_call_node *node;

	if (!ptf_shadow_stack_push(stack, frame))
		return -PTF_ENOMEM;
	node = ptf_shadow_stack_top(stack);
	node->calls++;
	node->jump_calls += jump;
	return 0;
}

int ptf_shadow_stack_found(struct ptf_shadow_stack *stack, const struct ptf_function *function)
{
	struct ptf_frame frame = {.function = function,
	        .ret = PTF_NO_RANGE,
	        .resume = PTF_NO_RANGE,
	        .entry_ns = PTF_NO_TIME};

	return ptf_shadow_stack_push(stack, frame) ? 0 : -PTF_ENOMEM;
}

/* Books the end of a frame's call. seen: the exit was seen (not the end of the trace or a gap). */
static int book_exit(
        struct ptf_shadow_stack *stack, const struct ptf_frame *frame, uint64_t time_ns, bool seen)
{
	uint64_t ns;

	if (frame->inside)
		return 0;
	if (!frame->entered || !seen) {
		frame->node->partial_calls++;
		return 0;
	}
	if (frame->entry_ns == PTF_NO_TIME || time_ns == PTF_NO_TIME || time_ns < frame->entry_ns)
		return 0;
	ns = time_ns - frame->entry_ns;
	frame->node->timed_calls++;
	frame->node->timed_ns += ns;
	return ptf_latency_table_add(stack->latency, frame->function->id, ns) ? 0 : -PTF_ENOMEM;
}

/* Ends all frames from the top down to index `keep` (which stays). */
static int leave_down_to(struct ptf_shadow_stack *stack, size_t keep, uint64_t time_ns, bool seen)
{
	while (stack->frames.n > keep) {
		if (book_exit(stack, top_frame(stack), time_ns, seen) < 0)
			return -PTF_ENOMEM;
		stack->frames.n--;
	}
	return 0;
}

static bool find_return(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	for (size_t i = stack->frames.n; i-- > 0;) {
		if (ptf_ip_range_has(stack->frames.v[i].ret, ip)) {
			*index = i;
			return true;
		}
	}
	return false;
}

static bool find_function(
        const struct ptf_shadow_stack *stack, const struct ptf_function *function, size_t *index)
{
	for (size_t i = stack->frames.n; i-- > 0;) {
		if (stack->frames.v[i].function == function) {
			*index = i;
			return true;
		}
	}
	return false;
}

static bool find_resume(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	for (size_t i = stack->frames.n; i-- > 0;) {
		if (stack->frames.v[i].async && ptf_ip_range_has(stack->frames.v[i].resume, ip)) {
			*index = i;
			return true;
		}
	}
	return false;
}

/* ---- parked stacks (coroutines) ---- */

static int finish_parked(struct ptf_shadow_stack *stack, struct ptf_parked *parked, bool seen)
{
	int rc = 0;

	for (size_t i = parked->frames.n; i-- > 0 && rc == 0;)
		rc = book_exit(stack, &parked->frames.v[i], parked->left_ns, seen);
	ptf_vec_release(&parked->frames);
	return rc;
}

static int drop_oldest_parked(struct ptf_shadow_stack *stack)
{
	int rc = finish_parked(stack, &stack->parked.v[0], true);

	stack->parked.n--;
	memmove(stack->parked.v, stack->parked.v + 1, stack->parked.n * sizeof(*stack->parked.v));
	return rc;
}

/* Takes the frames from index `from` up off the stack and keeps them for a later return into them.
 * If none comes they are open at the end, thus partial; those that newer ones push out end as of
 * now. */
static int park_from(struct ptf_shadow_stack *stack, size_t from, uint64_t time_ns)
{
	struct ptf_parked parked = {.left_ns = time_ns};
	int rc = stack->parked.n >= MAX_PARKED ? drop_oldest_parked(stack) : 0;

	if (rc < 0)
		return rc;
	for (size_t i = from; i < stack->frames.n; i++) {
		if (!ptf_vec_push(&parked.frames, stack->frames.v[i])) {
			ptf_vec_release(&parked.frames);
			return -PTF_ENOMEM;
		}
	}
	stack->frames.n = from;
	if (!ptf_vec_push(&stack->parked, parked)) {
		ptf_vec_release(&parked.frames);
		return -PTF_ENOMEM;
	}
	return 0;
}

static bool find_parked(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	for (size_t i = stack->parked.n; i-- > 0;) {
		const struct ptf_frames *frames = &stack->parked.v[i].frames;

		if (frames->n && ptf_ip_range_has(frames->v[frames->n - 1].ret, ip)) {
			*index = i;
			return true;
		}
	}
	return false;
}

/* A return went into a parked stack: its frames go on where the switching call stood. */
static int resume_parked(struct ptf_shadow_stack *stack, size_t index, uint64_t time_ns)
{
	struct ptf_parked parked = stack->parked.v[index];
	struct ptf_ip_range ret = PTF_NO_RANGE;
	int rc = 0;

	stack->parked.n--;
	memmove(stack->parked.v + index, stack->parked.v + index + 1,
	        (stack->parked.n - index) * sizeof(*stack->parked.v));
	if (stack->frames.n) {
		ret = top_frame(stack)->ret;
		rc = leave_down_to(stack, stack->frames.n - 1, time_ns, true);
	}
	for (size_t i = 0; i < parked.frames.n && rc == 0; i++) {
		struct ptf_frame frame = parked.frames.v[i];

		if (i == 0)
			frame.ret = ret;
		rc = ptf_shadow_stack_push(stack, frame) ? 0 : -PTF_ENOMEM;
	}
	/* The innermost frame is the call that switched away; it returned just now. */
	if (rc == 0)
		rc = leave_down_to(stack, stack->frames.n - 1, time_ns, true);
	ptf_vec_release(&parked.frames);
	return rc;
}

int ptf_shadow_stack_close(struct ptf_shadow_stack *stack, bool seen)
{
	int rc = leave_down_to(stack, 0, stack->now_ns, seen);

	ptf_vec_foreach (parked, &stack->parked) {
		if (finish_parked(stack, parked, seen) < 0)
			rc = -PTF_ENOMEM;
	}
	stack->parked.n = 0;
	return rc;
}

/* ---- rules ---- */

/* The outermost known frame returned into its caller: all that was booked so far happened under
 * that caller, so its node slips in between the base and what hangs there. */
static int slip_in_caller(struct ptf_shadow_stack *stack, const struct ptf_function *function)
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
	rule_fired(stack, PTF_RULE_OUTER_FRAME);
	return 0;
}

/* Takes the place of the top frame: tail jump, PLT stub to its target. */
static int replace_top(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_frame old = *top_frame(stack);
	struct ptf_frame *top;

	if (leave_down_to(stack, stack->frames.n - 1, item->time_ns, true) < 0 ||
	        enter(stack, item->to_function, old.ret, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	top = top_frame(stack);
	top->async = old.async;
	top->resume = old.resume;
	return DONE;
}

/* A new bottom: callers found later are callers of what comes from here on, not of the past. */
static int new_base(struct ptf_shadow_stack *stack)
{
	struct ptf_call_node *base = ptf_arena_alloc(&stack->tree->arena, sizeof(*base));

	if (!base)
		return -PTF_ENOMEM;
	base->sibling = stack->base;
	stack->base = base;
	return 0;
}

/* Gives the stack up: what follows stands on a caller that is not known. */
static int begin_anew(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	if (stack->frames.n && park_from(stack, 0, item->time_ns) < 0)
		return -PTF_ENOMEM;
	if (new_base(stack) < 0)
		return -PTF_ENOMEM;
	return item->to_function ? ptf_shadow_stack_found(stack, item->to_function) : 0;
}

/* Counts a call that is no frame of its own: of the next instruction, of a label, of code that is
 * not traced. It has no duration, so it is partial. */
static int count_call(
        struct ptf_shadow_stack *stack, const struct ptf_function *function, bool inside)
{
	struct ptf_call_node *node = callee_node(stack, function, inside);

	if (!node)
		return -PTF_ENOMEM;
	node->calls++;
	node->partial_calls++;
	return DONE;
}

static int apply_call(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range ret = {item->from + item->insn_size, item->from + item->insn_size};

	if (!item->insn_size)
		ret = (struct ptf_ip_range){item->from + 1, item->from + MAX_INSN};
	if (!item->to_function)
		return DONE;
	if (item->cause == PTF_CAUSE_BRANCH || (item->insn_size && item->to == ret.first)) {
		rule_fired(stack, PTF_RULE_CALL_NEXT);
		return count_call(stack, item->to_function, item->mid_entry);
	}
	if (item->mid_entry) {
		struct ptf_frame frame = {.function = item->to_function,
		        .ret = ret,
		        .resume = PTF_NO_RANGE,
		        .entry_ns = item->time_ns,
		        .inside = true};

		if (count_call(stack, item->to_function, true) < 0 ||
		        !ptf_shadow_stack_push(stack, frame))
			return -PTF_ENOMEM;
		return DONE;
	}
	return enter(stack, item->to_function, ret, item->time_ns, false);
}

/* A return whose target no frame called for. */
static int apply_odd_return(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t n = stack->frames.n, index;

	if (find_parked(stack, item->to, &index)) {
		rule_fired(stack, PTF_RULE_STACK_SWITCH);
		return resume_parked(stack, index, item->time_ns);
	}
	if (n && !item->mid_entry) {
		rule_fired(stack, PTF_RULE_RETURN_JUMP);
		/* retpoline: the thunk called into itself, then returned to the real target */
		if (n >= 2 && stack->frames.v[n - 1].function == stack->frames.v[n - 2].function &&
		        leave_down_to(stack, n - 1, item->time_ns, true) < 0)
			return -PTF_ENOMEM;
		return replace_top(stack, item);
	}
	if (n && find_function(stack, item->to_function, &index) && index < n - 1) {
		rule_fired(stack, PTF_RULE_LANDING_PAD);
		return leave_down_to(stack, index + 1, item->time_ns, true);
	}
	if (n <= 1) {
		if (leave_down_to(stack, 0, item->time_ns, true) < 0)
			return -PTF_ENOMEM;
		return slip_in_caller(stack, item->to_function);
	}
	rule_fired(stack, PTF_RULE_UNMATCHED);
	return begin_anew(stack, item);
}

/* A handler returns to its restorer, which calls sigreturn: still the same interruption. */
static int return_to_restorer(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	int rc = replace_top(stack, item);

	if (rc == DONE)
		top_frame(stack)->restorer = true;
	return rc;
}

static int apply_return(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = top_frame(stack);
	size_t index;

	if (!item->to_function)
		return DONE; /* its target was not traced: OFF or LOST follows */
	if (top && ptf_ip_range_has(top->ret, item->to))
		return leave_down_to(stack, stack->frames.n - 1, item->time_ns, true);
	if (top && top->async)
		return return_to_restorer(stack, item);
	if (stack->local)
		return REFUSED;
	if (find_return(stack, item->to, &index)) {
		rule_fired(stack, PTF_RULE_UNWOUND);
		return park_from(stack, index, item->time_ns);
	}
	return apply_odd_return(stack, item);
}

/* Code begins on an empty stack; its caller is not known. */
static int first_frame(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	return item->mid_entry ? ptf_shadow_stack_found(stack, item->to_function)
	                       : enter(stack, item->to_function, PTF_NO_RANGE, item->time_ns, true);
}

static int apply_jump(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;

	if (!item->to_function)
		return DONE;
	if (stack->frames.n && !item->mid_entry) {
		rule_fired(stack, PTF_RULE_TAIL_JUMP);
		return replace_top(stack, item);
	}
	if (stack->local)
		return REFUSED;
	if (!stack->frames.n)
		return first_frame(stack, item);
	if (find_function(stack, item->to_function, &index)) {
		rule_fired(stack, PTF_RULE_LONGJMP);
		return leave_down_to(stack, index + 1, item->time_ns, true);
	}
	rule_fired(stack, PTF_RULE_JUMP_INTO);
	return replace_top(stack, item);
}

static int apply_off(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	static const uint8_t place_of[] = {
	        [PTF_CAUSE_SYSCALL] = PTF_PLACE_SYSCALL,
	        [PTF_CAUSE_ASYNC] = PTF_PLACE_INTERRUPT,
	        [PTF_CAUSE_FILTER] = PTF_PLACE_FILTERED,
	        [PTF_CAUSE_END] = PTF_PLACE_KERNEL,
	};
	uint64_t from = item->from;

	stack->state = PTF_STACK_RUNS;
	stack->place = item->cause < sizeof(place_of) && place_of[item->cause]
	                       ? (enum ptf_place)place_of[item->cause]
	                       : PTF_PLACE_KERNEL;
	if (item->cause == PTF_CAUSE_SYSCALL && from != PTF_NO_IP)
		stack->resume = (struct ptf_ip_range){from + SYSCALL_INSN, from + SYSCALL_INSN};
	else if (item->cause == PTF_CAUSE_ASYNC && from != PTF_NO_IP)
		stack->resume = (struct ptf_ip_range){from, from};
	else if (item->to != PTF_NO_IP)
		stack->resume = (struct ptf_ip_range){item->to, item->to};
	else
		stack->resume = PTF_NO_RANGE;
	return DONE;
}

/* Pushes a frame over the interrupted one: signal handler, interrupt. */
static int enter_async(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item,
        struct ptf_ip_range resume)
{
	struct ptf_frame *top;

	if (enter(stack, item->to_function, PTF_NO_RANGE, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	top = top_frame(stack);
	top->async = true;
	top->resume = resume;
	rule_fired(stack, PTF_RULE_ASYNC);
	return DONE;
}

/* After a gap the stack is kept if its top fits what runs now, else the nearest frame that does. */
static int resync(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;

	if (!item->to_function || !stack->frames.n)
		return item->to_function ? ptf_shadow_stack_found(stack, item->to_function) : 0;
	if (find_function(stack, item->to_function, &index)) {
		rule_fired(stack, PTF_RULE_GAP_KEPT);
		return leave_down_to(stack, index + 1, item->time_ns, false);
	}
	rule_fired(stack, PTF_RULE_GAP_CLOSED);
	if (leave_down_to(stack, 0, item->time_ns, false) < 0 || new_base(stack) < 0)
		return -PTF_ENOMEM;
	return ptf_shadow_stack_found(stack, item->to_function);
}

/* Tracing went on where neither the interrupted code nor a handler's entry is. */
static int resume_elsewhere(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;

	if (!stack->frames.n)
		return first_frame(stack, item);
	if (find_function(stack, item->to_function, &index)) {
		if (index < stack->frames.n - 1)
			rule_fired(stack, PTF_RULE_RESUME_ELSEWHERE);
		return leave_down_to(stack, index + 1, item->time_ns, true);
	}
	rule_fired(stack, PTF_RULE_RESUME_ELSEWHERE);
	return begin_anew(stack, item);
}

static int apply_on(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range resume = stack->resume;
	enum ptf_stack_state state = stack->state;
	size_t index;

	if (!item->to_function)
		return DONE;
	if (stack->local && (state != PTF_STACK_RUNS || !ptf_ip_range_has(resume, item->to)))
		return REFUSED;
	stack->state = PTF_STACK_RUNS;
	stack->place = PTF_PLACE_USER;
	stack->resume = PTF_NO_RANGE;
	if (stack->untraced_call && item->from_function &&
	        count_call(stack, item->from_function, false) < 0)
		return -PTF_ENOMEM;
	stack->untraced_call = false;
	if (state == PTF_STACK_LOST)
		return resync(stack, item);
	if (ptf_ip_range_has(resume, item->to))
		return DONE;
	if (find_resume(stack, item->to, &index)) {
		rule_fired(stack, PTF_RULE_ASYNC_RETURN);
		return leave_down_to(stack, index, item->time_ns, true);
	}
	if (!item->mid_entry && resume.first <= resume.last) {
		const struct ptf_frame *top = top_frame(stack);

		/* sigreturn went straight into the next handler. */
		if (top && top->restorer) {
			resume = top->resume;
			rule_fired(stack, PTF_RULE_ASYNC_RETURN);
			if (leave_down_to(stack, stack->frames.n - 1, item->time_ns, true) < 0)
				return -PTF_ENOMEM;
		}
		return enter_async(stack, item, resume);
	}
	return resume_elsewhere(stack, item);
}

static int apply_sync(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = top_frame(stack);

	if (stack->local) {
		ptf_shadow_stack_assume(stack, item);
		return DONE;
	}
	if (!item->to_function) {
		if (stack->state != PTF_STACK_RUNS || stack->place == PTF_PLACE_USER) {
			stack->state = PTF_STACK_RUNS;
			stack->place = PTF_PLACE_KERNEL;
			stack->resume = PTF_NO_RANGE;
		}
		return DONE;
	}
	if (stack->state == PTF_STACK_RUNS && stack->place == PTF_PLACE_USER && top &&
	        top->function == item->to_function)
		return DONE;
	stack->resume = stack->state == PTF_STACK_RUNS ? stack->resume : PTF_NO_RANGE;
	if (stack->state == PTF_STACK_RUNS && stack->place != PTF_PLACE_USER)
		return apply_on(stack, item);
	stack->state = PTF_STACK_RUNS;
	stack->place = PTF_PLACE_USER;
	return resync(stack, item);
}

static int apply_async(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range resume = {item->from, item->from + MAX_INSN};
	size_t index;

	if (stack->local)
		return REFUSED;
	if (!item->to_function)
		return DONE;
	if (find_resume(stack, item->to, &index)) {
		rule_fired(stack, PTF_RULE_ASYNC_RETURN);
		return leave_down_to(stack, index, item->time_ns, true);
	}
	if (item->mid_entry)
		return resume_elsewhere(stack, item);
	return enter_async(stack, item, resume);
}

void ptf_shadow_stack_assume(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	stack->resume = PTF_NO_RANGE;
	stack->place = PTF_PLACE_USER;
	stack->state = item->kind == PTF_FLOW_SYNC && !item->to_function ? PTF_STACK_UNKNOWN
	                                                                 : PTF_STACK_RUNS;
}

int ptf_shadow_stack_apply(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	switch ((enum ptf_flow_kind)item->kind) {
	case PTF_FLOW_CALL:
		return apply_call(stack, item);
	case PTF_FLOW_RETURN:
		return apply_return(stack, item);
	case PTF_FLOW_JUMP:
		return apply_jump(stack, item);
	case PTF_FLOW_OFF:
		return apply_off(stack, item);
	case PTF_FLOW_ON:
		return apply_on(stack, item);
	case PTF_FLOW_ASYNC:
		return apply_async(stack, item);
	case PTF_FLOW_SYNC:
		return apply_sync(stack, item);
	case PTF_FLOW_LOST:
		stack->state = PTF_STACK_LOST;
		return DONE;
	case PTF_FLOW_END:
		stack->untraced_call = item->cause == PTF_CAUSE_BRANCH;
		return DONE;
	case PTF_FLOW_THREAD:
		return DONE;
	}
	return DONE;
}
