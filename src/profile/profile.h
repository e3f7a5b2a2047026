/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profile: the result of decoding a trace, read by every output format.
 *
 * All of it is owned by the profile and constant once made.
 */
#ifndef PTF_PROFILE_H
#define PTF_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "stack/call_tree.h"
#include "stack/stack_rule.h"
#include "symbol/function_table.h"

struct ptf_profile_window {
	uint64_t start_ns, end_ns; /* perf clock of the recording */
	bool timed;      /* the trace has timing; if not, all ns values are 0 and meaningless */
	bool simulated;  /* simulated PT */
	double dilation; /* simulated / native CPU time; 0 unknown or not simulated */
	bool switches;   /* context switches were recorded: off and kernel are told apart */
	uint64_t resolution_ns; /* median distance of time anchors */
};

struct ptf_profile_decode {
	const char *engine;    /* "libipt", "perf-script" */
	uint64_t aux_bytes;    /* decoded */
	uint64_t stream_bytes; /* of all streams chosen: more than aux_bytes when a slice is */
	uint64_t instructions, calls, returns; /* raw counts, before any stack rule */
	uint64_t psbs, overflows, errors;
	uint64_t lost_ns, lost_bytes;
	uint64_t lost_records; /* that the kernel had no room for */
	double seconds;        /* wall-clock time that decoding took */
};

struct ptf_thread_stack;

struct ptf_profile_thread {
	int32_t pid, tid;
	const char *comm;            /* last name, "" unknown */
	const char *process_comm;    /* last name of the process's main thread, "" unknown */
	uint64_t start_ns, end_ns;   /* life inside the window */
	uint64_t states[PTF_STATES]; /* ns; their sum is end_ns - start_ns */
	struct ptf_call_tree tree;   /* root's children: the outermost frames */
	const struct ptf_thread_stack *stack; /* when an instant was asked for, else NULL */
	/* Of the watched function, or NULL; in the tree's arena. */
	const struct ptf_slow_calls *slow;
};

/* How often something noteworthy happened, for --stats; name and text are static strings. */
struct ptf_profile_stat {
	const char *name; /* "longjmp", "aux_gap", "skipped_records", ... */
	const char *text; /* one line of explanation */
	uint64_t count;
};

/* Code that could not be decoded. */
struct ptf_profile_missing {
	const char *path;    /* module */
	const char *problem; /* "no such file", "build-id differs", ... */
	uint64_t errors;     /* decode errors there */
};

struct ptf_profile {
	struct ptf_arena arena;
	struct ptf_profile_window window;
	struct ptf_profile_decode decode;
	struct ptf_profile_thread *threads; /* by pid, tid */
	size_t n_threads;
	struct ptf_function_table *functions; /* owned, unless `whole` is set */
	const struct ptf_profile *whole; /* what this one is a part of, and borrows from; or NULL */
	struct ptf_profile_stat *stats;
	size_t n_stats;
	struct ptf_stack_loss losses[PTF_STACK_LOSSES]; /* the first stacks that were given up */
	unsigned n_losses;
	struct ptf_profile_missing *missing;
	size_t n_missing;
};

void ptf_profile_destroy(struct ptf_profile *profile);

/* Sums thread->states up from its tree. */
void ptf_profile_thread_sum(struct ptf_profile_thread *thread);

/* Totals of one function over all threads (of a pid/tid filter applied when decoding). */
struct ptf_profile_function {
	const struct ptf_function *function;
	uint64_t calls, jump_calls, partial_calls, insns;
	uint64_t self[PTF_STATES];   /* ns with this function on top */
	uint64_t total[PTF_STATES];  /* ns with it anywhere on the stack, recursion counted once */
	struct ptf_call_times times; /* of the calls with entry and exit seen and timed */
};

struct ptf_profile_functions {
	struct ptf_arena arena;         /* of the latencies */
	struct ptf_profile_function *v; /* owned, n entries */
	size_t n;
};

/* One entry for each function that occurs in a tree, sorted by self time (then instructions,
 * calls, name, address) descending. The time of empty stacks is the entry of [unknown]. False: out
 * of memory, nothing to release. */
bool ptf_profile_functions_init(
        struct ptf_profile_functions *functions, const struct ptf_profile *profile);
void ptf_profile_functions_release(struct ptf_profile_functions *functions);

/* Sum of ns by state. */
static inline uint64_t ptf_states_sum(const uint64_t states[PTF_STATES])
{
	return states[PTF_STATE_ON] + states[PTF_STATE_KERNEL] + states[PTF_STATE_OFF] +
	       states[PTF_STATE_LOST];
}

#endif
