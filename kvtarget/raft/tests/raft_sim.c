/* SPDX-License-Identifier: BSD-2-Clause */
#include "raft/tests/raft_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash_map.h"
#include "common/kv_alloc.h"
#include "common/kv_history.h"
#include "raft/raft.h"

#define N_KEYS 3
#define N_CLIENTS 5
#define MAX_NODES 5
#define US_PER_TICK 10000

/* What the state machine holds: small enough to be copied as a snapshot. */
struct state {
	uint64_t values[N_KEYS];
	uint64_t applied, term; /* index and term of the last entry in it */
};

/* One write batch on its way to the disk. */
struct write {
	struct raft_ready ready; /* owns what it needs of it */
	struct state snapshot;   /* when ready.has_snapshot */
};

struct disk {
	struct raft_hard_state hard_state;
	struct state snapshot;
	struct raft_entry_vec entries; /* as written: an index may come again and then wins */
};

struct waiting_read {
	uint64_t op, index;
};

struct node {
	struct raft *raft; /* NULL while it is down */
	uint64_t id;
	unsigned life; /* counts restarts: events of an earlier life are void */
	uint64_t us_per_tick;
	struct disk disk;
	PTF_VEC(struct write) writes; /* under way, oldest first */
	bool syncing;
	struct state state;
	struct state incoming; /* the last snapshot that came over the network */
	PTF_VEC(struct waiting_read) waiting;
	uint64_t led_term; /* the last term that it was seen to lead */
};

enum event_type {
	EV_TICK,
	EV_MESSAGE,
	EV_SYNC,
	EV_CLIENT,
	EV_FAULT,
	EV_SNAPSHOT_LOST,
	EV_HIT_LEADER
};

struct event {
	uint64_t at, order; /* us; ties go by order of making */
	enum event_type type;
	unsigned node, life; /* whom it is for; the client's number for EV_CLIENT */
	struct raft_message message;
	struct state snapshot; /* with a RAFT_SNAPSHOT */
	uint64_t member;       /* EV_SNAPSHOT_LOST */
};

struct client {
	uint64_t op;       /* index into history + 1 of the operation under way, 0: none */
	uint64_t gives_up; /* us */
	unsigned node;     /* it talks to */
};

/* Where an operation that was proposed stands in the log. */
struct proposal {
	uint64_t index, term, op;
	unsigned node, life;
};

struct world {
	uint64_t seed, random, now, order, clock; /* clock: stamps of operations */
	unsigned n_nodes, bugs;
	struct node nodes[MAX_NODES];
	bool cut[MAX_NODES][MAX_NODES];           /* messages from, to are lost */
	unsigned loss, duplicates, slow;          /* of 1000 messages */
	uint64_t delay, sync_delay;               /* us, upper bounds of the usual case */
	unsigned crash, partition, skew;          /* of 1000 faults */
	unsigned hit;                             /* of 1000 new leaders: harmed soon after */
	uint64_t fault_interval, heal_at, end_at; /* us */
	unsigned election_ticks, append_entries, inflight; /* as struct raft_config */
	bool snapshots, healed;
	PTF_VEC(struct event) heap;
	struct client clients[N_CLIENTS];
	struct kv_history history;
	PTF_VEC(struct proposal) proposals;
	struct ptf_hash_map entries;     /* index, term -> value and term of the entry before it */
	struct ptf_hash_map leaders;     /* term -> id */
	struct raft_entry_vec applied;   /* what any node has applied, from index 1 */
	PTF_VEC(uint64_t) applied_terms; /* and the term of whoever applied it first */
	struct raft_sim_result *result;
};

static uint64_t draw(struct world *w, uint64_t below)
{
	w->random += 0x9e3779b97f4a7c15;
	return below ? ptf_hash_u64(w->random) % below : 0;
}

static bool chance(struct world *w, unsigned of_1000)
{
	return draw(w, 1000) < of_1000;
}

__attribute__((format(printf, 2, 3))) static void violated(struct world *w, const char *fmt, ...)
{
	va_list args;

	if (!w->result->good)
		return;
	w->result->good = false;
	va_start(args, fmt);
	vsnprintf(w->result->why, sizeof(w->result->why), fmt, args);
	va_end(args);
}

