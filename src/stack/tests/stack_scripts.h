/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flow items written by hand, one script for each stack rule, with the call tree that they make.
 *
 * Items are 10 ns apart; the first, a SYNC, is at SCRIPT_START_NS. The thread lives from 20 ns
 * before it to 10 ns behind the last item, so that the tree begins with 20 ns in the kernel and
 * ends with 10 ns of whatever it did last.
 */
#ifndef PTF_STACK_SCRIPTS_H
#define PTF_STACK_SCRIPTS_H

#include <stdio.h>

#include "stack/stitch.h"

enum {
	SCRIPT_ITEMS = 64,
	SCRIPT_START_NS = 1000,
	SCRIPT_STEP_NS = 10,
	SCRIPT_LIFE_BEFORE_NS = 20,
	SCRIPT_CALL_SIZE = 5, /* bytes of every call instruction */
};

struct script {
	struct ptf_flow_item items[SCRIPT_ITEMS];
	bool sealed[SCRIPT_ITEMS]; /* no segment begins before this item (inside of lost time) */
	size_t n;
};

struct script_case {
	const char *name;
	void (*write)(struct script *script);
	/* The tree, a line for each node: path, calls, jump calls, partial calls, timed calls with
	 * their ns, then the time on it by class. */
	const char *tree;
	const char *rules; /* that fired, with how often */
	bool learns_late;  /* its end shows that frames of its beginning wait: without it they seem
	                    * to have ended */
};

extern const struct script_case script_cases[];
extern const size_t script_case_count;

/* The names of the functions that scripts use; "unknown" ids are never made. */
const struct ptf_function *script_function(const char *name);

/* Makes the functions of this name, and no others, watched (NULL: none). */
void script_watch(const char *name);

/* The life of the script's thread, without off spans. */
struct ptf_thread_timeline script_life(const struct script *script);

/* Prints the nodes below the root, sorted, one in a line, with their slices; with their
 * instructions if asked. */
void script_print_tree(FILE *out, const struct ptf_call_tree *tree, bool insns);
/* Prints the slow calls (may be NULL), each with what is below its node. */
void script_print_slow(FILE *out, const struct ptf_slow_calls *slow);
void script_print_rules(FILE *out, const struct ptf_stack_rule_counts *rules);
/* Prints the visits of the kernel from each function: calls, partial ones, durations. */
void script_print_visits(FILE *out, const struct ptf_call_tree *tree);
/* Prints the durations of each function's calls, whole and by part. */
void script_print_times(FILE *out, const struct ptf_call_tree *tree);

#endif
