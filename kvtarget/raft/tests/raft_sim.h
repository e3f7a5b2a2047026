/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cluster of Raft cores in a simulated world: one seed decides everything (delays, loss,
 * duplicates, reordering, partitions, crashes that lose what was not synced, skewed clocks) and
 * repeats to the last event. Checked all the while: one leader for each term, log matching,
 * leader completeness, state machine safety; at the end, after the world has healed, that the
 * cluster makes progress again and that what the clients saw is linearizable.
 */
#ifndef RAFT_SIM_H
#define RAFT_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct raft_sim_result {
	bool good;
	char why[256]; /* the first thing that was wrong */
	uint64_t events, writes, reads, elections, crashes, snapshots, unknown;
};

/* Runs one seed with the mistakes in bugs (enum raft_bug) put in. */
void raft_sim_run(uint64_t seed, unsigned bugs, struct raft_sim_result *result);

#endif
