/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the Raft core share; nobody else includes this. */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include "base/hash_map.h"
#include "raft/raft.h"
#include "raft/raft_log.h"

#ifdef RAFT_TEST_BUGS
#define RAFT_HAS_BUG(raft, bug) (((raft)->config.bugs & (bug)) != 0)
#else
#define RAFT_HAS_BUG(raft, bug) false
#endif

/* Heartbeats answered without progress until what is under way counts as lost. */
#define RAFT_STALLED_HEARTBEATS 3
/* And until a snapshot that was sent whole is sent again. */
#define RAFT_STALLED_SNAPSHOT 50

enum raft_progress_state {
	RAFT_PROBE,     /* where the follower's log agrees is unknown: one append at a time */
	RAFT_REPLICATE, /* appends are sent ahead, up to the window */
	RAFT_SENDING_SNAPSHOT,
};

/* What a leader knows of a member, itself included. */
struct raft_progress {
	uint64_t id;
	enum raft_progress_state state;
	uint64_t match;     /* highest index known to be durable there */
	uint64_t next;      /* next index to send */
	uint64_t *inflight; /* ring of max_inflight: last index of each append under way */
	unsigned inflight_head, n_inflight;
	bool probing;          /* the one append of RAFT_PROBE is under way */
	bool active;           /* heard from since the last quorum check */
	uint64_t snapshot;     /* index of the snapshot under way */
	bool snapshot_sent;    /* all of it is on its way; now the follower has to install it */
	uint64_t round;        /* newest round of heartbeats that it answered */
	uint64_t match_before; /* match at the last answered heartbeat */
	unsigned stalled;      /* heartbeats answered since match moved */
	int vote;              /* in the current campaign: 0 none, 1 granted, -1 refused */
};

struct raft_pending_read {
	uint64_t context;
	uint64_t from;  /* member that asked */
	uint64_t index; /* commit index when it was asked */
	uint64_t round; /* the heartbeats that confirm it, 0: not sent yet */
};

struct raft {
	struct raft_config config;
	struct raft_log log;
	uint64_t term, vote, leader;
	enum raft_role role;
	uint64_t stored_commit; /* commit index of the stored hard state */
	uint64_t term_start;    /* a leader's no-op: the first index of its term */
	struct raft_progress members[RAFT_MAX_MEMBERS]; /* in the order of the config */
	struct raft_progress *self;
	unsigned election_elapsed, heartbeat_elapsed; /* ticks */
	unsigned election_timeout;                    /* ticks, drawn anew for each term */
	uint64_t random;
	uint64_t transfer_to;      /* member that leadership is handed to, 0: none */
	unsigned transfer_elapsed; /* ticks */
	bool transfer_campaign;    /* this campaign was asked for by the leader */
	uint64_t uncommitted_bytes;
	uint64_t handed;                        /* highest index handed out to be applied */
	uint64_t snapshot_index, snapshot_term; /* newest snapshot to send */
	bool installed;                         /* a received snapshot is to be handed out */
	struct raft_hard_state written;         /* hard state as last handed out */
	uint64_t seq;                           /* last write batch handed out */
	uint64_t seq_done;
	uint64_t vote_seq; /* batch that holds the own vote, 0: none or counted */
	bool vote_due;     /* the own vote is to be counted when it is written */
	uint64_t round;    /* last round of heartbeats */
	PTF_VEC(struct raft_pending_read) pending_reads;
	struct raft_read_vec reads;
	struct raft_message_vec messages, held;
	const char *failure;
};

/* raft.c */
struct raft_progress *raft_member(struct raft *raft, uint64_t id);
size_t raft_quorum(const struct raft *raft);
void raft_send(struct raft *raft, struct raft_message message); /* takes over its entries */
void raft_send_held(struct raft *raft, struct raft_message message);
void raft_fail(struct raft *raft, const char *what);
void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader);

/* raft_election.c */
void raft_start_campaign(struct raft *raft, bool pre, bool transfer);
void raft_handle_vote_request(struct raft *raft, const struct raft_message *m);
void raft_handle_vote_response(struct raft *raft, const struct raft_message *m);
void raft_count_own_vote(struct raft *raft);
bool raft_quorum_active(struct raft *raft);

/* raft_leader.c: replication as the leader sees it */
void raft_become_leader(struct raft *raft);
void raft_send_appends(struct raft *raft);
void raft_heartbeat_all(struct raft *raft, uint64_t round);
void raft_handle_append_response(struct raft *raft, const struct raft_message *m);
void raft_handle_heartbeat_response(struct raft *raft, const struct raft_message *m);
void raft_advance_commit(struct raft *raft);

/* raft_follower.c: and as a follower sees it */
void raft_handle_append(struct raft *raft, const struct raft_message *m);
void raft_handle_heartbeat(struct raft *raft, const struct raft_message *m);
void raft_handle_snapshot(struct raft *raft, const struct raft_message *m);

/* raft_read.c */
void raft_handle_read_index(struct raft *raft, uint64_t from, uint64_t context);
void raft_send_read_rounds(struct raft *raft);
void raft_confirm_reads(struct raft *raft);
void raft_fail_reads(struct raft *raft);

#endif
