/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <ptflame/error.h>

#include "stack/known_stack.h"
#include "stack/shadow_frames.h"

void ptf_known_stack_release(struct ptf_known_stack *known)
{
	ptf_vec_release(&known->frames);
	*known = (struct ptf_known_stack){0};
}

/* Number of frames without the kernel's, which stand innermost and which nobody can tell of. */
static size_t user_frames(const struct ptf_shadow_stack *stack)
{
	size_t n = stack->frames.n;

	while (n && stack->frames.v[n - 1].function->kernel)
		n--;
	return n;
}

int ptf_known_stack_copy(struct ptf_known_stack *known, const struct ptf_shadow_stack *stack)
{
	bool off = stack->state == PTF_STACK_RUNS && stack->place != PTF_PLACE_USER;
	size_t n = user_frames(stack);

	known->frames.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct ptf_frame frame = stack->frames.v[i];

		frame.node = NULL;
		frame.entry_ns = PTF_NO_TIME;
		frame.entered = frame.host = false;
		frame.before = (struct ptf_time_parts){0};
		if (!ptf_vec_push(&known->frames, frame))
			return -PTF_ENOMEM;
	}
	/* Whoever forks is in a system call, though its clock may say that it has not begun. */
	known->place = PTF_PLACE_SYSCALL;
	known->resume = off ? stack->resume : PTF_NO_RANGE;
	known->known = true;
	return 0;
}

static bool has_range(struct ptf_ip_range range)
{
	return range.first <= range.last;
}

static bool same_frame(const struct ptf_frame *seen, const struct ptf_frame *told)
{
	if (has_range(seen->ret) && has_range(told->ret))
		return seen->ret.first <= told->ret.last && told->ret.first <= seen->ret.last;
	return seen->function == told->function;
}

/* Compares from the innermost frame outwards. True: the frames that were seen are in `known`, as
 * far as it goes; *outer: its frames further out. What the stack does not know of its frames it
 * learns. */
static bool fits(struct ptf_shadow_stack *stack, const struct ptf_known_stack *known, size_t *outer)
{
	size_t told = known->frames.n;

	for (size_t i = user_frames(stack); i-- > 0;) {
		struct ptf_frame *seen = &stack->frames.v[i];

		/* Seen from its entry on, a handler stands directly on what it interrupted. */
		if (told && known->frames.v[told - 1].restorer && !seen->restorer)
			told--;
		/* Copies end early where nobody can unwind. */
		if (!told)
			break;
		if (!same_frame(seen, &known->frames.v[told - 1]))
			return false;
		told--;
		if (!seen->async && !has_range(seen->ret))
			seen->ret = known->frames.v[told].ret;
	}
	*outer = told;
	return true;
}

static bool push_all(struct ptf_shadow_stack *stack, const struct ptf_known_stack *known)
{
	for (size_t i = 0; i < known->frames.n; i++) {
		if (!ptf_shadow_stack_push(stack, known->frames.v[i]))
			return false;
	}
	return true;
}

/* Puts the outermost n frames of `known` between the base and what hangs there. */
static int slip_in_below(
        struct ptf_shadow_stack *stack, const struct ptf_known_stack *known, size_t n)
{
	struct ptf_call_node *below = stack->base->children, *node = stack->base;
	struct ptf_frames *frames = &stack->frames;

	if (!ptf_vec_reserve(frames, n))
		return -PTF_ENOMEM;
	if (n && frames->n)
		memmove(frames->v + n, frames->v, frames->n * sizeof(*frames->v));
	frames->n += n;
	if (stack->watched)
		stack->watched += n;
	stack->base->children = NULL;
	for (size_t i = 0; i < n; i++) {
		struct ptf_frame frame = known->frames.v[i];

		if (!frame.inside || node->function != frame.function)
			node = ptf_call_tree_child(stack->tree, node, frame.function);
		if (!node)
			return -PTF_ENOMEM;
		frame.node = node;
		frames->v[i] = frame;
	}
	node->children = below;
	for (; below; below = below->sibling)
		below->parent = node;
	ptf_shadow_stack_slipped_in(stack, n);
	return 0;
}

int ptf_known_stack_impose(const struct ptf_known_stack *known, struct ptf_shadow_stack *stack)
{
	size_t outer;

	if (fits(stack, known, &outer)) {
		ptf_shadow_stack_fired(stack, known->parent ? PTF_RULE_FORK : PTF_RULE_KNOWN_STACK);
		return slip_in_below(stack, known, outer);
	}
	ptf_shadow_stack_fired(stack, PTF_RULE_KNOWN_STACK_ANEW);
	if (ptf_shadow_stack_leave(stack, 0, stack->now_ns, false) < 0 ||
	        ptf_shadow_stack_new_base(stack) < 0 || !push_all(stack, known))
		return -PTF_ENOMEM;
	return 0;
}
