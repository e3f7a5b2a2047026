/* SPDX-License-Identifier: BSD-2-Clause */
/* What /proc says of other processes. */
#ifndef PTF_PROC_INFO_H
#define PTF_PROC_INFO_H

#include <stdbool.h>
#include <sys/types.h>

#include <ptflame/error.h>

/* The process that thread tid belongs to and the real user id that it runs as; both may be NULL.
 * Errors: PTF_ENOENT when there is no such thread. */
int ptf_proc_info(pid_t tid, pid_t *pid, uid_t *uid, struct ptf_error *err);

/* Is there such a process, and not only its corpse? */
bool ptf_proc_alive(pid_t pid);

/* Does the thread sleep (state S or D), according to /proc/TID/stat? */
bool ptf_proc_sleeps(pid_t tid);

#endif
