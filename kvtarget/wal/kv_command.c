/* SPDX-License-Identifier: BSD-2-Clause */
#include "wal/kv_command.h"

#include "base/reader.h"

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	if (n)
		memcpy(at, bytes, n);
	return at + n;
}

void kv_command_encode(const struct kv_command *command, uint8_t *out)
{
	uint16_t bucket_size = command->bucket.size;

	*out++ = command->op;
	*out++ = 0;
	out = put(out, &bucket_size, sizeof(bucket_size));
	out = put(out, &command->key.size, sizeof(command->key.size));
	out = put(out, &command->value.size, sizeof(command->value.size));
	out = put(out, command->bucket.bytes, command->bucket.size);
	out = put(out, command->key.bytes, command->key.size);
	put(out, command->value.bytes, command->value.size);
}

struct raft_payload *kv_command_payload(const struct kv_command *command)
{
	struct raft_payload *payload = raft_payload_create(kv_command_size(command));

	kv_command_encode(command, payload->bytes);
	return payload;
}

bool kv_command_decode(const uint8_t *bytes, size_t size, struct kv_command *command, size_t *used)
{
	struct ptf_reader in = ptf_reader_make(bytes, size);

	command->op = ptf_reader_u8(&in);
	ptf_reader_u8(&in);
	command->bucket.size = ptf_reader_u16(&in);
	command->key.size = ptf_reader_u32(&in);
	command->value.size = ptf_reader_u32(&in);
	command->bucket.bytes = ptf_reader_bytes(&in, command->bucket.size);
	command->key.bytes = ptf_reader_bytes(&in, command->key.size);
	command->value.bytes = ptf_reader_bytes(&in, command->value.size);
	*used = in.pos;
	return !in.failed && command->op >= KV_OP_SET && command->op < KV_OPS &&
	       command->bucket.size <= KV_MAX_BUCKET && command->key.size <= KV_MAX_KEY;
}
