/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What members send each other: frames of size (u32, of all that follows the checksum), CRC-32
 * (u32), kind (u8) and a body. Integers are little-endian.
 */
#ifndef KV_FRAME_H
#define KV_FRAME_H

#include "common/kv_buffer.h"
#include "raft/raft.h"

#define KV_FRAME_HEAD 9
#define KV_FRAME_MAX (128u << 20)

enum kv_frame_kind {
	KV_FRAME_RAFT = 1,      /* a struct raft_message */
	KV_FRAME_SNAPSHOT,      /* a piece of a snapshot file */
	KV_FRAME_FORWARD,       /* a write for the leader: id u64, command */
	KV_FRAME_FORWARD_REPLY, /* id u64, reply as the client gets it */
};

struct kv_snapshot_piece {
	uint64_t index, term; /* of the snapshot */
	uint64_t offset;      /* of the bytes in the file */
	struct kv_slice bytes;
};

/* Appends a frame with room for a body that the caller adds; ends it with kv_frame_end(at). */
size_t kv_frame_begin(struct kv_buffer *out, enum kv_frame_kind kind);
void kv_frame_end(struct kv_buffer *out, size_t at);

void kv_frame_add_message(struct kv_buffer *out, const struct raft_message *message);
void kv_frame_add_piece(struct kv_buffer *out, const struct kv_snapshot_piece *piece);

/* The frame at the start of the bytes: 0 and *kind, *body, *used; 1: more bytes are needed; -1:
 * damaged. */
int kv_frame_parse(const uint8_t *bytes, size_t size, enum kv_frame_kind *kind,
        struct kv_slice *body, size_t *used);

/* False when the body is malformed; then nothing is to be released. */
bool kv_frame_read_message(struct kv_slice body, struct raft_message *message);
bool kv_frame_read_piece(struct kv_slice body, struct kv_snapshot_piece *piece);

#endif
