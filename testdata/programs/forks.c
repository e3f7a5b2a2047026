/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork without exec: children that work and exit by _exit or by returning from a function that
 * called fork; the parent waits for each. The counters lie in memory that all of them share.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { CHILDREN = 4 };

/* Shared by all processes; the counters of program.h are each process's own. */
static struct {
	unsigned long parent_work, child_work, child_body, grandchild;
} * shared;

#define SHARED_ENTER(f) ((void)__atomic_add_fetch(&shared->f, 1, __ATOMIC_RELAXED))

TRACED static unsigned parent_work(unsigned n)
{
	SHARED_ENTER(parent_work);
	return n * 7;
}

TRACED static unsigned child_work(unsigned n)
{
	SHARED_ENTER(child_work);
	return n * 11;
}

TRACED static void grandchild(void)
{
	unsigned sum = 0;

	SHARED_ENTER(grandchild);
	for (unsigned i = 0; i < 5; i++)
		sum += child_work(i);
	KEEP(sum);
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

TRACED static void child_body(unsigned id)
{
	pid_t pid;

	SHARED_ENTER(child_body);
	for (unsigned i = 0; i <= id; i++)
		child_work(i);
	if (id != 0)
		return;
	pid = fork();
	if (pid == 0) {
		grandchild();
		_exit(0);
	}
	wait_for(pid);
}

int main(void)
{
	shared = mmap(
	        NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	for (unsigned i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			child_body(i);
			_exit(0);
		}
		parent_work(i);
		wait_for(pid);
	}
	printf("calls parent_work %lu\n", shared->parent_work);
	printf("calls child_body %lu\n", shared->child_body);
	printf("calls child_work %lu\n", shared->child_work);
	printf("calls grandchild %lu\n", shared->grandchild);
	PRINT_THREADS(1 + CHILDREN + 1);
	return 0;
}
