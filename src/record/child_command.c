/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/child_command.h"

/* In the child: tells the parent through the pipe why exec failed. */
static void run_child(char *const *argv, const sigset_t *mask, int report_fd)
{
	int errnum;

	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	errnum = errno;
	if (write(report_fd, &errnum, sizeof(errnum)) < 0)
		_exit(126);
	_exit(127);
}

int ptf_child_start(
        struct ptf_child *child, char *const *argv, const sigset_t *mask, struct ptf_error *err)
{
	int report[2], errnum = 0;
	ssize_t n;

	*child = (struct ptf_child){0};
	if (pipe2(report, O_CLOEXEC) < 0)
		return ptf_error_set_errno(err, errno, "pipe");
	child->pid = fork();
	if (child->pid == 0)
		run_child(argv, mask, report[1]);
	close(report[1]);
	if (child->pid < 0) {
		close(report[0]);
		child->pid = 0;
		return ptf_error_set_errno(err, errno, "fork");
	}
	do {
		n = read(report[0], &errnum, sizeof(errnum));
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == sizeof(errnum)) {
		ptf_child_reap(child, true);
		return ptf_error_set(err, PTF_ECHILD, "%s: %s", argv[0], strerror(errnum));
	}
	return 0;
}

bool ptf_child_reap(struct ptf_child *child, bool block)
{
	int status;
	pid_t pid;

	if (!child->pid || child->ended)
		return true;
	do {
		pid = waitpid(child->pid, &status, block ? 0 : WNOHANG);
	} while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	child->ended = true;
	if (pid < 0)
		child->status = 127; /* somebody else took it: cannot be known */
	else
		child->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

void ptf_child_signal(const struct ptf_child *child, int signal)
{
	if (child->pid && !child->ended)
		kill(child->pid, signal);
}