/* --- events: a binary heap --- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void push_event(struct world *w, struct event event)
{
	size_t i = w->heap.n;

	event.order = ++w->order;
	kv_vec_push(&w->heap, event);
	for (; i && before(&event, &w->heap.v[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap.v[i] = w->heap.v[(i - 1) / 2];
	w->heap.v[i] = event;
}

static struct event pop_event(struct world *w)
{
	struct event first = w->heap.v[0], last = w->heap.v[--w->heap.n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->heap.n) {
		if (child + 1 < w->heap.n && before(&w->heap.v[child + 1], &w->heap.v[child]))
			child++;
		if (!before(&w->heap.v[child], &last))
			break;
		w->heap.v[i] = w->heap.v[child];
		i = child;
	}
	if (w->heap.n)
		w->heap.v[i] = last;
	return first;
}

/* --- the network --- */

static struct raft_message copy_message(const struct raft_message *m)
{
	struct raft_message copy = *m;

	copy.entries = (struct raft_entry_vec){0};
	raft_entry_vec_append(&copy.entries, m->entries.v, m->entries.n);
	return copy;
}

static void post(struct world *w, struct node *from, const struct raft_message *m)
{
	unsigned to = m->to - 1, source = from - w->nodes;
	bool lost = w->cut[source][to] || chance(w, w->loss);
	int copies = lost ? 0 : 1 + chance(w, w->duplicates);

	for (int i = 0; i < copies; i++) {
		uint64_t delay = 100 + draw(w, w->delay);

		if (m->type == RAFT_SNAPSHOT || chance(w, w->slow))
			delay += draw(w, 40 * w->delay);
		push_event(w, (struct event){.at = w->now + delay,
		                      .type = EV_MESSAGE,
		                      .node = to,
		                      .message = copy_message(m),
		                      .snapshot = from->disk.snapshot});
	}
	if (m->type == RAFT_SNAPSHOT) /* the transport tells how it went, in its time */
		push_event(w, (struct event){.at = w->now + 50000,
		                      .type = EV_SNAPSHOT_LOST,
		                      .node = source,
		                      .life = from->life,
		                      .member = m->to,
		                      .message.reject = lost});
}

static void post_all(struct world *w, struct node *from, struct raft_message_vec *messages)
{
	ptf_vec_foreach (m, messages)
		post(w, from, m);
	raft_message_vec_release(messages);
}

/* --- checks --- */

static uint64_t entry_value(const struct raft_entry *entry)
{
	uint64_t op = 0;

	if (entry->payload)
		memcpy(&op, entry->payload->bytes, sizeof(op));
	return op;
}

/* Log matching: an entry is the same in every log, and so is the one before it. */
static void check_entries(struct world *w, struct node *node, const struct raft_entry_vec *entries)
{
	ptf_vec_foreach (entry, entries) {
		uint64_t previous = 0, seen;
		uint64_t *known;
		bool made;

		if (!raft_entry_term(node->raft, entry->index - 1, &previous))
			continue;
		seen = entry_value(entry) << 24 | previous;
		known = ptf_hash_map_at(&w->entries, entry->index << 32 | entry->term, &made);
		if (made)
			*known = seen;
		else if (*known != seen)
			violated(w, "log matching: index %" PRIu64 " term %" PRIu64, entry->index,
			        entry->term);
	}
}

/* A leader has all that was committed in earlier terms. One that is elected late, when there is
 * a newer one already, need not have what that one has committed. */
static void check_completeness(struct world *w, struct node *node, const struct raft_status *status)
{
	size_t n = w->applied.n;
	uint64_t term;

	while (n && w->applied_terms.v[n - 1] >= status->term)
		n--;
	if (!n || status->base >= n)
		return;
	if (!raft_entry_term(node->raft, n, &term) || term != w->applied.v[n - 1].term)
		violated(w,
		        "leader completeness: the leader of term %" PRIu64
		        " lacks applied entry %zu",
		        status->term, n);
}

