/* SPDX-License-Identifier: BSD-2-Clause */
#include <ptflame/error.h>

#include "stack/shadow_frames.h"

/* Longest x86 instruction: how far a return address can lie behind its call. */
enum { MAX_INSN = 15, SYSCALL_INSN = 2 };
enum { DONE = 0, REFUSED = 1 };

/* ---- calls and returns ---- */

/* Takes the place of the top frame: tail jump, PLT stub to its target. */
static int replace_top(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_frame old = *ptf_shadow_stack_top_frame(stack);
	struct ptf_frame *top;

	if (ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true) < 0 ||
	        ptf_shadow_stack_enter(stack, item->to_function, old.ret, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	top = ptf_shadow_stack_top_frame(stack);
	top->async = old.async;
	top->resume = old.resume;
	top->called = old.called;
	top->via = old.via;
	return DONE;
}

/* Goes back to a frame, which stays: those above it are over. */
static int go_back_to(
        struct ptf_shadow_stack *stack, size_t index, const struct ptf_flow_item *item)
{
	return ptf_shadow_stack_leave(stack, index + 1, item->time_ns, true);
}

static void note_loss(
        struct ptf_shadow_stack *stack, const struct ptf_flow_item *item, enum ptf_stack_rule rule)
{
	struct ptf_stack_rule_counts *rules = stack->rules;

	ptf_shadow_stack_fired(stack, rule);
	if (rules->n_losses == PTF_STACK_LOSSES)
		return;
	rules->losses[rules->n_losses++] = (struct ptf_stack_loss){
	        .rule = rule,
	        .tid = stack->thread ? stack->thread->tid : 0,
	        .time_ns = item->time_ns,
	        .from = item->from,
	        .to = item->to,
	        .from_function = ptf_shadow_stack_top(stack)->function,
	        .to_function = item->to_function,
	};
}

/* Gives the stack up: what follows stands on a caller that is not known. */
static int begin_anew(
        struct ptf_shadow_stack *stack, const struct ptf_flow_item *item, enum ptf_stack_rule rule)
{
	note_loss(stack, item, rule);
	if (stack->frames.n && ptf_shadow_stack_park(stack, 0, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	if (ptf_shadow_stack_new_base(stack) < 0)
		return -PTF_ENOMEM;
	return item->to_function ? ptf_shadow_stack_found(stack, item->to_function) : 0;
}

static int apply_call(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range ret = {item->from + item->insn_size, item->from + item->insn_size};

	if (!item->insn_size)
		ret = (struct ptf_ip_range){item->from + 1, item->from + MAX_INSN};
	if (!item->to_function)
		return DONE;
	if (item->cause == PTF_CAUSE_BRANCH || (item->insn_size && item->to == ret.first)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_CALL_NEXT);
		if (item->cause != PTF_CAUSE_BRANCH)
			ptf_shadow_stack_note_label(stack, ret);
		return ptf_shadow_stack_count(stack, item->to_function, item->mid_entry);
	}
	if (item->mid_entry) {
		struct ptf_frame frame = {.function = item->to_function,
		        .ret = ret,
		        .resume = PTF_NO_RANGE,
		        .label = PTF_NO_RANGE,
		        .called = item->to_function,
		        .entry_ns = item->time_ns,
		        .inside = true};

		if (ptf_shadow_stack_count(stack, item->to_function, true) < 0 ||
		        !ptf_shadow_stack_push(stack, frame))
			return -PTF_ENOMEM;
		return DONE;
	}
	return ptf_shadow_stack_enter(stack, item->to_function, ret, item->time_ns, false);
}

/* A return into the entry of a function: it is a jump. */
static int return_as_jump(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);
	const struct ptf_function *via = top->function;

	ptf_shadow_stack_fired(stack, PTF_RULE_RETURN_JUMP);
	/* retpoline: the thunk called into itself, then returned to the real target */
	if (stack->frames.n >= 2 && top->inside) {
		if (ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true) < 0)
			return -PTF_ENOMEM;
		via = ptf_shadow_stack_top_frame(stack)->via;
	}
	if (replace_top(stack, item) < 0)
		return -PTF_ENOMEM;
	/* Perhaps a new coroutine, on a stack made so that a switch returns to its entry. */
	ptf_shadow_stack_top_frame(stack)->via = via;
	return DONE;
}

