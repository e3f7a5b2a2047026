/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the file of a module: below symfs, attached to the recording, in its
 * directory, at its own path, in perf's build-id
 * cache; [vdso] last in this very process.
 */
#ifndef PTF_MODULE_FILE_H
#define PTF_MODULE_FILE_H

#include "image/code_module.h"

/* Fills in disk_path, map, copy, bytes, size, is_elf and elf of the private part: true. Or false,
 * with *problem, a constant text. A file whose build-id is not that of the recording is not
 * taken. *problem may be set with true, too: what there is to say about the file taken. */
bool ptf_module_file_find(const struct ptf_module *module, const char **problem);

#endif
