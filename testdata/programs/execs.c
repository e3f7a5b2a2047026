/* SPDX-License-Identifier: BSD-2-Clause */
/* fork and exec of /bin/true, twice by fork and once by posix_spawn (which uses vfork). */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

extern char **environ;

COUNTER(run_by_fork);
COUNTER(run_by_spawn);
COUNTER(reap);

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

int main(void)
{
	run_by_fork();
	run_by_fork();
	run_by_spawn();
	PRINT_CALLS(run_by_fork);
	PRINT_CALLS(run_by_spawn);
	PRINT_CALLS(reap);
	PRINT_THREADS(4);
	PRINT_THREAD("true", 3);
	return 0;
}