/* A return whose target no frame called for. */
static int apply_odd_return(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t n = stack->frames.n, index;
	int rc;

	if (ptf_shadow_stack_find_parked(stack, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_STACK_SWITCH);
		return ptf_shadow_stack_unpark(stack, index, item->time_ns);
	}
	if (n && !item->mid_entry)
		return return_as_jump(stack, item);
	rc = ptf_shadow_stack_swap(stack, item->to);
	if (rc < 0)
		return rc;
	if (rc) {
		ptf_shadow_stack_fired(stack, PTF_RULE_STACK_SWAP);
		return ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true);
	}
	if (n && ptf_shadow_stack_find_owner(stack, n - 1, item->to_function, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_LANDING_PAD);
		return go_back_to(stack, index, item);
	}
	if (n > 1)
		return begin_anew(stack, item, PTF_RULE_UNMATCHED);
	if (ptf_shadow_stack_leave(stack, 0, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	return ptf_shadow_stack_slip_in(stack, item->to_function);
}

/* A return, or a jump that does the same, to where frames below the top were called from: a switch
 * out of a coroutine, or frames that were left without a return. */
static int leave_several(
        struct ptf_shadow_stack *stack, size_t index, const struct ptf_flow_item *item)
{
	bool is_switch = ptf_shadow_stack_is_switch(stack, index);

	ptf_shadow_stack_fired(stack, is_switch ? PTF_RULE_STACK_SWITCH : PTF_RULE_UNWOUND);
	return ptf_shadow_stack_park(stack, index, item->time_ns, is_switch);
}

/* The top's return address, through labels that were called inside of its function and that
 * return for it (return thunks). */
static bool returns_from_top(
        const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item, size_t *index)
{
	size_t i = stack->frames.n;

	while (i-- > 0) {
		if (ptf_ip_range_has(stack->frames.v[i].ret, item->to)) {
			*index = i;
			return true;
		}
		if (!stack->frames.v[i].inside)
			break;
	}
	return false;
}

/* Code after a call of the next instruction that runs twice: once more by its return. */
static bool returns_to_next(const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);

	return ptf_ip_range_has(top ? top->label : stack->base_label, item->to) &&
	       (!top || top->function == item->to_function);
}

/* A handler returns to its restorer, which calls sigreturn: still the same interruption. */
static int return_to_restorer(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	int rc = replace_top(stack, item);

	if (rc == DONE)
		ptf_shadow_stack_top_frame(stack)->restorer = true;
	return rc;
}

/* The top frame went to code that an address filter leaves out: who called it is not traced. */
static int leave_for_filtered(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	if (!stack->frames.n)
		return stack->local ? REFUSED : DONE;
	return ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true);
}

/* A handler's function returns into what it interrupted, without sigreturn: where that stopped, or
 * elsewhere, if the handler before it said so. */
static bool goes_on_interrupted(
        const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);

	if (ptf_ip_range_has(top->resume, item->to))
		return true;
	return stack->frames.n >= 2 && item->mid_entry && top[-1].function == item->to_function;
}

static int apply_return(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);
	size_t index;

	if (item->cause == PTF_CAUSE_FILTER)
		return leave_for_filtered(stack, item);
	if (!item->to_function)
		return DONE; /* its target was not traced: OFF or LOST follows */
	if (returns_from_top(stack, item, &index))
		return ptf_shadow_stack_leave(stack, index, item->time_ns, true);
	if (returns_to_next(stack, item))
		return DONE;
	if (stack->local)
		return REFUSED;
	if (top && top->async && goes_on_interrupted(stack, item)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC_RETURN);
		return ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true);
	}
	if (top && top->async && !top->restorer)
		return return_to_restorer(stack, item);
	if (ptf_shadow_stack_find_return(stack, item->to, &index))
		return leave_several(stack, index, item);
	return apply_odd_return(stack, item);
}

