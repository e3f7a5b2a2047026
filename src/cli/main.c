/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"

const struct ptf_command ptf_commands[] = {
        {"record", cmd_record,
                "record a running process or a command with Intel PT, real or simulated"},
        {"report", cmd_report, "decode a recording: folded stacks, flame graph, JSON"},
        {"calls", cmd_calls, "how long the calls of a function took, and why the slowest did"},
        {"diff", cmd_diff,
                "compare two recordings, or the slowest calls of a function with the others"},
        {"syscalls", cmd_syscalls, "what each system call cost, and who made it"},
        {"stacks", cmd_stacks, "the stack of every thread at an instant"},
        {"dump", cmd_dump, "print the packets of a recording with their offsets"},
        {"sim", cmd_sim, "run a command with simulated Intel PT, ready to be recorded"},
        {NULL, NULL, NULL},
};

int ptf_command_fail(const char *command, const struct ptf_error *err)
{
	fprintf(stderr, "ptflame %s: %s\n", command, err->msg);
	return PTF_EXIT_FAILURE;
}

const char *ptf_default_input(void)
{
	return access("ptflame.data", F_OK) != 0 && access("perf.data", F_OK) == 0 ? "perf.data"
	                                                                           : "ptflame.data";
}

static void log_to_stderr(enum ptf_log_level level, const char *text)
{
	if (level != PTF_LOG_DEBUG)
		fprintf(stderr, "ptflame: %s%s\n", level == PTF_LOG_WARN ? "warning: " : "", text);
}

static void print_usage(FILE *out)
{
	fprintf(out,
	        "Usage: ptflame COMMAND [OPTION...]\n\n"
	        "Shows where the wall-clock time of every thread went, on the CPU and off it,\n"
	        "exact to the call, from an Intel PT trace.\n\nCommands:\n");
	for (const struct ptf_command *command = ptf_commands; command->name; command++)
		fprintf(out, "  %-8s %s\n", command->name, command->help);
	fprintf(out, "\n`ptflame COMMAND --help` tells the options; `man ptflame` the rest.\n");
}

static int run_command(int argc, char **argv)
{
	for (const struct ptf_command *command = ptf_commands; command->name; command++) {
		if (strcmp(argv[0], command->name) == 0)
			return command->run(argc, argv);
	}
	fprintf(stderr, "ptflame: no command '%s'; `ptflame --help` lists them\n", argv[0]);
	return PTF_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status;

	ptf_log_set_sink(log_to_stderr);
	if (argc < 2) {
		print_usage(stderr);
		return PTF_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	        strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		status = PTF_EXIT_OK;
	} else if (strcmp(argv[1], "--version") == 0) {
		printf("ptflame %s\n", PTF_VERSION);
		status = PTF_EXIT_OK;
	} else {
		status = run_command(argc - 1, argv + 1);
	}
	/* A full disk must not look like success. */
	if (fflush(stdout) != 0 && status == PTF_EXIT_OK && errno != EPIPE) {
		fprintf(stderr, "ptflame: standard output: %s\n", strerror(errno));
		status = PTF_EXIT_FAILURE;
	}
	return status;
}
