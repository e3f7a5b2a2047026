/* SPDX-License-Identifier: BSD-2-Clause */
#include "node/kv_peers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define RETRY_MS 200
#define PIECE_BYTES (256u << 10)
#define MAX_QUEUED (64u << 20)

enum peer_state { PEER_IDLE, PEER_DIALLING, PEER_GREETING, PEER_UP };

struct peer {
	struct kv_peers *peers;
	uint64_t id;
	const struct kv_address *address;
	enum peer_state state;
	uv_tcp_t *tcp; /* of this attempt; freed when closed */
	uv_connect_t connect;
	uv_write_t write;
	uv_timer_t retry;
	bool writing, resolved;
	struct sockaddr_storage resolved_to;
	uv_getaddrinfo_t resolve;
	struct kv_buffer out;    /* being written */
	struct kv_buffer frames; /* ready-made frames that wait */
	struct kv_batcher batcher;
	int snapshot_fd; /* being sent, -1: none */
	uint64_t snapshot_offset;
	struct raft_message snapshot; /* what is sent behind it */
};

/* A connection that a member has dialled. */
struct incoming {
	struct kv_peers *peers;
	uint64_t id;
	uv_tcp_t tcp;
	struct kv_buffer in;
	bool closing;
	struct incoming *next, **link;
};

struct kv_peers {
	struct kv_node *node;
	struct kv_peers_callbacks callbacks;
	struct peer peers[RAFT_MAX_MEMBERS];
	size_t n;
	struct incoming *incoming;
	int received_fd; /* the snapshot file that is being received, -1: none */
	uint64_t received_bytes, received_index;
	bool closing;
};

static void dial(struct peer *peer);
static void flush(struct peer *peer);

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void on_retry(uv_timer_t *timer)
{
	dial(timer->data);
}

static void end_snapshot(struct peer *peer, bool whole)
{
	if (peer->snapshot_fd < 0)
		return;
	close(peer->snapshot_fd);
	peer->snapshot_fd = -1;
	peer->peers->callbacks.snapshot_sent(peer->peers->node, peer->id, whole);
}

/* The connection is of no use: gives up what waited and tries again in a while. */
static void lose(struct peer *peer)
{
	bool was_up = peer->state == PEER_UP;

	if (peer->state == PEER_IDLE)
		return;
	peer->state = PEER_IDLE;
	peer->writing = false;
	if (!uv_is_closing((uv_handle_t *)peer->tcp))
		uv_close((uv_handle_t *)peer->tcp, free_handle);
	peer->tcp->data = NULL; /* late callbacks have nobody to tell */
	peer->tcp = NULL;
	kv_batcher_clear(&peer->batcher);
	peer->frames.n = 0;
	end_snapshot(peer, false);
	if (peer->peers->closing)
		return;
	if (was_up) {
		peer->peers->callbacks.unreachable(peer->peers->node, peer->id);
		peer->peers->callbacks.after(peer->peers->node);
	}
	uv_timer_start(&peer->retry, on_retry, RETRY_MS, 0);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	*buf = uv_buf_init(kv_alloc(suggested), suggested);
}

/* The answer to the greeting, or the end. */
static void on_outgoing_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct peer *peer = stream->data;

	if (peer && n < 0) {
		lose(peer);
	} else if (peer && n > 0 && peer->state == PEER_GREETING) {
		if (buf->base[0] == '+') {
			peer->state = PEER_UP;
			flush(peer);
		} else {
			lose(peer);
		}
	}
	free(buf->base);
}

struct greeting {
	uv_write_t write;
	char text[96];
};

static void on_greeted(uv_write_t *write, int status)
{
	free(write);
}

