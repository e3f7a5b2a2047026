/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node and its threads. Work goes round: kv-net-N parses a client's command into a request,
 * kv-raft proposes it (or asks for a read index), kv-wal makes it durable, kv-apply applies it,
 * and the request comes back to its kv-net-N with the reply. Whoever has a request owns it; it is
 * handed on by mailboxes and always comes back.
 */
#ifndef KV_NODE_H
#define KV_NODE_H

#include "net/kv_batcher.h"
#include "net/kv_resp.h"
#include "node/kv_mailbox.h"
#include "store/kv_lock_table.h"
#include "store/kv_store.h"
#include "wal/kv_wal.h"

#define KV_MAX_NET_THREADS 16

struct kv_address {
	char host[256];
	uint16_t port;
};

struct kv_options {
	uint64_t id;
	const char *data; /* directory */
	struct kv_address listen;
	uint64_t members[RAFT_MAX_MEMBERS];
	struct kv_address addresses[RAFT_MAX_MEMBERS]; /* of the members */
	size_t n_members;
	unsigned net_threads;
	unsigned election_ms;
	unsigned max_clients;
	uint64_t segment_bytes;
	uint64_t snapshot_entries; /* a snapshot after so many */
	uint32_t large_value;      /* bytes from which values go to the value log, 0: none */
	uint32_t batch_bytes;      /* messages in one write to a member */
	unsigned inflight;         /* messages under way to one member */
	uint32_t append_entries;   /* most entries in one message */
	bool forward;              /* pass writes on to the leader */
	bool intact_prefix;
	/* the planted bottlenecks */
	bool sync_each, scan_batch, list_locks, global_lock, malloc_reads;
	enum kv_recover recover;
};

struct kv_command_entry;
struct kv_connection;

enum kv_request_kind {
	KV_REQUEST_LOCAL, /* answered where it was parsed */
	KV_REQUEST_WRITE,
	KV_REQUEST_READ,
	KV_REQUEST_LOCK,
};

struct kv_request {
	struct kv_event event;
	enum kv_request_kind kind;
	struct kv_connection *connection; /* NULL: it came from another member */
	struct kv_net *net;               /* whose connection it is */
	struct kv_request *next;          /* the connection's next one */
	bool answered;                    /* the reply is there, whoever holds the request */
	bool done;                        /* the same, for its connection's thread alone */
	bool confirmed;                   /* a read: the store is recent enough to be asked */
	bool number_reply;                /* a write: reply with the result's number, not OK */
	const struct kv_command_entry *command;
	struct kv_buffer bytes; /* what args point to */
	struct kv_args args;
	struct raft_payload *payload; /* of a write */
	struct kv_buffer reply;
	uint64_t forward_member, forward_id; /* who sent it on, and its name there */
};

void kv_request_free(struct kv_request *request);

/* Sends the request back with its reply. */
struct kv_node;
void kv_request_finish(struct kv_node *node, struct kv_request *request);

/* What kv-raft hands to kv-apply: in this order a snapshot to load, entries, reads that may be
 * served when those are applied. */
struct kv_apply_batch {
	struct kv_event event;
	uint64_t install_index, install_term; /* 0: no snapshot */
	struct raft_entry_vec entries;
	PTF_VEC(struct kv_request *) requests; /* for each entry: who waits for it, or NULL */
	PTF_VEC(struct kv_request *) reads;
};

/* The state of one moment, for kv-compact to write. */
struct kv_capture {
	struct kv_event event;
	uint64_t index, term;
	struct kv_item_vec items;
};

struct kv_net {
	struct kv_node *node;
	unsigned number; /* from 1 */
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t async;
	struct kv_mailbox mailbox;
	struct kv_connection *connections, *flush;
	PTF_VEC(struct kv_request *) outbox; /* for kv-raft, sent at the end of a turn */
	uint64_t last_owner;
	struct kv_buffer pool; /* values on their way from the store */
};

struct kv_node {
	struct kv_options options;
	struct kv_store *store;
	struct kv_wal *wal;
	struct raft *raft; /* kv-raft's */
	struct kv_lock_table *locks;
	struct kv_net nets[KV_MAX_NET_THREADS];
	struct kv_mailbox raft_mailbox, apply_mailbox, compact_mailbox;
	pthread_t raft_thread, apply_thread, compact_thread;
	uv_loop_t raft_loop;
	uv_async_t raft_async;
	uint64_t snapshot_index; /* kv-apply's: the last one that was begun or loaded */
	uint64_t applied_at_start, applied_term_at_start;
	atomic_bool snapshot_running;
	atomic_uint_fast64_t applied;
	atomic_uint n_clients;
	atomic_uint_fast64_t commands;
	pthread_mutex_t status_mutex;
	struct raft_status status; /* guarded by status_mutex */
	int stop_pipe[2];          /* a byte ends main(): 0 in peace, 1 in failure */
};

/* kv_snapshot.c. A snapshot is a file DIR/snapshot-INDEX-TERM of records. */
void kv_snapshot_path(const char *directory, uint64_t index, uint64_t term, char *path);
/* The newest one; *index is 0 when there is none. */
int kv_snapshot_find(const char *directory, uint64_t *index, uint64_t *term, struct ptf_error *err);
int kv_snapshot_write(
        const char *directory, const struct kv_capture *capture, struct ptf_error *err);
/* Fills the (emptied) store; *calls is increased by the system calls that read. */
int kv_snapshot_load(struct kv_node *node, uint64_t index, uint64_t term, uint64_t *calls,
        struct ptf_error *err);
/* Makes a file that is complete the snapshot, and durable. */
int kv_snapshot_commit(const char *directory, const char *from, uint64_t index, uint64_t term,
        struct ptf_error *err);
void kv_snapshot_remove_older(const char *directory, uint64_t index);

/* kv_recovery.c: store, log and Raft core as they were. Says what it did on stderr. */
int kv_recover_node(struct kv_node *node, struct ptf_error *err);

/* kv_raft_thread.c */
void *kv_raft_run(void *node);
void kv_on_persisted(void *node, uint64_t seq);
/* The node cannot go on: says why and ends the process with status 1. */
void kv_node_fail(void *node, const char *why);

/* kv_apply.c */
void *kv_apply_run(void *node);
void *kv_compact_run(void *node);

/* kv_clients.c */
int kv_net_init(struct kv_net *net, struct kv_node *node, unsigned number);
int kv_net_listen(struct kv_net *net, struct ptf_error *err);
void *kv_net_run(void *net);
/* kv_lock_table's callback */
void kv_net_granted(void *node, uint64_t owner, void *request);
/* Marks the connection as one that is closed when leadership is lost; its owner id for locks. */
uint64_t kv_connection_owner(struct kv_connection *connection);
/* After the replies that are due the connection is closed. */
void kv_connection_quit(struct kv_connection *connection);
/* The connection belongs to a member: kv-raft gets it. */
void kv_connection_becomes_member(struct kv_connection *connection, uint64_t id);

/* kv_commands.c */
/* Sets kind and what belongs to it, or the reply (done). */
void kv_command_begin(struct kv_node *node, struct kv_request *request);
/* A read or lock that was confirmed: makes the reply. False: the reply comes later. */
bool kv_command_read(struct kv_node *node, struct kv_request *request);
/* "-MOVED" or "-CLUSTERDOWN" */
void kv_reply_not_leader(struct kv_node *node, struct kv_buffer *reply, uint64_t leader);
const struct kv_address *kv_member_address(const struct kv_node *node, uint64_t id);

#endif
