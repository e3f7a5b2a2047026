/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/common_options.h"

/* ---- options ---- */

enum {
	OPT_TID = 0x1000,
	OPT_COMM,
	OPT_TIME,
	OPT_WHOLE_STACKS,
	OPT_SYMFS,
	OPT_VMLINUX,
	OPT_ENGINE,
	OPT_STATS
};

static const struct argp_option option_list[] = {
        {"input", 'i', "FILE", 0,
                "Recording, or text of perf script (ptflame.data, else perf.data; - is stdin)", 0},
        {"tid", OPT_TID, "N", 0, "Only this thread", 0},
        {"comm", OPT_COMM, "NAME", 0, "Only threads of this (last) name", 0},
        {"time", OPT_TIME, "A,B", 0,
                "Only from second A to second B of the recording; either may be left out", 0},
        {"whole-stacks", OPT_WHOLE_STACKS, NULL, 0,
                "With --time: decode from the start of the recording, so that frames entered "
                "before A are known",
                0},
        {"symfs", OPT_SYMFS, "DIR", 0, "Look for the recorded programs and libraries below DIR", 0},
        {"vmlinux", OPT_VMLINUX, "FILE", 0,
                "The kernel that was recorded; else the recording's kcore, or a vmlinux of its "
                "build where distributions have them",
                0},
        {"engine", OPT_ENGINE, "NAME", 0, "Decoder: fast, libipt", 0},
        {"jobs", 'j', "N", 0, "Threads that decode (one for each CPU)", 0},
        {"stats", OPT_STATS, NULL, 0, "Print counts of records, losses and stack rules on stderr",
                0},
        {0},
};

long ptf_option_number(struct argp_state *state, const char *text, const char *what, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 0 || value > max)
		argp_error(state, "%s takes a number, not '%s'", what, text);
	return value;
}

int ptf_option_choice(
        struct argp_state *state, const char *const *words, const char *word, const char *what)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	argp_error(state, "%s: no '%s'; see --help", what, word);
	return 0;
}

/* Reads "1.25" up to *end. False: no such number, more than 9 digits behind the point, or too
 * large. */
static bool read_seconds(const char *text, const char **end, uint64_t *ns)
{
	enum { SECOND = 1000000000 };
	uint64_t seconds = 0, unit = SECOND;
	const char *at = text;

	*ns = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		seconds = seconds * 10 + (uint64_t)(*at - '0');
		if (seconds > INT64_MAX / SECOND)
			return false;
	}
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9' && unit > 1; at++) {
			unit /= 10;
			*ns += (uint64_t)(*at - '0') * unit;
		}
	}
	*ns += seconds * SECOND;
	*end = at;
	return at > text && at[-1] != '.';
}

uint64_t ptf_option_seconds(struct argp_state *state, const char *text, const char *what)
{
	const char *end = text;
	uint64_t ns;

	if (!read_seconds(text, &end, &ns) || *end)
		argp_error(state, "%s takes seconds, as in 1.25, not '%s'", what, text);
	return ns;
}

