/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounds-checked reader of little-endian input bytes.
 *
 * The one way to read bytes that somebody else wrote. A read past the end returns zero, sets
 * `failed` and leaves the position alone; a caller reads a whole record and tests `failed` once.
 */
#ifndef PTF_READER_H
#define PTF_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ptf_reader {
	const uint8_t *bytes; /* borrowed, `size` bytes, must outlive the reader */
	size_t size;          /* bytes */
	size_t pos;           /* bytes from `bytes`, at most `size` */
	bool failed;          /* a read went past the end */
};

static inline struct ptf_reader ptf_reader_make(const void *bytes, size_t size)
{
	return (struct ptf_reader){.bytes = bytes, .size = size};
}

static inline size_t ptf_reader_left(const struct ptf_reader *r)
{
	return r->size - r->pos;
}

/* The next n bytes, valid as long as the input is, or NULL when fewer are left. */
static inline const uint8_t *ptf_reader_bytes(struct ptf_reader *r, size_t n)
{
	const uint8_t *at = r->bytes + r->pos;

	if (n > ptf_reader_left(r)) {
		r->failed = true;
		return NULL;
	}
	r->pos += n;
	return at;
}

#define PTF_READER_INT(name, type)                                                                 \
	static inline type ptf_reader_##name(struct ptf_reader *r)                                 \
	{                                                                                          \
		const uint8_t *at = ptf_reader_bytes(r, sizeof(type));                             \
		type value = 0;                                                                    \
                                                                                                   \
		if (at)                                                                            \
			memcpy(&value, at, sizeof(value));                                         \
		return value;                                                                      \
	}
PTF_READER_INT(u8, uint8_t)
PTF_READER_INT(u16, uint16_t)
PTF_READER_INT(u32, uint32_t)
PTF_READER_INT(u64, uint64_t)
#undef PTF_READER_INT

/* Moves over n bytes; sets `failed` when fewer are left. */
static inline void ptf_reader_skip(struct ptf_reader *r, size_t n)
{
	(void)ptf_reader_bytes(r, n);
}

/* A string of at most `field` bytes, which are consumed whole; *len is its length up to the first
 * NUL. Returns NULL (and sets `failed`) when fewer than `field` bytes are left. Not terminated when
 * *len == field. */
static inline const char *ptf_reader_string(struct ptf_reader *r, size_t field, size_t *len)
{
	const char *at = (const char *)ptf_reader_bytes(r, field);

	*len = at ? strnlen(at, field) : 0;
	return at;
}

#endif
