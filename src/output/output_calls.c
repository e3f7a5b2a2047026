/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/output_calls.h"

#include <inttypes.h>

#include "output/json_object.h"
#include "output/output_text.h"

static const char *const part_names[PTF_PARTS] = {"on", "kernel", "off"};

/* ---- the histogram ---- */

enum { PER_ROW = 128, LEAST_ROWS = 8, MOST_CUTS = 16, BAR_WIDTH = 40 };

/* Buckets from..to-1 of the latency histogram make a bar. */
struct bars {
	unsigned first, last; /* buckets of the least and the longest call */
	unsigned step;        /* buckets in a bar; bars begin at its multiples */
};

/* A bar for each power of two; each of them is cut in 2, 4 .. 16 where that gives too few. */
static struct bars choose_bars(const struct ptf_latency *latency)
{
	struct bars bars = {.first = ptf_latency_bucket(latency->min_ns),
	        .last = ptf_latency_bucket(latency->max_ns),
	        .step = PER_ROW};

	while (bars.step > PER_ROW / MOST_CUTS &&
	        bars.last / bars.step - bars.first / bars.step + 1 < LEAST_ROWS)
		bars.step /= 2;
	return bars;
}

static uint64_t most_in_a_bar(const struct ptf_latency *latency, const struct bars *bars)
{
	uint64_t most = 0;

	for (unsigned b = bars->first / bars->step; b <= bars->last / bars->step; b++) {
		uint64_t count = ptf_latency_between(latency, b * bars->step, (b + 1) * bars->step);

		most = count > most ? count : most;
	}
	return most;
}

static void put_duration(FILE *out, struct ptf_text *cell, uint64_t ns, int width)
{
	ptf_text_append_duration(cell, ns);
	fprintf(out, "%*s", width, ptf_text_string(cell));
	ptf_text_clear(cell);
}

static void put_count(FILE *out, struct ptf_text *cell, uint64_t count, int width)
{
	ptf_text_append_grouped(cell, count);
	fprintf(out, "%*s", width, ptf_text_string(cell));
	ptf_text_clear(cell);
}

static void write_histogram(const struct ptf_latency *latency, FILE *out, struct ptf_text *cell)
{
	struct bars bars = choose_bars(latency);
	uint64_t most = most_in_a_bar(latency, &bars);

	fprintf(out, "%9s    %9s %13s\n", "from", "to", "calls");
	for (unsigned b = bars.first / bars.step; b <= bars.last / bars.step; b++) {
		unsigned from = b * bars.step, to = from + bars.step;
		uint64_t count = ptf_latency_between(latency, from, to);
		/* One call is seen among millions. */
		uint64_t width = (count * BAR_WIDTH + most - 1) / most;

		put_duration(out, cell, ptf_latency_bucket_start(from), 9);
		fprintf(out, " .. ");
		put_duration(out, cell, ptf_latency_bucket_start(to), 9);
		put_count(out, cell, count, 14);
		fprintf(out, "%s", width ? "  " : "");
		for (uint64_t i = 0; i < width; i++)
			fputc('#', out);
		fputc('\n', out);
	}
	fputc('\n', out);
}

/* ---- the table ---- */

static void write_counts(const struct ptf_calls_report *report, FILE *out, struct ptf_text *cell)
{
	ptf_text_append_clean(cell, report->name);
	fprintf(out, "%s: ", ptf_text_string(cell));
	ptf_text_clear(cell);
	put_count(out, cell, report->calls, 0);
	fprintf(out, " calls");
	if (report->partial_calls) {
		fprintf(out, ", ");
		put_count(out, cell, report->partial_calls, 0);
		fprintf(out, " partial (entry or exit not seen: not timed)");
	}
	if (report->nested_calls) {
		fprintf(out, ", ");
		put_count(out, cell, report->nested_calls, 0);
		fprintf(out, " inside of another");
	}
	if (report->functions > 1)
		fprintf(out, "; %zu functions have this name", report->functions);
	fprintf(out, "\n\n");
}

