/* SPDX-License-Identifier: BSD-2-Clause */
/* kv-raft: the only thread that touches the Raft core. Requests, messages and news of the other
 * threads go in, and what the core asks for in return is passed on. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "node/kv_peers.h"

#define READ_TIMEOUT_TICKS 20
#define FORWARD_TIMEOUT_TICKS 100

/* A write whose entry is in the log and not yet committed. */
struct proposed {
	uint64_t index, term;
	struct kv_request *request;
};

/* Reads that share one read index. */
struct read_batch {
	uint64_t context, index; /* index 0: not known yet */
	uint64_t tick;           /* when it was asked for */
	PTF_VEC(struct kv_request *) requests;
};

struct forwarded {
	uint64_t id, tick;
	struct kv_request *request;
};

/* Messages that wait for a write batch. */
struct held {
	uint64_t seq;
	struct raft_message_vec messages;
};

struct raft_thread {
	struct kv_node *node;
	struct kv_peers *peers;
	uv_timer_t timer;
	uint64_t ticks, last_context, last_forward, handed; /* handed: index given to kv-apply */
	PTF_VEC(struct proposed) proposed;                  /* by index, from proposed_head on */
	size_t proposed_head;
	PTF_VEC(struct read_batch) reads;
	PTF_VEC(struct forwarded) forwarded;
	PTF_VEC(struct kv_request *) new_writes, new_reads;
	PTF_VEC(struct held) held; /* oldest first */
	bool leading, stop;
};

static struct raft_thread *self_of(struct kv_node *node)
{
	return node->raft_loop.data;
}

void kv_on_persisted(void *context, uint64_t seq)
{
	kv_mailbox_note(&((struct kv_node *)context)->raft_mailbox, KV_EVENT_PERSISTED, seq, -1);
}

void kv_node_fail(void *context, const char *why)
{
	struct kv_node *node = context;
	uint8_t failure = 1;

	fprintf(stderr, "kvnode: %s\n", why);
	if (write(node->stop_pipe[1], &failure, 1) != 1)
		_exit(1);
	for (;;) /* nothing may be acknowledged any more */
		pause();
}

/* --- requests --- */

static void refuse(struct raft_thread *t, struct kv_request *request)
{
	struct raft_status status;

	raft_status(t->node->raft, &status);
	request->reply.n = 0;
	kv_reply_not_leader(t->node, &request->reply, status.leader);
	kv_request_finish(t->node, request);
}

static void fail_request(struct raft_thread *t, struct kv_request *request, const char *why)
{
	request->reply.n = 0;
	kv_resp_error(&request->reply, "TRYAGAIN", why);
	kv_request_finish(t->node, request);
}

static bool forward(struct raft_thread *t, struct kv_request *request)
{
	struct raft_status status;
	uint64_t id = ++t->last_forward;

	raft_status(t->node->raft, &status);
	if (!t->node->options.forward || !request->connection || !status.leader ||
	        !kv_peers_send_frame(t->peers, status.leader, KV_FRAME_FORWARD,
	                id << 1 | request->number_reply, request->payload->bytes,
	                request->payload->size))
		return false;
	kv_vec_push(
	        &t->forwarded, (struct forwarded){.id = id, .tick = t->ticks, .request = request});
	return true;
}

/* Proposes everything that has come since the last turn at once. */
static void propose_writes(struct raft_thread *t)
{
	size_t n = t->new_writes.n;
	struct raft_payload **payloads;
	struct raft_status status;
	uint64_t first;

	if (!n)
		return;
	payloads = kv_alloc(n * sizeof(*payloads));
	for (size_t i = 0; i < n; i++)
		payloads[i] = t->new_writes.v[i]->payload;
	raft_status(t->node->raft, &status);
	if (raft_propose(t->node->raft, payloads, n, &first)) {
		for (size_t i = 0; i < n; i++) {
			t->new_writes.v[i]->payload = NULL;
			kv_vec_push(&t->proposed, (struct proposed){.index = first + i,
			                                  .term = status.term,
			                                  .request = t->new_writes.v[i]});
		}
	} else {
		for (size_t i = 0; i < n; i++) {
			struct kv_request *request = t->new_writes.v[i];

			if (status.role == RAFT_LEADER)
				fail_request(t, request, "the leader is busy");
			else if (!forward(t, request))
				refuse(t, request);
		}
	}
	free(payloads);
	t->new_writes.n = 0;
}