/* Election safety and leader completeness, when a node has come to lead. */
static void check_leader(struct world *w, struct node *node)
{
	struct raft_status status;
	uint64_t *leader;

	raft_status(node->raft, &status);
	if (raft_failure(node->raft))
		violated(w, "node %" PRIu64 ": %s", node->id, raft_failure(node->raft));
	if (status.role != RAFT_LEADER || status.term == node->led_term)
		return;
	node->led_term = status.term;
	w->result->elections++;
	if (!w->healed && chance(w, w->hit))
		push_event(w, (struct event){.at = w->now + draw(w, 4 * w->delay + w->sync_delay),
		                      .type = EV_HIT_LEADER,
		                      .node = node - w->nodes,
		                      .life = node->life});
	leader = ptf_hash_map_at(&w->leaders, status.term, NULL);
	if (*leader && *leader != node->id)
		violated(w, "election safety: two leaders in term %" PRIu64, status.term);
	*leader = node->id;
	check_completeness(w, node, &status);
}

/* State machine safety: every node applies the same entry at an index. */
static void check_applied(struct world *w, struct node *node, const struct raft_entry *entry)
{
	struct raft_status status;
	const struct raft_entry *known;

	if (entry->index == w->applied.n + 1) {
		raft_entry_vec_append(&w->applied, entry, 1);
		raft_status(node->raft, &status);
		kv_vec_push(&w->applied_terms, status.term);
		return;
	}
	if (entry->index > w->applied.n + 1) {
		violated(w, "entry %" PRIu64 " is applied before its predecessors", entry->index);
		return;
	}
	known = &w->applied.v[entry->index - 1];
	if (known->term != entry->term || entry_value(known) != entry_value(entry))
		violated(w, "state machine safety: index %" PRIu64, entry->index);
}

/* --- clients --- */

static struct kv_history_op *op_at(struct world *w, uint64_t op)
{
	return &w->history.v[op - 1];
}

/* The first answer to an operation that a client still waits for counts, with the value read. */
static void finish_op(struct world *w, uint64_t op, uint64_t value)
{
	for (int i = 0; i < N_CLIENTS; i++) {
		if (w->clients[i].op != op)
			continue;
		w->clients[i].op = 0;
		op_at(w, op)->end = ++w->clock;
		op_at(w, op)->value = value;
		*(op_at(w, op)->write ? &w->result->writes : &w->result->reads) += 1;
	}
}

/* An entry was applied: whoever proposed it on this node, in this life, gets the answer. */
static void answer_proposal(struct world *w, struct node *node, const struct raft_entry *entry)
{
	for (size_t i = 0; i < w->proposals.n; i++) {
		struct proposal p = w->proposals.v[i];

		if (p.index != entry->index || &w->nodes[p.node] != node || p.life != node->life)
			continue;
		w->proposals.v[i--] = w->proposals.v[--w->proposals.n];
		if (p.term == entry->term)
			finish_op(w, p.op, p.op);
	}
}

static void serve_reads(struct world *w, struct node *node)
{
	for (size_t i = 0; i < node->waiting.n; i++) {
		struct waiting_read read = node->waiting.v[i];

		if (read.index > node->state.applied)
			continue;
		node->waiting.v[i--] = node->waiting.v[--node->waiting.n];
		finish_op(w, read.op, node->state.values[op_at(w, read.op)->key]);
	}
}

static bool propose(struct world *w, struct node *node, uint64_t op)
{
	struct raft_payload *payload = raft_payload_create(sizeof(op));
	struct proposal p = {.op = op, .node = node - w->nodes, .life = node->life};
	struct raft_status status;

	memcpy(payload->bytes, &op, sizeof(op));
	if (!raft_propose(node->raft, &payload, 1, &p.index)) {
		raft_payload_unref(payload);
		return false;
	}
	raft_status(node->raft, &status);
	p.term = status.term;
	kv_vec_push(&w->proposals, p);
	return true;
}

/* Picks a node that seems to lead, or any; a client may well believe an old leader. */
static void pick_node(struct world *w, struct client *client)
{
	struct raft_status status;
	unsigned first = draw(w, w->n_nodes);

	client->node = first;
	for (unsigned i = 0; i < w->n_nodes; i++) {
		struct node *node = &w->nodes[(first + i) % w->n_nodes];

		if (!node->raft)
			continue;
		raft_status(node->raft, &status);
		if (status.role == RAFT_LEADER)
			client->node = node - w->nodes;
		if (status.role == RAFT_LEADER && chance(w, 600))
			break;
	}
}

