/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stack diff: two sets of folded stacks, A and B, side by side.
 *
 * When it is known how many calls each stands for, values are compared per call; else as they are.
 */
#ifndef PTF_STACK_DIFF_H
#define PTF_STACK_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <ptflame/error.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"

enum ptf_diff_side { PTF_DIFF_A, PTF_DIFF_B, PTF_DIFF_SIDES };

/* A stack or a function, and its value on each side. */
struct ptf_diff_row {
	const char *name;
	uint64_t values[PTF_DIFF_SIDES];
	struct ptf_diff_row *next; /* with the same hash, or NULL */
};

PTF_VEC_TYPEDEF(ptf_diff_rows, struct ptf_diff_row *);

struct ptf_stack_diff {
	struct ptf_arena arena; /* rows and names */
	struct ptf_diff_rows stacks;
	struct ptf_hash_map by_name;       /* hash -> row of stacks */
	const char *names[PTF_DIFF_SIDES]; /* what each is, for the table; borrowed */
	uint64_t calls[PTF_DIFF_SIDES];    /* they stand for; 0: not known, on both sides then */
	uint64_t totals[PTF_DIFF_SIDES];   /* of all stacks */
};

/* A zeroed struct is empty. */
void ptf_stack_diff_release(struct ptf_stack_diff *diff);

/* Adds lines "frame;...;frame VALUE"; empty ones are passed over. Fails with
 * PTF_EFORMAT on any other, with PTF_EIO, PTF_ENOMEM; `path` is for the messages. */
int ptf_stack_diff_read(struct ptf_stack_diff *diff, enum ptf_diff_side side, FILE *in,
        const char *path, struct ptf_error *err);

/* difffolded.pl's format for flamegraph.pl, "stack A B", sorted. Per call, A is scaled to as many
 * calls as B has. Flushes; -PTF_EIO or -PTF_ENOMEM. */
int ptf_stack_diff_write_folded(
        const struct ptf_stack_diff *diff, FILE *out, struct ptf_error *err);

/* A table for the terminal, the largest changes first: of functions by their own time, or of whole
 * stacks. What is on one side only is listed below it. top: rows at most. Flushes; errors as above.
 */
int ptf_stack_diff_write_table(const struct ptf_stack_diff *diff, bool stacks, size_t top,
        FILE *out, struct ptf_error *err);

#endif