static void write_latencies(const struct ptf_call_times *times, FILE *out, struct ptf_text *cell)
{
	static const struct {
		const char *name;
		double share;
	} rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
	const struct ptf_latency *total = &times->total;

	fprintf(out, "%-6s%10s%10s%10s%10s\n", "", "duration", "on", "kernel", "off");
	fprintf(out, "%-6s", "avg");
	put_duration(out, cell, ptf_latency_mean(total), 10);
	for (unsigned part = 0; part < PTF_PARTS; part++)
		put_duration(out, cell,
		        ptf_mean(ptf_call_times_sum(times, (enum ptf_time_part)part), total->count),
		        10);
	fprintf(out, "\n%-6s", "min");
	put_duration(out, cell, total->min_ns, 10);
	fputc('\n', out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fprintf(out, "%-6s", rows[i].name);
		put_duration(out, cell, ptf_latency_percentile(total, rows[i].share), 10);
		for (unsigned part = 0; part < PTF_PARTS; part++)
			put_duration(out, cell,
			        ptf_call_times_percentile(
			                times, (enum ptf_time_part)part, rows[i].share),
			        10);
		fputc('\n', out);
	}
	fprintf(out, "%-6s", "max");
	put_duration(out, cell, total->max_ns, 10);
	fprintf(out, "\n\n");
}

/* "72% syscall:fdatasync_[k] [blocked]  11% crc32" */
static void write_places(const struct ptf_time_places *places, FILE *out, struct ptf_text *cell)
{
	enum { MOST_PLACES = 4 };

	for (size_t i = 0; i < places->n && i < MOST_PLACES; i++) {
		double percent = 100 * (double)places->v[i].ns / (double)places->total_ns;

		if (i > 0 && percent < 1)
			break;
		ptf_text_append_clean(cell, places->v[i].name);
		fprintf(out, "%s%.0f%% %s", i ? "  " : "", percent, ptf_text_string(cell));
		ptf_text_clear(cell);
	}
}

static void write_slow_call(
        const struct ptf_calls_slow *slow, uint64_t origin_ns, FILE *out, struct ptf_text *cell)
{
	const struct ptf_slow_call *call = slow->slow.call;
	const struct ptf_profile_thread *thread = slow->slow.thread;

	fprintf(out, "%14.9f", 1e-9 * (double)(call->start_ns - origin_ns));
	put_duration(out, cell, ptf_time_parts_sum(&call->parts), 10);
	for (unsigned part = 0; part < PTF_PARTS; part++)
		put_duration(out, cell, call->parts.ns[part], 10);
	ptf_text_append_clean(cell, thread->comm);
	ptf_text_printf(cell, " %" PRId32 "/%" PRId32, thread->pid, thread->tid);
	fprintf(out, "  %-24s  ", ptf_text_string(cell));
	ptf_text_clear(cell);
	write_places(&slow->places, out, cell);
	fputc('\n', out);
}

static void write_slowest(
        const struct ptf_calls_report *report, uint64_t origin_ns, FILE *out, struct ptf_text *cell)
{
	if (!report->n_slowest)
		return;
	fprintf(out, "the slowest %zu:\n%14s%10s%10s%10s%10s  %-24s  %s\n", report->n_slowest,
	        "start s", "duration", "on", "kernel", "off", "thread",
	        "where the time went, callees included");
	for (size_t i = 0; i < report->n_slowest; i++)
		write_slow_call(&report->slowest[i], origin_ns, out, cell);
}

