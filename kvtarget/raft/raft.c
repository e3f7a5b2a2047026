/* SPDX-License-Identifier: BSD-2-Clause */
#include "raft/raft_internal.h"

#include <string.h>

#include "common/kv_alloc.h"

struct raft_progress *raft_member(struct raft *raft, uint64_t id)
{
	for (size_t i = 0; i < raft->config.n_members; i++)
		if (raft->members[i].id == id)
			return &raft->members[i];
	return NULL;
}

size_t raft_quorum(const struct raft *raft)
{
	return raft->config.n_members / 2 + 1;
}

void raft_fail(struct raft *raft, const char *what)
{
	if (!raft->failure)
		raft->failure = what;
}

static void fill(struct raft *raft, struct raft_message *message)
{
	message->from = raft->config.id;
	if (!message->term)
		message->term = raft->term;
}

void raft_send(struct raft *raft, struct raft_message message)
{
	fill(raft, &message);
	kv_vec_push(&raft->messages, message);
}

void raft_send_held(struct raft *raft, struct raft_message message)
{
	if (RAFT_HAS_BUG(raft, RAFT_BUG_ACK_BEFORE_SYNC)) {
		raft_send(raft, message);
		return;
	}
	fill(raft, &message);
	kv_vec_push(&raft->held, message);
}

static unsigned draw_timeout(struct raft *raft)
{
	raft->random ^= raft->random << 13;
	raft->random ^= raft->random >> 7;
	raft->random ^= raft->random << 17;
	return raft->config.election_ticks + raft->random % raft->config.election_ticks;
}

void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
	if (raft->role == RAFT_LEADER)
		raft_fail_reads(raft);
	if (term != raft->term)
		raft->vote = 0;
	raft->term = term;
	raft->leader = leader;
	raft->role = RAFT_FOLLOWER;
	raft->election_elapsed = 0;
	raft->election_timeout = draw_timeout(raft);
	raft->transfer_to = 0;
	raft->uncommitted_bytes = 0;
	raft->vote_seq = 0;
	raft->vote_due = false;
}

struct raft *raft_create(const struct raft_config *config, const struct raft_hard_state *hard_state,
        uint64_t base_index, uint64_t base_term)
{
	struct raft *raft = kv_alloc(sizeof(*raft));

	raft->config = *config;
	raft->random = ptf_hash_u64(config->seed + config->id) | 1;
	raft_log_init(&raft->log, base_index, base_term);
	raft->handed = base_index;
	raft->snapshot_index = base_index;
	raft->snapshot_term = base_term;
	for (size_t i = 0; i < config->n_members; i++) {
		raft->members[i].id = config->members[i];
		raft->members[i].inflight =
		        kv_alloc(config->max_inflight * sizeof(*raft->members[i].inflight));
	}
	raft->self = raft_member(raft, config->id);
	raft->term = hard_state->term;
	raft_become_follower(raft, hard_state->term, 0);
	raft->vote = hard_state->vote;
	raft->written = *hard_state;
	raft->stored_commit = hard_state->commit;
	return raft;
}

void raft_destroy(struct raft *raft)
{
	if (!raft)
		return;
	for (size_t i = 0; i < raft->config.n_members; i++)
		free(raft->members[i].inflight);
	raft_log_release(&raft->log);
	ptf_vec_release(&raft->pending_reads);
	ptf_vec_release(&raft->reads);
	raft_message_vec_release(&raft->messages);
	raft_message_vec_release(&raft->held);
	free(raft);
}

bool raft_restore_entry(struct raft *raft, struct raft_entry entry)
{
	uint64_t last = raft_log_last(&raft->log);

	if (entry.index <= raft->log.base_index) {
		/* Whatever was stored before it and lies behind it was cut when it was written. */
		raft_log_reset(&raft->log, raft->log.base_index, raft->log.base_term);
		raft->log.persisted = raft->log.base_index;
		raft_payload_unref(entry.payload);
		return true;
	}
	if (entry.index > last + 1) {
		raft_payload_unref(entry.payload);
		return false;
	}
	if (entry.index <= last)
		raft_log_truncate(&raft->log, entry.index);
	raft_log_push(&raft->log, entry);
	raft->log.written = raft->log.persisted = entry.index;
	raft->log.commit = raft->stored_commit < entry.index ? raft->stored_commit : entry.index;
	if (raft->log.commit < raft->log.base_index)
		raft->log.commit = raft->log.base_index;
	return true;
}

