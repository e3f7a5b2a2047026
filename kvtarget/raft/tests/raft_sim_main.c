/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raft_sim [--seeds N] [--first N] [--bug N]: runs seeds of the simulator and stops at the first
 * that finds something wrong. With --bug the mistake of that number (enum raft_bug) is put in,
 * and the run succeeds when it is found.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "raft/tests/raft_sim.h"

static void add(struct raft_sim_result *sum, const struct raft_sim_result *one)
{
	sum->events += one->events;
	sum->writes += one->writes;
	sum->reads += one->reads;
	sum->elections += one->elections;
	sum->crashes += one->crashes;
	sum->snapshots += one->snapshots;
	sum->unknown += one->unknown;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seeds", required_argument, NULL, 's'},
	        {"first", required_argument, NULL, 'f'}, {"bug", required_argument, NULL, 'b'},
	        {0}};
	uint64_t seeds = 1000, first = 1, tried = 0;
	unsigned bug = 0;
	struct raft_sim_result sum = {0}, one = {.good = true};
	time_t began = time(NULL);
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 's')
			seeds = strtoull(optarg, NULL, 0);
		else if (option == 'f')
			first = strtoull(optarg, NULL, 0);
		else if (option == 'b')
			bug = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	for (uint64_t seed = first; seed < first + seeds && one.good; seed++) {
		raft_sim_run(seed, bug, &one);
		add(&sum, &one);
		tried++;
	}
	printf("%" PRIu64 " seeds in %ld s: %" PRIu64 " events, %" PRIu64 " writes and %" PRIu64
	       " reads answered, %" PRIu64 " not, %" PRIu64 " elections, %" PRIu64
	       " crashes, %" PRIu64 " snapshots installed\n",
	        tried, (long)(time(NULL) - began), sum.events, sum.writes, sum.reads, sum.unknown,
	        sum.elections, sum.crashes, sum.snapshots);
	if (!one.good)
		printf("seed %" PRIu64 ": %s\n", first + tried - 1, one.why);
	return one.good == (bug != 0);
}
