/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads what `perf script --itrace=b...` or `=cr...` printed and yields it as flow items, so that a
 * trace which somebody else decoded can be replayed. Line formats: perf_script_line.h. The branch
 * flags and targets must be printed (-F +flags,+addr); time, pid, tid, comm, event and dso may be
 * missing.
 *
 *     flags                          item
 *     call                           CALL; insn_size only with -F +insnlen
 *     return                         RETURN
 *     jcc, jmp, tx abrt              JUMP when it leaves the function, else nothing
 *                                    (a jump to the function's own entry may be a loop: nothing)
 *     tr strt                        ON at `to`
 *     tr end  syscall, int           OFF, cause SYSCALL
 *     tr end  async, hw int          OFF, cause ASYNC; so is "tr end" alone: an instruction that
 * did not finish tr end  anything else          OFF, cause BRANCH, towards `to` if that is printed
 *     syscall, sysret, int           ASYNC, cause SYSCALL (the kernel is traced, too)
 *     hw int, iret, async            ASYNC, cause ASYNC
 *     vmentry, vmexit                ASYNC, cause NONE
 *     instruction trace error        LOST: code 7 OVERFLOW, 8 (lost trace data) DATA, else ERROR
 *
 * When a thread begins, or goes on after an error, with another branch than "tr strt", a SYNC at
 * that branch's `from` comes before its item.
 *
 * iret and sysret always go into the middle of a function (mid_entry), even at its first
 * instruction: they go on where something was interrupted. Where the text has no offsets in
 * symbols, a call or jump to another function is taken to go to its entry, all else to its middle.
 *
 * A function is (dso, ip - offset, name as printed); its kind is PTF_FUNCTION_TEXT and its address
 * is that in memory, not in the file, which the text does not tell. "name.cold" is the function
 * "name" that was seen before. Code that perf calls [unknown] is the function of its dso
 * (PTF_FUNCTION_MODULE), without a dso the table's unknown one.
 */
#ifndef PTF_PERF_SCRIPT_READER_H
#define PTF_PERF_SCRIPT_READER_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "pt/flow_item.h"
#include "symbol/function_table.h"

struct ptf_perf_script_reader;

struct ptf_perf_script_item {
	int32_t pid, tid; /* -1: not printed (all such lines are taken for one thread) */
	int32_t cpu;      /* -1: not printed */
	const char *comm; /* of the line, "" when not printed; lives as long as the reader */
	struct ptf_flow_item item;
};

/* What was read so far. Every line is counted once in: branches, incomplete, events, errors,
 * unreadable or blank. */
struct ptf_perf_script_counts {
	uint64_t lines;
	uint64_t branches;   /* lines, those within a function included */
	uint64_t incomplete; /* branches without flags or target: not used */
	uint64_t events;     /* samples of other events, and indented lines below samples */
	uint64_t errors;     /* instruction trace errors */
	uint64_t blank;      /* and comments */
	uint64_t unreadable; /* anything else */
	uint64_t first_unreadable, first_incomplete; /* line numbers from 1, 0: none */
	uint64_t calls, returns;    /* lines whose flags say so, "tr end  call" included */
	uint64_t overflows;         /* of errors */
	uint64_t first_ns, last_ns; /* of branches and errors, when has_time */
	bool has_time;
	bool has_insns; /* some line tells how many instructions ran */
};

/* Does path look like such a text? 1 yes, 0 no, <0 it cannot be read (errors as create). */
int ptf_perf_script_reader_probe(const char *path, struct ptf_error *err);

/* Opens path ("-": standard input). functions is borrowed and must outlive the reader. Errors:
 * PTF_EIO, PTF_ENOENT, PTF_EPERM, PTF_ENOMEM. */
int ptf_perf_script_reader_create(struct ptf_perf_script_reader **reader, const char *path,
        struct ptf_function_table *functions, struct ptf_error *err);
void ptf_perf_script_reader_destroy(struct ptf_perf_script_reader *reader);

/* The next item, in the order of the text: 0 and *out, 1 at the end, <0 PTF_EIO or PTF_ENOMEM. A
 * thread whose last lines were no items gets an END with the time of its last line. */
int ptf_perf_script_reader_next(struct ptf_perf_script_reader *reader,
        struct ptf_perf_script_item *out, struct ptf_error *err);

/* Complete after the end. */
const struct ptf_perf_script_counts *ptf_perf_script_reader_counts(
        const struct ptf_perf_script_reader *reader);

#endif
