/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "perfdata/perf_reader.h"
#include "sched/tracepoints.h"

enum { MAX_FIELDS = 3, MAX_FORMAT = 1 << 16 };

/* The tracepoints that are read, and the fields that are wanted of each. */
static const struct wanted {
	const char *name;
	enum ptf_tracepoint_kind kind;
	const char *fields[MAX_FIELDS]; /* in the order of FIELD_* */
} wanted[] = {
        {"sched_switch", PTF_TRACEPOINT_SWITCH, {"prev_pid", "next_pid", "prev_state"}},
        {"sched_waking", PTF_TRACEPOINT_WAKING, {"pid"}},
        {"sched_wakeup", PTF_TRACEPOINT_WAKING, {"pid"}},
        {"sched_wakeup_new", PTF_TRACEPOINT_WAKING, {"pid"}},
};
enum { FIELD_PREV, FIELD_NEXT, FIELD_STATE, FIELD_PID = 0 };
enum { N_WANTED = sizeof(wanted) / sizeof(wanted[0]) };

struct field {
	size_t offset, size; /* in the raw data, bytes */
};

struct format {
	bool known;
	uint64_t id; /* attr.config of its events */
	struct field fields[MAX_FIELDS];
};

struct ptf_tracepoints {
	struct format formats[N_WANTED]; /* by index in `wanted` */
};

void ptf_tracepoints_destroy(struct ptf_tracepoints *tracepoints)
{
	free(tracepoints);
}

/* ---- formats ---- */

/* The number behind `key` in a line, if there is one. */
static bool number_behind(const char *line, const char *key, size_t *value)
{
	const char *at = strstr(line, key);
	char *end;

	if (!at || !isdigit((unsigned char)at[strlen(key)]))
		return false;
	*value = strtoul(at + strlen(key), &end, 10);
	return true;
}

/* Does the declaration of a line ("field:TYPE NAME;" or "field:TYPE NAME[N];") declare `name`? */
static bool declares(const char *line, const char *name)
{
	size_t end = strcspn(line, "[;"), len = strlen(name);

	return end > len && memcmp(line + end - len, name, len) == 0 &&
	       isspace((unsigned char)line[end - len - 1]);
}

/* "\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;" */
static void take_field(struct format *format, const struct wanted *want, const char *line)
{
	struct field field;

	if (!number_behind(line, "offset:", &field.offset) ||
	        !number_behind(line, "size:", &field.size) || field.size < 1 || field.size > 8)
		return;
	for (size_t i = 0; i < MAX_FIELDS && want->fields[i]; i++) {
		if (declares(line, want->fields[i]))
			format->fields[i] = field;
	}
}

/* text: a file `format`, size bytes. Lines that make no sense say nothing. */
static int take_format(
        struct format *format, const struct wanted *want, const char *text, size_t size)
{
	char *copy = strndup(text, size), *state = NULL;
	size_t id;

	if (!copy)
		return -PTF_ENOMEM;
	*format = (struct format){.known = true};
	for (char *line = strtok_r(copy, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		if (strncmp(line, "\tfield:", strlen("\tfield:")) == 0)
			take_field(format, want, line);
		else if (strncmp(line, "ID:", 3) == 0 && number_behind(line, "ID: ", &id))
			format->id = id;
	}
	free(copy);
	for (size_t i = 0; i < MAX_FIELDS && want->fields[i]; i++)
		format->known = format->known && format->fields[i].size;
	format->known = format->known && format->id;
	return 0;
}

/* Which of the wanted a file `format` describes: it begins with its name. */
static size_t find_wanted(const char *text, size_t size)
{
	for (size_t i = 0; i < N_WANTED; i++) {
		char line[64];
		int n = snprintf(line, sizeof(line), "name: %s\n", wanted[i].name);

		if (size > (size_t)n && memcmp(text, line, (size_t)n) == 0)
			return i;
	}
	return N_WANTED;
}

/* ---- tracing data ---- */

/* A terminated string; NULL (and failed) when its end is missing. */
static const char *take_string(struct ptf_reader *r)
{
	const char *text = (const char *)r->bytes + r->pos;
	size_t left = ptf_reader_left(r), len = strnlen(text, left);

	r->failed = r->failed || len == left;
	if (r->failed)
		return NULL;
	r->pos += len + 1;
	return text;
}

/* Bytes behind a size of 64 bits. */
static const char *take_block(struct ptf_reader *r, size_t *size)
{
	uint64_t n = ptf_reader_u64(r);

	*size = n <= ptf_reader_left(r) ? (size_t)n : SIZE_MAX;
	return (const char *)ptf_reader_bytes(r, *size);
}

static int take_system(struct ptf_tracepoints *tracepoints, struct ptf_reader *r)
{
	const char *system = take_string(r);
	uint32_t n = ptf_reader_u32(r);
	int rc = 0;

	for (uint32_t i = 0; i < n && !r->failed && rc == 0; i++) {
		size_t size, index;
		const char *text = take_block(r, &size);

		if (!text || size > MAX_FORMAT || strcmp(system, "sched") != 0)
			continue;
		index = find_wanted(text, size);
		if (index < N_WANTED)
			rc = take_format(&tracepoints->formats[index], &wanted[index], text, size);
	}
	return rc;
}

/* Magic, version, byte order, sizes, two headers and ftrace's own formats stand in front of the
 * systems (tracing_data_get in trace-event-info.c). */
static void skip_to_systems(struct ptf_reader *r)
{
	static const uint8_t magic[] = {23, 8, 68, 't', 'r', 'a', 'c', 'i', 'n', 'g'};
	const uint8_t *bytes = ptf_reader_bytes(r, sizeof(magic));
	size_t size;
	uint32_t n;

	if (!bytes || memcmp(bytes, magic, sizeof(magic)) != 0)
		r->failed = true;
	take_string(r); /* version */
	if (ptf_reader_u8(r) != 0)
		r->failed = true; /* big-endian */
	ptf_reader_u8(r);         /* size of long */
	ptf_reader_u32(r);        /* size of page */
	for (unsigned i = 0; i < 2 && !r->failed; i++) {
		take_string(r); /* header_page, header_event */
		take_block(r, &size);
	}
	n = ptf_reader_u32(r);
	for (uint32_t i = 0; i < n && !r->failed; i++)
		take_block(r, &size);
}

struct ptf_tracepoints *ptf_tracepoints_create(const uint8_t *tracing_data, size_t size)
{
	struct ptf_tracepoints *tracepoints = calloc(1, sizeof(*tracepoints));
	struct ptf_reader r = ptf_reader_make(tracing_data, size);
	uint32_t n;
	int rc = 0;

