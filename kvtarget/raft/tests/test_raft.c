/* SPDX-License-Identifier: BSD-2-Clause */
/* The Raft core by hand: messages are carried one by one, so that every case is plain to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/kv_alloc.h"
#include "raft/raft_internal.h"
#include "raft/tests/raft_sim.h"

#define MAX_NODES 5

/* Nodes whose disks are instant unless held, and a network that loses what is not carried. */
struct cluster {
	size_t n;
	unsigned bugs;
	struct raft *nodes[MAX_NODES + 1]; /* by id */
	struct raft_hard_state hard_states[MAX_NODES + 1];
	struct raft_entry_vec logs[MAX_NODES + 1]; /* as written */
	struct raft_entry_vec applied[MAX_NODES + 1];
	struct raft_message_vec net; /* not yet delivered */
	struct raft_read_vec reads;
	bool hold_disk;
	uint64_t last_seq; /* of the last batch while the disk is held */
	struct raft_message_vec held;
};

static void boot(struct cluster *c, uint64_t id)
{
	struct raft_config config = {.id = id,
	        .n_members = c->n,
	        .election_ticks = 10,
	        .heartbeat_ticks = 1,
	        .max_message_bytes = 200,
	        .max_message_entries = 100,
	        .max_inflight = 3,
	        .max_uncommitted_bytes = 1000,
	        .seed = 1,
	        .bugs = c->bugs};

	for (size_t i = 0; i < c->n; i++)
		config.members[i] = i + 1;
	c->nodes[id] = raft_create(&config, &c->hard_states[id], 0, 0);
	ptf_vec_foreach (entry, &c->logs[id])
		assert_true(raft_restore_entry(c->nodes[id], raft_entry_ref(entry)));
}

static void cluster_init(struct cluster *c, size_t n, unsigned bugs)
{
	*c = (struct cluster){.n = n, .bugs = bugs};
	for (uint64_t id = 1; id <= n; id++)
		boot(c, id);
}

static void move_messages(struct raft_message_vec *to, struct raft_message_vec *from)
{
	ptf_vec_foreach (m, from)
		kv_vec_push(to, *m);
	ptf_vec_release(from);
}

/* Does what the core asks for; messages go into c->net. */
static void drain(struct cluster *c, uint64_t id)
{
	struct raft_ready ready;

	while (raft_ready(c->nodes[id], &ready)) {
		move_messages(&c->net, &ready.messages);
		if (ready.write_hard_state)
			c->hard_states[id] = ready.hard_state;
		raft_entry_vec_append(&c->logs[id], ready.entries.v, ready.entries.n);
		raft_entry_vec_append(&c->applied[id], ready.committed.v, ready.committed.n);
		ptf_vec_foreach (read, &ready.reads)
			kv_vec_push(&c->reads, *read);
		if (ready.seq && c->hold_disk) {
			c->last_seq = ready.seq;
			move_messages(&c->held, &ready.held);
		} else {
			move_messages(&c->net, &ready.held);
			if (ready.seq)
				raft_persisted(c->nodes[id], ready.seq);
		}
		raft_ready_release(&ready);
	}
}

/* Delivers what is under way among the members of the set `who` (bit id), the rest is lost,
 * for some rounds or until nothing moves. */
static void carry(struct cluster *c, unsigned who, int rounds)
{
	while (c->net.n && rounds--) {
		struct raft_message_vec net = c->net;

		c->net = (struct raft_message_vec){0};
		ptf_vec_foreach (m, &net) {
			if (!(who >> m->to & 1) || !(who >> m->from & 1))
				continue;
			raft_step(c->nodes[m->to], m);
			drain(c, m->to);
		}
		raft_message_vec_release(&net);
	}
}

#define ALL 0x3e

static void tick(struct cluster *c, uint64_t id, int n)
{
	while (n--) {
		raft_tick(c->nodes[id]);
		drain(c, id);
	}
}

