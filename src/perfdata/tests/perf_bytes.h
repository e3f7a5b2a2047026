/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the bytes of perf.data files by hand, right and wrong ones, for tests. */
#ifndef PTF_PERF_BYTES_H
#define PTF_PERF_BYTES_H

#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>

enum { PERF_BYTES_ATTR_SIZE = 128, PERF_BYTES_MAX = 1 << 20 };

/* Grows at the end; too many bytes abort. */
struct perf_bytes {
	uint8_t v[PERF_BYTES_MAX];
	size_t n;
};

void perf_bytes_put(struct perf_bytes *b, const void *bytes, size_t n);
void perf_bytes_u16(struct perf_bytes *b, uint16_t value);
void perf_bytes_u32(struct perf_bytes *b, uint32_t value);
void perf_bytes_u64(struct perf_bytes *b, uint64_t value);
/* A terminated string, zeros up to a multiple of 8 bytes. */
void perf_bytes_text(struct perf_bytes *b, const char *text);

/* Begins a record; end sets its size. Returns where it begins. */
size_t perf_bytes_record(struct perf_bytes *b, uint32_t type, uint16_t misc);
void perf_bytes_end(struct perf_bytes *b, size_t record);

/* An event and its ids. */
struct perf_bytes_event {
	uint64_t sample_type, read_format;
	uint64_t ids[4];
	size_t n_ids;
	uint32_t type;
	uint32_t sample_id_all;
};

/* A pipe's HEADER_ATTR record for an event. */
void perf_bytes_attr_record(struct perf_bytes *b, const struct perf_bytes_event *event);

/* A whole file: header, ids, attributes of attr_size bytes, then data. No features. */
void perf_bytes_file(struct perf_bytes *b, const struct perf_bytes_event *events, size_t n,
        size_t attr_size, const struct perf_bytes *data);

/* A pipe: its header, then data. */
void perf_bytes_pipe(struct perf_bytes *b, const struct perf_bytes *data);

/* Adds features behind a file of perf_bytes_file and sets their bits: as many sections as there are
 * numbers, ascending. */
void perf_bytes_features(struct perf_bytes *b, const unsigned *numbers,
        const struct perf_bytes *const *contents, size_t n);

/* Overwrites 8 bytes. */
void perf_bytes_set_u64(struct perf_bytes *b, size_t at, uint64_t value);

void perf_bytes_write(const struct perf_bytes *b, const char *path);

/* A new directory in /tmp for a test's files, and its end with all that is in it (0: it is gone).
 */
enum { PERF_BYTES_DIR_SIZE = 64 };
void perf_bytes_make_dir(char dir[PERF_BYTES_DIR_SIZE]);
int perf_bytes_remove_dir(const char *dir);

#endif
