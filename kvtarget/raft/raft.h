/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raft as a pure state machine: no I/O, no clock, no threads. Ongaro's thesis ("Consensus:
 * Bridging Theory and Practice") has the rules; the shape is that of etcd's raft with
 * asynchronous writes.
 *
 * The caller feeds ticks, messages, proposals and reads, then takes a struct raft_ready and
 *
 *   1. sends ready.messages at once;
 *   2. when ready.seq is not 0, writes hard state, snapshot mark and entries to stable storage,
 *      batches in order of seq, and afterwards sends ready.held and calls raft_persisted(seq);
 *      several batches may be under way;
 *   3. applies ready.committed in order (after loading ready.snapshot, if there is one);
 *   4. answers ready.reads once it has applied up to their index.
 *
 * Members are fixed. Nothing here is thread-safe.
 */
#ifndef RAFT_H
#define RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raft/raft_entry.h"

#define RAFT_MAX_MEMBERS 9

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_message_type {
	RAFT_PREVOTE = 1,    /* would you vote for me? (term: the one I would have) */
	RAFT_PREVOTE_RESP,   /* reject tells */
	RAFT_VOTE,           /* index, log_term: the candidate's last entry; context 1: transfer */
	RAFT_VOTE_RESP,      /* reject tells */
	RAFT_APPEND,         /* index, log_term: the entry before entries; commit */
	RAFT_APPEND_RESP,    /* index: matches up to it; rejected: hint, log_term where to go on */
	RAFT_HEARTBEAT,      /* commit; context: round of reads */
	RAFT_HEARTBEAT_RESP, /* context as received */
	RAFT_SNAPSHOT,       /* index, log_term: what the snapshot covers; data travels beside it */
	RAFT_TIMEOUT_NOW,    /* campaign at once: leadership is handed to you */
	RAFT_READ_INDEX,     /* a follower asks for a read index; context is its own */
	RAFT_READ_INDEX_RESP, /* context as received, index; reject: ask again */
	RAFT_MESSAGE_TYPES
};

struct raft_message {
	enum raft_message_type type;
	bool reject;
	uint64_t from, to; /* member ids */
	uint64_t term;     /* the sender's, but see RAFT_PREVOTE */
	uint64_t index;    /* see the types */
	uint64_t log_term;
	uint64_t commit;
	uint64_t hint;
	uint64_t context;
	struct raft_entry_vec entries; /* owned references */
	uint32_t entry_bytes;          /* sum of raft_entry_bytes, kept as entries are added */
};

PTF_VEC_TYPEDEF(raft_message_vec, struct raft_message);

void raft_message_release(struct raft_message *message);
void raft_message_vec_release(struct raft_message_vec *vec);

struct raft_hard_state {
	uint64_t term;
	uint64_t vote;   /* member voted for in term, 0: none */
	uint64_t commit; /* a hint that shortens restart; may lag */
};

struct raft_read {
	uint64_t context; /* as given to raft_read_index */
	uint64_t index;   /* serve the read once this is applied */
	bool failed;      /* leadership was lost or not confirmed: ask again */
};

PTF_VEC_TYPEDEF(raft_read_vec, struct raft_read);

struct raft_ready {
	uint64_t seq; /* number of the write batch, 0: nothing to write */
	bool write_hard_state;
	struct raft_hard_state hard_state;
	bool has_snapshot; /* state and log are replaced by a received snapshot */
	uint64_t snapshot_index, snapshot_term;
	struct raft_entry_vec entries; /* to write; the first replaces what had its index */
	struct raft_message_vec messages;
	struct raft_message_vec held;
	struct raft_entry_vec committed;
	struct raft_read_vec reads;
};

/* Known mistakes, put in on purpose to prove that they are found: the first by the paper's Figure 8
 * played by hand, the others by the simulator. They exist only in builds with RAFT_TEST_BUGS. */