static void on_connect(uv_connect_t *connect, int status)
{
	struct peer *peer = connect->data;
	struct greeting *greeting;
	char id[24];
	uv_buf_t buf;
	int n;

	if (peer->state != PEER_DIALLING || !peer->tcp ||
	        connect->handle != (uv_stream_t *)peer->tcp)
		return;
	if (status) {
		lose(peer);
		return;
	}
	greeting = kv_alloc(sizeof(*greeting));
	uv_tcp_nodelay(peer->tcp, 1);
	n = snprintf(id, sizeof(id), "%" PRIu64, peer->peers->node->options.id);
	n = snprintf(
	        greeting->text, sizeof(greeting->text), "*2\r\n$4\r\nRAFT\r\n$%d\r\n%s\r\n", n, id);
	buf = uv_buf_init(greeting->text, n);
	peer->state = PEER_GREETING;
	uv_read_start((uv_stream_t *)peer->tcp, allocate, on_outgoing_read);
	uv_write(&greeting->write, (uv_stream_t *)peer->tcp, &buf, 1, on_greeted);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
	struct peer *peer = resolve->data;

	if (!status) {
		memcpy(&peer->resolved_to, found->ai_addr, found->ai_addrlen);
		peer->resolved = true;
		uv_freeaddrinfo(found);
	}
	if (!peer->peers->closing)
		uv_timer_start(&peer->retry, on_retry, status ? RETRY_MS : 0, 0);
}

static void dial(struct peer *peer)
{
	struct kv_peers *peers = peer->peers;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char port[8];

	if (peers->closing || peer->state != PEER_IDLE)
		return;
	if (!peer->resolved) {
		snprintf(port, sizeof(port), "%u", peer->address->port);
		peer->resolve.data = peer;
		if (uv_getaddrinfo(&peers->node->raft_loop, &peer->resolve, on_resolved,
		            peer->address->host, port, &hints))
			uv_timer_start(&peer->retry, on_retry, RETRY_MS, 0);
		return;
	}
	peer->tcp = kv_alloc(sizeof(*peer->tcp));
	uv_tcp_init(&peers->node->raft_loop, peer->tcp);
	peer->tcp->data = peer;
	peer->connect.data = peer;
	peer->state = PEER_DIALLING;
	if (uv_tcp_connect(
	            &peer->connect, peer->tcp, (struct sockaddr *)&peer->resolved_to, on_connect))
		lose(peer);
}

static void on_written(uv_write_t *write, int status)
{
	struct peer *peer = write->data;

	if (!peer->writing || write->handle != (uv_stream_t *)peer->tcp)
		return; /* of a connection that was given up */
	peer->writing = false;
	if (status)
		lose(peer);
	else
		flush(peer);
}

/* Adds the next piece of the snapshot, and behind the last one the message. */
static void add_snapshot_piece(struct peer *peer)
{
	uint8_t *bytes = kv_alloc(PIECE_BYTES);
	ssize_t n = pread(peer->snapshot_fd, bytes, PIECE_BYTES, peer->snapshot_offset);
	struct kv_snapshot_piece piece = {.index = peer->snapshot.index,
	        .term = peer->snapshot.log_term,
	        .offset = peer->snapshot_offset,
	        .bytes = {bytes, n > 0 ? n : 0}};

	if (n > 0) {
		kv_frame_add_piece(&peer->out, &piece);
		peer->snapshot_offset += n;
	} else {
		if (!n)
			kv_frame_add_message(&peer->out, &peer->snapshot);
		end_snapshot(peer, n == 0);
	}
	free(bytes);
}

static void flush(struct peer *peer)
{
	uv_buf_t buf;

	if (peer->state != PEER_UP || peer->writing)
		return;
	peer->out.n = 0;
	kv_buffer_add(&peer->out, peer->frames.v, peer->frames.n);
	peer->frames.n = 0;
	kv_batcher_collect(&peer->batcher, &peer->out);
	if (peer->snapshot_fd >= 0)
		add_snapshot_piece(peer);
	if (!peer->out.n)
		return;
	buf = uv_buf_init((char *)peer->out.v, peer->out.n);
	peer->write.data = peer;
	peer->writing = true;
	if (uv_write(&peer->write, (uv_stream_t *)peer->tcp, &buf, 1, on_written))
		lose(peer);
}

struct kv_peers *kv_peers_create(struct kv_node *node, const struct kv_peers_callbacks *callbacks)
{
	struct kv_peers *peers = kv_alloc(sizeof(*peers));
	struct kv_options *o = &node->options;

	peers->node = node;
	peers->callbacks = *callbacks;
	peers->received_fd = -1;
	for (size_t i = 0; i < o->n_members; i++) {
		struct peer *peer = &peers->peers[peers->n];

		if (o->members[i] == o->id)
			continue;
		peers->n++;
		peer->peers = peers;
		peer->id = o->members[i];
		peer->address = &o->addresses[i];
		peer->snapshot_fd = -1;
		peer->batcher.scan = o->scan_batch;
		peer->batcher.max_bytes = o->batch_bytes;
		uv_timer_init(&node->raft_loop, &peer->retry);
		peer->retry.data = peer;
		dial(peer);
	}
	return peers;
}