static void ask_read_index(struct raft_thread *t)
{
	struct read_batch batch = {.context = ++t->last_context, .tick = t->ticks};

	if (!t->new_reads.n)
		return;
	if (!raft_read_index(t->node->raft, batch.context)) {
		ptf_vec_foreach (request, &t->new_reads)
			refuse(t, *request);
		t->new_reads.n = 0;
		return;
	}
	kv_vec_reserve(&batch.requests, t->new_reads.n);
	ptf_vec_foreach (request, &t->new_reads)
		kv_vec_push(&batch.requests, *request);
	t->new_reads.n = 0;
	kv_vec_push(&t->reads, batch);
}

static void end_reads(struct raft_thread *t, size_t i, const char *why)
{
	struct read_batch *batch = &t->reads.v[i];

	ptf_vec_foreach (request, &batch->requests)
		fail_request(t, *request, why);
	ptf_vec_release(&batch->requests);
	t->reads.v[i] = t->reads.v[--t->reads.n];
}

static void take_request(struct raft_thread *t, struct kv_request *request)
{
	struct raft_status status;

	raft_status(t->node->raft, &status);
	if (request->kind == KV_REQUEST_WRITE)
		kv_vec_push(&t->new_writes, request);
	else if (request->kind == KV_REQUEST_LOCK && status.role != RAFT_LEADER)
		refuse(t, request); /* locks are the leader's */
	else
		kv_vec_push(&t->new_reads, request);
}

/* --- what members send --- */

static void on_message(struct kv_node *node, const struct raft_message *message)
{
	raft_step(node->raft, message);
}

static void on_unreachable(struct kv_node *node, uint64_t member)
{
	raft_report_unreachable(node->raft, member);
}

static void on_snapshot_sent(struct kv_node *node, uint64_t member, bool whole)
{
	raft_report_snapshot(node->raft, member, whole);
}

static void on_forward(struct kv_node *node, uint64_t member, struct kv_slice body)
{
	struct raft_thread *t = self_of(node);
	struct kv_request *request;
	struct kv_command command;
	uint64_t id;
	size_t used;

	if (body.size < sizeof(id) ||
	        !kv_command_decode(body.bytes + 8, body.size - 8, &command, &used))
		return;
	memcpy(&id, body.bytes, sizeof(id));
	request = kv_alloc(sizeof(*request));
	request->event.type = KV_EVENT_REQUEST;
	request->kind = KV_REQUEST_WRITE;
	request->number_reply = id & 1;
	request->forward_member = member;
	request->forward_id = id;
	request->payload = kv_command_payload(&command);
	kv_vec_push(&t->new_writes, request);
}

static void on_forward_reply(struct kv_node *node, struct kv_slice body)
{
	struct raft_thread *t = self_of(node);
	uint64_t id;

	if (body.size < sizeof(id))
		return;
	memcpy(&id, body.bytes, sizeof(id));
	for (size_t i = 0; i < t->forwarded.n; i++) {
		struct kv_request *request = t->forwarded.v[i].request;

		if (t->forwarded.v[i].id != id >> 1)
			continue;
		t->forwarded.v[i] = t->forwarded.v[--t->forwarded.n];
		kv_buffer_add(&request->reply, body.bytes + 8, body.size - 8);
		kv_request_finish(node, request);
		return;
	}
}

/* --- what the core asks for --- */

static void publish_status(struct raft_thread *t)
{
	struct raft_status status;

	raft_status(t->node->raft, &status);
	pthread_mutex_lock(&t->node->status_mutex);
	t->node->status = status;
	pthread_mutex_unlock(&t->node->status_mutex);
	if (t->leading && status.role != RAFT_LEADER) {
		for (; t->proposed_head < t->proposed.n; t->proposed_head++)
			fail_request(t, t->proposed.v[t->proposed_head].request,
			        "leadership was lost, the outcome is unknown");
		for (unsigned i = 0; i < t->node->options.net_threads; i++)
			kv_mailbox_note(&t->node->nets[i].mailbox, KV_EVENT_DROP_LOCKS, 0, -1);
	}
	t->leading = status.role == RAFT_LEADER;
}

/* The request that waits for the entry, if there is one. */
static struct kv_request *take_proposed(struct raft_thread *t, const struct raft_entry *entry)
{
	struct proposed *first;

