/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rules of the shadow stack (shadow_rules.c) are made of: frames that come and go, with
 * the booking that belongs to it. Private to stack/. Functions of type int return 0 or -PTF_ENOMEM.
 */
#ifndef PTF_SHADOW_FRAMES_H
#define PTF_SHADOW_FRAMES_H

#include "stack/shadow_stack.h"

/* The innermost frame, NULL when there is none. */
static inline struct ptf_frame *ptf_shadow_stack_top_frame(const struct ptf_shadow_stack *stack)
{
	return stack->frames.n ? &stack->frames.v[stack->frames.n - 1] : NULL;
}

void ptf_shadow_stack_fired(struct ptf_shadow_stack *stack, enum ptf_stack_rule rule);

/* Pushes a frame whose entry was seen and counts the call; jump: it was no call instruction. */
int ptf_shadow_stack_enter(struct ptf_shadow_stack *stack, const struct ptf_function *function,
        struct ptf_ip_range ret, uint64_t time_ns, bool jump);

/* Counts a call that is no frame of its own: of the next instruction, of a label (inside: of the
 * function that runs), of code that is not traced. It has no duration, so it is partial. */
int ptf_shadow_stack_count(
        struct ptf_shadow_stack *stack, const struct ptf_function *function, bool inside);

/* Ends all frames from the top down to index `keep`, which stays out. seen: the exits were seen. */
int ptf_shadow_stack_leave(
        struct ptf_shadow_stack *stack, size_t keep, uint64_t time_ns, bool seen);

/* Control may come back to `label` (a return address) in the innermost frame without a return. */
void ptf_shadow_stack_note_label(struct ptf_shadow_stack *stack, struct ptf_ip_range label);

/* The innermost frame whose return address is ip; that is asynchronous and interrupted at ip.
 * false: none; else its index. */
bool ptf_shadow_stack_find_return(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);
bool ptf_shadow_stack_find_resume(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);

/* The frame, of those below index `limit`, that control went back to when it went to ip inside of
 * function: the innermost with a label at ip, else the innermost of that function (never one that
 * called _Unwind_Resume). When a recursive function is there several times without labels this may
 * be too deep a frame; the return that leaves it then leaves the others with it. */
bool ptf_shadow_stack_find_owner(const struct ptf_shadow_stack *stack, size_t limit,
        const struct ptf_function *function, uint64_t ip, size_t *index);

/* ---- parked stacks (stack/parked_stacks.c) ---- */

/* Takes the frames from index `from` up off the stack and keeps them for a return into them. They
 * are a coroutine that is suspended, thus open at the end and partial, or garbage that ended now;
 * garbage whose function that left it is found to switch coroutines later is one after all. */
int ptf_shadow_stack_park(
        struct ptf_shadow_stack *stack, size_t from, uint64_t time_ns, bool suspended);

/* The same for the frames from..caller that longjmp left, which the one at `caller` called after it
 * had called setjmp: they wait there, if anything goes on with them. */
int ptf_shadow_stack_park_jumped(
        struct ptf_shadow_stack *stack, size_t from, size_t caller, uint64_t time_ns);

/* Is what the innermost frame's function leaves, from index `from` up, a coroutine: was it the one
 * that switched there, or seen to leave others? */
bool ptf_shadow_stack_is_switch(const struct ptf_shadow_stack *stack, size_t from);

/* The parked stack that goes on at ip: of several coroutines the one that waits longest, as a
 * scheduler takes turns; else the newest garbage. */
bool ptf_shadow_stack_find_parked(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);

/* A return went into a parked stack: its frames go on where the switching call stood. */
int ptf_shadow_stack_unpark(struct ptf_shadow_stack *stack, size_t index, uint64_t time_ns);

/* longjmp, called by the frame at `caller`, went into a stack that was left so. The caller stays:
 * its label is where it waits. */
int ptf_shadow_stack_unpark_jumped(
        struct ptf_shadow_stack *stack, size_t index, size_t caller, uint64_t time_ns);

/* Coroutines that wait at one place cannot be told apart when one of them goes on. If the innermost
 * frame returned to ip, which proves that it was another one than it was taken for, both change
 * places: 1 (else 0). The stack is then as it was before the return, which now matches. */
int ptf_shadow_stack_swap(struct ptf_shadow_stack *stack, uint64_t ip);

/* Ends all parked stacks; seen: even coroutines (exec). */
int ptf_shadow_stack_drop_parked(struct ptf_shadow_stack *stack, bool seen);

/* ---- */

/* Takes the frames from index `from` up off the stack: their calls go on elsewhere. */
void ptf_shadow_stack_take_off(struct ptf_shadow_stack *stack, size_t from);

/* Books the end of a frame's call, which it does not take off the stack. */
int ptf_shadow_stack_book_exit(
        struct ptf_shadow_stack *stack, const struct ptf_frame *frame, uint64_t time_ns, bool seen);

/* The outermost known frame returned into its caller: all that was booked so far happened under
 * that caller, so its node slips in between the base and what hangs there. */
int ptf_shadow_stack_slip_in(struct ptf_shadow_stack *stack, const struct ptf_function *function);

/* The outermost n frames came in below all others, with nodes of their own: if a watched call is
 * among them, calls above it are inside of it. */
void ptf_shadow_stack_slipped_in(struct ptf_shadow_stack *stack, size_t n);

/* A new bottom: callers found later are callers of what comes from here on, not of the past. */
int ptf_shadow_stack_new_base(struct ptf_shadow_stack *stack);

/* The thread begins to do what state and place say; a visit of the kernel is counted. */
int ptf_shadow_stack_begin(struct ptf_shadow_stack *stack, uint64_t time_ns);

/* If the thread is in a system call or an interrupt, that ends. seen: its end was seen. */
int ptf_shadow_stack_end_visit(struct ptf_shadow_stack *stack, uint64_t time_ns, bool seen);

#endif