enum raft_bug {
	RAFT_BUG_COUNT_OLD_TERM = 1 << 0,    /* commit entries of earlier terms by counting */
	RAFT_BUG_FORGET_VOTE = 1 << 1,       /* the vote is not part of the hard state */
	RAFT_BUG_APPLY_BEFORE_SYNC = 1 << 2, /* a leader counts its own entries before the sync */
	RAFT_BUG_ACK_BEFORE_SYNC = 1 << 3,   /* answers do not wait for the sync */
	RAFT_BUG_STALE_READ = 1 << 4,        /* a read does not confirm leadership */
	RAFT_BUG_READ_EARLY = 1 << 5,        /* reads before the first commit of the own term */
	RAFT_BUG_VOTE_SHORT_LOG = 1 << 6,    /* votes for candidates whose log is behind */
	RAFT_BUG_TRUNCATE_ALWAYS = 1 << 7,   /* an old append cuts entries that match */
	RAFT_BUG_OLD_SNAPSHOT = 1 << 8,      /* installs a snapshot that is behind the log */
	RAFT_BUG_COMMIT_BEYOND_MATCH = 1
	                               << 9, /* a heartbeat's commit covers entries not compared */
};

struct raft_config {
	uint64_t id;
	uint64_t members[RAFT_MAX_MEMBERS]; /* ids, own one included */
	size_t n_members;
	unsigned election_ticks; /* without a leader for 1 to 2 times this: campaign */
	unsigned heartbeat_ticks;
	uint32_t max_message_bytes; /* entries in one append stay below it (one always fits) */
	uint32_t max_message_entries;
	unsigned max_inflight;          /* appends under way to one follower */
	uint64_t max_uncommitted_bytes; /* proposals are refused above it */
	uint64_t seed;                  /* of the election timeouts */
	unsigned bugs;                  /* enum raft_bug; see there */
};

struct raft_status {
	uint64_t id, term, leader; /* leader 0: unknown */
	enum raft_role role;
	uint64_t commit, last, persisted, base;
	struct raft_follower_status {
		uint64_t id, match;
		bool active, snapshot;
	} followers[RAFT_MAX_MEMBERS]; /* of a leader */
	size_t n_followers;
};

struct raft;

/* A node as it was when hard_state was written, with a snapshot of (base_index, base_term) and
 * no entries yet: hand those in with raft_restore_entry before anything else. */
struct raft *raft_create(const struct raft_config *config, const struct raft_hard_state *hard_state,
        uint64_t base_index, uint64_t base_term);
void raft_destroy(struct raft *raft);

/* The next entry of the stored log (takes over its reference). An index that exists already cuts
 * the log there, as it did when it was written. false: the log has a hole. */
bool raft_restore_entry(struct raft *raft, struct raft_entry entry);

/* One step of the clock. */
void raft_tick(struct raft *raft);

/* A message from another member; the caller keeps it. Strangers' messages are ignored. */
void raft_step(struct raft *raft, const struct raft_message *message);

/* Appends n payloads (their references are taken over when it succeeds) to the log of a leader.
 * *first is the index of the first one, in the current term. false: not leader, handing over, or
 * too much is uncommitted. */
bool raft_propose(struct raft *raft, struct raft_payload **payloads, size_t n, uint64_t *first);

/* Asks for an index that makes a read linearizable; the answer comes in ready.reads. false: no
 * leader is known. At a follower the answer may be lost: ask again after a while. */
bool raft_read_index(struct raft *raft, uint64_t context);

/* Hands leadership to another member, within an election timeout or not at all. */
bool raft_transfer(struct raft *raft, uint64_t to);

/* Campaigns now. */
void raft_campaign(struct raft *raft);

/* Everything there is to do; false when there is nothing. Release it when it is done. */
bool raft_ready(struct raft *raft, struct raft_ready *ready);
void raft_ready_release(struct raft_ready *ready);

/* Write batches up to seq are durable. */
void raft_persisted(struct raft *raft, uint64_t seq);

/* A snapshot of the state at index is durable; entries up to index - keep may be forgotten. */
void raft_snapshot_taken(struct raft *raft, uint64_t index, uint64_t keep);

/* How sending a RAFT_SNAPSHOT to a member ended. */
void raft_report_snapshot(struct raft *raft, uint64_t member, bool sent);

/* The connection to a member broke: what was under way is lost. */
void raft_report_unreachable(struct raft *raft, uint64_t member);

void raft_status(const struct raft *raft, struct raft_status *status);

/* NULL, or what must never be and was found: the node must stop. */
const char *raft_failure(const struct raft *raft);

/* The term of the entry at index, for checks; false when the log does not have it. */
bool raft_entry_term(const struct raft *raft, uint64_t index, uint64_t *term);

#endif