int ptf_output_calls_table(const struct ptf_calls_report *report, const struct ptf_profile *profile,
        uint64_t origin_ns, FILE *out, struct ptf_error *err)
{
	struct ptf_text cell = {0};
	bool failed;

	write_counts(report, out, &cell);
	if (profile->window.timed && report->times.total.count) {
		write_latencies(&report->times, out, &cell);
		write_histogram(&report->times.total, out, &cell);
		write_slowest(report, origin_ns, out, &cell);
	} else {
		fprintf(out, profile->window.timed ? "none of them is timed\n"
		                                   : "the trace has no timing\n");
	}
	failed = cell.failed;
	ptf_text_release(&cell);
	return ptf_output_finish(out, !failed, err);
}

/* ---- JSON ---- */

static json_t *place_json(const struct ptf_time_place *place)
{
	struct ptf_json object = ptf_json_make();

	ptf_json_set_text(&object, "name", place->name);
	ptf_json_set_int(&object, "ns", place->ns);
	return ptf_json_finish(&object);
}

static json_t *slow_json(const struct ptf_calls_slow *slow, uint64_t origin_ns)
{
	const struct ptf_slow_call *call = slow->slow.call;
	struct ptf_json object = ptf_json_make();
	json_t *places = json_array();
	char key[16];

	ptf_json_set_int(&object, "start_ns", call->start_ns);
	ptf_json_set_int(&object, "offset_ns", call->start_ns - origin_ns);
	ptf_json_set_int(&object, "duration_ns", ptf_time_parts_sum(&call->parts));
	for (unsigned part = 0; part < PTF_PARTS; part++) {
		snprintf(key, sizeof(key), "%s_ns", part_names[part]);
		ptf_json_set_int(&object, key, call->parts.ns[part]);
	}
	ptf_json_set(&object, "pid", json_integer(slow->slow.thread->pid));
	ptf_json_set(&object, "tid", json_integer(slow->slow.thread->tid));
	ptf_json_set_text(&object, "comm", slow->slow.thread->comm);
	for (size_t i = 0; places && i < slow->places.n; i++)
		places = ptf_json_append(places, place_json(&slow->places.v[i]));
	ptf_json_set(&object, "places", places);
	return ptf_json_finish(&object);
}

static json_t *bucket_json(unsigned bucket, uint64_t count)
{
	struct ptf_json object = ptf_json_make();

	ptf_json_set_int(&object, "from_ns", ptf_latency_bucket_start(bucket));
	ptf_json_set_int(&object, "calls", count);
	return ptf_json_finish(&object);
}

static json_t *histogram_json(const struct ptf_latency *latency)
{
	json_t *array = json_array();
	unsigned bucket = ptf_latency_bucket(latency->min_ns);

	for (; array && bucket <= ptf_latency_bucket(latency->max_ns); bucket++) {
		uint64_t count = ptf_latency_between(latency, bucket, bucket + 1);

		if (count)
			array = ptf_json_append(array, bucket_json(bucket, count));
	}
	return array;
}

int ptf_output_calls_json(const struct ptf_calls_report *report, const struct ptf_profile *profile,
        uint64_t origin_ns, FILE *out, struct ptf_error *err)
{
	struct ptf_json object = ptf_json_make();
	bool timed = profile->window.timed;
	json_t *slowest = json_array();

	ptf_json_set(&object, "version", json_integer(1));
	ptf_json_set(&object, "window", ptf_json_window(&profile->window));
	ptf_json_set_text(&object, "function", report->name);
	ptf_json_set_int(&object, "calls", report->calls);
	ptf_json_set_int(&object, "partial_calls", report->partial_calls);
	ptf_json_set_int(&object, "nested_calls", report->nested_calls);
	ptf_json_set_int(&object, "timed_calls", report->times.total.count);
	ptf_json_set_times(&object, &report->times, timed);
	ptf_json_set(&object, "histogram", histogram_json(&report->times.total));
	for (size_t i = 0; slowest && i < report->n_slowest; i++)
		slowest = ptf_json_append(slowest, slow_json(&report->slowest[i], origin_ns));
	ptf_json_set(&object, "slowest", slowest);
	return ptf_json_write(&object, out, err);
}