static void start_op(struct world *w, struct client *client)
{
	struct node *node;
	struct kv_history_op op = {
	        .key = draw(w, N_KEYS), .write = chance(w, 500), .end = KV_HISTORY_NEVER};
	bool started;

	if (chance(w, 300))
		pick_node(w, client);
	node = &w->nodes[client->node];
	op.value = w->history.n + 1;
	op.start = ++w->clock;
	if (!node->raft) {
		pick_node(w, client);
		return;
	}
	kv_vec_push(&w->history, op);
	started = op.write ? propose(w, node, w->history.n)
	                   : raft_read_index(node->raft, w->history.n);
	if (!started) {
		w->history.n--;
		pick_node(w, client);
		return;
	}
	client->op = w->history.n;
	client->gives_up = w->now + 200000 + draw(w, 300000);
}

/* --- a node --- */

static void step_write(struct world *w, struct node *node);

static void apply_entry(struct world *w, struct node *node, const struct raft_entry *entry)
{
	uint64_t op = entry_value(entry);

	check_applied(w, node, entry);
	if (entry->index != node->state.applied + 1)
		violated(w, "node %" PRIu64 " applies %" PRIu64 " after %" PRIu64, node->id,
		        entry->index, node->state.applied);
	if (op)
		node->state.values[op_at(w, op)->key] = op;
	node->state.applied = entry->index;
	node->state.term = entry->term;
	answer_proposal(w, node, entry);
}

static void take_reads(struct world *w, struct node *node, const struct raft_read_vec *reads)
{
	ptf_vec_foreach (read, reads) {
		if (read->failed)
			continue; /* the client gives up by itself */
		kv_vec_push(&node->waiting,
		        (struct waiting_read){.op = read->context, .index = read->index});
	}
}

static void begin_write(struct world *w, struct node *node, struct raft_ready *ready)
{
	struct write write = {.ready = *ready, .snapshot = node->incoming};

	/* The batch keeps what is to be written and what is held back for it. */
	ready->entries = (struct raft_entry_vec){0};
	ready->held = (struct raft_message_vec){0};
	write.ready.committed = (struct raft_entry_vec){0};
	write.ready.messages = (struct raft_message_vec){0};
	write.ready.reads = (struct raft_read_vec){0};
	kv_vec_push(&node->writes, write);
	step_write(w, node);
}

/* Does all that the core asks for. */
static void drain(struct world *w, struct node *node)
{
	struct raft_ready ready;

	check_leader(w, node);
	while (w->result->good && raft_ready(node->raft, &ready)) {
		check_entries(w, node, &ready.entries);
		if (ready.has_snapshot) {
			node->state = node->incoming;
			if (node->state.applied != ready.snapshot_index)
				violated(w, "a snapshot that never came was installed");
			w->result->snapshots++;
		}
		post_all(w, node, &ready.messages);
		if (ready.seq)
			begin_write(w, node, &ready);
		ptf_vec_foreach (entry, &ready.committed)
			apply_entry(w, node, entry);
		take_reads(w, node, &ready.reads);
		serve_reads(w, node);
		raft_ready_release(&ready);
		check_leader(w, node);
	}
}

/* The disk works on one batch at a time. */
static void step_write(struct world *w, struct node *node)
{
	if (node->syncing || !node->writes.n)
		return;
	node->syncing = true;
	push_event(w, (struct event){.at = w->now + 50 + draw(w, w->sync_delay),
	                      .type = EV_SYNC,
	                      .node = node - w->nodes,
	                      .life = node->life});
}

/* As in a log of segments, only what was written first can go. */
static void set_snapshot(struct disk *disk, const struct state *snapshot)
{
	size_t gone = 0;

	disk->snapshot = *snapshot;
	while (gone < disk->entries.n && disk->entries.v[gone].index <= snapshot->applied)
		raft_payload_unref(disk->entries.v[gone++].payload);
	disk->entries.n -= gone;
	if (gone)
		memmove(disk->entries.v, disk->entries.v + gone,
		        disk->entries.n * sizeof(*disk->entries.v));
}

/* Puts the first n entries of a batch on the disk; all of it when n is large. */
static void store(struct disk *disk, struct write *write, size_t n)
{
	bool whole = n >= write->ready.entries.n;

	if (write->ready.has_snapshot) {
		raft_entry_vec_release(&disk->entries);
		set_snapshot(disk, &write->snapshot);
	}
	raft_entry_vec_append(
	        &disk->entries, write->ready.entries.v, whole ? write->ready.entries.n : n);
	if (whole && write->ready.write_hard_state)
		disk->hard_state = write->ready.hard_state;
}

