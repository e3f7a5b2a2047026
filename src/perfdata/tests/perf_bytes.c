/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perfdata/tests/perf_bytes.h"

enum { HEADER_SIZE = 104, BITS_AT = 72 }; /* bytes */

void perf_bytes_put(struct perf_bytes *b, const void *bytes, size_t n)
{
	if (n > sizeof(b->v) - b->n)
		abort();
	if (n)
		memcpy(b->v + b->n, bytes, n);
	b->n += n;
}

void perf_bytes_u16(struct perf_bytes *b, uint16_t value)
{
	perf_bytes_put(b, &value, sizeof(value));
}

void perf_bytes_u32(struct perf_bytes *b, uint32_t value)
{
	perf_bytes_put(b, &value, sizeof(value));
}

void perf_bytes_u64(struct perf_bytes *b, uint64_t value)
{
	perf_bytes_put(b, &value, sizeof(value));
}

void perf_bytes_text(struct perf_bytes *b, const char *text)
{
	static const char zeros[8];
	size_t n = strlen(text) + 1;

	perf_bytes_put(b, text, n);
	perf_bytes_put(b, zeros, (8 - n % 8) % 8);
}

void perf_bytes_set_u64(struct perf_bytes *b, size_t at, uint64_t value)
{
	if (at + sizeof(value) > b->n)
		abort();
	memcpy(b->v + at, &value, sizeof(value));
}

size_t perf_bytes_record(struct perf_bytes *b, uint32_t type, uint16_t misc)
{
	size_t at = b->n;

	perf_bytes_u32(b, type);
	perf_bytes_u16(b, misc);
	perf_bytes_u16(b, 0);
	return at;
}

void perf_bytes_end(struct perf_bytes *b, size_t record)
{
	uint16_t size = (uint16_t)(b->n - record);

	if (b->n - record > UINT16_MAX)
		abort();
	memcpy(b->v + record + 6, &size, sizeof(size));
}

static void put_attr(struct perf_bytes *b, const struct perf_bytes_event *event, size_t size)
{
	struct perf_event_attr attr = {.type = event->type,
	        .size = (uint32_t)size,
	        .sample_type = event->sample_type,
	        .read_format = event->read_format,
	        .sample_id_all = event->sample_id_all & 1};

	_Static_assert(sizeof(attr) >= PERF_BYTES_ATTR_SIZE, "a newer attribute is longer");
	perf_bytes_put(b, &attr, size);
}

void perf_bytes_attr_record(struct perf_bytes *b, const struct perf_bytes_event *event)
{
	size_t record = perf_bytes_record(b, 64, 0);

	put_attr(b, event, PERF_BYTES_ATTR_SIZE);
	perf_bytes_put(b, event->ids, event->n_ids * sizeof(event->ids[0]));
	perf_bytes_end(b, record);
}

void perf_bytes_file(struct perf_bytes *b, const struct perf_bytes_event *events, size_t n,
        size_t attr_size, const struct perf_bytes *data)
{
	static const uint8_t zeros[HEADER_SIZE];
	size_t ids = HEADER_SIZE, attrs = ids + n * sizeof(events->ids);

	b->n = 0;
	perf_bytes_put(b, "PERFILE2", 8);
	perf_bytes_u64(b, HEADER_SIZE);
	perf_bytes_u64(b, attr_size + 16);
	perf_bytes_u64(b, attrs);
	perf_bytes_u64(b, n * (attr_size + 16));
	perf_bytes_u64(b, attrs + n * (attr_size + 16));
	perf_bytes_u64(b, data->n);
	perf_bytes_put(b, zeros, HEADER_SIZE - b->n);
	for (size_t i = 0; i < n; i++)
		perf_bytes_put(b, events[i].ids, sizeof(events[i].ids));
	for (size_t i = 0; i < n; i++) {
		put_attr(b, &events[i], attr_size);
		perf_bytes_u64(b, ids + i * sizeof(events->ids));
		perf_bytes_u64(b, events[i].n_ids * sizeof(uint64_t));
	}
	perf_bytes_put(b, data->v, data->n);
}

void perf_bytes_pipe(struct perf_bytes *b, const struct perf_bytes *data)
{
	b->n = 0;
	perf_bytes_put(b, "PERFILE2", 8);
	perf_bytes_u64(b, 16);
	perf_bytes_put(b, data->v, data->n);
}

void perf_bytes_features(struct perf_bytes *b, const unsigned *numbers,
        const struct perf_bytes *const *contents, size_t n)
{
	size_t at = b->n + n * 16;

	for (size_t i = 0; i < n; i++) {
		b->v[BITS_AT + numbers[i] / 8] |= (uint8_t)(1 << numbers[i] % 8);
		perf_bytes_u64(b, at);
		perf_bytes_u64(b, contents[i]->n);
		at += contents[i]->n;
	}
	for (size_t i = 0; i < n; i++)
		perf_bytes_put(b, contents[i]->v, contents[i]->n);
}

void perf_bytes_write(const struct perf_bytes *b, const char *path)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(b->v, 1, b->n, file) != b->n || fclose(file) != 0)
		abort();
}

void perf_bytes_make_dir(char dir[PERF_BYTES_DIR_SIZE])
{
	strcpy(dir, "/tmp/ptflame-test-XXXXXX");
	if (!mkdtemp(dir))
		abort();
}

int perf_bytes_remove_dir(const char *dir)
{
	char command[PERF_BYTES_DIR_SIZE + 16];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}