/* Lets every voter in `who` forget its leader, then has id elected by them. */
static void elect(struct cluster *c, uint64_t id, unsigned who)
{
	struct raft_status status;

	for (uint64_t i = 1; i <= c->n; i++)
		if ((who >> i & 1) && i != id) {
			c->nodes[i]->leader = 0;
			c->nodes[i]->election_elapsed = 0;
		}
	raft_campaign(c->nodes[id]);
	drain(c, id);
	carry(c, who, 4); /* pre-vote, vote and their answers */
	raft_status(c->nodes[id], &status);
	assert_int_equal(status.role, RAFT_LEADER);
}

static void propose(struct cluster *c, uint64_t id, uint64_t value)
{
	struct raft_payload *payload = raft_payload_create(sizeof(value));
	uint64_t index;

	memcpy(payload->bytes, &value, sizeof(value));
	assert_true(raft_propose(c->nodes[id], &payload, 1, &index));
	drain(c, id);
}

static void restart(struct cluster *c, uint64_t id)
{
	raft_destroy(c->nodes[id]);
	boot(c, id);
}

static struct raft_status status_of(struct cluster *c, uint64_t id)
{
	struct raft_status status;

	raft_status(c->nodes[id], &status);
	return status;
}

static void cluster_release(struct cluster *c)
{
	for (uint64_t id = 1; id <= c->n; id++) {
		raft_destroy(c->nodes[id]);
		raft_entry_vec_release(&c->logs[id]);
		raft_entry_vec_release(&c->applied[id]);
	}
	raft_message_vec_release(&c->net);
	raft_message_vec_release(&c->held);
	ptf_vec_release(&c->reads);
}

static void test_replicates_and_applies(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	propose(&c, 1, 7);
	carry(&c, ALL, 100);
	tick(&c, 1, 1); /* the heartbeat tells followers what is committed */
	carry(&c, ALL, 100);
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(status_of(&c, id).commit, 2);
		assert_int_equal(c.applied[id].n, 2);
		assert_int_equal(c.applied[id].v[1].payload->bytes[0], 7);
	}
	cluster_release(&c);
}

static void test_single_member_commits_alone(void **state)
{
	struct cluster c;

	cluster_init(&c, 1, 0);
	tick(&c, 1, 20);
	propose(&c, 1, 5);
	assert_int_equal(c.applied[1].n, 2);
	cluster_release(&c);
}

static void test_nothing_is_acknowledged_before_the_sync(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	c.hold_disk = true;
	propose(&c, 1, 7);
	carry(&c, ALL, 100);
	assert_int_equal(status_of(&c, 1).commit, 1);
	assert_int_equal(c.held.n, 2); /* the followers' answers wait */
	cluster_release(&c);
}

static void test_stale_append_does_not_cut(void **state)
{
	struct cluster c;
	struct raft_message late = {.type = RAFT_APPEND, .from = 1, .to = 2, .index = 1};

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	late.term = late.log_term = status_of(&c, 1).term;
	propose(&c, 1, 7);
	carry(&c, ALL, 100);
	raft_step(c.nodes[2], &late);
	assert_int_equal(status_of(&c, 2).last, 2);
	cluster_release(&c);
}

static void test_prevote_keeps_a_cut_off_node_from_disturbing(void **state)
{
	struct cluster c;
	uint64_t term;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	term = status_of(&c, 1).term;
	for (int i = 0; i < 100; i++) { /* node 3 hears nothing */
		tick(&c, 1, 1);
		tick(&c, 2, 1);
		tick(&c, 3, 1);
		carry(&c, 1 << 1 | 1 << 2, 100);
	}
	assert_int_equal(status_of(&c, 3).term, term);
	for (int i = 0; i < 30; i++) {
		tick(&c, 3, 1);
		tick(&c, 1, 1);
		carry(&c, ALL, 100);
	}
	assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
	assert_int_equal(status_of(&c, 1).term, term);
	assert_int_equal(status_of(&c, 3).leader, 1);
	cluster_release(&c);
}

static void test_leader_without_quorum_steps_down(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	tick(&c, 1, 25);
	carry(&c, 0, 1);
	assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
	cluster_release(&c);
}