static void pop_write(struct node *node)
{
	raft_ready_release(&node->writes.v[0].ready);
	node->writes.n--;
	memmove(node->writes.v, node->writes.v + 1, node->writes.n * sizeof(*node->writes.v));
}

static void on_sync(struct world *w, struct node *node)
{
	size_t n = 1 + draw(w, node->writes.n); /* group commit: several batches in one sync */
	uint64_t seq = 0;

	for (size_t i = 0; i < n; i++) {
		struct write *write = &node->writes.v[0];

		seq = write->ready.seq;
		store(&node->disk, write, SIZE_MAX);
		post_all(w, node, &write->ready.held);
		pop_write(node);
	}
	node->syncing = false;
	raft_persisted(node->raft, seq);
	drain(w, node);
	step_write(w, node);
}

static void start(struct world *w, struct node *node)
{
	struct raft_config config = {.id = node->id,
	        .n_members = w->n_nodes,
	        .election_ticks = w->election_ticks,
	        .heartbeat_ticks = 1 + w->election_ticks / 8,
	        .max_message_bytes = 400,
	        .max_message_entries = w->append_entries,
	        .max_inflight = w->inflight,
	        .max_uncommitted_bytes = 4000,
	        .seed = draw(w, UINT64_MAX),
	        .bugs = w->bugs};

	for (unsigned i = 0; i < w->n_nodes; i++)
		config.members[i] = i + 1;
	node->state = node->disk.snapshot;
	node->raft =
	        raft_create(&config, &node->disk.hard_state, node->state.applied, node->state.term);
	ptf_vec_foreach (entry, &node->disk.entries) {
		if (!raft_restore_entry(node->raft, raft_entry_ref(entry)))
			violated(w, "a hole in the stored log");
	}
	push_event(w, (struct event){.at = w->now + draw(w, US_PER_TICK),
	                      .type = EV_TICK,
	                      .node = node - w->nodes,
	                      .life = node->life});
}

/* Loses what was not synced, but not always all of it: some of it may have reached the disk. */
static void crash(struct world *w, struct node *node)
{
	size_t whole = chance(w, 500) ? 0 : draw(w, node->writes.n + 1);

	if (!node->raft)
		return;
	w->result->crashes++;
	for (size_t i = 0; i < whole; i++)
		store(&node->disk, &node->writes.v[i], SIZE_MAX);
	if (whole < node->writes.n && node->writes.v[whole].ready.entries.n && chance(w, 300) &&
	        !node->writes.v[whole].ready.has_snapshot)
		store(&node->disk, &node->writes.v[whole],
		        draw(w, node->writes.v[whole].ready.entries.n));
	while (node->writes.n)
		pop_write(node);
	raft_destroy(node->raft);
	node->raft = NULL;
	node->life++;
	node->syncing = false;
	node->waiting.n = 0;
	node->led_term = 0;
}

static void take_snapshot(struct world *w, struct node *node)
{
	uint64_t behind = node->state.applied - node->disk.snapshot.applied;

	/* Not before an installed one is on the disk. */
	if (!w->snapshots || behind < 10 || node->writes.n || !chance(w, 100))
		return;
	set_snapshot(&node->disk, &node->state);
	raft_snapshot_taken(node->raft, node->state.applied, draw(w, 6));
}

static void on_tick(struct world *w, struct node *node)
{
	take_snapshot(w, node);
	raft_tick(node->raft);
	if (chance(w, 2))
		raft_transfer(node->raft, 1 + draw(w, w->n_nodes));
	drain(w, node);
	push_event(w, (struct event){.at = w->now + node->us_per_tick,
	                      .type = EV_TICK,
	                      .node = node - w->nodes,
	                      .life = node->life});
}

/* --- faults --- */

static void cut_network(struct world *w)
{
	bool one_way = chance(w, 300);
	unsigned side = draw(w, 1u << w->n_nodes);

	for (unsigned i = 0; i < w->n_nodes; i++)
		for (unsigned j = 0; j < w->n_nodes; j++)
			w->cut[i][j] =
			        (side >> i & 1) != (side >> j & 1) && (!one_way || (side >> i & 1));
}

