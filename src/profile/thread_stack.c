/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile/thread_stack.h"

/* A system call is left behind its instruction, or at it once more. */
enum { SYSCALL_INSN = 2 };

static uint64_t address_of(struct ptf_ip_range range)
{
	bool known = range.first <= range.last && range.last - range.first <= SYSCALL_INSN;

	return known ? range.last : PTF_NO_IP;
}

static bool copy_frames(
        struct ptf_arena *arena, struct ptf_thread_stack *to, const struct ptf_shadow_stack *stack)
{
	size_t n = stack->frames.n;
	struct ptf_stack_frame *frames = ptf_arena_alloc(arena, (n + 1) * sizeof(*frames));
	uint64_t address = stack->place == PTF_PLACE_USER ? PTF_NO_IP : address_of(stack->resume);
	bool interrupted = false;

	if (!frames)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct ptf_frame *frame = &stack->frames.v[n - 1 - i];

		frames[i] = (struct ptf_stack_frame){frame->function, address, interrupted};
		interrupted = frame->async;
		address = address_of(interrupted ? frame->resume : frame->ret);
	}
	to->frames = frames;
	to->n = n;
	return true;
}

/* The off span that holds at_ns, or NULL. */
static const struct ptf_off_span *off_span(const struct ptf_thread_timeline *thread, uint64_t at_ns)
{
	size_t i = ptf_thread_timeline_off_after(thread, at_ns);

	return i < thread->n_off && thread->off[i].from_ns <= at_ns ? &thread->off[i] : NULL;
}

static void tell_state(struct ptf_thread_stack *to, const struct ptf_shadow_stack *stack,
        const struct ptf_thread_timeline *life, uint64_t at_ns)
{
	/* Of a thread that never ran the machine knows better than the records. */
	const struct ptf_thread_timeline *thread = stack->thread ? stack->thread : life;
	const struct ptf_off_span *span = off_span(thread, at_ns);

	to->time_class = ptf_shadow_stack_class(stack, span);
	if (!span) {
		to->since_ns = stack->since.ns;
		to->since_open = stack->since.ns == life->start_ns && !life->forked;
		return;
	}
	to->since_ns = span->from_ns;
	to->until_ns = span->to_ns;
	to->since_open = span->from_ns == life->start_ns && !life->forked;
	to->until_open = span->to_ns == life->end_ns && !life->exited;
}

const struct ptf_thread_stack *ptf_thread_stack_make(struct ptf_arena *arena,
        const struct ptf_shadow_stack *stack, const struct ptf_thread_timeline *life,
        uint64_t at_ns)
{
	struct ptf_thread_stack *to = ptf_arena_alloc(arena, sizeof(*to));

	if (!to)
		return NULL;
	to->since_ns = to->until_ns = PTF_NO_TIME;
	to->life = PTF_LIFE_GOES_ON;
	if (at_ns < life->start_ns)
		to->life = PTF_LIFE_NOT_STARTED;
	else if (at_ns > life->end_ns || (at_ns == life->end_ns && life->exited))
		to->life = PTF_LIFE_EXITED;
	if (to->life != PTF_LIFE_GOES_ON)
		return to;
	tell_state(to, stack, life, at_ns);
	return copy_frames(arena, to, stack) ? to : NULL;
}
