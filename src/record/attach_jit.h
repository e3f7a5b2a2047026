/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps what JIT compilers left about their code: perf maps and jitdumps of recorded processes lie
 * in /tmp and elsewhere, where the next day or another machine no longer has them.
 */
#ifndef PTF_ATTACH_JIT_H
#define PTF_ATTACH_JIT_H

#include <stdint.h>

#include <ptflame/error.h>

/* Attaches to the recording at path (base/attached_files.h; into a perf.data directory: copies) the
 * jitdumps that its processes mapped and the perf maps of those that ran anonymous memory. Maps
 * last written before since_s (seconds since 1970, 0: whenever) are of older processes. A process
 * that still lives is asked for its own /tmp and number, so that containers are seen through.
 * *bytes (may be NULL) grows by what was added. Errors: those of reading and writing path; files
 * that cannot be read are left out. */
int ptf_attach_jit(const char *path, int64_t since_s, uint64_t *bytes, struct ptf_error *err);

#endif
