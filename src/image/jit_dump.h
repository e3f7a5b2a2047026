/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a jitdump: the file in which a JIT compiler leaves the code that it makes, with names and
 * times, in order of time.
 *
 * Source: tools/perf/Documentation/jitdump-specification.txt of Linux, version 1. What is not code
 * (lines, unwinding information) is passed over.
 */
#ifndef PTF_JIT_DUMP_H
#define PTF_JIT_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/reader.h"

struct ptf_jit_dump {
	struct ptf_reader reader; /* behind the last record read */
	uint32_t pid;             /* as the process itself sees it */
	uint64_t made;            /* time of the file, in the clock of the records */
	bool tsc;                 /* times are TSC ticks, else ns of CLOCK_MONOTONIC */
};

enum ptf_jit_event_kind {
	PTF_JIT_LOAD, /* new code */
	PTF_JIT_MOVE, /* code of an earlier load is now at `start` */
};

struct ptf_jit_event {
	enum ptf_jit_event_kind kind;
	uint64_t time;        /* in the dump's clock */
	uint64_t start, size; /* address and bytes of the code; size > 0 */
	uint64_t old_start;   /* MOVE: where it was */
	uint64_t file_offset; /* LOAD: of its bytes, all of which are in the file */
	const char *name;     /* LOAD: borrowed from the file, terminated */
};

/* Is this the name of a jitdump: .../jit-PID.dump? Compilers map a page of the file as executable
 * so that its name gets into recordings. */
bool ptf_jit_dump_is_name(const char *path);

/* bytes must outlive the dump. Errors: PTF_EFORMAT, PTF_EUNSUPPORTED (not for x86). */
int ptf_jit_dump_init(
        struct ptf_jit_dump *dump, const uint8_t *bytes, size_t size, struct ptf_error *err);

/* The next event of code: 0; 1 at the end; PTF_EFORMAT for a record that is damaged or cut off:
 * nothing follows it. */
int ptf_jit_dump_next(
        struct ptf_jit_dump *dump, struct ptf_jit_event *event, struct ptf_error *err);

#endif
