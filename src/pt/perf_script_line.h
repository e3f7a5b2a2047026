/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line of what `perf script` prints, taken apart.
 *
 * Formats: tools/perf/builtin-script.c (perf_sample__fprintf_start, perf_sample__fprintf_bts,
 * perf_sample__fprintf_flags, the instruction trace errors), perf 4 to 6. Fields that -F left out
 * may be missing; what names a thread, if printed, stands before the time:
 *
 *     comm pid/tid [cpu] seconds.fraction: period event: flags ip sym+off (dso) => ip sym+off (dso)
 *
 * and then, with -F +ipc, +insnlen, +insn, "IPC: i.pc (instructions/cycles)", "ilen: n" and
 * "insn: bytes". Names may contain blanks and brackets of all kinds.
 */
#ifndef PTF_PERF_SCRIPT_LINE_H
#define PTF_PERF_SCRIPT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Flags of a branch: perf's PERF_IP_FLAG_*, which have these letters and names. */
enum ptf_branch_flag {
	PTF_BRANCH = 1u << 0,             /* b: "jmp" alone */
	PTF_BRANCH_CALL = 1u << 1,        /* c: "call" */
	PTF_BRANCH_RETURN = 1u << 2,      /* r: "return" */
	PTF_BRANCH_CONDITIONAL = 1u << 3, /* o: "jcc" */
	PTF_BRANCH_SYSCALL = 1u << 4,     /* s: "syscall" is a call, "sysret" a return */
	PTF_BRANCH_ASYNC = 1u << 5,       /* y: "async" */
	PTF_BRANCH_INTERRUPT = 1u << 6,   /* i: "int" a call, "iret" a return, "hw int" async */
	PTF_BRANCH_TX_ABORT = 1u << 7,    /* A: "tx abrt" */
	PTF_BRANCH_BEGIN = 1u << 8,       /* B: "tr strt" */
	PTF_BRANCH_END = 1u << 9,         /* E: "tr end" */
	PTF_BRANCH_IN_TX = 1u << 10,      /* x: "(x)" behind the others */
	PTF_BRANCH_VMENTRY = 1u << 11,    /* g: "vmentry" */
	PTF_BRANCH_VMEXIT = 1u << 12,     /* h: "vmexit" */
};

enum ptf_perf_script_kind {
	PTF_SCRIPT_BLANK,      /* nothing, or a comment */
	PTF_SCRIPT_BRANCH,     /* a branch with its flags */
	PTF_SCRIPT_INCOMPLETE, /* a branch without flags or target: print them with -F +flags,+addr
	                        */
	PTF_SCRIPT_EVENT,      /* a sample of another event */
	PTF_SCRIPT_ERROR,      /* an instruction trace error */
	PTF_SCRIPT_INDENTED,   /* not readable, but set in: may belong to the sample above it */
	PTF_SCRIPT_UNREADABLE, /* anything else */
};

/* Not terminated; a part of the line. */
struct ptf_slice {
	const char *text;
	size_t len; /* bytes, 0: absent */
};

/* One end of a branch. */
struct ptf_script_place {
	uint64_t ip;     /* 0: not known */
	uint64_t offset; /* of ip in the symbol, bytes, when has_offset */
	bool has_offset;
	struct ptf_slice symbol; /* "[unknown]" included */
	struct ptf_slice dso;    /* "[unknown]" included */
};

struct ptf_perf_script_line {
	enum ptf_perf_script_kind kind;
	struct ptf_slice comm;
	int32_t pid, tid;  /* -1: not printed */
	int32_t cpu;       /* -1: not printed */
	uint64_t time_ns;  /* UINT64_MAX: not printed */
	uint32_t flags;    /* BRANCH: enum ptf_branch_flag */
	uint32_t insns;    /* BRANCH: instructions that "IPC:" counts, 0: not printed */
	uint8_t insn_size; /* BRANCH: bytes of the branch instruction ("ilen:"), 0: not printed */
	uint32_t error;    /* ERROR: perf's code (intel-pt-decoder.h), 7 is an overflow */
	struct ptf_script_place from, to; /* BRANCH; ERROR: where, in from.ip */
};

/* Takes a line without its newline apart; its slices point into text. */
void ptf_perf_script_line_parse(struct ptf_perf_script_line *line, const char *text, size_t len);

#endif