static struct peer *find_peer(struct kv_peers *peers, uint64_t id)
{
	for (size_t i = 0; i < peers->n; i++)
		if (peers->peers[i].id == id)
			return &peers->peers[i];
	return NULL;
}

/* Starts to send the newest snapshot, which may be newer than the one asked for. */
static void begin_snapshot(struct peer *peer, const struct raft_message *message)
{
	char path[PATH_MAX];

	end_snapshot(peer, false);
	kv_snapshot_path(peer->peers->node->options.data, message->index, message->log_term, path);
	peer->snapshot_fd = open(path, O_RDONLY | O_CLOEXEC);
	peer->snapshot_offset = 0;
	peer->snapshot = *message;
	if (peer->snapshot_fd < 0)
		peer->peers->callbacks.snapshot_sent(peer->peers->node, peer->id, false);
}

void kv_peers_send(struct kv_peers *peers, struct raft_message *message)
{
	struct peer *peer = find_peer(peers, message->to);

	if (!peer || peer->state != PEER_UP || peer->batcher.queued_bytes > MAX_QUEUED) {
		if (peer && message->type == RAFT_SNAPSHOT)
			peers->callbacks.snapshot_sent(peers->node, message->to, false);
		else if (message->entries.n)
			peers->callbacks.unreachable(peers->node, message->to);
		raft_message_release(message);
	} else if (message->type == RAFT_SNAPSHOT) {
		begin_snapshot(peer, message);
	} else {
		kv_batcher_push(&peer->batcher, message);
	}
	message->entries = (struct raft_entry_vec){0};
}

bool kv_peers_send_frame(struct kv_peers *peers, uint64_t member, enum kv_frame_kind kind,
        uint64_t id, const void *body, size_t size)
{
	struct peer *peer = find_peer(peers, member);
	size_t at;

	if (!peer || peer->state != PEER_UP || peer->frames.n > MAX_QUEUED)
		return false;
	at = kv_frame_begin(&peer->frames, kind);
	kv_buffer_add_u64(&peer->frames, id);
	kv_buffer_add(&peer->frames, body, size);
	kv_frame_end(&peer->frames, at);
	return true;
}

void kv_peers_flush(struct kv_peers *peers)
{
	for (size_t i = 0; i < peers->n; i++)
		flush(&peers->peers[i]);
}

/* --- what others send --- */

static void free_incoming(uv_handle_t *handle)
{
	struct incoming *incoming = handle->data;

	*incoming->link = incoming->next;
	if (incoming->next)
		incoming->next->link = incoming->link;
	ptf_vec_release(&incoming->in);
	free(incoming);
}

static void close_incoming(struct incoming *incoming)
{
	if (incoming->closing)
		return;
	incoming->closing = true;
	uv_close((uv_handle_t *)&incoming->tcp, free_incoming);
}

static void incoming_path(const struct kv_peers *peers, char *path)
{
	snprintf(path, PATH_MAX, "%s/received-snapshot", peers->node->options.data);
}

static void take_piece(struct kv_peers *peers, const struct kv_snapshot_piece *piece)
{
	char path[PATH_MAX];

	if (piece->offset == 0) {
		if (peers->received_fd >= 0)
			close(peers->received_fd);
		incoming_path(peers, path);
		peers->received_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		peers->received_bytes = 0;
		peers->received_index = piece->index;
	}
	if (peers->received_fd < 0 || piece->index != peers->received_index ||
	        piece->offset != peers->received_bytes)
		return; /* of a transfer whose start was missed: it will be sent again */
	if (pwrite(peers->received_fd, piece->bytes.bytes, piece->bytes.size, piece->offset) ==
	        (ssize_t)piece->bytes.size) {
		peers->received_bytes += piece->bytes.size;
	} else {
		close(peers->received_fd);
		peers->received_fd = -1;
	}
}

