/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "record/sim_launch.h"

enum { OPT_CLOCK = 256, OPT_LOSSY, OPT_WAIT };

static const struct argp_option options[] = {
        {"clock", OPT_CLOCK, "CLOCK", 0,
                "real (default): nanoseconds; insn: one instruction is 1 ns, and runs repeat "
                "exactly",
                0},
        {"lossy", OPT_LOSSY, NULL, 0,
                "Lose trace data when the recorder is slow, as hardware does; else the program "
                "waits",
                0},
        {"wait", OPT_WAIT, NULL, 0, "Wait for a recorder before the first instruction", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct ptf_sim_launch *launch = state->input;

	switch (key) {
	case OPT_CLOCK:
		if (strcmp(arg, "insn") == 0)
			launch->clock = PTF_SIM_CLOCK_INSN;
		else if (strcmp(arg, "real") != 0)
			argp_error(state, "--clock takes real or insn, not '%s'", arg);
		return 0;
	case OPT_LOSSY:
		launch->lossy = true;
		return 0;
	case OPT_WAIT:
		launch->wait = true;
		return 0;
	case ARGP_KEY_ARGS:
		launch->command = (const char *const *)state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command? ptflame sim -- CMD [ARG...]");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp sim_argp = {options, parse_option, "-- CMD [ARG...]",
        "Runs CMD with simulated Intel PT, so that it can be recorded on any machine.\v"
        "Record it from another terminal with `ptflame record -p PID'.",
        NULL, NULL, NULL};

int cmd_sim(int argc, char **argv)
{
	struct ptf_sim_launch launch = {0};
	struct ptf_error err = {0};

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame sim";
	/* In order: what stands behind CMD are its options. */
	argp_parse(&sim_argp, argc, argv, ARGP_IN_ORDER, NULL, &launch);
	ptf_sim_launch_exec(&launch, &err);
	return ptf_command_fail("sim", &err);
}
