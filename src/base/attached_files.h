/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files attached to the end of another one, which therefore stay with it wherever it goes.
 *
 * Readers of the file itself do not see them: a perf.data says where its own parts end. Layout,
 * little-endian, everything from a multiple of 8 bytes on: the contents; for each file u64 offset,
 * u64 size, u32 bytes of the name, the name; at the very end u64 offset of that table, u32 number
 * of files, u32 version, 16 bytes of magic. Attaching again repeats the old table's entries.
 */
#ifndef PTF_ATTACHED_FILES_H
#define PTF_ATTACHED_FILES_H

#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/file_map.h"
#include "base/vec.h"

struct ptf_attached_file {
	const char *name; /* borrowed, name_len bytes, not terminated */
	size_t name_len;
	const uint8_t *bytes; /* borrowed, aligned to 8, NULL when empty */
	size_t size;          /* bytes */
};

struct ptf_attached_files {
	struct ptf_file_map map; /* of the whole file */
	PTF_VEC(struct ptf_attached_file) list;
};

/* Reads what is attached to a file; nothing is no error. Errors: of ptf_file_map_init; PTF_EFORMAT
 * when the table is damaged (the list is empty then); PTF_ENOMEM. */
int ptf_attached_files_init(
        struct ptf_attached_files *files, const char *path, struct ptf_error *err);
void ptf_attached_files_release(struct ptf_attached_files *files);

/* The file of that name, the one attached last, or NULL. */
const struct ptf_attached_file *ptf_attached_files_find(
        const struct ptf_attached_files *files, const char *name);

/* Attaches n files to the one at path. Errors: PTF_EIO and others of opening it. */
int ptf_attached_files_add(
        const char *path, const struct ptf_attached_file *files, size_t n, struct ptf_error *err);

#endif
