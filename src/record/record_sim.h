/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `sim` backend: records processes that run in the PT simulator (`ptflame sim`).
 *
 * A session connects to simulators, starts them, follows forks and execs, collects trace data and
 * context switches until something ends it: the duration, the size limit, SIGINT, SIGTERM or
 * SIGHUP, the end of the command or of all processes. The file is complete in every case.
 */
#ifndef PTF_RECORD_SIM_H
#define PTF_RECORD_SIM_H

#include <stdbool.h>
#include <sys/types.h>

#include <ptflame/error.h>

#include "record/record.h"

/* Records as the options say; blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD meanwhile. Errors:
 * PTF_ENOENT unknown process; PTF_EPERM another user's; PTF_EUNSUPPORTED a process that is not
 * simulated, or an option that only hardware has; PTF_ECHILD the command did not start. */
int ptf_record_sim(const struct ptf_record_options *options, struct ptf_record_result *result,
        struct ptf_error *err);

/* Errors (PTF_EUNSUPPORTED, PTF_EINVAL) for options that a simulation cannot serve. */
int ptf_record_sim_check(const struct ptf_record_options *options, struct ptf_error *err);

/* Does the process have a simulator that could be recorded? */
bool ptf_record_sim_available(pid_t pid);

struct ptf_sim_session;

/* The parts of ptf_record_sim. options are borrowed. */
int ptf_sim_session_create(struct ptf_sim_session **session,
        const struct ptf_record_options *options, struct ptf_error *err);
/* Terminates the command if it still runs, and waits for it. */
void ptf_sim_session_destroy(struct ptf_sim_session *session);

/* Attaches to a running process. */
int ptf_sim_session_attach(struct ptf_sim_session *session, pid_t pid, struct ptf_error *err);

/* Takes over a socket that is connected to the simulator of process pid. */
int ptf_sim_session_attach_fd(
        struct ptf_sim_session *session, pid_t pid, int fd, struct ptf_error *err);

/* Runs the command in the simulator, attached before its first instruction. */
int ptf_sim_session_launch(
        struct ptf_sim_session *session, const char *const *command, struct ptf_error *err);

/* Records until the end. */
int ptf_sim_session_run(
        struct ptf_sim_session *session, struct ptf_record_result *result, struct ptf_error *err);

#endif
