/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork and exec of /bin/true, twice by fork and once by posix_spawn (which uses vfork); then by
 * vfork of this program itself, which ends at once when it has an argument.
 */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

extern char **environ;

COUNTER(run_by_fork);
COUNTER(run_by_spawn);
COUNTER(reap);
COUNTER(run_by_vfork);

static char *const arguments[] = {"true", NULL};

TRACED static void reap(pid_t pid)
{
	int status;

	ENTER(reap);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

TRACED static void run_by_fork(void)
{
	pid_t pid;

	ENTER(run_by_fork);
	pid = fork();
	if (pid == 0) {
		execv("/bin/true", arguments);
		_exit(127);
	}
	reap(pid);
	KEEP(pid);
}

TRACED static void run_by_spawn(void)
{
	pid_t pid;

	ENTER(run_by_spawn);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0)
		abort();
	reap(pid);
	KEEP(pid);
}

TRACED static void run_by_vfork(const char *self)
{
	char *const own_arguments[] = {(char *)self, "again", NULL};
	pid_t pid;

	ENTER(run_by_vfork);
	pid = vfork();
	if (pid == 0) {
		execv(self, own_arguments);
		_exit(127);
	}
	reap(pid);
	KEEP(pid);
}

TRACED static void end_at_once(void)
{
	marker();
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		end_at_once();
		return 0;
	}
	run_by_vfork(argv[0]);
	run_by_fork();
	run_by_fork();
	run_by_spawn();
	marker();
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;end_at_once;marker", 1);
	printf("calls end_at_once 1\n");
	PRINT_CALLS(run_by_vfork);
	PRINT_CALLS(run_by_fork);
	PRINT_CALLS(run_by_spawn);
	PRINT_CALLS(reap);
	PRINT_THREADS(5);
	PRINT_THREAD("true", 3);
	return 0;
}
