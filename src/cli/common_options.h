/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all commands that decode a recording have in common: their options, progress, and the notes
 * on stderr about what was read.
 */
#ifndef PTF_COMMON_OPTIONS_H
#define PTF_COMMON_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

#include <ptflame/error.h>

#include "profile/analysis.h"

struct ptf_common_options {
	struct ptf_analysis_options analysis; /* input NULL: none was named */
	bool stats;                           /* --stats */
};

/*
 * -i, --tid, --comm, --time, --whole-stacks, --symfs, --engine, -j, --stats. A command's argp has
 * it as its first child, and at ARGP_KEY_INIT sets state->child_inputs[0] to its
 * ptf_common_options (zeroed). It also refuses arguments that are no options.
 */
extern const struct argp ptf_common_argp;

/* The one child of an argp that takes nothing but these and its own options; ends with NULL. */
extern const struct argp_child ptf_common_children[];

/* Decodes, with progress when stderr is a terminal, then prints notes (what was lost, simulated,
 * not decoded) and, when asked for, statistics on stderr. PTF_EXIT_OK: the profile is the caller's;
 * else the reason was printed in the name of `command` ("report"). */
int ptf_common_analyse(
        struct ptf_common_options *options, const char *command, struct ptf_profile **profile);

/* The stream that a command writes to: stdout when path is NULL. NULL: printed why. */
FILE *ptf_output_open(const char *path, const char *command);

/* Ends it with the rc and error of what was written; the exit status. */
int ptf_output_close(
        FILE *out, const char *path, const char *command, int rc, struct ptf_error *err);

/* Seconds as a decimal number, exact to the nanosecond, given to the option `what`; in ns. Exits on
 * anything else. */
uint64_t ptf_option_seconds(struct argp_state *state, const char *text, const char *what);

/* A number 0..max given to the option `what`; exits on anything else. */
long ptf_option_number(struct argp_state *state, const char *text, const char *what, long max);

/* Index of `word` in a NULL-terminated list of words; exits when it is none of them. */
int ptf_option_choice(
        struct argp_state *state, const char *const *words, const char *word, const char *what);

#endif
