/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole file mapped read-only. */
#ifndef PTF_FILE_MAP_H
#define PTF_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

struct ptf_file_map {
	const uint8_t *bytes; /* owned mapping, NULL for an empty file */
	size_t size;          /* bytes */
};

/* Errors: PTF_EIO, PTF_ENOENT, PTF_EPERM; PTF_EINVAL when path is not a regular file. */
int ptf_file_map_init(struct ptf_file_map *map, const char *path, struct ptf_error *err);
void ptf_file_map_release(struct ptf_file_map *map);

#endif
