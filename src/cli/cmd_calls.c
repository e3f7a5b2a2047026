/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/commands.h"
#include "cli/common_options.h"
#include "output/output_calls.h"

struct calls_options {
	struct ptf_common_options common;
	const char *output;
	bool json;
};

static const struct argp_option options[] = {
        {"function", 'F', "FUNCTION", 0, "The function: as in a report, or as in its symbol table",
                0},
        {"format", 'f', "FORMAT", 0, "table (default) or json", 0},
        {"output", 'o', "FILE", 0, "Write here", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const formats[] = {"table", "json", NULL};
	struct calls_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case 'F':
		o->common.analysis.watch = arg;
		return 0;
	case 'f':
		o->json = ptf_option_choice(state, formats, arg, "--format") == 1;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->common.analysis.watch)
			argp_error(state, "-F FUNCTION is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp calls_argp = {options, parse_option, NULL,
        "Tells how long the calls of one function took: percentiles, a histogram, and the slowest "
        "ones with where their time went.",
        ptf_common_children, NULL, NULL};

static int write_calls(const struct ptf_profile *profile, const struct calls_options *o)
{
	/* Seconds are counted from the start of the whole recording, as --time does. */
	uint64_t origin_ns = profile->window.start_ns - o->common.analysis.slice.from_ns;
	FILE *out = ptf_output_open(o->output, "calls");
	struct ptf_calls_report report;
	struct ptf_error err = {0};
	int rc;

	if (!out)
		return PTF_EXIT_FAILURE;
	rc = ptf_calls_report_init(&report, profile, &err);
	if (rc == 0) {
		rc = (o->json ? ptf_output_calls_json : ptf_output_calls_table)(
		        &report, profile, origin_ns, out, &err);
		ptf_calls_report_release(&report);
	}
	return ptf_output_close(out, o->output, "calls", rc, &err);
}

int cmd_calls(int argc, char **argv)
{
	struct calls_options o = {0};
	struct ptf_profile *profile;
	int status;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame calls";
	argp_parse(&calls_argp, argc, argv, 0, NULL, &o);
	status = ptf_common_analyse(&o.common, "calls", &profile);
	if (status != PTF_EXIT_OK)
		return status;
	status = write_calls(profile, &o);
	ptf_profile_destroy(profile);
	return status;
}
