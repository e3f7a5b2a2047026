/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/commands.h"
#include "cli/watch_options.h"
#include "output/output_syscalls.h"

enum { OPT_BY_CALLER = 256 };

struct syscalls_options {
	struct ptf_common_options common;
	struct ptf_watch_options watch;
	const char *output;
	enum ptf_syscall_order order;
	bool by_caller, json;
};

static const struct argp_option options[] = {
        {"by-caller", OPT_BY_CALLER, NULL, 0, "Below each system call, the functions that made it",
                0},
        {"sort", 'S', "KEY", 0, "time (default), calls, avg or name", 0},
        {"format", 'f', "FORMAT", 0, "table (default) or json", 0},
        {"output", 'o', "FILE", 0, "Write here", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const formats[] = {"table", "json", NULL};
	static const char *const orders[] = {"time", "calls", "avg", "name", NULL};
	struct syscalls_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		state->child_inputs[1] = &o->watch;
		return 0;
	case 'f':
		o->json = ptf_option_choice(state, formats, arg, "-f") == 1;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case 'S':
		o->order = (enum ptf_syscall_order)ptf_option_choice(state, orders, arg, "-S");
		return 0;
	case OPT_BY_CALLER:
		o->by_caller = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp syscalls_argp = {options, parse_option, NULL,
        "Tells what each system call cost: time on the CPU in the kernel and off it, calls, "
        "average, "
        "percentiles.\v"
        "Calls that the recording shows in part are in the times, but not in averages.",
        ptf_watch_children, NULL, NULL};

static int write_syscalls(const struct ptf_profile *profile, const struct syscalls_options *o)
{
	FILE *out = ptf_output_open(o->output, "syscalls");
	struct ptf_syscall_table table;
	struct ptf_error err = {0};
	int rc;

	if (!out)
		return PTF_EXIT_FAILURE;
	rc = ptf_syscall_table_init(&table, profile, o->by_caller, o->order, &err);
	if (rc == 0) {
		rc = (o->json ? ptf_output_syscalls_json : ptf_output_syscalls_table)(
		        &table, &profile->window, out, &err);
		ptf_syscall_table_release(&table);
	}
	return ptf_output_close(out, o->output, "syscalls", rc, &err);
}

int cmd_syscalls(int argc, char **argv)
{
	struct syscalls_options o = {0};
	struct ptf_profile *whole, *part;
	struct ptf_watch_counts counts;
	int status;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame syscalls";
	argp_parse(&syscalls_argp, argc, argv, 0, NULL, &o);
	status = ptf_watch_analyse(&o.watch, &o.common, "syscalls", &whole, &part, &counts);
	if (status != PTF_EXIT_OK)
		return status;
	status = write_syscalls(part, &o);
	ptf_watch_release(whole, part);
	return status;
}