/* Code begins on an empty stack; its caller is not known. */
static int first_frame(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	return item->mid_entry ? ptf_shadow_stack_found(stack, item->to_function)
	                       : ptf_shadow_stack_enter(stack, item->to_function, PTF_NO_RANGE,
	                                 item->time_ns, true);
}

/* longjmp, its stub and what it calls. */
enum { LONGJMP_FRAMES = 3 };

/* The frame that called longjmp, if it had called setjmp before: it may be a switch of coroutines
 * that are made of these two. */
static bool find_longjmp_caller(const struct ptf_shadow_stack *stack, size_t *caller)
{
	for (size_t i = stack->frames.n; i-- > 0 && stack->frames.n - i <= LONGJMP_FRAMES;) {
		*caller = i;
		if (stack->frames.v[i].label.first <= stack->frames.v[i].label.last)
			return true;
	}
	return false;
}

static bool find_label(
        const struct ptf_shadow_stack *stack, size_t limit, uint64_t ip, size_t *index)
{
	for (size_t i = limit; i-- > 0;) {
		*index = i;
		if (ptf_ip_range_has(stack->frames.v[i].label, ip))
			return true;
	}
	return false;
}

/* A coroutine that setjmp and longjmp switch goes back to who went on with it, or that one goes on
 * with it. */
static int jump_between_stacks(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t caller, index;

	if (!find_longjmp_caller(stack, &caller))
		return REFUSED;
	if (find_label(stack, caller, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_LONGJMP);
		return ptf_shadow_stack_park_jumped(stack, index + 1, caller, item->time_ns);
	}
	if (ptf_shadow_stack_find_parked(stack, item->to, &index) &&
	        stack->parked.v[index].jumped) {
		ptf_shadow_stack_fired(stack, PTF_RULE_STACK_SWITCH);
		return ptf_shadow_stack_unpark_jumped(stack, index, caller, item->time_ns);
	}
	return REFUSED;
}

/* A jump into the middle of a function, through a pointer: longjmp, a landing pad, a switch of
 * stacks that is no return. Refused: it is none of them. */
static int jump_back(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;
	int rc;

	if (ptf_shadow_stack_find_return(stack, item->to, &index))
		return leave_several(stack, index, item);
	rc = jump_between_stacks(stack, item);
	if (rc != REFUSED)
		return rc;
	if (ptf_shadow_stack_find_parked(stack, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_STACK_SWITCH);
		return ptf_shadow_stack_unpark(stack, index, item->time_ns);
	}
	if (ptf_shadow_stack_find_owner(
	            stack, stack->frames.n, item->to_function, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_LONGJMP);
		return go_back_to(stack, index, item);
	}
	return REFUSED;
}

static int apply_jump(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);
	int rc;

	if (item->cause == PTF_CAUSE_FILTER)
		return leave_for_filtered(stack, item);
	if (!item->to_function)
		return DONE;
	if (top && !item->mid_entry) {
		ptf_shadow_stack_fired(stack, PTF_RULE_TAIL_JUMP);
		return replace_top(stack, item);
	}
	/* A return that pops the address and jumps to it. */
	if (top && ptf_ip_range_has(top->ret, item->to))
		return ptf_shadow_stack_leave(stack, stack->frames.n - 1, item->time_ns, true);
	if (top && item->cause == PTF_CAUSE_DIRECT) {
		ptf_shadow_stack_fired(stack, PTF_RULE_JUMP_INTO);
		return replace_top(stack, item);
	}
	if (stack->local)
		return REFUSED;
	if (!top)
		return first_frame(stack, item);
	rc = jump_back(stack, item);
	if (rc != REFUSED)
		return rc;
	/* longjmp or a switch to a stack of which nothing is known */
	if (item->cause == PTF_CAUSE_INDIRECT && item->to_function->kind == PTF_FUNCTION_SYMBOL)
		return begin_anew(stack, item, PTF_RULE_UNMATCHED);
	ptf_shadow_stack_fired(stack, PTF_RULE_JUMP_INTO);
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
		/* ... or at the system call once more, when it is restarted. */
		stack->resume = (struct ptf_ip_range){from, from + SYSCALL_INSN};
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

	if (ptf_shadow_stack_enter(stack, item->to_function, PTF_NO_RANGE, item->time_ns, true) < 0)
		return -PTF_ENOMEM;
	top = ptf_shadow_stack_top_frame(stack);
	top->async = true;
	top->resume = resume;
	ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC);
	return DONE;
}

