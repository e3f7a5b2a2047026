/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON, the stable machine interface: the shape is documented in ptflame(1) ("JSON"). Times are
 * integers in ns; they are null where the trace has no timing.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "output/json_object.h"
#include "output/json_paths.h"
#include "output/output_formats.h"
#include "output/output_text.h"

static json_t *decode_json(const struct ptf_profile_decode *decode, bool timed)
{
	struct ptf_json object = ptf_json_make();

	ptf_json_set_text(&object, "engine", decode->engine ? decode->engine : "");
	ptf_json_set_int(&object, "aux_bytes", decode->aux_bytes);
	ptf_json_set_int(&object, "instructions", decode->instructions);
	ptf_json_set_int(&object, "calls", decode->calls);
	ptf_json_set_int(&object, "returns", decode->returns);
	ptf_json_set_int(&object, "psbs", decode->psbs);
	ptf_json_set_int(&object, "overflows", decode->overflows);
	ptf_json_set_int(&object, "errors", decode->errors);
	ptf_json_set_maybe(&object, "lost_ns", timed, decode->lost_ns);
	ptf_json_set_int(&object, "lost_bytes", decode->lost_bytes);
	ptf_json_set(&object, "seconds", json_real(decode->seconds));
	return ptf_json_finish(&object);
}

static json_t *thread_json(const struct ptf_profile_thread *thread, bool timed)
{
	struct ptf_json object = ptf_json_make();
	uint64_t wall = 0;

	for (unsigned i = 0; i < PTF_STATES; i++)
		wall += thread->states[i];
	ptf_json_set(&object, "pid", json_integer(thread->pid));
	ptf_json_set(&object, "tid", json_integer(thread->tid));
	ptf_json_set_text(&object, "comm", thread->comm);
	ptf_json_set_maybe(&object, "start_ns", timed, thread->start_ns);
	ptf_json_set_maybe(&object, "end_ns", timed, thread->end_ns);
	ptf_json_set_maybe(&object, "wall_ns", timed, wall);
	ptf_json_set_maybe(&object, "on_ns", timed, thread->states[PTF_STATE_ON]);
	ptf_json_set_maybe(&object, "kernel_ns", timed, thread->states[PTF_STATE_KERNEL]);
	ptf_json_set_maybe(&object, "off_ns", timed, thread->states[PTF_STATE_OFF]);
	ptf_json_set_maybe(&object, "lost_ns", timed, thread->states[PTF_STATE_LOST]);
	return ptf_json_finish(&object);
}

static json_t *function_json(const struct ptf_profile_function *f, bool timed)
{
	struct ptf_json object = ptf_json_make();
	char address[2 + 16 + 1];

	snprintf(address, sizeof(address), "0x%" PRIx64, f->function->address);
	ptf_json_set_text(&object, "name", f->function->name);
	ptf_json_set_text(&object, "module", f->function->module);
	ptf_json_set(&object, "address", json_string(address));
	ptf_json_set_int(&object, "calls", f->calls);
	ptf_json_set_int(&object, "jump_calls", f->jump_calls);
	ptf_json_set_int(&object, "partial_calls", f->partial_calls);
	ptf_json_set_int(&object, "timed_calls", f->times.total.count);
	ptf_json_set_int(&object, "instructions", f->insns);
	ptf_json_set_states(&object, f->self, f->total, timed);
	ptf_json_set_times(&object, &f->times, timed);
	return ptf_json_finish(&object);
}

static json_t *threads_json(const struct ptf_profile *profile)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < profile->n_threads; i++)
		array = ptf_json_append(
		        array, thread_json(&profile->threads[i], profile->window.timed));
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
	for (size_t i = 0; array && i < functions.n; i++)
		array = ptf_json_append(
		        array, function_json(&functions.v[i], profile->window.timed));
	ptf_profile_functions_release(&functions);
	return array;
}

static int write_json(const struct ptf_profile *profile, const struct ptf_output_options *options,
        FILE *out, struct ptf_error *err)
{
	struct ptf_json object = ptf_json_make();

	ptf_json_set(&object, "version", json_integer(1));
	ptf_json_set(&object, "window", ptf_json_window(&profile->window));
	ptf_json_set(&object, "decode", decode_json(&profile->decode, profile->window.timed));
	ptf_json_set(&object, "threads", threads_json(profile));
	ptf_json_set(&object, "functions", functions_json(profile));
	return options->paths ? ptf_json_write_with_paths(&object, profile, out, err)
	                      : ptf_json_write(&object, out, err);
}

const struct ptf_output_format ptf_output_json = {
        .name = "json",
        .endings = (const char *const[]){".json", NULL},
        .help = "threads and functions with exact counts, times and percentiles",
        .write = write_json,
};