/* All pieces of the snapshot are here: makes it durable. */
static bool finish_snapshot(struct kv_peers *peers, const struct raft_message *message)
{
	char path[PATH_MAX];
	struct ptf_error err;
	int status;

	if (peers->received_fd < 0 || peers->received_index != message->index)
		return false;
	close(peers->received_fd);
	peers->received_fd = -1;
	incoming_path(peers, path);
	status = kv_snapshot_commit(
	        peers->node->options.data, path, message->index, message->log_term, &err);
	if (status)
		fprintf(stderr, "kvnode: received snapshot: %s\n", err.msg);
	return !status;
}

static bool take_frame(struct incoming *incoming, enum kv_frame_kind kind, struct kv_slice body)
{
	struct kv_peers *peers = incoming->peers;
	struct kv_snapshot_piece piece;
	struct raft_message message;

	switch (kind) {
	case KV_FRAME_RAFT:
		if (!kv_frame_read_message(body, &message) || message.from != incoming->id)
			return false;
		if (message.type != RAFT_SNAPSHOT || finish_snapshot(peers, &message))
			peers->callbacks.message(peers->node, &message);
		raft_message_release(&message);
		return true;
	case KV_FRAME_SNAPSHOT:
		if (!kv_frame_read_piece(body, &piece))
			return false;
		take_piece(peers, &piece);
		return true;
	case KV_FRAME_FORWARD:
		peers->callbacks.forward(peers->node, incoming->id, body);
		return true;
	case KV_FRAME_FORWARD_REPLY:
		peers->callbacks.forward_reply(peers->node, body);
		return true;
	default:
		return false;
	}
}

static void take_frames(struct incoming *incoming)
{
	enum kv_frame_kind kind;
	struct kv_slice body;
	size_t at = 0, used;
	int status = 0;

	while (!status && !incoming->closing) {
		status = kv_frame_parse(
		        incoming->in.v + at, incoming->in.n - at, &kind, &body, &used);
		if (!status) {
			at += used;
			if (!take_frame(incoming, kind, body))
				status = -1;
		}
	}
	if (status < 0) {
		fprintf(stderr, "kvnode: damaged data from member %" PRIu64 "\n", incoming->id);
		close_incoming(incoming);
	}
	incoming->in.n -= at;
	if (at && incoming->in.n)
		memmove(incoming->in.v, incoming->in.v + at, incoming->in.n);
	incoming->peers->callbacks.after(incoming->peers->node);
}

static void on_incoming_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct incoming *incoming = stream->data;

	if (n < 0) {
		close_incoming(incoming);
	} else if (n > 0) {
		kv_buffer_add(&incoming->in, buf->base, n);
		take_frames(incoming);
	}
	free(buf->base);
}

void kv_peers_adopt(struct kv_peers *peers, int fd, uint64_t member)
{
	struct incoming *incoming;

	if (!find_peer(peers, member) || peers->closing) {
		close(fd);
		return;
	}
	incoming = kv_alloc(sizeof(*incoming));
	incoming->peers = peers;
	incoming->id = member;
	incoming->next = peers->incoming;
	incoming->link = &peers->incoming;
	if (incoming->next)
		incoming->next->link = &incoming->next;
	peers->incoming = incoming;
	uv_tcp_init(&peers->node->raft_loop, &incoming->tcp);
	incoming->tcp.data = incoming;
	if (uv_tcp_open(&incoming->tcp, fd)) {
		close(fd);
		close_incoming(incoming);
		return;
	}
	uv_read_start((uv_stream_t *)&incoming->tcp, allocate, on_incoming_read);
}

void kv_peers_close(struct kv_peers *peers)
{
	peers->closing = true;
	for (size_t i = 0; i < peers->n; i++) {
		uv_close((uv_handle_t *)&peers->peers[i].retry, NULL);
		lose(&peers->peers[i]);
	}
	for (struct incoming *incoming = peers->incoming; incoming; incoming = incoming->next)
		close_incoming(incoming);
}

void kv_peers_destroy(struct kv_peers *peers)
{
	for (size_t i = 0; i < peers->n; i++) {
		kv_batcher_clear(&peers->peers[i].batcher);
		ptf_vec_release(&peers->peers[i].out);
		ptf_vec_release(&peers->peers[i].frames);
	}
	if (peers->received_fd >= 0)
		close(peers->received_fd);
	free(peers);
}
