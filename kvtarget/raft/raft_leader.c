/* SPDX-License-Identifier: BSD-2-Clause */
/* Replication as the leader sees it: who has what, how much is sent ahead, what is committed. */
#include "raft/raft_internal.h"

#include <stdlib.h>

#include "common/kv_alloc.h"

static void set_state(struct raft_progress *member, enum raft_progress_state state)
{
	member->state = state;
	member->inflight_head = member->n_inflight = 0;
	member->probing = false;
	member->stalled = 0;
	member->next = member->match + 1;
}

void raft_become_leader(struct raft *raft)
{
	uint64_t last = raft_log_last(&raft->log);

	raft->role = RAFT_LEADER;
	raft->leader = raft->config.id;
	raft->election_elapsed = raft->heartbeat_elapsed = 0;
	raft->uncommitted_bytes = 0;
	raft->term_start = last + 1;
	for (size_t i = 0; i < raft->config.n_members; i++) {
		struct raft_progress *member = &raft->members[i];

		member->match = 0;
		set_state(member, RAFT_PROBE);
		member->next = last + 1;
		member->active = true;
		member->round = member->snapshot = member->match_before = 0;
	}
	raft->self->match = raft->log.persisted;
	raft_log_push(&raft->log,
	        (struct raft_entry){
	                .index = last + 1, .term = raft->term, .type = RAFT_ENTRY_NOOP});
}

/* Adds entries from next on, as many as limits allow. */
static void fill_append(struct raft *raft, struct raft_progress *member, struct raft_message *m)
{
	size_t n, take = 0;
	const struct raft_entry *from = raft_log_from(&raft->log, member->next, &n);

	while (take < n && take < raft->config.max_message_entries) {
		uint32_t bytes = raft_entry_bytes(&from[take]);

		if (take && m->entry_bytes + bytes > raft->config.max_message_bytes)
			break;
		m->entry_bytes += bytes;
		take++;
	}
	raft_entry_vec_append(&m->entries, from, take);
}

static void send_snapshot(struct raft *raft, struct raft_progress *member)
{
	if (!member->active)
		return;
	set_state(member, RAFT_SENDING_SNAPSHOT);
	member->snapshot = raft->snapshot_index;
	member->snapshot_sent = false;
	raft_send(raft, (struct raft_message){.type = RAFT_SNAPSHOT,
	                        .to = member->id,
	                        .index = raft->snapshot_index,
	                        .log_term = raft->snapshot_term});
}

/* Sends one append, empty ones too; false when the entry before it is compacted away. */
static bool send_append(struct raft *raft, struct raft_progress *member)
{
	struct raft_message m = {.type = RAFT_APPEND,
	        .to = member->id,
	        .index = member->next - 1,
	        .commit = raft->log.commit};

	if (!raft_log_term(&raft->log, member->next - 1, &m.log_term)) {
		send_snapshot(raft, member);
		return false;
	}
	fill_append(raft, member, &m);
	if (member->state == RAFT_PROBE) {
		member->probing = true;
	} else if (m.entries.n) {
		unsigned at =
		        (member->inflight_head + member->n_inflight++) % raft->config.max_inflight;

		member->next += m.entries.n;
		member->inflight[at] = member->next - 1;
	}
	raft_send(raft, m);
	return true;
}

static bool may_send(const struct raft *raft, const struct raft_progress *member)
{
	if (member->state == RAFT_PROBE)
		return !member->probing;
	return member->state == RAFT_REPLICATE && member->n_inflight < raft->config.max_inflight &&
	       member->next <= raft_log_last(&raft->log);
}

void raft_send_appends(struct raft *raft)
{
	for (size_t i = 0; i < raft->config.n_members; i++) {
		struct raft_progress *member = &raft->members[i];

		while (member != raft->self && may_send(raft, member))
			if (!send_append(raft, member))
				break;
	}
}

void raft_heartbeat_all(struct raft *raft, uint64_t round)
{
	for (size_t i = 0; i < raft->config.n_members; i++) {
		struct raft_progress *member = &raft->members[i];
		uint64_t commit =
		        member->match < raft->log.commit ? member->match : raft->log.commit;

		if (RAFT_HAS_BUG(raft, RAFT_BUG_COMMIT_BEYOND_MATCH))
			commit = raft->log.commit;
		if (member != raft->self)
			raft_send(raft, (struct raft_message){.type = RAFT_HEARTBEAT,
			                        .to = member->id,
			                        .commit = commit,
			                        .context = round});
	}
}

