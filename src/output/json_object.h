/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON objects with integers that may be unknown, on top of jansson; shared by all JSON outputs. */
#ifndef PTF_JSON_OBJECT_H
#define PTF_JSON_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <ptflame/error.h>

#include "profile/profile.h"

/* An object that is being filled; once something failed, the rest does nothing. */
struct ptf_json {
	json_t *json; /* owned */
	bool failed;
};

struct ptf_json ptf_json_make(void);

/* Takes the value; NULL fails. */
void ptf_json_set(struct ptf_json *object, const char *key, json_t *value);

void ptf_json_set_int(struct ptf_json *object, const char *key, uint64_t value);

/* Integer or, when it has no meaning, null. */
void ptf_json_set_maybe(struct ptf_json *object, const char *key, bool known, uint64_t value);

/* Any bytes, as ptf_text_append_clean shows them. */
void ptf_json_set_text(struct ptf_json *object, const char *key, const char *value);

/* The finished object, owned by the caller; NULL when anything failed. */
json_t *ptf_json_finish(struct ptf_json *object);

/* Appends and takes an item (NULL fails); a failure frees the array. The array, or NULL. */
json_t *ptf_json_append(json_t *array, json_t *item);

/* "min_ns" to "max_ns" and, by part of the calls, "avg_on_ns" to "p999_off_ns"; null where no call
 * was timed. */
void ptf_json_set_times(struct ptf_json *object, const struct ptf_call_times *times, bool timed);

/* "self_ns", "total_ns", and both by state: "on_self_ns" .. "lost_total_ns"; null without timing.
 */
void ptf_json_set_states(struct ptf_json *object, const uint64_t self[PTF_STATES],
        const uint64_t total[PTF_STATES], bool timed);

/* "window" of the outputs. */
json_t *ptf_json_window(const struct ptf_profile_window *window);

/* Writes the finished object, frees it and flushes; -PTF_EIO or -PTF_ENOMEM. */
int ptf_json_write(struct ptf_json *object, FILE *out, struct ptf_error *err);

#endif