static void test_transfer(void **state)
{
	struct cluster c;
	struct raft_payload *payload = raft_payload_create(1);
	uint64_t index;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	assert_true(raft_transfer(c.nodes[1], 3));
	assert_false(raft_propose(c.nodes[1], &payload, 1, &index));
	raft_payload_unref(payload);
	drain(&c, 1);
	carry(&c, ALL, 100);
	assert_int_equal(status_of(&c, 3).role, RAFT_LEADER);
	assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
	cluster_release(&c);
}

static void test_transfer_to_a_dead_member_is_given_up(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	assert_true(raft_transfer(c.nodes[1], 3));
	for (int i = 0; i < 12; i++) {
		tick(&c, 1, 1);
		carry(&c, 1 << 1 | 1 << 2, 100);
	}
	propose(&c, 1, 1);
	cluster_release(&c);
}

static void test_read_needs_a_quorum(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	assert_true(raft_read_index(c.nodes[1], 42));
	drain(&c, 1);
	carry(&c, 0, 1);
	assert_int_equal(c.reads.n, 0);
	assert_true(raft_read_index(c.nodes[2], 43)); /* through the leader */
	drain(&c, 2);
	carry(&c, ALL, 100);
	/* The round for the second read confirms the first one too. */
	assert_int_equal(c.reads.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(c.reads.v[i].index, 1);
		assert_false(c.reads.v[i].failed);
	}
	cluster_release(&c);
}

static void test_reads_fail_with_the_leader(void **state)
{
	struct cluster c;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	raft_read_index(c.nodes[1], 42);
	tick(&c, 1, 25);
	assert_int_equal(c.reads.n, 1);
	assert_true(c.reads.v[0].failed);
	cluster_release(&c);
}

static void test_window_and_size_cap(void **state)
{
	struct cluster c;
	size_t to_2 = 0;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	for (int i = 0; i < 20; i++)
		propose(&c, 1, i);
	ptf_vec_foreach (m, &c.net) {
		assert_true(m->entry_bytes <= 200);
		to_2 += m->to == 2;
	}
	assert_int_equal(to_2, 3); /* max_inflight */
	carry(&c, ALL, 1000);
	assert_int_equal(status_of(&c, 2).last, 21);
	cluster_release(&c);
}

static void test_uncommitted_bytes_are_bounded(void **state)
{
	struct cluster c;
	struct raft_payload *payload = raft_payload_create(2000);
	uint64_t index;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	memset(payload->bytes, 0, 2000);
	assert_true(raft_propose(c.nodes[1], &payload, 1, &index)); /* one always fits */
	payload = raft_payload_create(1);
	payload->bytes[0] = 0;
	assert_false(raft_propose(c.nodes[1], &payload, 1, &index));
	drain(&c, 1);
	carry(&c, ALL, 100);
	assert_true(raft_propose(c.nodes[1], &payload, 1, &index));
	cluster_release(&c);
}

static void test_snapshot_for_one_who_is_behind(void **state)
{
	struct cluster c;
	bool asked = false;

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, 1 << 1 | 1 << 2, 100);
	for (int i = 0; i < 5; i++) {
		propose(&c, 1, i);
		carry(&c, 1 << 1 | 1 << 2, 100);
	}
	raft_snapshot_taken(c.nodes[1], 5, 0);
	for (int i = 0; i < 3; i++) { /* node 3 answers a heartbeat, then needs the snapshot */
		tick(&c, 1, 1);
		ptf_vec_foreach (m, &c.net)
			asked |= m->type == RAFT_SNAPSHOT && m->index == 5;
		carry(&c, ALL, 100);
	}
	assert_int_equal(status_of(&c, 3).last, 6);
	assert_int_equal(status_of(&c, 3).base, 5);
	cluster_release(&c);
}

/* Figure 8 of the Raft paper, up to (d): S5 replaces an entry of term 2 that a majority holds.
 * Whoever has committed it by counting replicas has lost it. Returns whether S1 did. */
