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
