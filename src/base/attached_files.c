/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/attached_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"

#define VERSION 1u
#define FOOTER_SIZE 32u
#define ALIGN 8u

static const char magic[16] = "ptflame-attached"; /* no terminator: it fills the field */

/* ---- reading ---- */

static int damaged(struct ptf_attached_files *files, uint64_t offset, struct ptf_error *err)
{
	ptf_vec_release(&files->list);
	return ptf_error_set_at(err, PTF_EFORMAT, offset, "the table of attached files is damaged");
}

static int read_entry(struct ptf_attached_files *files, struct ptf_reader *r, struct ptf_error *err)
{
	uint64_t at = r->pos, offset = ptf_reader_u64(r), size = ptf_reader_u64(r);
	struct ptf_attached_file file = {.name_len = ptf_reader_u32(r), .size = size};

	file.name = (const char *)ptf_reader_bytes(r, file.name_len);
	if (r->failed || offset > r->size || size > r->size - offset || offset % ALIGN)
		return damaged(files, at, err);
	file.bytes = size ? files->map.bytes + offset : NULL;
	if (!ptf_vec_push(&files->list, file))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	return 0;
}

static int read_table(struct ptf_attached_files *files, struct ptf_error *err)
{
	struct ptf_reader r = ptf_reader_make(files->map.bytes, files->map.size);
	uint32_t n, version;
	uint64_t table;
	int rc = 0;

	if (r.size < FOOTER_SIZE)
		return 0;
	r.pos = r.size - FOOTER_SIZE;
	table = ptf_reader_u64(&r);
	n = ptf_reader_u32(&r);
	version = ptf_reader_u32(&r);
	if (memcmp(r.bytes + r.pos, magic, sizeof(magic)) != 0)
		return 0;
	if (version != VERSION)
		return ptf_error_set(err, PTF_EFORMAT, "files attached in version %u", version);
	if (table > r.size - FOOTER_SIZE)
		return damaged(files, table, err);
	r.pos = table;
	for (uint32_t i = 0; i < n && rc == 0; i++)
		rc = read_entry(files, &r, err);
	return rc;
}

int ptf_attached_files_init(
        struct ptf_attached_files *files, const char *path, struct ptf_error *err)
{
	int rc;

	*files = (struct ptf_attached_files){0};
	rc = ptf_file_map_init(&files->map, path, err);
	return rc < 0 ? rc : read_table(files, err);
}

void ptf_attached_files_release(struct ptf_attached_files *files)
{
	ptf_file_map_release(&files->map);
	ptf_vec_release(&files->list);
}

const struct ptf_attached_file *ptf_attached_files_find(
        const struct ptf_attached_files *files, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = files->list.n; i-- > 0;) {
		const struct ptf_attached_file *file = &files->list.v[i];

		if (file->name_len == len && memcmp(file->name, name, len) == 0)
			return file;
	}
	return NULL;
}

/* ---- writing ---- */

static void put(FILE *out, uint64_t value, size_t size)
{
	fwrite(&value, 1, size, out);
}

/* Fills up to the next multiple of ALIGN; returns the offset there. */
static uint64_t align(FILE *out, uint64_t at)
{
	static const char zeros[ALIGN];
	uint64_t gap = (ALIGN - at % ALIGN) % ALIGN;

	fwrite(zeros, 1, gap, out);
	return at + gap;
}

static uint64_t put_contents(
        FILE *out, uint64_t at, const struct ptf_attached_file *files, size_t n, uint64_t *offsets)
{
	for (size_t i = 0; i < n; i++) {
		at = align(out, at);
		offsets[i] = at;
		if (files[i].size)
			fwrite(files[i].bytes, 1, files[i].size, out);
		at += files[i].size;
	}
	return align(out, at);
}

static void put_entry(FILE *out, const struct ptf_attached_file *file, uint64_t offset)
{
	put(out, offset, 8);
	put(out, file->size, 8);
	put(out, file->name_len, 4);
	fwrite(file->name, 1, file->name_len, out);
}

static int append(FILE *out, const struct ptf_attached_files *old,
        const struct ptf_attached_file *files, size_t n, uint64_t *offsets)
{
	uint64_t table = put_contents(out, old->map.size, files, n, offsets);

	ptf_vec_foreach (file, &old->list)
		put_entry(out, file, file->size ? (uint64_t)(file->bytes - old->map.bytes) : 0);
	for (size_t i = 0; i < n; i++)
		put_entry(out, &files[i], offsets[i]);
	put(out, table, 8);
	put(out, old->list.n + n, 4);
	put(out, VERSION, 4);
	fwrite(magic, 1, sizeof(magic), out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

int ptf_attached_files_add(
        const char *path, const struct ptf_attached_file *files, size_t n, struct ptf_error *err)
{
	struct ptf_attached_files old;
	uint64_t *offsets = NULL;
	FILE *out = NULL;
	int rc = ptf_attached_files_init(&old, path, err);

	if (rc == 0) {
		offsets = calloc(n + 1, sizeof(*offsets));
		out = offsets ? fopen(path, "ae") : NULL;
		if (!offsets)
			rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
		else if (!out || append(out, &old, files, n, offsets) < 0)
			rc = ptf_error_set_errno(err, errno, "%s", path);
	}
	if (out)
		fclose(out);
	free(offsets);
	ptf_attached_files_release(&old);
	return rc;
}
