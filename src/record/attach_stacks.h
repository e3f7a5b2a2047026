/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Initial stacks for a recording that perf makes: copies the stacks of the threads that are
 * recorded once tracing is on, and adds them to the file afterwards.
 */
#ifndef PTF_ATTACH_STACKS_H
#define PTF_ATTACH_STACKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>

#include "record/record.h"
#include "record/stack_copy.h"

struct ptf_attach_stacks {
	const struct ptf_record_options *options; /* borrowed */
	struct ptf_stack_copies copies;
	bool due;               /* tracing is not on yet */
	uint64_t give_up_after; /* looks at perf */
};

/* Processes (-p) and threads (-t) have stacks to copy; what begins itself has none, and all
 * processes of the system are not stopped for this. That it cannot be done is a note. */
void ptf_attach_stacks_init(
        struct ptf_attach_stacks *attach, const struct ptf_record_options *options);
void ptf_attach_stacks_release(struct ptf_attach_stacks *attach);

/* Milliseconds until the next call of `step` is due, -1: nothing is. */
int ptf_attach_stacks_wait_ms(const struct ptf_attach_stacks *attach);

/* Copies the stacks if the perf process has turned tracing on: its workload runs then. */
void ptf_attach_stacks_step(struct ptf_attach_stacks *attach, pid_t perf);

/* Unwinds the copies and puts them into the file; *result gets their number and the longest stop.
 * That it cannot be done is a note. Errors: PTF_ENOMEM. */
int ptf_attach_stacks_finish(
        struct ptf_attach_stacks *attach, struct ptf_record_result *result, struct ptf_error *err);

#endif