static bool figure_8(unsigned bugs)
{
	struct cluster c;
	bool committed, replaced;
	uint64_t index = 3; /* 1: the first no-op; 2: the no-op of S1's term; 3: what is at stake */

	cluster_init(&c, 5, bugs);
	for (uint64_t id = 1; id <= 5; id++)
		c.nodes[id]->config.max_message_entries = 1;
	elect(&c, 1, ALL);
	carry(&c, ALL, 1000); /* everybody has the same log */
	/* (a) S1 leads and replicates an entry to S2 only. */
	elect(&c, 2, ALL);
	carry(&c, ALL, 1000);
	elect(&c, 1, ALL);
	carry(&c, 1 << 1 | 1 << 2, 1000);
	assert_int_equal(status_of(&c, 2).last, index);
	/* (b) S1 falls; S5 is elected by S3, S4 and itself, and accepts another entry. */
	restart(&c, 1);
	elect(&c, 5, 1 << 3 | 1 << 4 | 1 << 5);
	raft_message_vec_release(&c.net);
	assert_int_equal(status_of(&c, 5).last, index);
	/* (c) S5 falls; S1 leads again and its old entry reaches S3: a majority. */
	restart(&c, 5);
	c.nodes[1]->config.max_message_entries = 1;
	for (int i = 0; i < 2 && status_of(&c, 1).role != RAFT_LEADER; i++) {
		for (uint64_t id = 2; id <= 3; id++)
			c.nodes[id]->leader = 0;
		raft_campaign(c.nodes[1]);
		drain(&c, 1);
		carry(&c, 1 << 1 | 1 << 2 | 1 << 3, 4);
	}
	assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
	for (int i = 0; i < 10; i++) {
		tick(&c, 1, 1);
		for (size_t m = 0; m < c.net.n; m++) /* its new entry gets nowhere */
			if (c.net.v[m].entries.n && c.net.v[m].entries.v[0].index > index)
				raft_message_release(&c.net.v[m]);
		carry(&c, 1 << 1 | 1 << 2 | 1 << 3, 1);
	}
	assert_int_equal(status_of(&c, 3).last, index);
	committed = status_of(&c, 1).commit >= index;
	/* (d) S1 falls again; S5 is elected by S2, S3 and S4 and overwrites the entry. */
	restart(&c, 1);
	while (c.nodes[5]->term <= c.nodes[3]->term)
		c.nodes[5]->term++; /* it has campaigned in vain for a while */
	elect(&c, 5, ALL & ~(1 << 1));
	for (int i = 0; i < 10; i++) {
		tick(&c, 5, 1);
		carry(&c, ALL & ~(1 << 1), 1000);
	}
	replaced = c.nodes[3]->log.entries.v[index - 1].term == c.logs[5].v[index - 1].term;
	assert_int_equal(replaced, !bugs);
	if (bugs) /* S3 had been told that the entry is committed, and notices */
		assert_non_null(raft_failure(c.nodes[3]));
	cluster_release(&c);
	return committed;
}

static void test_figure_8(void **state)
{
	assert_false(figure_8(0));
	assert_true(figure_8(RAFT_BUG_COUNT_OLD_TERM)); /* and the mistake would be seen */
}

static void test_truncation_takes_back_writes_under_way(void **state)
{
	struct raft_log log;

	raft_log_init(&log, 0, 0);
	for (uint64_t i = 1; i <= 5; i++)
		raft_log_push(&log, (struct raft_entry){.index = i, .term = 1});
	raft_log_begin_batch(&log, 1);
	raft_log_truncate(&log, 3);
	raft_log_push(&log, (struct raft_entry){.index = 3, .term = 2});
	raft_log_begin_batch(&log, 2);
	raft_log_end_batch(&log, 1);
	assert_int_equal(log.persisted, 2);
	raft_log_end_batch(&log, 2);
	assert_int_equal(log.persisted, 3);
	raft_log_release(&log);
}

static void test_restore_cuts_as_it_was_written(void **state)
{
	struct raft_hard_state hard_state = {.term = 5, .commit = 10};
	struct raft_config config = {
	        .id = 1, .members = {1}, .n_members = 1, .election_ticks = 10, .max_inflight = 1};
	struct raft *raft = raft_create(&config, &hard_state, 10, 5);

	/* 11 of term 3 was written before 10 of term 5 replaced its predecessor. */
	assert_true(raft_restore_entry(raft, (struct raft_entry){.index = 11, .term = 3}));
	assert_true(raft_restore_entry(raft, (struct raft_entry){.index = 10, .term = 5}));
	assert_int_equal(raft_log_last(&raft->log), 10);
	assert_false(raft_restore_entry(raft, (struct raft_entry){.index = 12, .term = 5}));
	raft_destroy(raft);
}