static void tick_leader(struct raft *raft)
{
	if (raft->transfer_to && ++raft->transfer_elapsed >= raft->config.election_ticks)
		raft->transfer_to = 0;
	if (raft->election_elapsed >= raft->config.election_ticks) {
		raft->election_elapsed = 0;
		if (!raft_quorum_active(raft)) {
			raft_become_follower(raft, raft->term, 0);
			return;
		}
	}
	if (++raft->heartbeat_elapsed >= raft->config.heartbeat_ticks) {
		raft->heartbeat_elapsed = 0;
		raft_heartbeat_all(raft, 0);
	}
}

void raft_tick(struct raft *raft)
{
	raft->election_elapsed++;
	if (raft->role == RAFT_LEADER)
		tick_leader(raft);
	else if (raft->election_elapsed >= raft->election_timeout)
		raft_start_campaign(raft, true, false);
}

/* A sender of an older term: tell it the new one, or it stays stuck (it may be a leader whom a
 * member with a higher term never answers). */
static void answer_old_term(struct raft *raft, const struct raft_message *m)
{
	switch (m->type) {
	case RAFT_APPEND:
	case RAFT_HEARTBEAT:
	case RAFT_SNAPSHOT:
		raft_send_held(
		        raft, (struct raft_message){
		                      .type = RAFT_APPEND_RESP, .to = m->from, .reject = true});
		break;
	case RAFT_PREVOTE:
		raft_send_held(
		        raft, (struct raft_message){
		                      .type = RAFT_PREVOTE_RESP, .to = m->from, .reject = true});
		break;
	default:
		break;
	}
}

/* A leader that was heard of lately is not deposed by a member that does not hear it. */
static bool leader_is_fresh(const struct raft *raft, const struct raft_message *m)
{
	return (m->type == RAFT_VOTE || m->type == RAFT_PREVOTE) && !m->context && raft->leader &&
	       raft->election_elapsed < raft->config.election_ticks;
}

/* Takes over a higher term; false when the message is not to be looked at further. */
static bool handle_new_term(struct raft *raft, const struct raft_message *m)
{
	bool from_leader =
	        m->type == RAFT_APPEND || m->type == RAFT_HEARTBEAT || m->type == RAFT_SNAPSHOT;

	if (leader_is_fresh(raft, m))
		return false;
	if (m->type == RAFT_PREVOTE || (m->type == RAFT_PREVOTE_RESP && !m->reject))
		return true;
	raft_become_follower(raft, m->term, from_leader ? m->from : 0);
	return true;
}

static void step_leader(struct raft *raft, const struct raft_message *m)
{
	raft_member(raft, m->from)->active = true;
	if (m->type == RAFT_APPEND_RESP)
		raft_handle_append_response(raft, m);
	else if (m->type == RAFT_HEARTBEAT_RESP)
		raft_handle_heartbeat_response(raft, m);
	else if (m->type == RAFT_READ_INDEX)
		raft_handle_read_index(raft, m->from, m->context);
}

static void step_from_leader(struct raft *raft, const struct raft_message *m)
{
	if (raft->role == RAFT_LEADER) {
		raft_fail(raft, "two leaders in one term");
		return;
	}
	if (raft->role != RAFT_FOLLOWER)
		raft_become_follower(raft, m->term, m->from);
	raft->leader = m->from;
	raft->election_elapsed = 0;
	if (m->type == RAFT_APPEND)
		raft_handle_append(raft, m);
	else if (m->type == RAFT_HEARTBEAT)
		raft_handle_heartbeat(raft, m);
	else
		raft_handle_snapshot(raft, m);
}

static void refuse_read(struct raft *raft, const struct raft_message *m)
{
	raft_send(raft, (struct raft_message){.type = RAFT_READ_INDEX_RESP,
	                        .to = m->from,
	                        .context = m->context,
	                        .reject = true});
}