	if (t->proposed_head == t->proposed.n) {
		t->proposed_head = t->proposed.n = 0;
		return NULL;
	}
	first = &t->proposed.v[t->proposed_head];
	if (first->index != entry->index || first->term != entry->term)
		return NULL;
	t->proposed_head++;
	return first->request;
}

static void take_read_states(struct raft_thread *t, const struct raft_read_vec *states)
{
	ptf_vec_foreach (state, states) {
		for (size_t i = 0; i < t->reads.n; i++) {
			if (t->reads.v[i].context != state->context)
				continue;
			if (state->failed)
				end_reads(t, i, "leadership was lost");
			else
				t->reads.v[i].index = state->index;
			break;
		}
	}
}

/* Moves reads whose index is on its way to kv-apply behind it. */
static void hand_reads(struct raft_thread *t, struct kv_apply_batch *batch)
{
	for (size_t i = 0; i < t->reads.n; i++) {
		struct read_batch *reads = &t->reads.v[i];

		if (!reads->index || reads->index > t->handed)
			continue;
		ptf_vec_foreach (request, &reads->requests)
			kv_vec_push(&batch->reads, *request);
		ptf_vec_release(&reads->requests);
		t->reads.v[i--] = t->reads.v[--t->reads.n];
	}
}

static void hand_to_apply(struct raft_thread *t, struct raft_ready *ready)
{
	struct kv_apply_batch *batch = kv_alloc(sizeof(*batch));

	batch->event.type = KV_EVENT_BATCH;
	if (ready->has_snapshot) {
		batch->install_index = t->handed = ready->snapshot_index;
		batch->install_term = ready->snapshot_term;
		kv_snapshot_remove_older(t->node->options.data, ready->snapshot_index);
	}
	batch->entries = ready->committed;
	ready->committed = (struct raft_entry_vec){0};
	kv_vec_reserve(&batch->requests, batch->entries.n);
	ptf_vec_foreach (entry, &batch->entries) {
		kv_vec_push(&batch->requests, take_proposed(t, entry));
		t->handed = entry->index;
	}
	hand_reads(t, batch);
	if (!batch->install_index && !batch->entries.n && !batch->reads.n) {
		ptf_vec_release(&batch->requests);
		free(batch);
		return;
	}
	kv_mailbox_push(&t->node->apply_mailbox, &batch->event);
}

static void send_all(struct raft_thread *t, struct raft_message_vec *messages)
{
	ptf_vec_foreach (message, messages)
		kv_peers_send(t->peers, message);
}

static void release_held(struct raft_thread *t, uint64_t seq)
{
	size_t done = 0;

	for (; done < t->held.n && t->held.v[done].seq <= seq; done++) {
		send_all(t, &t->held.v[done].messages);
		raft_message_vec_release(&t->held.v[done].messages);
	}
	t->held.n -= done;
	if (done && t->held.n)
		memmove(t->held.v, t->held.v + done, t->held.n * sizeof(*t->held.v));
	raft_persisted(t->node->raft, seq);
}

static void drain(struct kv_node *node)
{
	struct raft_thread *t = self_of(node);
	struct raft_ready ready;

	propose_writes(t);
	ask_read_index(t);
	while (raft_ready(node->raft, &ready)) {
		send_all(t, &ready.messages);
		if (ready.seq) {
			kv_vec_push(&t->held, (struct held){ready.seq, ready.held});
			ready.held = (struct raft_message_vec){0};
			kv_wal_write(node->wal, &ready);
		}
		take_read_states(t, &ready.reads);
		hand_to_apply(t, &ready);
		raft_ready_release(&ready);
	}
	if (raft_failure(node->raft))
		kv_node_fail(node, raft_failure(node->raft));
	publish_status(t);
	kv_peers_flush(t->peers);
}

/* --- events --- */

static void take_note(struct raft_thread *t, struct kv_note *note)
{
	struct kv_node *node = t->node;

	switch (note->event.type) {
	case KV_EVENT_PERSISTED:
		release_held(t, note->index);
		break;
	case KV_EVENT_SNAPSHOT:
		/* What followers may still need stays, up to a quarter of a snapshot's worth. */
		raft_snapshot_taken(node->raft, note->index, node->options.snapshot_entries / 4);
		kv_wal_drop_before(node->wal, note->index);
		kv_snapshot_remove_older(node->options.data, note->index);
		break;
	case KV_EVENT_SOCKET:
		kv_peers_adopt(t->peers, note->fd, note->index);
		break;
	default:
		t->stop = true;
	}
	free(note);
}

