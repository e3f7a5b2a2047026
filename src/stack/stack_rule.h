/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of the shadow stack beyond "a call pushes, its return pops", and how often each fired.
 */
#ifndef PTF_STACK_RULE_H
#define PTF_STACK_RULE_H

#include <stdint.h>

#include "symbol/function_table.h"

#define PTF_STACK_RULES(X)                                                                         \
	X(PTF_RULE_TAIL_JUMP, "tail_jump", "a jump to a function's entry took the caller's place") \
	X(PTF_RULE_CALL_NEXT, "call_next", "calls of the next instruction: counted, not pushed")   \
	X(PTF_RULE_UNWOUND, "unwound_return", "returns that left several frames for good")         \
	X(PTF_RULE_LONGJMP, "longjmp", "jumps back into a function that was on the stack")         \
	X(PTF_RULE_LANDING_PAD, "landing_pad",                                                     \
	        "returns into the middle of a function on the stack")                              \
	X(PTF_RULE_RETURN_JUMP, "return_as_jump", "returns used as a jump to a function's entry")  \
	X(PTF_RULE_STACK_SWITCH, "stack_switch", "switches out of coroutines, and back into them") \
	X(PTF_RULE_STACK_SWAP, "stack_swap",                                                       \
	        "coroutines waiting at one place that a later return told apart")                  \
	X(PTF_RULE_JUMP_INTO, "jump_into", "jumps into the middle of a function not on the stack") \
	X(PTF_RULE_OUTER_FRAME, "outer_frame",                                                     \
	        "callers that were found when the outermost known frame returned")                 \
	X(PTF_RULE_UNMATCHED, "unmatched_return",                                                  \
	        "returns and jumps back that fit no frame: the stack began anew")                  \
	X(PTF_RULE_ASYNC, "async_entry", "signal handlers and interrupts entered")                 \
	X(PTF_RULE_ASYNC_RETURN, "async_return", "returns from them")                              \
	X(PTF_RULE_RESUME_ELSEWHERE, "resume_elsewhere", "tracing went on at an unexpected place") \
	X(PTF_RULE_GAP_KEPT, "gap_kept", "stacks kept over lost data")                             \
	X(PTF_RULE_GAP_CLOSED, "gap_closed", "stacks given up after lost data")                    \
	X(PTF_RULE_EXEC, "exec", "stacks ended by execve")                                         \
	X(PTF_RULE_KNOWN_STACK, "known_stack", "stacks completed from a copy made at attach")      \
	X(PTF_RULE_KNOWN_STACK_ANEW, "known_stack_anew",                                           \
	        "stacks given up because such a copy says otherwise")                              \
	X(PTF_RULE_FORK, "fork", "stacks that a child process has from its parent")

enum ptf_stack_rule {
#define X(id, name, text) id,
	PTF_STACK_RULES(X)
#undef X
	        PTF_RULES
};

/* Where a stack was given up, so that a user can find out why. */
struct ptf_stack_loss {
	enum ptf_stack_rule rule;
	int32_t tid;       /* 0: not known (a trace without timing) */
	uint64_t time_ns;  /* perf clock, or PTF_NO_TIME */
	uint64_t from, to; /* addresses, or PTF_NO_IP */
	const struct ptf_function *from_function, *to_function; /* NULL: not known */
};

enum { PTF_STACK_LOSSES = 8 }; /* the first ones are kept */

struct ptf_stack_rule_counts {
	uint64_t fired[PTF_RULES];
	struct ptf_stack_loss losses[PTF_STACK_LOSSES];
	unsigned n_losses;
};

/* Static strings. */
const char *ptf_stack_rule_name(enum ptf_stack_rule rule);
const char *ptf_stack_rule_text(enum ptf_stack_rule rule);

#endif
