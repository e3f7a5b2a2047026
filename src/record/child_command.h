/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that is run beside us: the recorded command, or perf. */
#ifndef PTF_CHILD_COMMAND_H
#define PTF_CHILD_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include <ptflame/error.h>

struct ptf_child {
	pid_t pid;  /* 0: none was started */
	bool ended; /* it was waited for, `status` is valid */
	int status; /* as the shell counts: 128 + n for signals */
};

/* Runs argv[0] (looked up in PATH) with the signal mask. Errors: PTF_ECHILD with the reason why
 * it cannot be executed. */
int ptf_child_start(
        struct ptf_child *child, char *const *argv, const sigset_t *mask, struct ptf_error *err);

/* Waits for its end, or with `block` false looks whether it ended. True when it has. */
bool ptf_child_reap(struct ptf_child *child, bool block);

/* Sends a signal if it still runs. */
void ptf_child_signal(const struct ptf_child *child, int signal);

#endif
