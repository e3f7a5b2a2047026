/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests: the blocks that a thread executed while its trace was on, as 8-byte numbers (address,
 * instructions), in DIR/TID.log, or DIR/TID.N.log when an earlier program had the id. The file is
 * open only while it is written to: some guests close all descriptors.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORDS 65536

struct sim_log {
	char path[4096];
	size_t n;
	uint64_t records[RECORDS][2];
};

void sim_log_open(struct sim_thread *t)
{
	int fd = -1, i;

	if (!sim.log_dir)
		return;
	t->log = malloc(sizeof(*t->log));
	if (!t->log)
		return;
	t->log->n = 0;
	snprintf(t->log->path, sizeof(t->log->path), "%s/%d.log", sim.log_dir, t->tid);
	for (i = 1; (fd = open(t->log->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0 &&
	            errno == EEXIST;
	        i++)
		snprintf(
		        t->log->path, sizeof(t->log->path), "%s/%d.%d.log", sim.log_dir, t->tid, i);
	if (fd >= 0)
		close(fd);
}

void sim_log_flush(struct sim_thread *t)
{
	const char *at;
	size_t left;
	int fd;

	if (!t->log || !t->log->n)
		return;
	at = (const char *)t->log->records;
	left = t->log->n * sizeof(*t->log->records);
	fd = open(t->log->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	while (fd >= 0 && left) {
		ssize_t n = write(fd, at, left);

		if (n <= 0)
			break; /* the comparison will tell */
		at += n;
		left -= (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	t->log->n = 0;
}

void sim_log_block(struct sim_thread *t, uint64_t pc, uint64_t insns)
{
	if (!insns)
		return;
	t->log->records[t->log->n][0] = pc;
	t->log->records[t->log->n][1] = insns;
	if (++t->log->n == RECORDS)
		sim_log_flush(t);
}

void sim_log_close(struct sim_thread *t)
{
	free(t->log);
	t->log = NULL;
}
