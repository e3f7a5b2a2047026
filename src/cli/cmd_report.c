/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "output/output_formats.h"
#include "profile/analysis.h"

enum {
	OPT_WEIGHT = 256,
	OPT_BY,
	OPT_ANNOTATE,
	OPT_TID,
	OPT_COMM,
	OPT_SYMFS,
	OPT_ENGINE,
	OPT_STATS,
};

struct report_options {
	const char *input, *output, *format;
	struct ptf_analysis_options analysis;
	struct ptf_output_options out;
	bool stats;
};

static const struct argp_option options[] = {
        {"input", 'i', "FILE", 0,
                "Recording, or text of perf script (ptflame.data, else perf.data; - is stdin)", 0},
        {"format", 'f', "FORMAT", 0, "folded (default), json, svg or table", 0},
        {"output", 'o', "FILE", 0, "Write here, in the format of the name's ending", 0},
        {"weight", OPT_WEIGHT, "W", 0,
                "What a frame's width is: wall (default), on, kernel, off, calls or insns", 0},
        {"by", OPT_BY, "WHAT", 0, "Outermost frame: comm (default), thread or process", 0},
        {"annotate", OPT_ANNOTATE, NULL, 0, "Name frames `name:calls(partial),avg:ns'", 0},
        {"tid", OPT_TID, "N", 0, "Only this thread", 0},
        {"comm", OPT_COMM, "NAME", 0, "Only threads of this name", 0},
        {"symfs", OPT_SYMFS, "DIR", 0, "Look for the recorded programs and libraries below DIR", 0},
        {"engine", OPT_ENGINE, "NAME", 0, "Decoder: libipt", 0},
        {"jobs", 'j', "N", 0, "Threads that decode (one for each CPU)", 0},
        {"stats", OPT_STATS, NULL, 0, "Print counts of records, losses and stack rules on stderr",
                0},
        {0},
};

static int word_index(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

static long number_of(struct argp_state *state, const char *text, const char *what, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 0 || value > max)
		argp_error(state, "%s takes a number, not '%s'", what, text);
	return value;
}

static int parse_choice(
        struct argp_state *state, const char *const *words, const char *word, const char *what)
{
	int index = word_index(words, word);

	if (index < 0)
		argp_error(state, "%s: no '%s'; see --help", what, word);
	return index;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const weights[] = {
	        "wall", "on", "kernel", "off", "calls", "insns", NULL};
	static const char *const bys[] = {"comm", "thread", "process", NULL};
	struct report_options *o = state->input;

	switch (key) {
	case 'i':
		o->input = arg;
		break;
	case 'f':
		o->format = arg;
		break;
	case 'o':
		o->output = arg;
		break;
	case 'j':
		o->analysis.threads = (unsigned)number_of(state, arg, "-j", 1024);
		break;
	case OPT_WEIGHT:
		o->out.view.weight =
		        (enum ptf_view_weight)parse_choice(state, weights, arg, "--weight");
		break;
	case OPT_BY:
		o->out.view.by = (enum ptf_view_by)parse_choice(state, bys, arg, "--by");
		break;
	case OPT_ANNOTATE:
		o->out.annotate = true;
		break;
	case OPT_TID:
		o->analysis.tid = (int32_t)number_of(state, arg, "--tid", INT32_MAX);
		break;
	case OPT_COMM:
		o->out.view.comm = arg;
		break;
	case OPT_SYMFS:
		o->analysis.symfs = arg;
		break;
	case OPT_ENGINE:
		o->analysis.engine = arg;
		break;
	case OPT_STATS:
		o->stats = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': the input is given with -i", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp report_argp = {options, parse_option, NULL,
        "Decodes a recording and writes where the time of every thread went.\v"
        "Folded stacks go to standard output and feed flamegraph.pl; `-o flame.svg' draws them.",
        NULL, NULL, NULL};

/* ---- progress ---- */

struct progress {
	struct timespec start;
	time_t last_second; /* of the last line drawn */
	bool drawn;
};

static void show_progress(void *context, uint64_t done, uint64_t total)
{
	struct progress *progress = context;
	struct timespec now;
	double seconds, rate;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec == progress->last_second || !total)
		return;
	progress->last_second = now.tv_sec;
	seconds = (double)(now.tv_sec - progress->start.tv_sec) +
	          1e-9 * (double)(now.tv_nsec - progress->start.tv_nsec);
	rate = seconds > 0 ? (double)done / seconds : 0;
	fprintf(stderr, "\rdecoding: %3.0f%% of %.1f MB, %.1f MB/s, %.0f s left   ",
	        100.0 * (double)done / (double)total, (double)total / 1e6, rate / 1e6,
	        rate > 0 ? (double)(total - done) / rate : 0);
	progress->drawn = true;
}

/* ---- notes on stderr ---- */

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_sum(const struct ptf_profile *profile)
{
	uint64_t states[PTF_STATES] = {0}, wall = 0;

	for (size_t i = 0; i < profile->n_threads; i++) {
		wall += profile->threads[i].end_ns - profile->threads[i].start_ns;
		for (unsigned s = 0; s < PTF_STATES; s++)
			states[s] += profile->threads[i].states[s];
	}
	fprintf(stderr,
	        "window %.6f s, %zu threads; wall %.6f s = on %.6f + kernel %.6f + off %.6f + "
	        "lost %.6f (%.2f%%)\n",
	        1e-9 * (double)(profile->window.end_ns - profile->window.start_ns),
	        profile->n_threads, 1e-9 * (double)wall, 1e-9 * (double)states[PTF_STATE_ON],
	        1e-9 * (double)states[PTF_STATE_KERNEL], 1e-9 * (double)states[PTF_STATE_OFF],
	        1e-9 * (double)states[PTF_STATE_LOST], percent(states[PTF_STATE_LOST], wall));
}

