/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What log entries say: an operation on a key of a bucket. The encoding is 12 bytes (op, 0,
 * bucket size u16, key size u32, value size u32, little-endian), then bucket, key and value.
 * KV_OP_MANY holds other commands, one after the other, as its value; they apply as one.
 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include <stdbool.h>

#include "common/kv_buffer.h"
#include "raft/raft_entry.h"

#define KV_COMMAND_HEAD 12
#define KV_MAX_BUCKET 64u
#define KV_MAX_KEY (64u << 10)
#define KV_MAX_VALUE (16u << 20)

enum kv_op { KV_OP_SET = 1, KV_OP_DEL, KV_OP_INCR, KV_OP_MANY, KV_OPS };

struct kv_command {
	enum kv_op op;
	struct kv_slice bucket, key, value;
};

static inline uint32_t kv_command_size(const struct kv_command *command)
{
	return KV_COMMAND_HEAD + command->bucket.size + command->key.size + command->value.size;
}

/* Writes kv_command_size() bytes. */
void kv_command_encode(const struct kv_command *command, uint8_t *out);

struct raft_payload *kv_command_payload(const struct kv_command *command);

/* The command at the start of the bytes, its slices pointing into them; *used is its size. False
 * when they do not hold a whole command within the limits. */
bool kv_command_decode(const uint8_t *bytes, size_t size, struct kv_command *command, size_t *used);

#endif
