/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>

#include "output/json_object.h"
#include "output/output_syscalls.h"
#include "output/table_cell.h"

/* ---- table ---- */

struct printer {
	const struct ptf_syscall_table *table;
	bool timed, switches;
	FILE *out;
	struct ptf_text cell;
};

static void write_head(const struct printer *p)
{
	fprintf(p->out, "%7s %9s %9s %9s %11s %11s %9s %9s %9s %s\n", "wall", "total",
	        p->switches ? "kernel" : "-", p->switches ? "off" : "-", "calls", "partial", "avg",
	        "p99", "max", "system call");
}

/* times NULL: no average. */
static void write_cost(
        struct printer *p, const struct ptf_syscall_cost *cost, const struct ptf_call_times *times)
{
	const struct ptf_latency *total = times ? &times->total : NULL;
	bool known = p->timed && total && total->count;
	bool split = p->timed && p->switches;

	ptf_cell_share(p->out, ptf_syscall_cost_ns(cost), p->table->wall_ns);
	ptf_cell_time(p->out, &p->cell, p->timed, ptf_syscall_cost_ns(cost));
	ptf_cell_time(p->out, &p->cell, split, cost->kernel_ns);
	ptf_cell_time(p->out, &p->cell, split, cost->off_ns);
	ptf_cell_count(p->out, &p->cell, cost->calls, 11);
	ptf_cell_count(p->out, &p->cell, cost->partial_calls, 11);
	ptf_cell_time(p->out, &p->cell, known, known ? ptf_latency_mean(total) : 0);
	ptf_cell_time(p->out, &p->cell, known, known ? ptf_latency_percentile(total, 0.99) : 0);
	ptf_cell_time(p->out, &p->cell, known, known ? total->max_ns : 0);
}

static void write_name(struct printer *p, const char *indent, const char *name)
{
	ptf_text_append_clean(&p->cell, name);
	fprintf(p->out, "%s%s\n", indent, ptf_text_string(&p->cell));
	ptf_text_clear(&p->cell);
}

static void write_row(struct printer *p, const struct ptf_syscall_row *row)
{
	write_cost(p, &row->cost, &row->cost.times);
	write_name(p, "", row->name);
	for (size_t i = 0; i < row->n_callers; i++) {
		const struct ptf_syscall_caller *caller = &row->callers[i];

		write_cost(p, &caller->cost, &caller->cost.times);
		write_name(p, "  < ", caller->function ? caller->function->name : "[unknown]");
	}
}

int ptf_output_syscalls_table(const struct ptf_syscall_table *table,
        const struct ptf_profile_window *window, FILE *out, struct ptf_error *err)
{
	struct printer p = {table, window->timed, window->switches, out, {{0}}};
	bool failed;

	write_head(&p);
	for (size_t i = 0; i < table->n; i++)
		write_row(&p, &table->rows[i]);
	write_cost(&p, &table->sum, NULL);
	write_name(&p, "", "sum");
	failed = p.cell.failed;
	ptf_text_release(&p.cell);
	return ptf_output_finish(out, !failed, err);
}

/* ---- json ---- */

static void set_cost(struct ptf_json *object, const struct ptf_syscall_cost *cost, bool timed)
{
	ptf_json_set_int(object, "calls", cost->calls);
	ptf_json_set_int(object, "partial_calls", cost->partial_calls);
	ptf_json_set_maybe(object, "total_ns", timed, ptf_syscall_cost_ns(cost));
	ptf_json_set_maybe(object, "kernel_ns", timed, cost->kernel_ns);
	ptf_json_set_maybe(object, "off_ns", timed, cost->off_ns);
}

static void set_timed(struct ptf_json *object, const struct ptf_syscall_cost *cost, bool timed)
{
	set_cost(object, cost, timed);
	ptf_json_set_int(object, "timed_calls", cost->times.total.count);
	ptf_json_set_times(object, &cost->times, timed);
}

static json_t *caller_json(const struct ptf_syscall_caller *caller, bool timed)
{
	struct ptf_json object = ptf_json_make();
	char address[2 + 16 + 1];

	snprintf(address, sizeof(address), "0x%" PRIx64,
	        caller->function ? caller->function->address : 0);
	ptf_json_set_text(&object, "name", caller->function ? caller->function->name : "[unknown]");
	ptf_json_set_text(&object, "module", caller->function ? caller->function->module : "");
	ptf_json_set(&object, "address", json_string(address));
	set_timed(&object, &caller->cost, timed);
	return ptf_json_finish(&object);
}

static json_t *row_json(const struct ptf_syscall_row *row, bool timed)
{
	struct ptf_json object = ptf_json_make();
	json_t *callers = json_array();

	for (size_t i = 0; callers && i < row->n_callers; i++)
		callers = ptf_json_append(callers, caller_json(&row->callers[i], timed));
	ptf_json_set_text(&object, "name", row->name);
	set_timed(&object, &row->cost, timed);
	ptf_json_set(&object, "callers", callers);
	return ptf_json_finish(&object);
}

static json_t *sum_json(const struct ptf_syscall_table *table, bool timed)
{
	struct ptf_json object = ptf_json_make();

	set_cost(&object, &table->sum, timed);
	ptf_json_set_maybe(&object, "wall_ns", timed, table->wall_ns);
	return ptf_json_finish(&object);
}

int ptf_output_syscalls_json(const struct ptf_syscall_table *table,
        const struct ptf_profile_window *window, FILE *out, struct ptf_error *err)
{
	struct ptf_json object = ptf_json_make();
	json_t *rows = json_array();

	for (size_t i = 0; rows && i < table->n; i++)
		rows = ptf_json_append(rows, row_json(&table->rows[i], window->timed));
	ptf_json_set(&object, "version", json_integer(1));
	ptf_json_set(&object, "window", ptf_json_window(window));
	ptf_json_set(&object, "syscalls", rows);
	ptf_json_set(&object, "sum", sum_json(table, window->timed));
	return ptf_json_write(&object, out, err);
}
