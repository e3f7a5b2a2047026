/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <ptflame/error.h>

#include "stack/shadow_frames.h"

/* Coroutines kept for a thread: pools are seldom larger, and a search looks at each. What is taken
 * for garbage, in case that it is none: deep stacks that longjmp left are there as well. */
enum { MAX_SUSPENDED = 4096, MAX_GARBAGE = 256 };

static bool is_switcher(const struct ptf_shadow_stack *stack, const struct ptf_function *function)
{
	ptf_vec_foreach (known, &stack->switchers) {
		if (*known == function)
			return true;
	}
	return false;
}

/* Notes that what this function leaves may go on. */
static bool note_switcher(struct ptf_shadow_stack *stack, const struct ptf_function *function)
{
	return is_switcher(stack, function) || ptf_vec_push(&stack->switchers, function);
}

static bool is_suspended(const struct ptf_shadow_stack *stack, const struct ptf_parked *parked)
{
	return parked->suspended || is_switcher(stack, parked->leaver);
}

static int finish_parked(struct ptf_shadow_stack *stack, struct ptf_parked *parked, bool seen)
{
	struct ptf_time_parts now = stack->booked;
	int rc = 0;

	/* Garbage ended when it was left. */
	seen = seen || !is_suspended(stack, parked);
	stack->booked = parked->before;
	for (size_t i = parked->frames.n; i-- > 0 && rc == 0;)
		rc = ptf_shadow_stack_book_exit(stack, &parked->frames.v[i], parked->left_ns, seen);
	stack->booked = now;
	ptf_vec_release(&parked->frames);
	return rc;
}

int ptf_shadow_stack_drop_parked(struct ptf_shadow_stack *stack, bool seen)
{
	int rc = 0;

	ptf_vec_foreach (parked, &stack->parked) {
		if (finish_parked(stack, parked, seen) < 0)
			rc = -PTF_ENOMEM;
	}
	stack->parked.n = stack->garbage = 0;
	return rc;
}

static struct ptf_parked take_out(struct ptf_shadow_stack *stack, size_t index)
{
	struct ptf_parked parked = stack->parked.v[index];

	stack->parked.n--;
	stack->garbage -= !parked.suspended;
	memmove(stack->parked.v + index, stack->parked.v + index + 1,
	        (stack->parked.n - index) * sizeof(*stack->parked.v));
	return parked;
}

/* Lets the oldest of a kind end, when there are too many. */
static int make_room(struct ptf_shadow_stack *stack, bool suspended)
{
	size_t n = suspended ? stack->parked.n - stack->garbage : stack->garbage, i = 0;
	struct ptf_parked parked;

	if (n < (suspended ? MAX_SUSPENDED : MAX_GARBAGE))
		return 0;
	while (stack->parked.v[i].suspended != suspended)
		i++;
	parked = take_out(stack, i);
	return finish_parked(stack, &parked, false);
}

/* Keeps the frames from..to-1, which are taken off by the caller. */
static int keep(struct ptf_shadow_stack *stack, size_t from, size_t to, struct ptf_parked parked)
{
	int rc = make_room(stack, parked.suspended);

	parked.before = stack->booked;
	for (size_t i = from; i < to && rc == 0; i++) {
		if (!ptf_vec_push(&parked.frames, stack->frames.v[i]))
			rc = -PTF_ENOMEM;
	}
	if (rc == 0 && ptf_vec_push(&stack->parked, parked)) {
		stack->garbage += !parked.suspended;
		return 0;
	}
	ptf_vec_release(&parked.frames);
	return -PTF_ENOMEM;
}

bool ptf_shadow_stack_is_switch(const struct ptf_shadow_stack *stack, size_t from)
{
	const struct ptf_frame *top = ptf_shadow_stack_top_frame(stack);
	const struct ptf_frame *outermost = &stack->frames.v[from];

	if (is_switcher(stack, top->function))
		return true;
	if (outermost->via && outermost->via == top->function)
		return true;
	/* A coroutine that began with a jump (Go), or a PLT stub between. */
	return outermost->called && outermost->called == top->called &&
	       outermost->function != outermost->called;
}

int ptf_shadow_stack_park(
        struct ptf_shadow_stack *stack, size_t from, uint64_t time_ns, bool suspended)
{
	struct ptf_parked parked = {.topped = true, .suspended = suspended, .left_ns = time_ns};
	size_t to = stack->frames.n, i = to;
	int rc = 0;

	parked.ret = ptf_shadow_stack_top_frame(stack)->ret;
	parked.leaver = ptf_shadow_stack_top_frame(stack)->function;
	/* Coroutines that switched to others, and not back, are each suspended on their own. */
	while (i-- > from + 1 && rc == 0) {
		if (!parked.suspended || !stack->frames.v[i].via)
			continue;
		rc = keep(stack, i, to, parked);
		parked.topped = false;
		parked.leaver = NULL;
		parked.ret = stack->frames.v[i].ret;
		to = i;
	}
	if (rc == 0)
		rc = keep(stack, from, to, parked);
	ptf_shadow_stack_take_off(stack, from);
	return rc;
}

int ptf_shadow_stack_park_jumped(
        struct ptf_shadow_stack *stack, size_t from, size_t caller, uint64_t time_ns)
{
	struct ptf_frame *frame = &stack->frames.v[caller];
	struct ptf_parked parked = {.ret = frame->label,
	        .jumped = true,
	        .suspended = is_switcher(stack, frame->function),
	        .leaver = frame->function,
	        .left_ns = time_ns};
	int rc = ptf_shadow_stack_leave(stack, caller + 1, time_ns, true);

	if (rc == 0)
		rc = keep(stack, from, caller + 1, parked);
	ptf_shadow_stack_take_off(stack, from);
	return rc;
}

