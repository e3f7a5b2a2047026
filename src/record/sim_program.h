/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program is to the PT simulator, and the emulator's command line that runs it. Used by the
 * launcher (`ptflame sim`) and by the simulator itself when its program calls execve.
 */
#ifndef PTF_SIM_PROGRAM_H
#define PTF_SIM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

/* Strings, the last one NULL once built; all owned. */
struct ptf_sim_args {
	char **v;
	size_t n, cap;
};

struct ptf_sim_program {
	char *path; /* owned: the ELF file to run, a script's interpreter for a script */
	char *comm; /* owned: name as the kernel would give it, of the script itself */
	struct ptf_sim_args args; /* argv as the program sees it, terminated */
	bool simulable;           /* an x86-64 ELF file */
};

/* How the emulator is to run a program. */
struct ptf_sim_emulator {
	const char *plugin;       /* path of ptflame-sim.so */
	enum ptf_sim_clock clock; /* of the packets */
	double dilation;          /* to report; 0 unknown */
	int wait_ms;              /* for START before the first instruction; -1: for ever */
	bool lossy;               /* recordings may lose data */
	int32_t pid, next_id;     /* insn clock: canonical ids, 0: the first ones */
	uint64_t clock_ns;        /* insn clock: time at which it begins, 0: the first one */
	const char *log_dir;      /* for debugging, or NULL */
};

/* Finds out what execve(path, argv) would run: follows "#!" lines. Errors: PTF_ENOENT, PTF_EPERM,
 * PTF_EINVAL when execve would fail, PTF_ENOMEM. */
int ptf_sim_program_init(struct ptf_sim_program *program, const char *path, const char *const *argv,
        struct ptf_error *err);
void ptf_sim_program_release(struct ptf_sim_program *program);

/* Appends a string to args, copied (NULL: the end); false when out of memory. */
bool ptf_sim_args_add(struct ptf_sim_args *args, const char *text);
void ptf_sim_args_release(struct ptf_sim_args *args);

/* The emulator's argv. -PTF_ENOMEM. */
int ptf_sim_program_command(const struct ptf_sim_program *program,
        const struct ptf_sim_emulator *emulator, struct ptf_sim_args *command,
        struct ptf_error *err);

#endif