/* After a gap the stack is kept if its top fits what runs now, else the nearest frame that does. */
static int resync(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;

	if (!item->to_function || !stack->frames.n)
		return item->to_function ? ptf_shadow_stack_found(stack, item->to_function) : 0;
	if (ptf_shadow_stack_find_owner(
	            stack, stack->frames.n, item->to_function, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_GAP_KEPT);
		return ptf_shadow_stack_leave(stack, index + 1, item->time_ns, false);
	}
	note_loss(stack, item, PTF_RULE_GAP_CLOSED);
	if (ptf_shadow_stack_leave(stack, 0, item->time_ns, false) < 0 ||
	        ptf_shadow_stack_new_base(stack) < 0)
		return -PTF_ENOMEM;
	return ptf_shadow_stack_found(stack, item->to_function);
}

/* Tracing went on where neither the interrupted code nor a handler's entry is. */
static int resume_elsewhere(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t index;

	if (!stack->frames.n)
		return first_frame(stack, item);
	/* What was called is not traced, and returned. */
	if (ptf_shadow_stack_find_return(stack, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_RESUME_ELSEWHERE);
		return ptf_shadow_stack_leave(stack, index, item->time_ns, true);
	}
	if (ptf_shadow_stack_find_owner(
	            stack, stack->frames.n, item->to_function, item->to, &index)) {
		if (index < stack->frames.n - 1)
			ptf_shadow_stack_fired(stack, PTF_RULE_RESUME_ELSEWHERE);
		return ptf_shadow_stack_leave(stack, index + 1, item->time_ns, true);
	}
	return begin_anew(stack, item, PTF_RULE_RESUME_ELSEWHERE);
}

/* execve was called: nothing of the old program's stack is left. */
static int begin_program(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	stack->execs = false;
	stack->state = PTF_STACK_RUNS;
	stack->place = PTF_PLACE_USER;
	stack->resume = PTF_NO_RANGE;
	ptf_shadow_stack_fired(stack, PTF_RULE_EXEC);
	if (ptf_shadow_stack_close(stack, true) < 0 || ptf_shadow_stack_new_base(stack) < 0)
		return -PTF_ENOMEM;
	return first_frame(stack, item);
}

static bool refuses_on(const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	return stack->local &&
	       (stack->state != PTF_STACK_RUNS || !ptf_ip_range_has(stack->resume, item->to));
}

static int apply_on(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range resume = stack->resume;
	enum ptf_stack_state state = stack->state;
	enum ptf_place place = stack->place;
	size_t index;

	if (!item->to_function)
		return DONE;
	if (refuses_on(stack, item))
		return REFUSED;
	if (stack->execs)
		return begin_program(stack, item);
	stack->state = PTF_STACK_RUNS;
	stack->place = PTF_PLACE_USER;
	stack->resume = PTF_NO_RANGE;
	if (stack->untraced_call && item->from_function &&
	        ptf_shadow_stack_count(stack, item->from_function, false) < 0)
		return -PTF_ENOMEM;
	stack->untraced_call = false;
	if (state == PTF_STACK_LOST)
		return resync(stack, item);
	if (ptf_ip_range_has(resume, item->to))
		return DONE;
	if (ptf_shadow_stack_find_resume(stack, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC_RETURN);
		return ptf_shadow_stack_leave(stack, index, item->time_ns, true);
	}
	/* Called by code that is not traced. */
	if (!item->mid_entry && place == PTF_PLACE_FILTERED && resume.first <= resume.last)
		return ptf_shadow_stack_enter(
		        stack, item->to_function, PTF_NO_RANGE, item->time_ns, true);
	if (!item->mid_entry && resume.first <= resume.last) {
		const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);

		/* sigreturn went straight into the next handler. */
		if (top && top->restorer) {
			resume = top->resume;
			ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC_RETURN);
			if (ptf_shadow_stack_leave(
			            stack, stack->frames.n - 1, item->time_ns, true) < 0)
				return -PTF_ENOMEM;
		}
		return enter_async(stack, item, resume);
	}
	return resume_elsewhere(stack, item);
}