static void isolate(struct world *w, unsigned i)
{
	for (unsigned j = 0; j < w->n_nodes; j++)
		w->cut[i][j] = w->cut[j][i] = i != j;
}

/* Cuts off whoever leads: the case that hurts most. */
static void isolate_leader(struct world *w)
{
	struct raft_status status;

	for (unsigned i = 0; i < w->n_nodes; i++) {
		if (!w->nodes[i].raft)
			continue;
		raft_status(w->nodes[i].raft, &status);
		if (status.role == RAFT_LEADER)
			isolate(w, i);
	}
}

static void heal(struct world *w)
{
	memset(w->cut, 0, sizeof(w->cut));
	for (unsigned i = 0; i < w->n_nodes; i++)
		if (!w->nodes[i].raft)
			start(w, &w->nodes[i]);
}

/* The node to harm: as often as not one that leads. */
static struct node *pick_victim(struct world *w)
{
	struct client seeker;

	if (chance(w, 500))
		return &w->nodes[draw(w, w->n_nodes)];
	pick_node(w, &seeker);
	return &w->nodes[seeker.node];
}

static void crash_some(struct world *w)
{
	if (chance(w, 150)) {
		for (unsigned i = 0; i < w->n_nodes; i++)
			crash(w, &w->nodes[i]);
		heal(w); /* a power cut: all at once */
	} else {
		struct node *victim = pick_victim(w);

		crash(w, victim);
		if (chance(w, 400))
			start(w, victim); /* faster than others notice */
	}
}

static void on_fault(struct world *w)
{
	struct node *node = &w->nodes[draw(w, w->n_nodes)];

	push_event(w, (struct event){.at = w->now + draw(w, w->fault_interval), .type = EV_FAULT});
	if (chance(w, w->crash))
		crash_some(w);
	else if (!node->raft && chance(w, 500))
		start(w, node);
	if (chance(w, w->partition))
		chance(w, 400) ? isolate_leader(w) : cut_network(w);
	else if (chance(w, 400))
		memset(w->cut, 0, sizeof(w->cut));
	if (chance(w, w->skew))
		node->us_per_tick = US_PER_TICK / 2 + draw(w, US_PER_TICK * 3 / 2);
}

/* A leader falls when it has just begun: the paper's Figure 8 is made of such. */
static void hit_leader(struct world *w, struct node *node)
{
	if (chance(w, 500))
		crash(w, node);
	else
		isolate(w, node - w->nodes);
}

static void on_client(struct world *w, unsigned i)
{
	struct client *client = &w->clients[i];

	if (client->op && w->now > client->gives_up) {
		w->result->unknown++;
		client->op = 0;
		pick_node(w, client);
	}
	if (!client->op) {
		start_op(w, client);
		if (w->nodes[client->node].raft)
			drain(w, &w->nodes[client->node]);
	}
	push_event(w,
	        (struct event){.at = w->now + 2000 + draw(w, 40000), .type = EV_CLIENT, .node = i});
}

static void on_message(struct world *w, struct node *node, struct event *event)
{
	if (event->message.type == RAFT_SNAPSHOT) {
		if (event->snapshot.applied != event->message.index)
			return; /* the sender has a newer one: it comes when asked again */
		node->incoming = event->snapshot;
	}
	raft_step(node->raft, &event->message);
	drain(w, node);
}

static void handle(struct world *w, struct event *event)
{
	struct node *node = &w->nodes[event->node];
	bool alive = event->type != EV_CLIENT && node->raft &&
	             (event->type == EV_MESSAGE || event->life == node->life);

	if (event->type == EV_CLIENT)
		on_client(w, event->node);
	else if (event->type == EV_FAULT && !w->healed)
		on_fault(w);
	else if (event->type == EV_HIT_LEADER && alive && !w->healed)
		hit_leader(w, node);
	else if (event->type == EV_TICK && alive)
		on_tick(w, node);
	else if (event->type == EV_MESSAGE && alive)
		on_message(w, node, event);
	else if (event->type == EV_SYNC && alive)
		on_sync(w, node);
	else if (event->type == EV_SNAPSHOT_LOST && alive)
		raft_report_snapshot(node->raft, event->member, !event->message.reject);
	raft_message_release(&event->message);
}

/* --- a run --- */

