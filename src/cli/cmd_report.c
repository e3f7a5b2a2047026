/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/watch_options.h"
#include "output/output_formats.h"

enum { OPT_WEIGHT = 256, OPT_BY, OPT_ANNOTATE, OPT_PATHS };

struct report_options {
	struct ptf_common_options common;
	struct ptf_watch_options watch;
	const char *output, *format;
	struct ptf_output_options out;
};

static const struct argp_option options[] = {
        {"format", 'f', "FORMAT", 0, "folded (default), json, svg or table", 0},
        {"output", 'o', "FILE", 0, "Write here, in the format of the name's ending", 0},
        {"weight", OPT_WEIGHT, "W", 0,
                "What a frame's width is: wall (default), on, kernel, off, calls or insns", 0},
        {"by", OPT_BY, "WHAT", 0, "Outermost frame: comm (default), thread or process", 0},
        {"paths", OPT_PATHS, NULL, 0, "json: counts, times and latencies of every call path too",
                0},
        {"annotate", OPT_ANNOTATE, NULL, 0, "Name frames `name:calls(partial),avg:ns'", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const weights[] = {
	        "wall", "on", "kernel", "off", "calls", "insns", NULL};
	static const char *const bys[] = {"comm", "thread", "process", NULL};
	struct report_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		state->child_inputs[1] = &o->watch;
		return 0;
	case 'f':
		o->format = arg;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_WEIGHT:
		o->out.view.weight =
		        (enum ptf_view_weight)ptf_option_choice(state, weights, arg, "--weight");
		return 0;
	case OPT_BY:
		o->out.view.by = (enum ptf_view_by)ptf_option_choice(state, bys, arg, "--by");
		return 0;
	case OPT_PATHS:
		o->out.paths = true;
		return 0;
	case OPT_ANNOTATE:
		o->out.annotate = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp report_argp = {options, parse_option, NULL,
        "Decodes a recording and writes where the time of every thread went.\v"
        "Folded stacks go to standard output and feed flamegraph.pl; `-o flame.svg' draws them.",
        ptf_watch_children, NULL, NULL};

/* The ending of a file name with its dot, "" when it has none. */
static const char *ending_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');

	return dot && dot != name ? dot : "";
}

/* By name, else by the output's ending; folded when there is neither. NULL: no such format. */
static const struct ptf_output_format *choose_format(const struct report_options *o)
{
	if (o->format)
		return ptf_output_format_find(o->format);
	if (o->output && *ending_of(o->output))
		return ptf_output_format_of_file(o->output);
	return ptf_output_formats[0];
}

static void list_formats(const struct report_options *o)
{
	if (o->format)
		fprintf(stderr, "ptflame report: no format '%s'; there are", o->format);
	else
		fprintf(stderr, "ptflame report: %s: no format for '%s'; -f names one of",
		        o->output, ending_of(o->output));
	for (size_t i = 0; ptf_output_formats[i]; i++)
		fprintf(stderr, " %s", ptf_output_formats[i]->name);
	fprintf(stderr, "\n");
}

static int write_report(const struct ptf_profile *profile, const struct report_options *o,
        const struct ptf_output_format *format)
{
	FILE *out = ptf_output_open(o->output, "report");
	struct ptf_error err = {0};
	int rc;

	if (!out)
		return PTF_EXIT_FAILURE;
	rc = format->write(profile, &o->out, out, &err);
	return ptf_output_close(out, o->output, "report", rc, &err);
}

/* A picture of chosen calls says so. */
static void make_title(const struct ptf_watch_options *watch, char *title, size_t size)
{
	static const char *const kinds[] = {
	        [PTF_WATCH_SLOWEST] = "slowest", [PTF_WATCH_FASTEST] = "fastest"};

	if (watch->choice.kind == PTF_WATCH_ALL)
		snprintf(title, size, "Calls of %s", watch->under);
	else
		snprintf(title, size, "The %s %g%% of the calls of %s", kinds[watch->choice.kind],
		        watch->choice.percent, watch->under);
}

static int run_report(struct report_options *o, const struct ptf_output_format *format)
{
	struct ptf_profile *whole, *profile;
	struct ptf_watch_counts counts;
	char title[256];
	int status = ptf_watch_analyse(&o->watch, &o->common, "report", &whole, &profile, &counts);

	if (status != PTF_EXIT_OK)
		return status;
	if (ptf_profile_view_weight(profile, o->out.view.weight) != o->out.view.weight)
		fprintf(stderr, "frames are weighted by instructions\n");
	if (o->watch.under) {
		make_title(&o->watch, title, sizeof(title));
		o->out.title = title;
	}
	status = write_report(profile, o, format);
	ptf_watch_release(whole, profile);
	return status;
}

int cmd_report(int argc, char **argv)
{
	struct report_options o = {0};
	const struct ptf_output_format *format;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame report";
	argp_parse(&report_argp, argc, argv, 0, NULL, &o);
	format = choose_format(&o);
	if (!format) {
		list_formats(&o);
		return PTF_EXIT_USAGE;
	}
	return run_report(&o, format);
}
