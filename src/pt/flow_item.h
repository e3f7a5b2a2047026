/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flow item: what the decoders hand to the stack. Everything between two items is straight code of
 * one function.
 */
#ifndef PTF_FLOW_ITEM_H
#define PTF_FLOW_ITEM_H

#include <stdbool.h>
#include <stdint.h>

#include "symbol/function_table.h"

#define PTF_NO_IP UINT64_MAX /* from or to is not known */
#ifndef PTF_NO_TIME
#define PTF_NO_TIME UINT64_MAX /* the trace has no timing (yet) */
#endif

enum ptf_flow_kind {
	PTF_FLOW_CALL,   /* near call from -> to; cause BRANCH: what it called was not traced */
	PTF_FLOW_RETURN, /* near return */
	PTF_FLOW_JUMP, /* any other transfer that left the function, or went to its entry indirectly
	                */
	PTF_FLOW_OFF,  /* tracing stopped after `from` (cause) */
	PTF_FLOW_ON,   /* tracing (re)started at `to` */
	PTF_FLOW_ASYNC,  /* asynchronous transfer that is itself traced (interrupt into kernel, far
	                    return) */
	PTF_FLOW_LOST,   /* flow unknown from the last item to this one's time; goes on at `to` if
	                    known */
	PTF_FLOW_SYNC,   /* a segment begins: tracing is on at `to`, or off when `to` is unknown */
	PTF_FLOW_END,    /* a segment ends: time and insns count; cause BRANCH: tracing stopped at a
	                    call */
	PTF_FLOW_THREAD, /* what follows belongs to thread `code` of process `pid`; the first item
	                    of a segment */
	PTF_FLOW_MARK,   /* no engine makes it: number `code` of the thread's stack marks is due */
};

enum ptf_flow_cause {
	PTF_CAUSE_NONE,
	PTF_CAUSE_SYSCALL,  /* OFF after a system call instruction; ON behind one */
	PTF_CAUSE_ASYNC,    /* OFF in mid-flow: interrupt, fault, signal (FUP) */
	PTF_CAUSE_FILTER,   /* OFF by an address filter; RETURN, JUMP: out of it, OFF follows */
	PTF_CAUSE_BRANCH,   /* OFF at a branch, whose target is not traced (`to`, if known) */
	PTF_CAUSE_OVERFLOW, /* LOST: OVF packet; ON after it */
	PTF_CAUSE_ERROR,    /* LOST: the decoder could not go on; `code` says why */
	PTF_CAUSE_DATA,     /* LOST: AUX bytes are missing (truncated, gap) */
	PTF_CAUSE_END,      /* OFF: the stream ends here while tracing is on */
	PTF_CAUSE_DIRECT,   /* JUMP: the instruction names its target, so it is no longjmp */
	PTF_CAUSE_INDIRECT, /* JUMP: through a pointer (neither: not known) */
};

struct ptf_flow_item {
	uint8_t kind;      /* enum ptf_flow_kind */
	uint8_t cause;     /* enum ptf_flow_cause */
	uint8_t insn_size; /* CALL: bytes of the instruction (0 unknown): return address = from +
	                      size */
	bool mid_entry;    /* `to` does not begin to_function (a label inside, a .cold part) */
	int32_t code;      /* LOST: libipt's error code, or 0; THREAD: the tid */
	int32_t pid;       /* THREAD */
	uint32_t insns;    /* instructions retired since the item before, `from` included */
	uint64_t from, to; /* virtual addresses or PTF_NO_IP */
	uint64_t time_ns;  /* perf clock, or PTF_NO_TIME */
	const struct ptf_function *from_function; /* function of `from`; NULL when from is unknown.
	                                           * ON, first of a segment: the function that
	                                           * begins at `to` if a call came here */
	const struct ptf_function *to_function;   /* function of `to`; NULL when to is unknown */
};

#endif