static void choose_world(struct world *w)
{
	static const unsigned rates[] = {0, 5, 30, 150, 400};

	w->n_nodes = chance(w, 500) ? 3 : 5;
	w->loss = rates[draw(w, 4)];
	w->duplicates = rates[draw(w, 5)];
	w->slow = rates[draw(w, 5)];
	w->delay = 500 << draw(w, 6);
	w->sync_delay = 200 << draw(w, 10);
	w->election_ticks = chance(w, 500) ? 10 : 4;
	w->append_entries = 1 << draw(w, 5);
	w->inflight = 1 + draw(w, 6);
	w->crash = rates[draw(w, 5)];
	w->partition = rates[draw(w, 5)];
	w->skew = rates[draw(w, 4)];
	w->hit = chance(w, 400) ? 700 : 0;
	w->fault_interval = 15000 << draw(w, 6);
	w->snapshots = chance(w, 600);
	w->heal_at = 3000000;
	w->end_at = 5000000;
}

static void begin(struct world *w)
{
	choose_world(w);
	for (unsigned i = 0; i < w->n_nodes; i++) {
		w->nodes[i].id = i + 1;
		w->nodes[i].us_per_tick = US_PER_TICK;
		start(w, &w->nodes[i]);
	}
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		w->clients[i].node = draw(w, w->n_nodes);
		push_event(w, (struct event){.at = draw(w, 300000), .type = EV_CLIENT, .node = i});
	}
	push_event(w, (struct event){.at = draw(w, w->fault_interval), .type = EV_FAULT});
}

static void calm_down(struct world *w)
{
	w->healed = true;
	w->loss = w->duplicates = w->slow = 0;
	w->delay = 1000;
	w->sync_delay = 1000;
	for (unsigned i = 0; i < w->n_nodes; i++)
		w->nodes[i].us_per_tick = US_PER_TICK;
	heal(w);
}

/* A healed cluster has to work: everybody applies all, and writes went through. */
static void check_progress(struct world *w, uint64_t applied_before)
{
	if (w->applied.n <= applied_before)
		violated(w, "liveness: nothing was applied after the world had healed");
	for (unsigned i = 0; i < w->n_nodes; i++)
		if (w->nodes[i].state.applied + 50 < w->applied.n)
			violated(w, "liveness: node %u stays behind", i + 1);
}

/* Reads that got no answer say nothing. */
static void check_history(struct world *w)
{
	size_t kept = 0;
	char why[128];

	ptf_vec_foreach (op, &w->history) {
		if (op->write || op->end != KV_HISTORY_NEVER)
			w->history.v[kept++] = *op;
	}
	w->history.n = kept;
	if (!kv_history_check(&w->history, why, sizeof(why)))
		violated(w, "not linearizable: %s", why);
}

static void finish(struct world *w)
{
	while (w->heap.n) {
		struct event event = pop_event(w);

		raft_message_release(&event.message);
	}
	for (unsigned i = 0; i < w->n_nodes; i++) {
		struct node *node = &w->nodes[i];

		while (node->writes.n)
			pop_write(node);
		raft_destroy(node->raft);
		raft_entry_vec_release(&node->disk.entries);
		ptf_vec_release(&node->writes);
		ptf_vec_release(&node->waiting);
	}
	ptf_vec_release(&w->heap);
	ptf_vec_release(&w->history);
	ptf_vec_release(&w->proposals);
	ptf_hash_map_release(&w->entries);
	ptf_hash_map_release(&w->leaders);
	raft_entry_vec_release(&w->applied);
	ptf_vec_release(&w->applied_terms);
}

void raft_sim_run(uint64_t seed, unsigned bugs, struct raft_sim_result *result)
{
	struct world w = {
	        .seed = seed, .random = seed * 0x2545f4914f6cdd1d, .bugs = bugs, .result = result};
	uint64_t applied_before = 0;

	*result = (struct raft_sim_result){.good = true};
	begin(&w);
	while (result->good && w.now < w.end_at) {
		struct event event = pop_event(&w);

		w.now = event.at;
		if (w.now >= w.heal_at && !w.healed) {
			calm_down(&w);
			applied_before = w.applied.n;
		}
		handle(&w, &event);
		result->events++;
	}
	if (result->good)
		check_progress(&w, applied_before);
	if (result->good)
		check_history(&w);
	finish(&w);
}
