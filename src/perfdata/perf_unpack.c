/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>

#include <ptflame/error.h>

#include "perfdata/perf_unpack.h"

enum {
	FIRST_CAP = 1 << 16, /* bytes */
	/* What a stream may expand to: this many times its size, and two blocks of zstd more, for
	 * the last byte of a block sets all of it free. Event records do a tenth of that; a few
	 * bytes of zstd can ask for gigabytes. */
	MAX_EXPANSION = 256,
	SLACK = 2 << 17, /* bytes */
};

void ptf_perf_unpack_release(struct ptf_perf_unpack *unpack)
{
	ZSTD_freeDCtx(unpack->zstd);
	free(unpack->bytes);
	*unpack = (struct ptf_perf_unpack){0};
}

/* Room for at least one more byte, but none beyond limit > size. */
static bool grow(struct ptf_perf_unpack *unpack, size_t limit)
{
	size_t cap = unpack->cap ? unpack->cap * 2 : FIRST_CAP;
	uint8_t *grown;

	if (unpack->size < unpack->cap)
		return true;
	if (cap > limit)
		cap = limit;
	grown = realloc(unpack->bytes, cap);
	if (!grown)
		return false;
	unpack->bytes = grown;
	unpack->cap = cap;
	return true;
}

int ptf_perf_unpack_add(
        struct ptf_perf_unpack *unpack, const uint8_t *bytes, size_t size, const char **why)
{
	ZSTD_inBuffer in = {bytes, size, 0};
	ZSTD_outBuffer out;
	size_t limit;

	unpack->packed += size;
	limit = MAX_EXPANSION * unpack->packed + SLACK;
	if (!unpack->zstd)
		unpack->zstd = ZSTD_createDCtx();
	if (!unpack->zstd)
		return -PTF_ENOMEM;
	do {
		size_t rc;

		if (unpack->size == limit) {
			*why = "compressed data expands without end";
			return -PTF_EFORMAT;
		}
		if (!grow(unpack, limit))
			return -PTF_ENOMEM;
		out = (ZSTD_outBuffer){
		        unpack->bytes, unpack->cap < limit ? unpack->cap : limit, unpack->size};
		rc = ZSTD_decompressStream(unpack->zstd, &out, &in);
		if (ZSTD_isError(rc)) {
			*why = "compressed data is broken";
			return -PTF_EFORMAT;
		}
		unpack->size = out.pos;
		/* A full output buffer may have left something inside of the decoder. */
	} while (in.pos < in.size || out.pos == out.size);
	return 0;
}
