/* SPDX-License-Identifier: BSD-2-Clause */
/* The Redis protocol, version 2: commands in (arrays of bulk strings, or a line of words), replies
 * out. https://redis.io/docs/reference/protocol-spec/ */
#ifndef KV_RESP_H
#define KV_RESP_H

#include <stdbool.h>

#include "common/kv_buffer.h"

#define KV_RESP_MAX_ARGS 65536u
#define KV_RESP_MAX_BULK (16u << 20)
#define KV_RESP_MAX_REQUEST (64u << 20)

PTF_VEC_TYPEDEF(kv_args, struct kv_slice);

enum kv_resp_status {
	KV_RESP_COMMAND, /* args hold one; without arguments there was an empty line */
	KV_RESP_MORE,    /* the bytes end too early */
	KV_RESP_BAD,     /* no such protocol: *why says what; the connection is to be closed */
};

/* Parses the command at the start of the bytes. args (emptied first, then slices into the bytes)
 * and *used are set with KV_RESP_COMMAND. */
enum kv_resp_status kv_resp_parse(
        const uint8_t *bytes, size_t size, struct kv_args *args, size_t *used, const char **why);

void kv_resp_simple(struct kv_buffer *out, const char *text);
/* "-CODE message"; code may be "ERR". Line breaks in the message become blanks. */
void kv_resp_error(struct kv_buffer *out, const char *code, const char *message);
void kv_resp_integer(struct kv_buffer *out, int64_t value);
void kv_resp_bulk(struct kv_buffer *out, const void *bytes, uint32_t size);
void kv_resp_null(struct kv_buffer *out);
void kv_resp_array(struct kv_buffer *out, size_t n);

/* Is the argument this word, whatever its case? */
bool kv_slice_is(struct kv_slice slice, const char *word);

/* A decimal number and nothing else. */
bool kv_slice_number(struct kv_slice slice, int64_t *number);

#endif
