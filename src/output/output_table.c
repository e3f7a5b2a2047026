/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table for the terminal: where the threads' time went, then the functions with the most self
 * time.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "output/output_formats.h"
#include "output/output_text.h"
#include "output/table_cell.h"

enum { DEFAULT_TOP = 40 };

static void write_summary(const struct ptf_profile *profile, FILE *out, struct ptf_text *cell)
{
	static const char *const names[PTF_STATES] = {"on", "kernel", "off", "lost"};
	uint64_t states[PTF_STATES] = {0};

	for (size_t i = 0; i < profile->n_threads; i++) {
		for (unsigned j = 0; j < PTF_STATES; j++)
			states[j] += profile->threads[i].states[j];
	}
	fprintf(out, "%zu threads", profile->n_threads);
	for (unsigned j = 0; profile->window.timed && j < PTF_STATES; j++) {
		ptf_text_append_duration(cell, states[j]);
		fprintf(out, "%s%s %s", j ? " + " : ": ", names[j], ptf_text_string(cell));
		ptf_text_clear(cell);
	}
	if (profile->window.timed) {
		ptf_text_append_duration(cell, ptf_states_sum(states));
		fprintf(out, " = wall %s", ptf_text_string(cell));
		ptf_text_clear(cell);
	}
	fputc('\n', out);
	ptf_text_append_notes(cell, profile);
	if (cell->bytes.n)
		fprintf(out, "%s\n", ptf_text_string(cell));
	ptf_text_clear(cell);
	fputc('\n', out);
}

static void write_function(const struct ptf_profile_function *f, uint64_t whole, bool timed,
        FILE *out, struct ptf_text *cell)
{
	const struct ptf_latency *latency = &f->times.total;
	bool known = timed && latency->count;

	ptf_cell_share(out, timed ? ptf_states_sum(f->self) : f->insns, whole);
	ptf_cell_time(out, cell, timed, ptf_states_sum(f->self));
	ptf_cell_time(out, cell, timed, ptf_states_sum(f->total));
	ptf_cell_count(out, cell, f->insns, 15);
	ptf_cell_count(out, cell, f->calls, 15);
	ptf_cell_time(out, cell, known, ptf_latency_mean(latency));
	ptf_cell_time(out, cell, known, ptf_latency_percentile(latency, 0.99));
	ptf_text_append_clean(cell, f->function->name);
	fprintf(out, "%s\n", ptf_text_string(cell));
	ptf_text_clear(cell);
}

static int write_table(const struct ptf_profile *profile, const struct ptf_output_options *options,
        FILE *out, struct ptf_error *err)
{
	struct ptf_text cell = {0};
	bool timed = profile->window.timed, failed;
	size_t top = options->top ? options->top : DEFAULT_TOP;
	struct ptf_profile_functions functions;
	uint64_t whole = 0;

	if (!ptf_profile_functions_init(&functions, profile))
		return ptf_output_finish(out, false, err);
	write_summary(profile, out, &cell);
	fprintf(out, "%7s %9s %9s %15s %15s %9s %9s %s\n", "self", "self", "total", "instructions",
	        "calls", "avg", "p99", "function");
	for (size_t i = 0; i < functions.n; i++)
		whole += timed ? ptf_states_sum(functions.v[i].self) : functions.v[i].insns;
	for (size_t i = 0; i < functions.n && i < top; i++)
		write_function(&functions.v[i], whole, timed, out, &cell);
	if (functions.n > top)
		fprintf(out, "(%zu more functions)\n", functions.n - top);
	ptf_profile_functions_release(&functions);
	failed = cell.failed;
	ptf_text_release(&cell);
	return ptf_output_finish(out, !failed, err);
}

const struct ptf_output_format ptf_output_table = {
        .name = "table",
        .endings = (const char *const[]){".table", NULL},
        .help = "the functions with the most self time, for the terminal",
        .write = write_table,
};
