/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rules of the shadow stack (shadow_rules.c) are made of: frames that come and go, with
 * the booking that belongs to it. Private to stack/. Functions of type int return 0 or -PTF_ENOMEM.
 */
#ifndef PTF_SHADOW_FRAMES_H
#define PTF_SHADOW_FRAMES_H

#include "stack/shadow_stack.h"

/* The innermost frame, NULL when there is none. */
struct ptf_frame *ptf_shadow_stack_top_frame(const struct ptf_shadow_stack *stack);

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

/* The innermost frame whose return address is ip; that is of function; that is asynchronous and
 * interrupted at ip. false: none; else its index. */
bool ptf_shadow_stack_find_return(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);
bool ptf_shadow_stack_find_function(
        const struct ptf_shadow_stack *stack, const struct ptf_function *function, size_t *index);
bool ptf_shadow_stack_find_resume(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);

/* Takes the frames from index `from` up off the stack and keeps them for a later return into them.
 * If none comes they are open at the end, thus partial; those that newer ones push out end as of
 * now. */
int ptf_shadow_stack_park(struct ptf_shadow_stack *stack, size_t from, uint64_t time_ns);

/* The newest parked stack whose innermost frame returns to ip. */
bool ptf_shadow_stack_find_parked(const struct ptf_shadow_stack *stack, uint64_t ip, size_t *index);

/* A return went into a parked stack: its frames go on where the switching call stood. */
int ptf_shadow_stack_unpark(struct ptf_shadow_stack *stack, size_t index, uint64_t time_ns);

/* The outermost known frame returned into its caller: all that was booked so far happened under
 * that caller, so its node slips in between the base and what hangs there. */
int ptf_shadow_stack_slip_in(struct ptf_shadow_stack *stack, const struct ptf_function *function);

/* A new bottom: callers found later are callers of what comes from here on, not of the past. */
int ptf_shadow_stack_new_base(struct ptf_shadow_stack *stack);

#endif
