/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linearizable reads without writing to the log (section 6.4 of the thesis): the leader notes its
 * commit index, then makes sure by a round of heartbeats that it still is the leader. One round
 * confirms all reads that were waiting when it began.
 */
#include "raft/raft_internal.h"

#include "common/kv_alloc.h"

/* Until a leader has committed an entry of its own term it does not know what is committed. */
static bool knows_commit(const struct raft *raft)
{
	return raft->log.commit >= raft->term_start || RAFT_HAS_BUG(raft, RAFT_BUG_READ_EARLY);
}

static void answer(struct raft *raft, const struct raft_pending_read *read, bool failed)
{
	if (read->from == raft->config.id)
		kv_vec_push(&raft->reads,
		        (struct raft_read){
		                .context = read->context, .index = read->index, .failed = failed});
	else
		raft_send(raft, (struct raft_message){.type = RAFT_READ_INDEX_RESP,
		                        .to = read->from,
		                        .context = read->context,
		                        .index = read->index,
		                        .reject = failed});
}

void raft_handle_read_index(struct raft *raft, uint64_t from, uint64_t context)
{
	kv_vec_push(
	        &raft->pending_reads, (struct raft_pending_read){.context = context, .from = from});
}

bool raft_read_index(struct raft *raft, uint64_t context)
{
	if (raft->role == RAFT_LEADER) {
		raft_handle_read_index(raft, raft->config.id, context);
		return true;
	}
	if (!raft->leader)
		return false;
	raft_send(raft, (struct raft_message){
	                        .type = RAFT_READ_INDEX, .to = raft->leader, .context = context});
	return true;
}

void raft_send_read_rounds(struct raft *raft)
{
	bool begin = false;

	if (!knows_commit(raft))
		return;
	ptf_vec_foreach (read, &raft->pending_reads) {
		if (read->round)
			continue;
		read->round = raft->round + 1;
		read->index = raft->log.commit;
		begin = true;
	}
	if (!begin)
		return;
	raft->self->round = ++raft->round;
	raft_heartbeat_all(raft, raft->round);
	raft_confirm_reads(raft);
}

static bool confirmed(const struct raft *raft, uint64_t round)
{
	size_t n = 0;

	if (RAFT_HAS_BUG(raft, RAFT_BUG_STALE_READ))
		return true;
	for (size_t i = 0; i < raft->config.n_members; i++)
		n += raft->members[i].round >= round;
	return n >= raft_quorum(raft);
}

void raft_confirm_reads(struct raft *raft)
{
	size_t kept = 0;

	ptf_vec_foreach (read, &raft->pending_reads) {
		if (read->round && confirmed(raft, read->round))
			answer(raft, read, false);
		else
			raft->pending_reads.v[kept++] = *read;
	}
	raft->pending_reads.n = kept;
}

void raft_fail_reads(struct raft *raft)
{
	ptf_vec_foreach (read, &raft->pending_reads)
		answer(raft, read, true);
	raft->pending_reads.n = 0;
}
