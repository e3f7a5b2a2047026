/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/watch_options.h"
#include "output/output_formats.h"
#include "output/stack_diff.h"
#include "profile/text_analysis.h"

enum { OPT_STACKS = 256, OPT_TOP, OPT_BY, DEFAULT_TOP = 30 };

struct diff_options {
	struct ptf_common_options common;
	struct ptf_watch_options watch;
	struct ptf_output_options out;
	const char *files[PTF_DIFF_SIDES];
	unsigned n_files;
	const char *output;
	bool folded, stacks;
	size_t top;
};

static const struct argp_option options[] = {
        {"format", 'f', "FORMAT", 0,
                "table (default), or folded: `stack A B' as difffolded.pl, for flamegraph.pl", 0},
        {"output", 'o', "FILE", 0, "Write here", 0},
        {"stacks", OPT_STACKS, NULL, 0, "A table of whole stacks, not of functions", 0},
        {"top", OPT_TOP, "N", 0, "Rows in a table (30)", 0},
        {"by", OPT_BY, "WHAT", 0, "Outermost frame: comm (default), thread or process", 0},
        {0},
};

static error_t take_file(struct argp_state *state, const char *file)
{
	struct diff_options *o = state->input;

	if (o->n_files == PTF_DIFF_SIDES)
		argp_error(state, "'%s': two files are compared, not three", file);
	o->files[o->n_files++] = file;
	return 0;
}

