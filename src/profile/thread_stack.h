/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a thread is at an instant: its stack, what it does, since when. */
#ifndef PTF_THREAD_STACK_H
#define PTF_THREAD_STACK_H

#include "base/arena.h"
#include "pt/flow_item.h"
#include "sched/thread_timeline.h"
#include "stack/shadow_stack.h"

struct ptf_stack_frame {
	const struct ptf_function *function;
	/* Of the innermost frame where it stands, when tracing is off there; of the others where
	 * the frame inside it returns to. PTF_NO_IP: not known. */
	uint64_t address;
	bool interrupted; /* the frame inside it is no call: a signal handler, an interrupt */
};

enum ptf_stack_life { PTF_LIFE_NOT_STARTED, PTF_LIFE_GOES_ON, PTF_LIFE_EXITED };

struct ptf_thread_stack {
	enum ptf_stack_life life;
	unsigned time_class;                  /* enum ptf_time_class, when life goes on */
	uint64_t since_ns;                    /* when that began; PTF_NO_TIME: not known */
	uint64_t until_ns;                    /* off: when it ends; else PTF_NO_TIME */
	bool since_open;                      /* it may have begun earlier: before the recording */
	bool until_open;                      /* it may end later: after the recording */
	const struct ptf_stack_frame *frames; /* innermost first */
	size_t n;
};

/* The stack at at_ns, of a machine that has replayed everything before and nothing behind; life:
 * with the off spans of all of the window. All in the arena; NULL when out of memory. */
const struct ptf_thread_stack *ptf_thread_stack_make(struct ptf_arena *arena,
        const struct ptf_shadow_stack *stack, const struct ptf_thread_timeline *life,
        uint64_t at_ns);

#endif