static void print_losses(const struct ptf_profile *profile)
{
	const struct ptf_profile_decode *decode = &profile->decode;

	for (size_t i = 0; i < profile->n_missing; i++)
		fprintf(stderr,
		        "not decoded for want of %s: %s (%" PRIu64
		        " places); give a directory that holds it with --symfs\n",
		        profile->missing[i].path, profile->missing[i].problem,
		        profile->missing[i].errors);
	if (decode->overflows || decode->errors || decode->lost_bytes)
		fprintf(stderr,
		        "%" PRIu64 " overflows, %" PRIu64 " decode errors, %" PRIu64 " of %" PRIu64
		        " bytes of trace not decoded\n",
		        decode->overflows, decode->errors, decode->lost_bytes, decode->aux_bytes);
}

static void print_notes(const struct ptf_profile *profile, const struct report_options *o)
{
	const struct ptf_profile_window *window = &profile->window;

	if (window->simulated && window->dilation > 0)
		fprintf(stderr,
		        "simulated PT: CPU time is stretched (%.1f times on a calibration loop), "
		        "waiting "
		        "is not\n",
		        window->dilation);
	else if (window->simulated)
		fprintf(stderr, "simulated PT: one instruction is 1 ns\n");
	if (!window->timed)
		fprintf(stderr, "the trace has no timing: %s\n",
		        ptf_profile_view_weight(profile, o->out.view.weight) != o->out.view.weight
		                ? "frames are weighted by instructions"
		                : "times are not known");
	else
		print_sum(profile);
	if (window->timed && !window->switches)
		fprintf(stderr, "no context switches were recorded: off-CPU time is in kernel\n");
	print_losses(profile);
}

static void print_stats(const struct ptf_profile *profile)
{
	const struct ptf_profile_decode *decode = &profile->decode;

	fprintf(stderr,
	        "%s engine: %" PRIu64 " bytes, %" PRIu64 " instructions, %" PRIu64
	        " calls, %" PRIu64 " returns in %.3f s (%.1f MB/s)\n",
	        decode->engine, decode->aux_bytes, decode->instructions, decode->calls,
	        decode->returns, decode->seconds,
	        decode->seconds > 0 ? 1e-6 * (double)decode->aux_bytes / decode->seconds : 0);
	for (size_t i = 0; i < profile->n_stats; i++)
		fprintf(stderr, "%12" PRIu64 "  %-18s %s\n", profile->stats[i].count,
		        profile->stats[i].name, profile->stats[i].text);
}

/* ---- output ---- */

/* By name, else by the output's ending, else folded; NULL: no such name. */
static const struct ptf_output_format *choose_format(const struct report_options *o)
{
	const struct ptf_output_format *format = NULL;

	if (o->format)
		return ptf_output_format_find(o->format);
	if (o->output)
		format = ptf_output_format_of_file(o->output);
	return format ? format : ptf_output_formats[0];
}

static void list_formats(const char *wanted)
{
	fprintf(stderr, "ptflame report: no format '%s'; there are", wanted);
	for (size_t i = 0; ptf_output_formats[i]; i++)
		fprintf(stderr, " %s", ptf_output_formats[i]->name);
	fprintf(stderr, "\n");
}

static int write_report(const struct ptf_profile *profile, const struct report_options *o,
        const struct ptf_output_format *format)
{
	FILE *out = o->output ? fopen(o->output, "w") : stdout;
	struct ptf_error err = {0};
	int rc;

	if (!out) {
		ptf_error_set_errno(&err, errno, "%s", o->output);
		return ptf_command_fail("report", &err);
	}
	rc = format->write(profile, &o->out, out, &err);
	if (o->output && fclose(out) != 0 && rc == 0)
		rc = ptf_error_set_errno(&err, errno, "%s", o->output);
	return rc < 0 ? ptf_command_fail("report", &err) : PTF_EXIT_OK;
}

static int run_report(struct report_options *o, const struct ptf_output_format *format)
{
	struct progress progress = {0};
	struct ptf_profile *profile;
	struct ptf_error err = {0};
	int status;

	clock_gettime(CLOCK_MONOTONIC, &progress.start);
	progress.last_second = progress.start.tv_sec;
	o->analysis.input = o->input ? o->input : ptf_default_input();
	if (isatty(STDERR_FILENO)) {
		o->analysis.progress = show_progress;
		o->analysis.progress_context = &progress;
	}
	if (ptf_analysis_run(&profile, &o->analysis, &err) < 0) {
		if (progress.drawn)
			fprintf(stderr, "\n");
		return ptf_command_fail("report", &err);
	}
	if (progress.drawn)
		fprintf(stderr, "\r%70s\r", "");
	print_notes(profile, o);
	if (o->stats)
		print_stats(profile);
	status = write_report(profile, o, format);
	ptf_profile_destroy(profile);
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
		list_formats(o.format);
		return PTF_EXIT_USAGE;
	}
	if (o.out.view.comm && !format->draws_stacks) {
		fprintf(stderr, "ptflame report: --comm chooses stacks: folded or svg, not %s\n",
		        format->name);
		return PTF_EXIT_USAGE;
	}
	return run_report(&o, format);
}