static void check(struct argp_state *state, const struct diff_options *o)
{
	if (o->n_files == 1)
		argp_error(state, "one file cannot be compared: give A and B, or -i FILE, --under "
		                  "and --slowest");
	if (o->n_files == 0 && (!o->watch.under || o->watch.choice.kind == PTF_WATCH_ALL))
		argp_error(state, "give A and B, or --under FUNCTION and --slowest P%%");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char *const formats[] = {"table", "folded", NULL};
	static const char *const bys[] = {"comm", "thread", "process", NULL};
	struct diff_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		state->child_inputs[1] = &o->watch;
		return 0;
	case 'f':
		o->folded = ptf_option_choice(state, formats, arg, "--format") == 1;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_STACKS:
		o->stacks = true;
		return 0;
	case OPT_TOP:
		o->top = (size_t)ptf_option_number(state, arg, "--top", 1000000);
		return 0;
	case OPT_BY:
		o->out.view.by = (enum ptf_view_by)ptf_option_choice(state, bys, arg, "--by");
		return 0;
	case ARGP_KEY_ARG:
		return take_file(state, arg);
	case ARGP_KEY_SUCCESS:
		check(state, o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp diff_argp = {options, parse_option, "[A B]",
        "Compares two recordings or files of folded stacks, or the slowest calls of a function "
        "with the others.\v"
        "`ptflame diff A B' compares B with A. `ptflame diff -i FILE --under FUNCTION --slowest "
        "1%' compares, for each call of FUNCTION, its slowest calls (B) with all others (A).",
        ptf_watch_children, NULL, NULL};

/* ---- sides ---- */

/* Stacks of a profile, as a report writes them. */
static int take_profile(struct ptf_stack_diff *diff, enum ptf_diff_side side,
        const struct ptf_profile *profile, const struct diff_options *o, struct ptf_error *err)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	int rc;

	if (!stream)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	rc = ptf_output_folded.write(profile, &o->out, stream, err);
	if (fclose(stream) != 0 && rc == 0)
		rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	if (rc == 0 && size) {
		stream = fmemopen(text, size, "r");
		rc = stream ? ptf_stack_diff_read(diff, side, stream, "the report", err)
		            : ptf_error_set(err, PTF_ENOMEM, "out of memory");
		if (stream)
			fclose(stream);
	}
	free(text);
	return rc;
}

static bool is_recording(const char *path)
{
	struct stat st;
	char magic[8];
	FILE *in;
	bool is;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	in = fopen(path, "rb");
	if (!in)
		return false;
	is = fread(magic, sizeof(magic), 1, in) == 1 && memcmp(magic, "PERFILE2", 8) == 0;
	fclose(in);
	return is || ptf_text_analysis_probe(path) > 0;
}

static int take_recording(struct ptf_stack_diff *diff, enum ptf_diff_side side, const char *path,
        struct diff_options *o)
{
	struct ptf_profile *whole, *part;
	struct ptf_watch_counts counts = {0};
	struct ptf_error err = {0};
	int status, rc;

	o->common.analysis.input = path;
	status = ptf_watch_analyse(&o->watch, &o->common, "diff", &whole, &part, &counts);
	if (status != PTF_EXIT_OK)
		return status;
	diff->calls[side] = counts.chosen;
	rc = take_profile(diff, side, part, o, &err);
	ptf_watch_release(whole, part);
	return rc < 0 ? ptf_command_fail("diff", &err) : PTF_EXIT_OK;
}

static int take_folded(struct ptf_stack_diff *diff, enum ptf_diff_side side, const char *path,
        const struct diff_options *o)
{
	struct ptf_error err = {0};
	FILE *in;
	int rc;

	if (o->watch.under) {
		fprintf(stderr,
		        "ptflame diff: %s is no recording: in folded stacks calls cannot be told "
		        "apart with --under\n",
		        path);
		return PTF_EXIT_USAGE;
	}
	in = fopen(path, "r");
	if (!in) {
		ptf_error_set_errno(&err, errno, "%s", path);
		return ptf_command_fail("diff", &err);
	}
	rc = ptf_stack_diff_read(diff, side, in, path, &err);
	fclose(in);
	return rc < 0 ? ptf_command_fail("diff", &err) : PTF_EXIT_OK;
}

static int take_files(struct ptf_stack_diff *diff, struct diff_options *o)
{
	int status = PTF_EXIT_OK;

	for (unsigned side = 0; side < PTF_DIFF_SIDES && status == PTF_EXIT_OK; side++) {
		diff->names[side] = o->files[side];
		status = is_recording(o->files[side])
		                 ? take_recording(diff, (enum ptf_diff_side)side, o->files[side], o)
		                 : take_folded(diff, (enum ptf_diff_side)side, o->files[side], o);
	}
	return status;
}

static int take_part(struct ptf_stack_diff *diff, enum ptf_diff_side side,
        const struct ptf_profile *whole, const struct ptf_watch_choice *choice,
        const struct diff_options *o)
{
	struct ptf_watch_counts counts;
	struct ptf_profile *part;
	struct ptf_error err = {0};
	int status = ptf_watch_part(o->watch.under, choice, "diff", whole, &part, &counts);
	int rc;

	if (status != PTF_EXIT_OK)
		return status;
	diff->calls[side] = counts.chosen;
	rc = take_profile(diff, side, part, o, &err);
	ptf_profile_destroy(part);
	return rc < 0 ? ptf_command_fail("diff", &err) : PTF_EXIT_OK;
}

/* One recording: the slowest calls are B, the others A. */
static int take_slowest(struct ptf_stack_diff *diff, struct diff_options *o)
{
	double percent = o->watch.choice.percent;
	struct ptf_watch_choice slowest = {PTF_WATCH_SLOWEST, percent}, others;
	struct ptf_profile *whole;
	int status;

	if (o->watch.choice.kind == PTF_WATCH_FASTEST)
		slowest.percent = 100 - percent;
	others = (struct ptf_watch_choice){PTF_WATCH_FASTEST, 100 - slowest.percent};
	o->common.analysis.watch = o->watch.under;
	status = ptf_common_analyse(&o->common, "diff", &whole);
	if (status != PTF_EXIT_OK)
		return status;
	diff->names[PTF_DIFF_A] = "the other calls";
	diff->names[PTF_DIFF_B] = "the slowest calls";
	status = take_part(diff, PTF_DIFF_A, whole, &others, o);
	if (status == PTF_EXIT_OK)
		status = take_part(diff, PTF_DIFF_B, whole, &slowest, o);
	ptf_profile_destroy(whole);
	return status;
}

static int write_diff(const struct ptf_stack_diff *diff, const struct diff_options *o)
{
	FILE *out = ptf_output_open(o->output, "diff");
	struct ptf_error err = {0};
	int rc;

	if (!out)
		return PTF_EXIT_FAILURE;
	rc = o->folded ? ptf_stack_diff_write_folded(diff, out, &err)
	               : ptf_stack_diff_write_table(diff, o->stacks, o->top, out, &err);
	return ptf_output_close(out, o->output, "diff", rc, &err);
}

int cmd_diff(int argc, char **argv)
{
	struct diff_options o = {.top = DEFAULT_TOP};
	struct ptf_stack_diff diff = {0};
	int status;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame diff";
	argp_parse(&diff_argp, argc, argv, 0, NULL, &o);
	status = o.n_files ? take_files(&diff, &o) : take_slowest(&diff, &o);
	if (status == PTF_EXIT_OK)
		status = write_diff(&diff, &o);
	ptf_stack_diff_release(&diff);
	return status;
}
