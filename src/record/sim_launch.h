/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts programs under the PT simulator: finds the emulator (QEMU's user mode for x86-64, the
 * Debian package qemu-user) and our plugin for it, and measures how much slower it is.
 */
#ifndef PTF_SIM_LAUNCH_H
#define PTF_SIM_LAUNCH_H

#include <stdbool.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

struct ptf_sim_launch {
	enum ptf_sim_clock clock; /* of the packets */
	bool wait;                /* before its first instruction, for a recorder */
	bool lossy;               /* recordings may lose data rather than stop the program */
	const char *const
	        *command; /* program (looked for in PATH) and arguments, NULL-terminated */
};

/* The command line to execute, NULL-terminated, heap: argv[0] is the emulator's path. Errors:
 * PTF_ENOENT (program, emulator or plugin), PTF_EPERM, PTF_EUNSUPPORTED (not an x86-64 program). */
int ptf_sim_launch_argv(const struct ptf_sim_launch *launch, char ***argv, struct ptf_error *err);
void ptf_sim_launch_free(char **argv);

/* Executes it in the place of this process; returns only when that fails. */
int ptf_sim_launch_exec(const struct ptf_sim_launch *launch, struct ptf_error *err);

#endif