	if (!tracepoints || !size)
		return tracepoints;
	skip_to_systems(&r);
	n = r.failed ? 0 : ptf_reader_u32(&r);
	for (uint32_t i = 0; i < n && !r.failed && rc == 0; i++)
		rc = take_system(tracepoints, &r);
	if (rc == 0)
		return tracepoints;
	ptf_tracepoints_destroy(tracepoints);
	return NULL;
}

/* ---- samples ---- */

/* The field's value, 0 for one that is not in the data; *ok is left alone or cleared. */
static uint64_t value_of(
        const struct ptf_record_sample *sample, const struct field *field, bool *ok)
{
	struct ptf_reader r = ptf_reader_make(sample->raw, sample->raw_size);
	const uint8_t *bytes;
	uint64_t value = 0;

	ptf_reader_skip(&r, field->offset);
	bytes = ptf_reader_bytes(&r, field->size);
	if (r.failed)
		*ok = false;
	else
		memcpy(&value, bytes, field->size);
	return value;
}

/* include/trace/events/sched.h: 0 is TASK_RUNNING. Bits above the reported states say that the
 * thread was preempted while it was about to sleep ("R+"): since Linux 4.14 bit 8, before a higher
 * one, which threads of programs do not have otherwise. */
static bool is_runnable(uint64_t prev_state)
{
	return !prev_state || prev_state & ~(uint64_t)0xff;
}

static const struct format *find_format(
        const struct ptf_tracepoints *tracepoints, const struct ptf_perf_attr *attr, size_t *index)
{
	if (!attr || attr->type != PERF_TYPE_TRACEPOINT)
		return NULL;
	for (*index = 0; *index < N_WANTED; ++*index) {
		const struct format *format = &tracepoints->formats[*index];

		if (format->known && format->id == attr->config)
			return format;
	}
	return NULL;
}

struct ptf_tracepoint ptf_tracepoints_read(
        const struct ptf_tracepoints *tracepoints, const struct ptf_record *record)
{
	struct ptf_tracepoint out = {.kind = PTF_TRACEPOINT_OTHER};
	const struct ptf_record_sample *sample = &record->sample;
	const struct format *format;
	bool ok = sample->raw != NULL;
	size_t index;

	format = find_format(tracepoints, sample->attr, &index);
	if (!format || !ok)
		return out;
	if (wanted[index].kind == PTF_TRACEPOINT_SWITCH) {
		out.prev_tid = (int32_t)value_of(sample, &format->fields[FIELD_PREV], &ok);
		out.next_tid = (int32_t)value_of(sample, &format->fields[FIELD_NEXT], &ok);
		out.runnable = is_runnable(value_of(sample, &format->fields[FIELD_STATE], &ok));
	} else {
		out.tid = (int32_t)value_of(sample, &format->fields[FIELD_PID], &ok);
	}
	out.kind = ok ? wanted[index].kind : PTF_TRACEPOINT_OTHER;
	return out;
}