/* A PSB says where the thread is, but without a gap that is known, and the function that it names
 * may be a worse guess than the frame's: the stack stays. */
static int apply_sync(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
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
	if (stack->execs || (stack->state == PTF_STACK_RUNS && stack->place != PTF_PLACE_USER))
		return apply_on(stack, item);
	if (stack->state != PTF_STACK_RUNS || !stack->frames.n) {
		stack->state = PTF_STACK_RUNS;
		stack->place = PTF_PLACE_USER;
		stack->resume = PTF_NO_RANGE;
		return resync(stack, item);
	}
	stack->resume = PTF_NO_RANGE;
	return DONE;
}

/* The kernel goes back to user code: its frames end, and the rest is as if it had not been traced.
 */
static int leave_kernel(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	size_t n = stack->frames.n;

	stack->resume = PTF_NO_RANGE;
	while (n && stack->frames.v[n - 1].function->kernel) {
		n--;
		if (stack->frames.v[n].async)
			stack->resume = stack->frames.v[n].resume;
	}
	if (n < stack->frames.n) {
		ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC_RETURN);
		if (ptf_shadow_stack_leave(stack, n, item->time_ns, true) < 0)
			return -PTF_ENOMEM;
	}
	return apply_on(stack, item);
}

/* An interrupt goes into the kernel wherever the stack is, a system call from user code. */
static bool enters_kernel(const struct ptf_frame *top, const struct ptf_flow_item *item)
{
	const struct ptf_function *from = item->from_function;

	if (!from && top)
		from = top->function;
	return item->to_function->kernel &&
	       (item->cause == PTF_CAUSE_ASYNC || !from || !from->kernel);
}

static int apply_async(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	struct ptf_ip_range resume = {item->from, item->from + MAX_INSN};
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);
	size_t index;

	if (stack->local)
		return REFUSED;
	if (!item->to_function)
		return DONE;
	if (top && top->function->kernel && !item->to_function->kernel)
		return leave_kernel(stack, item);
	if (ptf_shadow_stack_find_resume(stack, item->to, &index)) {
		ptf_shadow_stack_fired(stack, PTF_RULE_ASYNC_RETURN);
		return ptf_shadow_stack_leave(stack, index, item->time_ns, true);
	}
	if (item->mid_entry && !enters_kernel(top, item))
		return resume_elsewhere(stack, item);
	return enter_async(stack, item, resume);
}

void ptf_shadow_stack_assume(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	if (item->kind == PTF_FLOW_MARK)
		return;
	stack->resume = PTF_NO_RANGE;
	stack->place = PTF_PLACE_USER;
	stack->state = item->kind == PTF_FLOW_SYNC && !item->to_function ? PTF_STACK_UNKNOWN
	                                                                 : PTF_STACK_RUNS;
}

static int apply(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
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
	case PTF_FLOW_MARK:
		return stack->local ? REFUSED : DONE;
	}
	return DONE;
}

/* Does the item end what the thread does in the kernel? */
static bool ends_visit(const struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	switch ((enum ptf_flow_kind)item->kind) {
	case PTF_FLOW_ON:
		return item->to_function && !refuses_on(stack, item);
	case PTF_FLOW_SYNC:
		return item->to_function && !stack->local;
	case PTF_FLOW_OFF:
	case PTF_FLOW_LOST:
		return true;
	default:
		return false;
	}
}

int ptf_shadow_stack_apply(struct ptf_shadow_stack *stack, const struct ptf_flow_item *item)
{
	enum ptf_stack_state state = stack->state;
	enum ptf_place place = stack->place;
	int rc = DONE;

	/* While its node is still on top. */
	if (ends_visit(stack, item))
		rc = ptf_shadow_stack_end_visit(stack, item->time_ns, item->kind == PTF_FLOW_ON);
	if (rc == DONE)
		rc = apply(stack, item);
	if (rc == DONE &&
	        (item->kind == PTF_FLOW_OFF || stack->state != state || stack->place != place))
		rc = ptf_shadow_stack_begin(stack, item->time_ns);
	return rc;
}
