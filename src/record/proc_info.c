/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "record/proc_info.h"

int ptf_proc_info(pid_t tid, pid_t *pid, uid_t *uid, struct ptf_error *err)
{
	char name[64], line[256];
	unsigned user;
	FILE *file;
	int tgid;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
	file = fopen(name, "re");
	if (!file)
		return errno == ENOENT
		               ? ptf_error_set(err, PTF_ENOENT, "there is no process %d", (int)tid)
		               : ptf_error_set_errno(err, errno, "%s", name);
	while (fgets(line, sizeof(line), file)) {
		if (pid && sscanf(line, "Tgid: %d", &tgid) == 1)
			*pid = tgid;
		if (uid && sscanf(line, "Uid: %u", &user) == 1)
			*uid = user;
	}
	fclose(file);
	return 0;
}

/* The state letter of /proc/TID/stat, 0 when there is none. The name before it may hold anything.
 */
static char thread_state(pid_t tid)
{
	char name[64], line[512];
	const char *paren = NULL;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)tid);
	file = fopen(name, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file))
		paren = strrchr(line, ')');
	fclose(file);
	return paren && paren[1] == ' ' ? paren[2] : 0;
}

bool ptf_proc_alive(pid_t pid)
{
	char state = thread_state(pid);

	return state && state != 'Z' && state != 'X';
}

bool ptf_proc_sleeps(pid_t tid)
{
	char state = thread_state(tid);

	return state == 'S' || state == 'D';
}
