/* SPDX-License-Identifier: BSD-2-Clause */
/* Elections: pre-vote, vote, and the leader's own check that a quorum still hears it. */
#include "raft/raft_internal.h"

/* 1 won, -1 lost, 0 open. */
static int tally(const struct raft *raft)
{
	size_t granted = 0, refused = 0;

	for (size_t i = 0; i < raft->config.n_members; i++) {
		granted += raft->members[i].vote > 0;
		refused += raft->members[i].vote < 0;
	}
	if (granted >= raft_quorum(raft))
		return 1;
	return refused >= raft_quorum(raft) ? -1 : 0;
}

static void act_on_votes(struct raft *raft)
{
	int result = tally(raft);

	if (result < 0)
		raft_become_follower(raft, raft->term, 0);
	else if (result > 0 && raft->role == RAFT_PRE_CANDIDATE)
		raft_start_campaign(raft, false, false);
	else if (result > 0)
		raft_become_leader(raft);
}

static void request_votes(struct raft *raft, bool pre)
{
	for (size_t i = 0; i < raft->config.n_members; i++) {
		struct raft_message m = {.type = pre ? RAFT_PREVOTE : RAFT_VOTE,
		        .to = raft->members[i].id,
		        .term = pre ? raft->term + 1 : raft->term,
		        .index = raft_log_last(&raft->log),
		        .log_term = raft_log_last_term(&raft->log),
		        .context = raft->transfer_campaign};

		if (&raft->members[i] == raft->self)
			continue;
		if (pre)
			raft_send(raft, m);
		else
			raft_send_held(raft, m); /* the own vote comes first */
	}
}

void raft_start_campaign(struct raft *raft, bool pre, bool transfer)
{
	raft_become_follower(raft, pre ? raft->term : raft->term + 1, 0);
	raft->role = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
	raft->transfer_campaign = transfer;
	for (size_t i = 0; i < raft->config.n_members; i++)
		raft->members[i].vote = 0;
	request_votes(raft, pre);
	if (pre) {
		raft->self->vote = 1;
		act_on_votes(raft);
	} else {
		raft->vote = raft->config.id;
		raft->vote_due = true;
	}
}

void raft_count_own_vote(struct raft *raft)
{
	if (raft->role != RAFT_CANDIDATE)
		return;
	raft->self->vote = 1;
	act_on_votes(raft);
}

static bool log_is_current(const struct raft *raft, const struct raft_message *m)
{
	uint64_t last_term = raft_log_last_term(&raft->log);

	if (RAFT_HAS_BUG(raft, RAFT_BUG_VOTE_SHORT_LOG))
		return true;
	return m->log_term > last_term ||
	       (m->log_term == last_term && m->index >= raft_log_last(&raft->log));
}

void raft_handle_vote_request(struct raft *raft, const struct raft_message *m)
{
	bool pre = m->type == RAFT_PREVOTE;
	bool free_vote = raft->vote == m->from || (!raft->vote && !raft->leader) ||
	                 (pre && m->term > raft->term);
	struct raft_message answer = {.type = pre ? RAFT_PREVOTE_RESP : RAFT_VOTE_RESP,
	        .to = m->from,
	        .reject = !free_vote || !log_is_current(raft, m)};

	if (raft->role == RAFT_LEADER && m->term == raft->term)
		answer.reject = true;
	answer.term = answer.reject ? raft->term : m->term;
	if (!pre && !answer.reject) {
		raft->vote = m->from;
		raft->election_elapsed = 0;
	}
	if (pre)
		raft_send(raft, answer); /* promises nothing */
	else
		raft_send_held(raft, answer);
}

void raft_handle_vote_response(struct raft *raft, const struct raft_message *m)
{
	bool pre = m->type == RAFT_PREVOTE_RESP;
	struct raft_progress *member = raft_member(raft, m->from);

	if (raft->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
		return;
	if (pre && !m->reject && m->term != raft->term + 1)
		return; /* an answer to an earlier question */
	if (!member->vote)
		member->vote = m->reject ? -1 : 1;
	act_on_votes(raft);
}

bool raft_quorum_active(struct raft *raft)
{
	size_t active = 0;

	for (size_t i = 0; i < raft->config.n_members; i++) {
		active += &raft->members[i] == raft->self || raft->members[i].active;
		raft->members[i].active = false;
	}
	return active >= raft_quorum(raft);
}
