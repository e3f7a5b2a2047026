/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `perf record` command line that accounting of wall-clock time needs, and the checks of what
 * would make it fail.
 *
 * Processes, commands and CPUs: one AUX buffer for each CPU, inherited by new threads; a single
 * thread (-t): a buffer of its own (--per-thread), which does not follow new threads. Always with
 * timestamps (-T, which per-thread recordings otherwise lack) and context switches. No -k: perf
 * refuses it with Intel PT, whose time is the perf clock.
 */
#ifndef PTF_PERF_COMMAND_H
#define PTF_PERF_COMMAND_H

#include <stddef.h>

#include <ptflame/error.h>

#include "record/pt_hardware.h"
#include "record/record.h"

/* A `perf record` command line. */
struct ptf_perf_command {
	char **argv; /* owned, NULL-terminated */
	size_t argc;
	double interrupt_s; /* SIGINT is to be sent after so many seconds, 0: never */
	bool out_of_memory; /* while it is built: an argument is missing */
};

/* Checks what is needed and builds the command line. What can be had in a lesser form (timing,
 * buffer size) is reduced with a note. Errors: PTF_EUNSUPPORTED, PTF_EPERM, PTF_ENOENT (no perf),
 * PTF_EINVAL; messages say what to do. */
int ptf_perf_command_init(struct ptf_perf_command *command,
        const struct ptf_record_options *options, const struct ptf_pt_hardware *hardware,
        struct ptf_error *err);
void ptf_perf_command_release(struct ptf_perf_command *command);

/* The command line as a shell takes it; the caller frees it. NULL: out of memory. */
char *ptf_perf_command_text(const struct ptf_perf_command *command);

#endif
