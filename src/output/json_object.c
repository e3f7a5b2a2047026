/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>

#include "output/json_object.h"
#include "output/output_text.h"

struct ptf_json ptf_json_make(void)
{
	json_t *json = json_object();

	return (struct ptf_json){.json = json, .failed = !json};
}

void ptf_json_set(struct ptf_json *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object->json, key, value) != 0)
		object->failed = true;
}

void ptf_json_set_int(struct ptf_json *object, const char *key, uint64_t value)
{
	ptf_json_set(object, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

void ptf_json_set_maybe(struct ptf_json *object, const char *key, bool known, uint64_t value)
{
	if (known)
		ptf_json_set_int(object, key, value);
	else
		ptf_json_set(object, key, json_null());
}

void ptf_json_set_text(struct ptf_json *object, const char *key, const char *value)
{
	struct ptf_text text = {0};

	ptf_text_append_clean(&text, value);
	ptf_json_set(object, key, json_string(ptf_text_string(&text)));
	object->failed |= text.failed;
	ptf_text_release(&text);
}

json_t *ptf_json_finish(struct ptf_json *object)
{
	if (!object->failed)
		return object->json;
	json_decref(object->json);
	return NULL;
}

json_t *ptf_json_append(json_t *array, json_t *item)
{
	if (array && item && json_array_append_new(array, item) == 0)
		return array;
	/* A failed append has freed the item. */
	if (!array)
		json_decref(item);
	json_decref(array);
	return NULL;
}

json_t *ptf_json_window(const struct ptf_profile_window *window)
{
	struct ptf_json object = ptf_json_make();
	/* The number comes from a file: JSON knows no infinity. */
	bool has_dilation = window->simulated && isfinite(window->dilation) && window->dilation > 0;

	ptf_json_set_maybe(&object, "start_ns", window->timed, window->start_ns);
	ptf_json_set_maybe(&object, "end_ns", window->timed, window->end_ns);
	ptf_json_set(&object, "simulated", json_boolean(window->simulated));
	ptf_json_set(&object, "dilation", has_dilation ? json_real(window->dilation) : json_null());
	ptf_json_set(&object, "switches", json_boolean(window->switches));
	ptf_json_set_maybe(&object, "resolution_ns", window->timed, window->resolution_ns);
	return ptf_json_finish(&object);
}

static int write_text(const char *text, size_t size, void *out)
{
	return fwrite(text, 1, size, out) == size ? 0 : -1;
}

static const struct {
	const char *name;
	double share;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};

enum { PERCENTILES = sizeof(percentiles) / sizeof(*percentiles) };

static void set_part(
        struct ptf_json *object, const struct ptf_call_times *times, unsigned part, bool known)
{
	static const char *const names[PTF_PARTS] = {"on", "kernel", "off"};
	uint64_t sum = ptf_call_times_sum(times, (enum ptf_time_part)part);
	char key[32];

	snprintf(key, sizeof(key), "avg_%s_ns", names[part]);
	ptf_json_set_maybe(object, key, known, ptf_mean(sum, times->total.count));
	for (size_t i = 0; i < PERCENTILES; i++) {
		snprintf(key, sizeof(key), "%s_%s_ns", percentiles[i].name, names[part]);
		ptf_json_set_maybe(object, key, known,
		        ptf_call_times_percentile(
		                times, (enum ptf_time_part)part, percentiles[i].share));
	}
}

void ptf_json_set_times(struct ptf_json *object, const struct ptf_call_times *times, bool timed)
{
	const struct ptf_latency *total = &times->total;
	bool known = timed && total->count;
	char key[16];

	ptf_json_set_maybe(object, "min_ns", known, total->min_ns);
	ptf_json_set_maybe(object, "avg_ns", known, ptf_latency_mean(total));
	for (size_t i = 0; i < PERCENTILES; i++) {
		snprintf(key, sizeof(key), "%s_ns", percentiles[i].name);
		ptf_json_set_maybe(
		        object, key, known, ptf_latency_percentile(total, percentiles[i].share));
	}
	ptf_json_set_maybe(object, "max_ns", known, total->max_ns);
	for (unsigned part = 0; part < PTF_PARTS; part++)
		set_part(object, times, part, known);
}

/* "on_self_ns" and so on. */
static void set_states(
        struct ptf_json *object, const char *what, const uint64_t states[PTF_STATES], bool timed)
{
	static const char *const names[PTF_STATES] = {"on", "kernel", "off", "lost"};
	char key[32];

	for (unsigned i = 0; i < PTF_STATES; i++) {
		snprintf(key, sizeof(key), "%s_%s_ns", names[i], what);
		ptf_json_set_maybe(object, key, timed, states[i]);
	}
}

void ptf_json_set_states(struct ptf_json *object, const uint64_t self[PTF_STATES],
        const uint64_t total[PTF_STATES], bool timed)
{
	ptf_json_set_maybe(object, "self_ns", timed, ptf_states_sum(self));
	ptf_json_set_maybe(object, "total_ns", timed, ptf_states_sum(total));
	set_states(object, "self", self, timed);
	set_states(object, "total", total, timed);
}

int ptf_json_write(struct ptf_json *object, FILE *out, struct ptf_error *err)
{
	json_t *json = ptf_json_finish(object);
	bool dumped;

	if (!json)
		return ptf_error_set(err, PTF_ENOMEM, "JSON output: out of memory");
	dumped = json_dump_callback(json, write_text, out, JSON_INDENT(1)) == 0;
	json_decref(json);
	fputc('\n', out);
	return ptf_output_finish(out, dumped, err);
}