void raft_step(struct raft *raft, const struct raft_message *m)
{
	if (!raft_member(raft, m->from) || m->from == raft->config.id || raft->failure)
		return;
	if (m->term > raft->term && !handle_new_term(raft, m))
		return;
	if (m->term < raft->term) {
		answer_old_term(raft, m);
		return;
	}
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		raft_handle_vote_request(raft, m);
		break;
	case RAFT_PREVOTE_RESP:
	case RAFT_VOTE_RESP:
		raft_handle_vote_response(raft, m);
		break;
	case RAFT_APPEND:
	case RAFT_HEARTBEAT:
	case RAFT_SNAPSHOT:
		step_from_leader(raft, m);
		break;
	case RAFT_TIMEOUT_NOW:
		if (raft->role == RAFT_FOLLOWER)
			raft_start_campaign(raft, false, true);
		break;
	case RAFT_READ_INDEX_RESP:
		kv_vec_push(&raft->reads,
		        (struct raft_read){
		                .context = m->context, .index = m->index, .failed = m->reject});
		break;
	default:
		if (raft->role == RAFT_LEADER)
			step_leader(raft, m);
		else if (m->type == RAFT_READ_INDEX)
			refuse_read(raft, m);
	}
}

bool raft_propose(struct raft *raft, struct raft_payload **payloads, size_t n, uint64_t *first)
{
	if (raft->role != RAFT_LEADER || raft->transfer_to || raft->failure ||
	        raft->uncommitted_bytes > raft->config.max_uncommitted_bytes)
		return false;
	*first = raft_log_last(&raft->log) + 1;
	for (size_t i = 0; i < n; i++) {
		struct raft_entry entry = {.index = *first + i,
		        .term = raft->term,
		        .type = RAFT_ENTRY_DATA,
		        .payload = payloads[i]};

		raft->uncommitted_bytes += raft_entry_bytes(&entry);
		raft_log_push(&raft->log, entry);
	}
	return true;
}

bool raft_transfer(struct raft *raft, uint64_t to)
{
	struct raft_progress *member = raft_member(raft, to);

	if (raft->role != RAFT_LEADER || !member || member == raft->self || raft->transfer_to)
		return false;
	raft->transfer_to = to;
	raft->transfer_elapsed = 0;
	if (member->match == raft_log_last(&raft->log))
		raft_send(raft, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = to});
	return true;
}

void raft_campaign(struct raft *raft)
{
	if (raft->role != RAFT_LEADER)
		raft_start_campaign(raft, true, false);
}

static bool hard_state_changed(const struct raft *raft)
{
	return raft->term != raft->written.term || raft->vote != raft->written.vote;
}

/* Fills the part of the ready that is to be written. */
static void take_writes(struct raft *raft, struct raft_ready *ready)
{
	struct raft_log *log = &raft->log;
	bool entries = raft_log_last(log) > log->written;
	size_t n;

	if (!entries && !hard_state_changed(raft) && !raft->installed &&
	        !(raft->held.n && raft->seq > raft->seq_done))
		return;
	ready->seq = ++raft->seq;
	ready->write_hard_state = hard_state_changed(raft) || entries || raft->installed;
	raft->written = (struct raft_hard_state){.term = raft->term,
	        .vote = raft->vote, /* Others may have committed what is not on this disk yet. */
	        .commit = log->commit < log->persisted ? log->commit : log->persisted};
	ready->hard_state = raft->written;
	if (RAFT_HAS_BUG(raft, RAFT_BUG_FORGET_VOTE))
		ready->hard_state.vote = 0;
	if (entries) {
		const struct raft_entry *first = raft_log_from(log, log->written + 1, &n);

		raft_entry_vec_append(&ready->entries, first, n);
	}
	raft_log_begin_batch(log, ready->seq);
	if (raft->vote_due)
		raft->vote_seq = ready->seq;
	raft->vote_due = false;
	ready->has_snapshot = raft->installed;
	ready->snapshot_index = raft->snapshot_index;
	ready->snapshot_term = raft->snapshot_term;
	raft->installed = false;
}

