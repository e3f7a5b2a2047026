/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON, the stable machine interface: the shape is documented in ptflame(1) ("JSON"). Times are
 * integers in ns; they are null where the trace has no timing.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "output/output_formats.h"
#include "output/output_text.h"

/* An object that is being filled; once something failed, the rest does nothing. */
struct object {
	json_t *json; /* owned */
	bool failed;
};

static struct object make_object(void)
{
	json_t *json = json_object();

	return (struct object){.json = json, .failed = !json};
}

static void set(struct object *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object->json, key, value) != 0)
		object->failed = true;
}

static void set_int(struct object *object, const char *key, uint64_t value)
{
	set(object, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

/* Integer or, when it has no meaning, null. */
static void set_maybe(struct object *object, const char *key, bool known, uint64_t value)
{
	if (known)
		set_int(object, key, value);
	else
		set(object, key, json_null());
}

static void set_text(struct object *object, const char *key, const char *value)
{
	struct ptf_text text = {0};

	ptf_text_append_clean(&text, value);
	set(object, key, json_string(ptf_text_string(&text)));
	object->failed |= text.failed;
	ptf_text_release(&text);
}

/* The finished object, owned by the caller; NULL when anything failed. */
static json_t *finish(struct object *object)
{
	if (!object->failed)
		return object->json;
	json_decref(object->json);
	return NULL;
}

static json_t *window_json(const struct ptf_profile_window *window)
{
	struct object object = make_object();
	/* The number comes from a file: JSON knows no infinity. */
	bool has_dilation = window->simulated && isfinite(window->dilation) && window->dilation > 0;

	set_maybe(&object, "start_ns", window->timed, window->start_ns);
	set_maybe(&object, "end_ns", window->timed, window->end_ns);
	set(&object, "simulated", json_boolean(window->simulated));
	set(&object, "dilation", has_dilation ? json_real(window->dilation) : json_null());
	set(&object, "switches", json_boolean(window->switches));
	set_maybe(&object, "resolution_ns", window->timed, window->resolution_ns);
	return finish(&object);
}

static json_t *decode_json(const struct ptf_profile_decode *decode, bool timed)
{
	struct object object = make_object();

	set_text(&object, "engine", decode->engine ? decode->engine : "");
	set_int(&object, "aux_bytes", decode->aux_bytes);
	set_int(&object, "instructions", decode->instructions);
	set_int(&object, "calls", decode->calls);
	set_int(&object, "returns", decode->returns);
	set_int(&object, "psbs", decode->psbs);
	set_int(&object, "overflows", decode->overflows);
	set_int(&object, "errors", decode->errors);
	set_maybe(&object, "lost_ns", timed, decode->lost_ns);
	set_int(&object, "lost_bytes", decode->lost_bytes);
	set(&object, "seconds", json_real(decode->seconds));
	return finish(&object);
}

static json_t *thread_json(const struct ptf_profile_thread *thread, bool timed)
{
	struct object object = make_object();
	uint64_t wall = 0;

	for (unsigned i = 0; i < PTF_STATES; i++)
		wall += thread->states[i];
	set(&object, "pid", json_integer(thread->pid));
	set(&object, "tid", json_integer(thread->tid));
	set_text(&object, "comm", thread->comm);
	set_maybe(&object, "start_ns", timed, thread->start_ns);
	set_maybe(&object, "end_ns", timed, thread->end_ns);
	set_maybe(&object, "wall_ns", timed, wall);
	set_maybe(&object, "on_ns", timed, thread->states[PTF_STATE_ON]);
	set_maybe(&object, "kernel_ns", timed, thread->states[PTF_STATE_KERNEL]);
	set_maybe(&object, "off_ns", timed, thread->states[PTF_STATE_OFF]);
	set_maybe(&object, "lost_ns", timed, thread->states[PTF_STATE_LOST]);
	return finish(&object);
}

/* Latencies are null where no call was timed, the percentiles as much as the extremes. */
static const struct {
	const char *name;
	double share;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};

enum { PERCENTILES = sizeof(percentiles) / sizeof(*percentiles) };

static void set_part(
        struct object *object, const struct ptf_call_times *times, unsigned part, bool known)
{
	static const char *const names[PTF_PARTS] = {"on", "kernel", "off"};
	uint64_t sum = ptf_call_times_sum(times, (enum ptf_time_part)part);
	char key[32];

	snprintf(key, sizeof(key), "avg_%s_ns", names[part]);
	set_maybe(object, key, known, ptf_mean(sum, times->total.count));
	for (size_t i = 0; i < PERCENTILES; i++) {
		snprintf(key, sizeof(key), "%s_%s_ns", percentiles[i].name, names[part]);
		set_maybe(object, key, known,
		        ptf_call_times_percentile(
		                times, (enum ptf_time_part)part, percentiles[i].share));
	}
}

static void set_times(struct object *object, const struct ptf_call_times *times, bool timed)
{
	const struct ptf_latency *total = &times->total;
	bool known = timed && total->count;
	char key[16];

	set_maybe(object, "min_ns", known, total->min_ns);
	set_maybe(object, "avg_ns", known, ptf_latency_mean(total));
	for (size_t i = 0; i < PERCENTILES; i++) {
		snprintf(key, sizeof(key), "%s_ns", percentiles[i].name);
		set_maybe(object, key, known, ptf_latency_percentile(total, percentiles[i].share));
	}
	set_maybe(object, "max_ns", known, total->max_ns);
	for (unsigned part = 0; part < PTF_PARTS; part++)
		set_part(object, times, part, known);
}

/* "on_self_ns" and so on. */
static void set_states(
        struct object *object, const char *what, const uint64_t states[PTF_STATES], bool timed)
{
	static const char *const names[PTF_STATES] = {"on", "kernel", "off", "lost"};
	char key[32];

	for (unsigned i = 0; i < PTF_STATES; i++) {
		snprintf(key, sizeof(key), "%s_%s_ns", names[i], what);
		set_maybe(object, key, timed, states[i]);
	}
}

static json_t *function_json(const struct ptf_profile_function *f, bool timed)
{
	struct object object = make_object();
	char address[2 + 16 + 1];

	snprintf(address, sizeof(address), "0x%" PRIx64, f->function->address);
	set_text(&object, "name", f->function->name);
	set_text(&object, "module", f->function->module);
	set(&object, "address", json_string(address));
	set_int(&object, "calls", f->calls);
	set_int(&object, "jump_calls", f->jump_calls);
	set_int(&object, "partial_calls", f->partial_calls);
	set_int(&object, "timed_calls", f->times.total.count);
	set_int(&object, "instructions", f->insns);
	set_maybe(&object, "self_ns", timed, ptf_states_sum(f->self));
	set_maybe(&object, "total_ns", timed, ptf_states_sum(f->total));
	set_states(&object, "self", f->self, timed);
	set_states(&object, "total", f->total, timed);
	set_times(&object, &f->times, timed);
	return finish(&object);
}

static json_t *threads_json(const struct ptf_profile *profile)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < profile->n_threads; i++) {
		json_t *item = thread_json(&profile->threads[i], profile->window.timed);

		if (!item || json_array_append_new(array, item) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *functions_json(const struct ptf_profile *profile)
{
	struct ptf_profile_functions functions;
	json_t *array = json_array();

	if (!ptf_profile_functions_init(&functions, profile)) {
		json_decref(array);
		return NULL;
	}
	for (size_t i = 0; array && i < functions.n; i++) {
		json_t *item = function_json(&functions.v[i], profile->window.timed);

		if (!item || json_array_append_new(array, item) != 0) {
			json_decref(array);
			array = NULL;
		}
	}
	ptf_profile_functions_release(&functions);
	return array;
}

static int write_text(const char *text, size_t size, void *out)
{
	return fwrite(text, 1, size, out) == size ? 0 : -1;
}

static int write_json(const struct ptf_profile *profile, const struct ptf_output_options *options,
        FILE *out, struct ptf_error *err)
{
	struct object object = make_object();
	json_t *json;
	bool dumped;

	set(&object, "version", json_integer(1));
	set(&object, "window", window_json(&profile->window));
	set(&object, "decode", decode_json(&profile->decode, profile->window.timed));
	set(&object, "threads", threads_json(profile));
	set(&object, "functions", functions_json(profile));
	json = finish(&object);
	if (!json)
		return ptf_error_set(err, PTF_ENOMEM, "JSON output: out of memory");
	dumped = json_dump_callback(json, write_text, out, JSON_INDENT(1)) == 0;
	json_decref(json);
	fputc('\n', out);
	return ptf_output_finish(out, dumped, err);
}

const struct ptf_output_format ptf_output_json = {
        .name = "json",
        .endings = (const char *const[]){".json", NULL},
        .help = "threads and functions with exact counts, times and percentiles",
        .write = write_json,
};
