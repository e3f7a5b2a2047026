/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/kv_frame.h"

#include <zlib.h>

#include "base/reader.h"

size_t kv_frame_begin(struct kv_buffer *out, enum kv_frame_kind kind)
{
	size_t at = out->n;
	uint8_t byte = kind;

	kv_buffer_add_u64(out, 0);
	kv_buffer_add(out, &byte, 1);
	return at;
}

void kv_frame_end(struct kv_buffer *out, size_t at)
{
	uint32_t size = out->n - at - 8;
	uint32_t crc = crc32(0, out->v + at + 8, size);

	memcpy(out->v + at, &size, sizeof(size));
	memcpy(out->v + at + 4, &crc, sizeof(crc));
}

void kv_frame_add_message(struct kv_buffer *out, const struct raft_message *message)
{
	size_t at = kv_frame_begin(out, KV_FRAME_RAFT);
	uint8_t head[2] = {message->type, message->reject};
	uint64_t fields[] = {message->from, message->to, message->term, message->index,
	        message->log_term, message->commit, message->hint, message->context};

	kv_buffer_add(out, head, sizeof(head));
	kv_buffer_add(out, fields, sizeof(fields));
	kv_buffer_add_u32(out, message->entries.n);
	ptf_vec_foreach (entry, &message->entries) {
		uint32_t size = entry->payload ? entry->payload->size : 0;
		uint8_t type = entry->type;

		kv_buffer_add_u64(out, entry->term);
		kv_buffer_add(out, &type, 1);
		kv_buffer_add_u32(out, size);
		kv_buffer_add(out, entry->payload ? entry->payload->bytes : NULL, size);
	}
	kv_frame_end(out, at);
}

void kv_frame_add_piece(struct kv_buffer *out, const struct kv_snapshot_piece *piece)
{
	size_t at = kv_frame_begin(out, KV_FRAME_SNAPSHOT);

	kv_buffer_add_u64(out, piece->index);
	kv_buffer_add_u64(out, piece->term);
	kv_buffer_add_u64(out, piece->offset);
	kv_buffer_add(out, piece->bytes.bytes, piece->bytes.size);
	kv_frame_end(out, at);
}

int kv_frame_parse(const uint8_t *bytes, size_t size, enum kv_frame_kind *kind,
        struct kv_slice *body, size_t *used)
{
	struct ptf_reader in = ptf_reader_make(bytes, size);
	uint32_t length = ptf_reader_u32(&in), crc = ptf_reader_u32(&in);

	if (in.failed)
		return 1;
	if (!length || length > KV_FRAME_MAX)
		return -1;
	if (ptf_reader_left(&in) < length)
		return 1;
	if (crc32(0, bytes + 8, length) != crc)
		return -1;
	*kind = bytes[8];
	*body = (struct kv_slice){bytes + KV_FRAME_HEAD, length - 1};
	*used = 8 + (size_t)length;
	return 0;
}

static bool read_entry(struct ptf_reader *in, uint64_t index, struct raft_message *message)
{
	struct raft_entry entry = {.index = index, .term = ptf_reader_u64(in)};
	uint8_t type = ptf_reader_u8(in);
	uint32_t size = ptf_reader_u32(in);
	const uint8_t *bytes = ptf_reader_bytes(in, size);

	if (in->failed || type > RAFT_ENTRY_DATA || (type == RAFT_ENTRY_NOOP && size))
		return false;
	entry.type = type;
	if (type == RAFT_ENTRY_DATA) {
		entry.payload = raft_payload_create(size);
		memcpy(entry.payload->bytes, bytes, size);
	}
	message->entry_bytes += raft_entry_bytes(&entry);
	kv_vec_push(&message->entries, entry);
	return true;
}

bool kv_frame_read_message(struct kv_slice body, struct raft_message *message)
{
	struct ptf_reader in = ptf_reader_make(body.bytes, body.size);
	uint8_t type = ptf_reader_u8(&in);
	uint32_t n;
	bool good = true;

	*message = (struct raft_message){.type = type, .reject = ptf_reader_u8(&in) != 0};
	message->from = ptf_reader_u64(&in);
	message->to = ptf_reader_u64(&in);
	message->term = ptf_reader_u64(&in);
	message->index = ptf_reader_u64(&in);
	message->log_term = ptf_reader_u64(&in);
	message->commit = ptf_reader_u64(&in);
	message->hint = ptf_reader_u64(&in);
	message->context = ptf_reader_u64(&in);
	n = ptf_reader_u32(&in);
	if (in.failed || type < RAFT_PREVOTE || type >= RAFT_MESSAGE_TYPES)
		return false;
	for (uint32_t i = 0; i < n && good; i++)
		good = read_entry(&in, message->index + 1 + i, message);
	if (!good || ptf_reader_left(&in)) {
		raft_message_release(message);
		return false;
	}
	return true;
}

bool kv_frame_read_piece(struct kv_slice body, struct kv_snapshot_piece *piece)
{
	struct ptf_reader in = ptf_reader_make(body.bytes, body.size);

	piece->index = ptf_reader_u64(&in);
	piece->term = ptf_reader_u64(&in);
	piece->offset = ptf_reader_u64(&in);
	if (in.failed)
		return false;
	piece->bytes = (struct kv_slice){body.bytes + in.pos, ptf_reader_left(&in)};
	return true;
}