static int compare_index(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Section 3.6.2 of the thesis: only entries of the own term are committed by counting; those
 * before them follow. */
void raft_advance_commit(struct raft *raft)
{
	uint64_t match[RAFT_MAX_MEMBERS], index;
	size_t n = raft->config.n_members, more;

	for (size_t i = 0; i < n; i++)
		match[i] = raft->members[i].match;
	if (RAFT_HAS_BUG(raft, RAFT_BUG_APPLY_BEFORE_SYNC))
		match[raft->self - raft->members] = raft_log_last(&raft->log);
	qsort(match, n, sizeof(*match), compare_index);
	index = match[n - raft_quorum(raft)];
	if (index <= raft->log.commit)
		return;
	if (index < raft->term_start && !RAFT_HAS_BUG(raft, RAFT_BUG_COUNT_OLD_TERM))
		return;
	for (const struct raft_entry *e = raft_log_from(&raft->log, raft->log.commit + 1, &more);
	        e && raft->log.commit < index; e++) {
		uint32_t bytes = raft_entry_bytes(e);

		raft->log.commit++;
		raft->uncommitted_bytes -=
		        bytes < raft->uncommitted_bytes ? bytes : raft->uncommitted_bytes;
	}
	raft_confirm_reads(raft);
}

static void free_inflight(struct raft *raft, struct raft_progress *member, uint64_t index)
{
	while (member->n_inflight && member->inflight[member->inflight_head] <= index) {
		member->inflight_head = (member->inflight_head + 1) % raft->config.max_inflight;
		member->n_inflight--;
	}
}

static void handle_rejection(
        struct raft *raft, struct raft_progress *member, const struct raft_message *m)
{
	uint64_t next = raft_log_agree(&raft->log, m->hint, m->log_term) + 1;

	if (member->state == RAFT_REPLICATE && m->index > member->match)
		set_state(member, RAFT_PROBE);
	if (member->state != RAFT_PROBE || m->index != member->next - 1)
		return; /* an answer to an earlier append */
	if (next > m->index)
		next = m->index; /* always back: the same question gets the same answer */
	member->next = next ? next : 1;
	/* A member whose log was damaged may have less than it once had. */
	if (member->match >= member->next)
		member->match = member->next - 1;
	member->probing = false;
}

static void finish_transfer(struct raft *raft, const struct raft_progress *member)
{
	if (raft->transfer_to == member->id && member->match == raft_log_last(&raft->log))
		raft_send(raft, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = member->id});
}

void raft_handle_append_response(struct raft *raft, const struct raft_message *m)
{
	struct raft_progress *member = raft_member(raft, m->from);

	if (m->reject) {
		handle_rejection(raft, member, m);
		return;
	}
	if (m->index > raft_log_last(&raft->log)) {
		raft_fail(raft, "a follower acknowledged entries that were never sent");
		return;
	}
	if (member->state == RAFT_PROBE && m->index >= member->match) {
		/* Also without progress: the append under way has told where the logs agree. */
		member->match = m->index;
		set_state(member, RAFT_REPLICATE);
	} else if (m->index > member->match) {
		member->match = m->index;
	}
	if (member->state == RAFT_SENDING_SNAPSHOT && member->match >= member->snapshot)
		set_state(member, RAFT_REPLICATE);
	if (member->next <= member->match)
		member->next = member->match + 1;
	free_inflight(raft, member, m->index);
	raft_advance_commit(raft);
	finish_transfer(raft, member);
}

/* Appends can be lost without a trace when nothing follows them. */
static void look_for_stall(struct raft *raft, struct raft_progress *member)
{
	if (member->match != member->match_before || member->match == raft_log_last(&raft->log)) {
		member->match_before = member->match;
		member->stalled = 0;
	} else if (++member->stalled >= RAFT_STALLED_HEARTBEATS &&
	           member->state == RAFT_REPLICATE) {
		set_state(member, RAFT_PROBE);
	} else if (member->stalled >= RAFT_STALLED_SNAPSHOT && member->snapshot_sent &&
	           member->state == RAFT_SENDING_SNAPSHOT) {
		set_state(member, RAFT_PROBE);
	}
}

void raft_handle_heartbeat_response(struct raft *raft, const struct raft_message *m)
{
	struct raft_progress *member = raft_member(raft, m->from);

	if (!m->context) {
		member->probing = false;
		look_for_stall(raft, member);
		return;
	}
	if (m->context > member->round && m->context <= raft->round)
		member->round = m->context;
	raft_confirm_reads(raft);
}

void raft_report_snapshot(struct raft *raft, uint64_t id, bool sent)
{
	struct raft_progress *member = raft_member(raft, id);

	if (raft->role != RAFT_LEADER || !member || member->state != RAFT_SENDING_SNAPSHOT)
		return;
	member->snapshot_sent = sent;
	member->stalled = 0;
	if (!sent)
		set_state(member, RAFT_PROBE);
}

void raft_report_unreachable(struct raft *raft, uint64_t id)
{
	struct raft_progress *member = raft_member(raft, id);

	if (raft->role == RAFT_LEADER && member && member->state == RAFT_REPLICATE)
		set_state(member, RAFT_PROBE);
}