/* A request that another member sent on has its reply. */
static void return_forwarded(struct raft_thread *t, struct kv_request *request)
{
	kv_peers_send_frame(t->peers, request->forward_member, KV_FRAME_FORWARD_REPLY,
	        request->forward_id, request->reply.v, request->reply.n);
	kv_request_free(request);
}

static void on_mailbox(uv_async_t *async)
{
	struct kv_node *node = async->data;
	struct raft_thread *t = self_of(node);
	struct kv_events events = kv_mailbox_take(&node->raft_mailbox);

	ptf_vec_foreach (event, &events) {
		struct kv_request *request = (struct kv_request *)*event;

		if ((*event)->type != KV_EVENT_REQUEST)
			take_note(t, (struct kv_note *)*event);
		else if (request->answered)
			return_forwarded(t, request);
		else
			take_request(t, request);
	}
	ptf_vec_release(&events);
	if (t->stop)
		uv_stop(&node->raft_loop);
	else
		drain(node);
}

static void give_up_old(struct raft_thread *t)
{
	for (size_t i = 0; i < t->reads.n; i++)
		if (!t->reads.v[i].index && t->ticks - t->reads.v[i].tick > READ_TIMEOUT_TICKS)
			end_reads(t, i--, "no quorum answers");
	for (size_t i = 0; i < t->forwarded.n; i++) {
		struct forwarded *f = &t->forwarded.v[i];

		if (t->ticks - f->tick <= FORWARD_TIMEOUT_TICKS)
			continue;
		fail_request(t, f->request, "the leader does not answer, the outcome is unknown");
		t->forwarded.v[i--] = t->forwarded.v[--t->forwarded.n];
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct raft_thread *t = timer->data;

	t->ticks++;
	raft_tick(t->node->raft);
	give_up_old(t);
	drain(t->node);
}

/* Requests that are still here at the end. */
static void drop_requests(struct raft_thread *t)
{
	for (; t->proposed_head < t->proposed.n; t->proposed_head++)
		fail_request(t, t->proposed.v[t->proposed_head].request, "shutting down");
	while (t->reads.n)
		end_reads(t, 0, "shutting down");
	ptf_vec_foreach (f, &t->forwarded)
		fail_request(t, f->request, "shutting down");
	ptf_vec_release(&t->proposed);
	ptf_vec_release(&t->reads);
	ptf_vec_release(&t->forwarded);
	ptf_vec_release(&t->new_writes);
	ptf_vec_release(&t->new_reads);
	ptf_vec_foreach (h, &t->held)
		raft_message_vec_release(&h->messages);
	ptf_vec_release(&t->held);
}

void *kv_raft_run(void *context)
{
	static const struct kv_peers_callbacks callbacks = {.message = on_message,
	        .forward = on_forward,
	        .forward_reply = on_forward_reply,
	        .unreachable = on_unreachable,
	        .snapshot_sent = on_snapshot_sent,
	        .after = drain};
	struct kv_node *node = context;
	struct raft_thread t = {.node = node, .handed = node->applied_at_start};
	unsigned tick_ms = node->options.election_ms / 10;

	pthread_setname_np(pthread_self(), "kv-raft");
	node->raft_loop.data = &t;
	uv_async_init(&node->raft_loop, &node->raft_async, on_mailbox);
	node->raft_async.data = node;
	t.peers = kv_peers_create(node, &callbacks);
	uv_timer_init(&node->raft_loop, &t.timer);
	t.timer.data = &t;
	uv_timer_start(&t.timer, on_tick, tick_ms, tick_ms);
	uv_async_send(&node->raft_async); /* for what came before */
	uv_run(&node->raft_loop, UV_RUN_DEFAULT);
	kv_peers_close(t.peers);
	uv_close((uv_handle_t *)&t.timer, NULL);
	uv_close((uv_handle_t *)&node->raft_async, NULL);
	uv_run(&node->raft_loop, UV_RUN_DEFAULT);
	kv_peers_destroy(t.peers);
	drop_requests(&t);
	return NULL;
}
