/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Folded stacks, the input of flamegraph.pl, inferno, speedscope and many others: a line
 * `label;frame;...;frame VALUE` for every path with a value, sorted.
 */
#include <inttypes.h>

#include "output/output_formats.h"
#include "output/output_text.h"

/* The line so far: the path to the present node, and where each of its frames begins. */
struct line {
	struct ptf_text path;
	PTF_VEC(size_t) starts;
	bool failed;
};

static void push_frame(struct line *line, const struct ptf_view_node *node, bool annotate)
{
	if (!ptf_vec_push(&line->starts, line->path.bytes.n)) {
		line->failed = true;
		return;
	}
	if (line->starts.n > 1)
		ptf_text_append(&line->path, ";", 1);
	ptf_text_append_frame(&line->path, node, annotate, ptf_text_append_folded);
}

static void pop_frames(struct line *line, unsigned n)
{
	if (!n)
		return;
	line->starts.n -= n;
	line->path.bytes.n = line->starts.v[line->starts.n];
}

static void write_stacks(
        const struct ptf_profile_view *view, struct line *line, bool annotate, FILE *out)
{
	const struct ptf_view_node *node = view->root;
	unsigned up;

	while ((node = ptf_view_node_next(view->root, node, &up))) {
		pop_frames(line, up);
		push_frame(line, node, annotate);
		if (line->failed || line->path.failed)
			return;
		if (!node->self)
			continue;
		fwrite(line->path.bytes.v, 1, line->path.bytes.n, out);
		fprintf(out, " %" PRIu64 "\n", node->self);
	}
}

static int write_folded(const struct ptf_profile *profile, const struct ptf_output_options *options,
        FILE *out, struct ptf_error *err)
{
	struct ptf_profile_view view;
	struct line line = {0};
	bool failed;
	int rc = ptf_profile_view_init(&view, profile, &options->view, err);

	if (rc)
		return rc;
	write_stacks(&view, &line, options->annotate, out);
	failed = line.failed || line.path.failed;
	ptf_text_release(&line.path);
	ptf_vec_release(&line.starts);
	ptf_profile_view_release(&view);
	return ptf_output_finish(out, !failed, err);
}

const struct ptf_output_format ptf_output_folded = {
        .name = "folded",
        .endings = (const char *const[]){".folded", ".collapsed", ".txt", NULL},
        .help = "one line for each stack, for flamegraph.pl and other tools",
        .write = write_folded,
};