/* "A,B", "A," or ",B" */
static void parse_slice(struct argp_state *state, const char *text, struct ptf_time_slice *slice)
{
	const char *at = text;
	bool ok;

	*slice = (struct ptf_time_slice){.whole_stacks = slice->whole_stacks};
	ok = *at == ',' || (read_seconds(at, &at, &slice->from_ns) && *at == ',');

	if (ok && at[1])
		ok = read_seconds(at + 1, &at, &slice->to_ns) && !*at &&
		     slice->to_ns > slice->from_ns;
	if (!ok)
		argp_error(state,
		        "--time takes A,B in seconds, A before B, as in 1.25,2 or 1.25, or ,2; not "
		        "'%s'",
		        text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct ptf_common_options *o = state->input;

	switch (key) {
	case 'i':
		o->analysis.input = arg;
		return 0;
	case 'j':
		o->analysis.threads = (unsigned)ptf_option_number(state, arg, "-j", 1024);
		return 0;
	case OPT_TID:
		o->analysis.tid = (int32_t)ptf_option_number(state, arg, "--tid", INT32_MAX);
		return 0;
	case OPT_COMM:
		o->analysis.comm = arg;
		return 0;
	case OPT_TIME:
		parse_slice(state, arg, &o->analysis.slice);
		return 0;
	case OPT_WHOLE_STACKS:
		o->analysis.slice.whole_stacks = true;
		return 0;
	case OPT_SYMFS:
		o->analysis.symfs = arg;
		return 0;
	case OPT_VMLINUX:
		o->analysis.vmlinux = arg;
		return 0;
	case OPT_ENGINE:
		o->analysis.engine = arg;
		return 0;
	case OPT_STATS:
		o->stats = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': the input is given with -i", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp ptf_common_argp = {option_list, parse_option, NULL, NULL, NULL, NULL, NULL};

const struct argp_child ptf_common_children[] = {
        {&ptf_common_argp, 0, "What to read, and how:", 10},
        {0},
};

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
		fprintf(stderr, "not decoded for want of %s: %s (%" PRIu64 " places); give %s\n",
		        profile->missing[i].path, profile->missing[i].problem,
		        profile->missing[i].errors,
		        strncmp(profile->missing[i].path, "[kernel", 7) == 0
		                ? "the kernel's image with --vmlinux"
		                : "a directory that holds it with --symfs");
	if (decode->lost_records)
		fprintf(stderr,
		        "%" PRIu64 " records were lost: if they told of context switches, on and "
		        "off the CPU are a guess around them\n",
		        decode->lost_records);
	if (decode->overflows || decode->errors || decode->lost_bytes)
		fprintf(stderr,
		        "%" PRIu64 " overflows, %" PRIu64 " decode errors, %" PRIu64 " of %" PRIu64
		        " bytes of trace not decoded\n",
		        decode->overflows, decode->errors, decode->lost_bytes, decode->aux_bytes);
}

static void print_notes(const struct ptf_profile *profile, bool instant)
{
	const struct ptf_profile_window *window = &profile->window;
	const struct ptf_profile_decode *decode = &profile->decode;

	if (decode->aux_bytes < decode->stream_bytes)
		fprintf(stderr, "decoded %" PRIu64 " of %" PRIu64 " bytes of trace\n",
		        decode->aux_bytes, decode->stream_bytes);
	if (window->simulated && window->dilation > 0)
		fprintf(stderr,
		        "simulated PT: CPU time is stretched (%.1f times on a calibration loop), "
		        "waiting "
		        "is not\n",
		        window->dilation);
	else if (window->simulated)
		fprintf(stderr, "simulated PT: one instruction is 1 ns\n");
	if (!window->timed)
		fprintf(stderr, "the trace has no timing: times are not known\n");
	else if (!instant)
		print_sum(profile);
	if (window->timed && !window->switches)
		fprintf(stderr, "no context switches were recorded: off-CPU time is in kernel\n");
	print_losses(profile);
}

static void print_place(uint64_t ip, const struct ptf_function *function)
{
	if (ip == UINT64_MAX)
		fprintf(stderr, "%s", function ? function->name : "?");
	else
		fprintf(stderr, "%#" PRIx64 " (%s)", ip, function ? function->name : "?");
}

/* Where stacks were given up, for a look at the code there. */
static void print_lost_stacks(const struct ptf_profile *profile)
{
	for (unsigned i = 0; i < profile->n_losses; i++) {
		const struct ptf_stack_loss *loss = &profile->losses[i];

		fprintf(stderr, "%s: ", ptf_stack_rule_name(loss->rule));
		if (loss->tid)
			fprintf(stderr, "thread %d ", loss->tid);
		if (profile->window.timed && loss->time_ns != UINT64_MAX)
			fprintf(stderr, "at %.9f s ",
			        1e-9 * (double)(loss->time_ns - profile->window.start_ns));
		fprintf(stderr, "from ");
		print_place(loss->from, loss->from_function);
		fprintf(stderr, " to ");
		print_place(loss->to, loss->to_function);
		fprintf(stderr, "\n");
	}
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
	print_lost_stacks(profile);
}

static int analyse(
        struct ptf_common_options *options, const char *command, struct ptf_profile **profile)
{
	struct progress progress = {0};
	struct ptf_error err = {0};
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &progress.start);
	progress.last_second = progress.start.tv_sec;
	if (isatty(STDERR_FILENO)) {
		options->analysis.progress = show_progress;
		options->analysis.progress_context = &progress;
	}
	rc = ptf_analysis_run(profile, &options->analysis, &err);
	if (progress.drawn)
		fprintf(stderr, rc < 0 ? "\n" : "\r%70s\r", "");
	return rc < 0 ? ptf_command_fail(command, &err) : PTF_EXIT_OK;
}

int ptf_common_analyse(
        struct ptf_common_options *options, const char *command, struct ptf_profile **profile)
{
	int status;

	if (!options->analysis.input)
		options->analysis.input = ptf_default_input();
	status = analyse(options, command, profile);
	if (status != PTF_EXIT_OK)
		return status;
	print_notes(*profile, options->analysis.slice.instant);
	if (options->stats)
		print_stats(*profile);
	return PTF_EXIT_OK;
}

/* ---- output ---- */

FILE *ptf_output_open(const char *path, const char *command)
{
	FILE *out = path ? fopen(path, "w") : stdout;
	struct ptf_error err = {0};

	if (!out) {
		ptf_error_set_errno(&err, errno, "%s", path);
		ptf_command_fail(command, &err);
	}
	return out;
}

int ptf_output_close(
        FILE *out, const char *path, const char *command, int rc, struct ptf_error *err)
{
	if (path && fclose(out) != 0 && rc == 0)
		rc = ptf_error_set_errno(err, errno, "%s", path);
	return rc < 0 ? ptf_command_fail(command, err) : PTF_EXIT_OK;
}
