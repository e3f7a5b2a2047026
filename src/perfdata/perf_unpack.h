/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records inside the PERF_RECORD_COMPRESSED and _COMPRESSED2 of one file: one zstd stream runs
 * through all of them, and a record may begin in one and end in a later one.
 */
#ifndef PTF_PERF_UNPACK_H
#define PTF_PERF_UNPACK_H

#include <stddef.h>
#include <stdint.h>

struct ZSTD_DCtx_s;

/* A zeroed struct is an empty stream. */
struct ptf_perf_unpack {
	uint8_t *bytes;           /* owned: all that was unpacked; moves when it grows */
	size_t size, cap;         /* bytes */
	size_t packed;            /* bytes that were added */
	struct ZSTD_DCtx_s *zstd; /* owned, made by the first add */
};

void ptf_perf_unpack_release(struct ptf_perf_unpack *unpack);

/* Appends what size compressed bytes hold. 0; -PTF_ENOMEM; -PTF_EFORMAT with *why (static): they
 * are no zstd data, or expand beyond all that event records do. */
int ptf_perf_unpack_add(
        struct ptf_perf_unpack *unpack, const uint8_t *bytes, size_t size, const char **why);

#endif
