/* SPDX-License-Identifier: BSD-2-Clause */
/* Replication as a follower sees it. */
#include "raft/raft_internal.h"

static void acknowledge(struct raft *raft, uint64_t to, uint64_t index)
{
	raft_send_held(
	        raft, (struct raft_message){.type = RAFT_APPEND_RESP, .to = to, .index = index});
}

static void follow_commit(struct raft *raft, uint64_t commit, uint64_t agreed)
{
	uint64_t to = commit < agreed ? commit : agreed;

	if (to > raft->log.commit)
		raft->log.commit = to;
}

/* Takes the entries that the log does not have. An append that is late or came twice must not cut
 * what a newer one has added. false: it contradicts what is committed. */
static bool take_entries(struct raft *raft, const struct raft_message *m)
{
	struct raft_log *log = &raft->log;
	uint64_t term;

	for (size_t i = 0; i < m->entries.n; i++) {
		const struct raft_entry *entry = &m->entries.v[i];

		if (entry->index <= log->base_index)
			continue;
		if (raft_log_term(log, entry->index, &term)) {
			if (term == entry->term && !(RAFT_HAS_BUG(raft, RAFT_BUG_TRUNCATE_ALWAYS) &&
			                                   entry->index > log->commit))
				continue;
			if (entry->index <= log->commit)
				return false;
			raft_log_truncate(log, entry->index);
		}
		raft_log_push(log, raft_entry_ref(entry));
	}
	if (RAFT_HAS_BUG(raft, RAFT_BUG_TRUNCATE_ALWAYS) &&
	        m->index + m->entries.n >= log->commit &&
	        m->index + m->entries.n < raft_log_last(log))
		raft_log_truncate(log, m->index + m->entries.n + 1);
	return true;
}

static bool entries_are_in_order(const struct raft_message *m)
{
	for (size_t i = 0; i < m->entries.n; i++)
		if (m->entries.v[i].index != m->index + 1 + i || m->entries.v[i].term > m->term)
			return false;
	return true;
}

static void reject_append(struct raft *raft, const struct raft_message *m)
{
	struct raft_message answer = {.type = RAFT_APPEND_RESP,
	        .to = m->from,
	        .reject = true,
	        .index = m->index,
	        .hint = raft_log_agree(&raft->log, m->index, m->log_term)};

	raft_log_term(&raft->log, answer.hint, &answer.log_term);
	raft_send_held(raft, answer);
}

void raft_handle_append(struct raft *raft, const struct raft_message *m)
{
	uint64_t term, agreed = m->index + m->entries.n;

	if (!entries_are_in_order(m))
		return;
	if (m->index < raft->log.commit) {
		/* What is committed agrees; nothing before it is looked at again. */
		if (agreed <= raft->log.commit) {
			acknowledge(raft, m->from, raft->log.commit);
			return;
		}
	} else if (!raft_log_term(&raft->log, m->index, &term) || term != m->log_term) {
		reject_append(raft, m);
		return;
	}
	if (!take_entries(raft, m)) {
		raft_fail(raft, "an entry contradicts a committed one");
		return;
	}
	follow_commit(raft, m->commit, agreed);
	acknowledge(raft, m->from, agreed);
}

void raft_handle_heartbeat(struct raft *raft, const struct raft_message *m)
{
	follow_commit(raft, m->commit, raft_log_last(&raft->log));
	raft_send(raft, (struct raft_message){
	                        .type = RAFT_HEARTBEAT_RESP, .to = m->from, .context = m->context});
}

void raft_handle_snapshot(struct raft *raft, const struct raft_message *m)
{
	uint64_t term;

	if (m->index <= raft->log.commit && !RAFT_HAS_BUG(raft, RAFT_BUG_OLD_SNAPSHOT)) {
		acknowledge(raft, m->from, raft->log.commit);
		return;
	}
	if (raft_log_term(&raft->log, m->index, &term) && term == m->log_term &&
	        !RAFT_HAS_BUG(raft, RAFT_BUG_OLD_SNAPSHOT)) {
		/* The log has it all; only the news that it is committed is new. */
		raft->log.commit = m->index;
		acknowledge(raft, m->from, m->index);
		return;
	}
	raft_log_reset(&raft->log, m->index, m->log_term);
	raft->handed = m->index;
	raft->snapshot_index = m->index;
	raft->snapshot_term = m->log_term;
	raft->installed = true;
	acknowledge(raft, m->from, m->index);
}