static void test_rejection_behind_the_base_asks_for_a_snapshot(void **state)
{
	struct raft_log log;

	raft_log_init(&log, 27, 13);
	assert_int_equal(raft_log_agree(&log, 27, 9), 26);
	assert_int_equal(raft_log_agree(&log, 30, 13), 27);
	raft_log_release(&log);
}

static void test_strangers_and_nonsense_are_ignored(void **state)
{
	struct cluster c;
	struct raft_message m = {.from = 77, .to = 1, .term = 100, .type = RAFT_APPEND};

	cluster_init(&c, 3, 0);
	elect(&c, 1, ALL);
	carry(&c, ALL, 100);
	raft_step(c.nodes[1], &m);
	assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
	m = (struct raft_message){.from = 2,
	        .to = 1,
	        .term = status_of(&c, 1).term,
	        .type = RAFT_APPEND_RESP,
	        .index = 1000};
	raft_step(c.nodes[1], &m);
	assert_non_null(raft_failure(c.nodes[1])); /* acknowledged what never was: stop */
	cluster_release(&c);
}

/* Every mistake that the simulator can make is found by it. The rare ones are looked for from a
 * seed shortly before one that shows them, to save time. */
static void test_simulator_finds_bugs(void **state)
{
	static const struct {
		enum raft_bug bug;
		uint64_t first;
	} mistakes[] = {{RAFT_BUG_FORGET_VOTE, 1}, {RAFT_BUG_APPLY_BEFORE_SYNC, 1},
	        {RAFT_BUG_ACK_BEFORE_SYNC, 1}, {RAFT_BUG_STALE_READ, 1250},
	        {RAFT_BUG_READ_EARLY, 1}, {RAFT_BUG_VOTE_SHORT_LOG, 1},
	        {RAFT_BUG_TRUNCATE_ALWAYS, 1}, {RAFT_BUG_OLD_SNAPSHOT, 2300},
	        {RAFT_BUG_COMMIT_BEYOND_MATCH, 1}};

	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		struct raft_sim_result result = {.good = true};
		uint64_t seed = mistakes[i].first;

		for (; result.good && seed < mistakes[i].first + 3000; seed++)
			raft_sim_run(seed, mistakes[i].bug, &result);
		print_message("mistake %u: seed %u: %s\n", mistakes[i].bug, (unsigned)seed - 1,
		        result.why);
		assert_false(result.good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_replicates_and_applies),
	        cmocka_unit_test(test_single_member_commits_alone),
	        cmocka_unit_test(test_nothing_is_acknowledged_before_the_sync),
	        cmocka_unit_test(test_stale_append_does_not_cut),
	        cmocka_unit_test(test_prevote_keeps_a_cut_off_node_from_disturbing),
	        cmocka_unit_test(test_leader_without_quorum_steps_down),
	        cmocka_unit_test(test_transfer),
	        cmocka_unit_test(test_transfer_to_a_dead_member_is_given_up),
	        cmocka_unit_test(test_read_needs_a_quorum),
	        cmocka_unit_test(test_reads_fail_with_the_leader),
	        cmocka_unit_test(test_window_and_size_cap),
	        cmocka_unit_test(test_uncommitted_bytes_are_bounded),
	        cmocka_unit_test(test_snapshot_for_one_who_is_behind),
	        cmocka_unit_test(test_figure_8),
	        cmocka_unit_test(test_truncation_takes_back_writes_under_way),
	        cmocka_unit_test(test_restore_cuts_as_it_was_written),
	        cmocka_unit_test(test_rejection_behind_the_base_asks_for_a_snapshot),
	        cmocka_unit_test(test_strangers_and_nonsense_are_ignored),
	        cmocka_unit_test(test_simulator_finds_bugs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