static void take_committed(struct raft *raft, struct raft_ready *ready)
{
	struct raft_log *log = &raft->log;
	uint64_t to = log->commit < log->persisted ? log->commit : log->persisted;
	size_t n;

	if (RAFT_HAS_BUG(raft, RAFT_BUG_APPLY_BEFORE_SYNC))
		to = log->commit;
	if (to <= raft->handed)
		return;
	raft_entry_vec_append(
	        &ready->committed, raft_log_from(log, raft->handed + 1, &n), to - raft->handed);
	raft->handed = to;
}

bool raft_ready(struct raft *raft, struct raft_ready *ready)
{
	*ready = (struct raft_ready){0};
	if (raft->role == RAFT_LEADER) {
		raft_send_read_rounds(raft);
		raft_send_appends(raft);
	}
	take_writes(raft, ready);
	take_committed(raft, ready);
	ready->messages = raft->messages;
	ready->held = raft->held;
	ready->reads = raft->reads;
	raft->messages = raft->held = (struct raft_message_vec){0};
	raft->reads = (struct raft_read_vec){0};
	if (!ready->seq && ready->held.n) { /* nothing to wait for */
		kv_vec_reserve(&ready->messages, ready->held.n);
		ptf_vec_foreach (m, &ready->held)
			ready->messages.v[ready->messages.n++] = *m;
		ptf_vec_release(&ready->held);
	}
	return ready->seq || ready->messages.n || ready->committed.n || ready->reads.n;
}

void raft_ready_release(struct raft_ready *ready)
{
	raft_entry_vec_release(&ready->entries);
	raft_entry_vec_release(&ready->committed);
	raft_message_vec_release(&ready->messages);
	raft_message_vec_release(&ready->held);
	ptf_vec_release(&ready->reads);
}

void raft_persisted(struct raft *raft, uint64_t seq)
{
	raft->seq_done = seq;
	raft_log_end_batch(&raft->log, seq);
	if (raft->vote_seq && raft->vote_seq <= seq) {
		raft->vote_seq = 0;
		raft_count_own_vote(raft);
	}
	if (raft->role == RAFT_LEADER) {
		raft->self->match = raft->log.persisted;
		raft_advance_commit(raft);
	}
}

void raft_snapshot_taken(struct raft *raft, uint64_t index, uint64_t keep)
{
	uint64_t term;

	if (index <= raft->snapshot_index || index > raft->handed ||
	        !raft_log_term(&raft->log, index, &term))
		return;
	raft->snapshot_index = index;
	raft->snapshot_term = term;
	if (index > keep)
		raft_log_compact(&raft->log, index - keep);
}

void raft_status(const struct raft *raft, struct raft_status *status)
{
	*status = (struct raft_status){.id = raft->config.id,
	        .term = raft->term,
	        .leader = raft->role == RAFT_LEADER ? raft->config.id : raft->leader,
	        .role = raft->role,
	        .commit = raft->log.commit,
	        .last = raft_log_last(&raft->log),
	        .persisted = raft->log.persisted,
	        .base = raft->log.base_index};
	if (raft->role != RAFT_LEADER)
		return;
	for (size_t i = 0; i < raft->config.n_members; i++) {
		const struct raft_progress *member = &raft->members[i];

		if (member != raft->self)
			status->followers[status->n_followers++] =
			        (struct raft_follower_status){.id = member->id,
			                .match = member->match,
			                .active = member->active,
			                .snapshot = member->state == RAFT_SENDING_SNAPSHOT};
	}
}

const char *raft_failure(const struct raft *raft)
{
	return raft->failure;
}

bool raft_entry_term(const struct raft *raft, uint64_t index, uint64_t *term)
{
	return raft_log_term(&raft->log, index, term);
}

void raft_message_release(struct raft_message *message)
{
	raft_entry_vec_release(&message->entries);
}

void raft_message_vec_release(struct raft_message_vec *vec)
{
	ptf_vec_foreach (message, vec)
		raft_message_release(message);
	ptf_vec_release(vec);
}
