/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of ptflame: one table, one cmd_*.c for each. */
#ifndef PTF_COMMANDS_H
#define PTF_COMMANDS_H

#include <ptflame/error.h>

/* Exit statuses. */
enum { PTF_EXIT_OK = 0, PTF_EXIT_FAILURE = 1, PTF_EXIT_USAGE = 2 };

struct ptf_command {
	const char *name;
	int (*run)(
	        int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
	const char *help;               /* one line */
};

extern const struct ptf_command ptf_commands[]; /* ends with a NULL name */

int cmd_record(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_stacks(int argc, char **argv);
int cmd_calls(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_syscalls(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_sim(int argc, char **argv);

/* Prints "ptflame COMMAND: message" on stderr and returns PTF_EXIT_FAILURE. */
int ptf_command_fail(const char *command, const struct ptf_error *err);

/* The input when none is named: ptflame.data, else perf.data. */
const char *ptf_default_input(void);

#endif
