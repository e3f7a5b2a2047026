/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/watch_options.h"
#include "output/output_text.h"

enum { OPT_UNDER = 0x2000, OPT_SLOWEST, OPT_FASTEST };

static const struct argp_option option_list[] = {
        {"under", OPT_UNDER, "FUNCTION", 0, "Only what happened in calls of this function", 0},
        {"slowest", OPT_SLOWEST, "P%", 0, "... in the P per cent of them that took longest", 0},
        {"fastest", OPT_FASTEST, "P%", 0,
                "... in the others: --fastest 99% is all but --slowest 1%", 0},
        {0},
};

static double parse_percent(struct argp_state *state, const char *text, const char *what)
{
	char *end;
	double percent;

	errno = 0;
	percent = strtod(text, &end);
	if (errno || end == text || (*end && strcmp(end, "%") != 0) || !(percent > 0) ||
	        percent > 100)
		argp_error(state, "%s takes a percentage, as in 1%%, not '%s'", what, text);
	return percent;
}

static void choose(struct argp_state *state, enum ptf_watch_kind kind, const char *arg)
{
	struct ptf_watch_options *o = state->input;

	if (o->choice.kind != PTF_WATCH_ALL)
		argp_error(state, "only one of --slowest and --fastest");
	o->choice.kind = kind;
	o->choice.percent =
	        parse_percent(state, arg, kind == PTF_WATCH_SLOWEST ? "--slowest" : "--fastest");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct ptf_watch_options *o = state->input;

	switch (key) {
	case OPT_UNDER:
		o->under = arg;
		return 0;
	case OPT_SLOWEST:
		choose(state, PTF_WATCH_SLOWEST, arg);
		return 0;
	case OPT_FASTEST:
		choose(state, PTF_WATCH_FASTEST, arg);
		return 0;
	case ARGP_KEY_END:
		if (o->choice.kind != PTF_WATCH_ALL && !o->under)
			argp_error(state, "--slowest and --fastest go with --under FUNCTION");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp ptf_watch_argp = {option_list, parse_option, NULL, NULL, NULL, NULL, NULL};

const struct argp_child ptf_watch_children[] = {
        {&ptf_common_argp, 0, "What to read, and how:", 10},
        {&ptf_watch_argp, 0, "Which calls:", 5},
        {0},
};

static double seconds(uint64_t ns)
{
	return 1e-9 * (double)ns;
}

/* "1,000 of 100,000 calls of f (1.00%), those of 1.25 ms and more; 2 partial ones left out" */
static void print_choice(const char *under, const struct ptf_watch_choice *choice,
        const struct ptf_watch_counts *counts, const struct ptf_profile *part)
{
	uint64_t states[PTF_STATES] = {0};
	uint64_t all = counts->timed + counts->partial;
	struct ptf_text text = {0};

	for (size_t i = 0; i < part->n_threads; i++) {
		for (unsigned s = 0; s < PTF_STATES; s++)
			states[s] += part->threads[i].states[s];
	}
	if (choice->kind == PTF_WATCH_ALL) {
		fprintf(stderr, "%" PRIu64 " calls of %s, %" PRIu64 " of them partial", all, under,
		        counts->partial);
	} else {
		fprintf(stderr, "%" PRIu64 " of %" PRIu64 " calls of %s (%.2f%%)", counts->chosen,
		        counts->timed, under,
		        100.0 * (double)counts->chosen / (double)counts->timed);
		ptf_text_append_duration(&text, counts->threshold_ns);
		if (counts->threshold_ns != UINT64_MAX)
			fprintf(stderr,
			        choice->kind == PTF_WATCH_SLOWEST ? ", those of %s and longer"
			                                          : ", those shorter than %s",
			        ptf_text_string(&text));
		ptf_text_release(&text);
		if (counts->partial)
			fprintf(stderr, "; %" PRIu64 " partial ones left out", counts->partial);
	}
	if (part->window.timed)
		fprintf(stderr,
		        "; in them wall %.6f s = on %.6f + kernel %.6f + off %.6f + lost %.6f",
		        seconds(ptf_states_sum(states)), seconds(states[PTF_STATE_ON]),
		        seconds(states[PTF_STATE_KERNEL]), seconds(states[PTF_STATE_OFF]),
		        seconds(states[PTF_STATE_LOST]));
	fprintf(stderr, "\n");
}

int ptf_watch_part(const char *under, const struct ptf_watch_choice *choice, const char *command,
        const struct ptf_profile *whole, struct ptf_profile **part, struct ptf_watch_counts *counts)
{
	struct ptf_error err = {0};

	if (ptf_watch_choose(part, whole, choice, counts, &err) < 0)
		return ptf_command_fail(command, &err);
	print_choice(under, choice, counts, *part);
	return PTF_EXIT_OK;
}

int ptf_watch_analyse(const struct ptf_watch_options *watch, struct ptf_common_options *common,
        const char *command, struct ptf_profile **whole, struct ptf_profile **part,
        struct ptf_watch_counts *counts)
{
	int status;

	*counts = (struct ptf_watch_counts){0};
	common->analysis.watch = watch->under;
	status = ptf_common_analyse(common, command, whole);
	if (status != PTF_EXIT_OK)
		return status;
	*part = *whole;
	if (watch->under)
		status =
		        ptf_watch_part(watch->under, &watch->choice, command, *whole, part, counts);
	if (status != PTF_EXIT_OK)
		ptf_profile_destroy(*whole);
	return status;
}

void ptf_watch_release(struct ptf_profile *whole, struct ptf_profile *part)
{
	if (part != whole)
		ptf_profile_destroy(part);
	ptf_profile_destroy(whole);
}