bool ptf_shadow_stack_find_parked(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index)
{
	bool found = false;

	for (size_t i = 0; i < stack->parked.n; i++) {
		const struct ptf_parked *parked = &stack->parked.v[i];

		if (!ptf_ip_range_has(parked->ret, ip))
			continue;
		*index = i;
		found = true;
		if (is_suspended(stack, parked))
			break;
	}
	return found;
}

/* Pushes a coroutine's n outermost frames, entered as another one was. */
static bool push_in_place_of(struct ptf_shadow_stack *stack, const struct ptf_frame *outermost,
        const struct ptf_frame *frames, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ptf_frame frame = frames[i];

		frame.resumed = true;
		if (i == 0) {
			frame.ret = outermost->ret;
			frame.called = outermost->called;
			frame.via = outermost->via;
		}
		if (!ptf_shadow_stack_push(stack, frame))
			return false;
	}
	return true;
}

/* Pushes what was parked on a stack whose innermost frame made the switch and is over now. */
static int put_back(
        struct ptf_shadow_stack *stack, const struct ptf_parked *parked, uint64_t time_ns)
{
	struct ptf_frame switcher = {.ret = PTF_NO_RANGE};

	if (stack->frames.n) {
		switcher = *ptf_shadow_stack_top_frame(stack);
		if (!note_switcher(stack, switcher.function) ||
		        ptf_shadow_stack_leave(stack, stack->frames.n - 1, time_ns, true) < 0)
			return -PTF_ENOMEM;
	}
	switcher.via = switcher.function;
	if (!push_in_place_of(stack, &switcher, parked->frames.v, parked->frames.n))
		return -PTF_ENOMEM;
	/* The call that switched away returned just now. */
	return parked->topped ? ptf_shadow_stack_leave(stack, stack->frames.n - 1, time_ns, true)
	                      : 0;
}

int ptf_shadow_stack_unpark(struct ptf_shadow_stack *stack, size_t index, uint64_t time_ns)
{
	struct ptf_parked parked = take_out(stack, index);
	int rc = 0;

	if (parked.leaver && !note_switcher(stack, parked.leaver))
		rc = -PTF_ENOMEM;
	if (rc == 0)
		rc = put_back(stack, &parked, time_ns);
	ptf_vec_release(&parked.frames);
	return rc;
}

int ptf_shadow_stack_unpark_jumped(
        struct ptf_shadow_stack *stack, size_t index, size_t caller, uint64_t time_ns)
{
	struct ptf_parked parked = take_out(stack, index);
	struct ptf_frame switcher = {.ret = PTF_NO_RANGE, .via = stack->frames.v[caller].function};
	int rc = ptf_shadow_stack_leave(stack, caller + 1, time_ns, true);

	if (rc == 0 &&
	        (!note_switcher(stack, parked.leaver) || !note_switcher(stack, switcher.via)))
		rc = -PTF_ENOMEM;
	if (rc == 0 && !push_in_place_of(stack, &switcher, parked.frames.v, parked.frames.n))
		rc = -PTF_ENOMEM;
	ptf_vec_release(&parked.frames);
	return rc;
}

/* ---- coroutines that were mixed up ---- */

/* A parked coroutine in which the frame of `function` at height `above` returns to ip. */
static struct ptf_parked *find_twin(const struct ptf_shadow_stack *stack,
        const struct ptf_function *function, uint64_t ip, size_t *at)
{
	ptf_vec_foreach (parked, &stack->parked) {
		if (!is_suspended(stack, parked))
			continue;
		for (size_t i = 1; i < parked->frames.n; i++) {
			const struct ptf_frame *frame = &parked->frames.v[i];

			if (frame->function == function && ptf_ip_range_has(frame->ret, ip)) {
				*at = i;
				return parked;
			}
		}
	}
	return NULL;
}

/* The outermost frame of the coroutine that runs; false: none does. */
static bool find_base(const struct ptf_shadow_stack *stack, size_t *base)
{
	for (*base = stack->frames.n; (*base)-- > 0;) {
		if (stack->frames.v[*base].via)
			return true;
	}
	return false;
}

/* What waits now is our lower part under the twin's upper part. */
static bool trade(const struct ptf_shadow_stack *stack, size_t base,
        const struct ptf_frames *theirs, size_t at, struct ptf_frames *ours)
{
	for (size_t i = base; i < stack->frames.n; i++) {
		if (!ptf_vec_push(ours, stack->frames.v[i]))
			return false;
	}
	for (size_t i = at + 1; i < theirs->n; i++) {
		if (!ptf_vec_push(ours, theirs->v[i]))
			return false;
	}
	return true;
}

int ptf_shadow_stack_swap(struct ptf_shadow_stack *stack, uint64_t ip)
{
	struct ptf_frames ours = {0}, theirs;
	struct ptf_frame outermost;
	struct ptf_parked *twin;
	size_t base, at;

	if (!find_base(stack, &base) || base + 1 == stack->frames.n)
		return 0;
	twin = find_twin(stack, ptf_shadow_stack_top_frame(stack)->function, ip, &at);
	if (!twin)
		return 0;
	theirs = twin->frames;
	if (!trade(stack, base, &theirs, at, &ours)) {
		ptf_vec_release(&ours);
		return -PTF_ENOMEM;
	}
	twin->frames = ours;
	outermost = stack->frames.v[base];
	ptf_shadow_stack_take_off(stack, base);
	if (!push_in_place_of(stack, &outermost, theirs.v, at + 1)) {
		ptf_vec_release(&theirs);
		return -PTF_ENOMEM;
	}
	/* Nodes of the upper part are below those of the lower. */
	if (stack->watched)
		stack->frames.v[stack->watched - 1].host = true;
	ptf_vec_release(&theirs);
	return 1;
}
