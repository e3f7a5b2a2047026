/* SPDX-License-Identifier: BSD-2-Clause */
/* Records for tests of code images, and epochs as text. cmocka's headers come first. */
#ifndef PTF_IMAGE_TESTLIB_H
#define PTF_IMAGE_TESTLIB_H

#include <stdio.h>
#include <string.h>

#include "image/code_images.h"

#define USER 2u   /* misc: user mode */
#define KERNEL 1u /* misc: kernel mode */
#define PROT_RX 5u

/* Paths go to the collection in a buffer that is overwritten at once: it must copy them. */
static inline void add(struct ptf_code_images *images, struct ptf_record *record, const char *path)
{
	char buffer[512];

	if (path) {
		assert_true(strlen(path) < sizeof(buffer));
		strcpy(buffer, path);
		record->mmap.filename = buffer;
	}
	assert_int_equal(ptf_code_images_add(images, record, NULL), 0);
	memset(buffer, 'x', sizeof(buffer) - 1);
}

static inline struct ptf_record mmap_record(
        int32_t pid, uint64_t time_ns, uint64_t addr, uint64_t len, uint64_t pgoff)
{
	return (struct ptf_record){.type = PTF_RECORD_MMAP2,
	        .misc = USER,
	        .sid = {.time_ns = time_ns, .has_time = true},
	        .mmap = {.pid = pid,
	                .tid = pid,
	                .addr = addr,
	                .len = len,
	                .pgoff = pgoff,
	                .prot = PROT_RX}};
}

static inline void map(struct ptf_code_images *images, int32_t pid, uint64_t time_ns, uint64_t addr,
        uint64_t len, uint64_t pgoff, const char *path)
{
	struct ptf_record record = mmap_record(pid, time_ns, addr, len, pgoff);

	add(images, &record, path);
}

static inline void task(struct ptf_code_images *images, enum ptf_record_type type, int32_t pid,
        int32_t tid, int32_t ppid, uint64_t time_ns)
{
	struct ptf_record record = {.type = type,
	        .sid = {.time_ns = time_ns, .has_time = true},
	        .task = {.pid = pid, .tid = tid, .ppid = ppid, .ptid = ppid, .time_ns = time_ns}};

	add(images, &record, NULL);
}

static inline void comm(
        struct ptf_code_images *images, int32_t pid, uint64_t time_ns, const char *name, bool exec)
{
	struct ptf_record record = {.type = PTF_RECORD_COMM,
	        .misc = exec ? PTF_MISC_COMM_EXEC : 0,
	        .sid = {.time_ns = time_ns, .has_time = true},
	        .comm = {.pid = pid, .tid = pid, .comm = name}};

	add(images, &record, NULL);
}

/* "FROM: START-END PATH+OFFSET, START-END ...; FROM: ..." of all epochs; FROM decimal, the rest
 * hexadecimal. Valid until the next call. */
static inline const char *history(const struct ptf_code_images *images, int32_t pid)
{
	static char text[4096];
	size_t n, at = 0;
	const struct ptf_code_epoch *const *epochs = ptf_code_images_epochs(images, pid, &n);

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu:", i ? "; " : "",
		        (unsigned long long)epochs[i]->from_ns);
		for (size_t k = 0; k < epochs[i]->n_maps; k++) {
			const struct ptf_code_map *m = &epochs[i]->maps[k];

			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %llx-%llx %s+%llx",
			        k ? "," : "", (unsigned long long)m->start,
			        (unsigned long long)m->end, m->module->path,
			        (unsigned long long)m->file_offset);
		}
	}
	return text;
}

#endif
