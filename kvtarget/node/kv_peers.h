/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections to and from the other members, in kv-raft's event loop. Each node dials each other
 * one and only sends on that connection; what it receives comes on those that others dialled. */
#ifndef KV_PEERS_H
#define KV_PEERS_H

#include "node/kv_node.h"

struct kv_peers;

/* What the owner of the connections does with what comes and happens. */
struct kv_peers_callbacks {
	void (*message)(struct kv_node *node, const struct raft_message *message);
	void (*forward)(struct kv_node *node, uint64_t member, struct kv_slice body);
	void (*forward_reply)(struct kv_node *node, struct kv_slice body);
	void (*unreachable)(struct kv_node *node, uint64_t member);
	void (*snapshot_sent)(struct kv_node *node, uint64_t member, bool whole);
	void (*after)(struct kv_node *node); /* after each bunch of the above */
};

struct kv_peers *kv_peers_create(struct kv_node *node, const struct kv_peers_callbacks *callbacks);

/* Closes everything; the loop has to run until it is done. */
void kv_peers_close(struct kv_peers *peers);
void kv_peers_destroy(struct kv_peers *peers);

/* Queues a message (its entries are taken over); dropped when the member cannot be reached. A
 * RAFT_SNAPSHOT sends the snapshot's file first. */
void kv_peers_send(struct kv_peers *peers, struct raft_message *message);

/* Queues a frame made by the caller: id and body of a KV_FRAME_FORWARD or its reply. */
bool kv_peers_send_frame(struct kv_peers *peers, uint64_t member, enum kv_frame_kind kind,
        uint64_t id, const void *body, size_t size);

/* Starts writing what was queued. */
void kv_peers_flush(struct kv_peers *peers);

/* A member has dialled us: its socket. */
void kv_peers_adopt(struct kv_peers *peers, int fd, uint64_t member);

#endif
