/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "perfdata/perf_reader.h"
#include "record/attach_stacks.h"
#include "record/child_command.h"
#include "record/perf_command.h"
#include "record/record_perf.h"

static double host_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The data file: with --kcore the output is a directory. */
static bool data_file(const struct ptf_record_options *options, struct stat *st)
{
	char path[4096];

	if (stat(options->output, st) < 0)
		return false;
	if (!S_ISDIR(st->st_mode))
		return true;
	snprintf(path, sizeof(path), "%s/data", options->output);
	return stat(path, st) == 0;
}

/* Ctrl-C at the terminal reaches perf without us. */
static void forward(const struct ptf_child *perf, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo != SIGCHLD && info->ssi_code != SI_KERNEL)
		ptf_child_signal(perf, info->ssi_signo == SIGHUP ? SIGTERM : (int)info->ssi_signo);
}

static int time_left_ms(double deadline)
{
	double left = (deadline - host_seconds()) * 1000;

	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left + 1;
}

/* Until the deadline (0: none) or until stacks are to be looked at. */
static int wait_ms(const struct ptf_attach_stacks *attach, double deadline)
{
	int left = deadline > 0 ? time_left_ms(deadline) : -1;
	int look = ptf_attach_stacks_wait_ms(attach);

	return left < 0 || (look >= 0 && look < left) ? look : left;
}

static void wait_for_perf(
        struct ptf_child *perf, struct ptf_attach_stacks *attach, int signal_fd, double interrupt_s)
{
	double deadline = interrupt_s > 0 ? host_seconds() + interrupt_s : 0;
	struct pollfd wait = {.fd = signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	while (!ptf_child_reap(perf, false)) {
		poll(&wait, 1, wait_ms(attach, deadline));
		while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
			forward(perf, &info);
		ptf_attach_stacks_step(attach, perf->pid);
		if (deadline > 0 && host_seconds() >= deadline) {
			ptf_child_signal(perf, SIGINT);
			deadline = 0;
		}
	}
}

static int run(struct ptf_child *perf, const struct ptf_perf_command *command,
        struct ptf_attach_stacks *attach, struct ptf_error *err)
{
	sigset_t mask, old;
	int fd, rc;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &old);
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = fd < 0 ? ptf_error_set_errno(err, errno, "signalfd")
	            : ptf_child_start(perf, command->argv, &old, err);
	if (rc == 0)
		wait_for_perf(perf, attach, fd, command->interrupt_s);
	if (fd >= 0)
		close(fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static void count_record(struct ptf_record_result *result, const struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_LOST:
		result->lost_switches += record->lost.count;
		break;
	case PTF_RECORD_LOST_SAMPLES:
		result->lost_switches += record->lost.count;
		break;
	case PTF_RECORD_AUX:
		result->truncations += !!(record->aux.flags & PTF_AUX_FLAG_TRUNCATED);
		break;
	case PTF_RECORD_SWITCH:
	case PTF_RECORD_SWITCH_CPU_WIDE:
		result->switches++;
		break;
	default:
		break;
	}
}

/* perf tells little about losses: the file does. */
static int count_losses(struct ptf_record_result *result, const char *path, struct ptf_error *err)
{
	struct ptf_perf_reader *reader;
	const struct ptf_aux_chunk *chunks;
	struct ptf_record record;
	size_t n;
	int rc = ptf_perf_reader_create(&reader, path, err);

	if (rc < 0)
		return rc;
	while ((rc = ptf_perf_reader_next(reader, &record, err)) == 0)
		count_record(result, &record);
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	for (size_t i = 0; i < n; i++)
		result->aux_bytes += chunks[i].size;
	ptf_perf_reader_destroy(reader);
	return rc < 0 ? rc : 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int record(const struct ptf_record_options *options, const struct ptf_perf_command *command,
        struct ptf_attach_stacks *attach, struct ptf_record_result *result, struct ptf_error *err)
{
	struct stat before, after;
	bool existed = data_file(options, &before);
	double start = host_seconds();
	struct ptf_child perf;
	int rc = run(&perf, command, attach, err);

	if (rc < 0)
		return rc;
	result->seconds = host_seconds() - start;
	/* perf's status is the command's, so only the file tells whether perf itself did its job.
	 */
	if (!data_file(options, &after) || (existed && same_file(&before, &after)) ||
	        !after.st_size)
		return ptf_error_set(err, PTF_ECHILD,
		        "perf record failed with status %d and wrote nothing", perf.status);
	rc = ptf_attach_stacks_finish(attach, result, err);
	if (rc < 0)
		return rc;
	if (data_file(options, &after))
		result->file_bytes = (uint64_t)after.st_size;
	result->command_ended = options->command != NULL;
	/* perf ends itself by the signal that ended the recording; after -d it was ours. */
	result->command_status = perf.status;
	if (command->interrupt_s > 0 &&
	        (perf.status == 128 + SIGINT || perf.status == 128 + SIGTERM))
		result->command_status = 0;
	return count_losses(result, options->output, err);
}

int ptf_record_perf(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_record_result *result,
        struct ptf_error *err)
{
	struct ptf_perf_command command;
	struct ptf_attach_stacks attach;
	int rc = ptf_perf_command_init(&command, options, hardware, err);

	*result = (struct ptf_record_result){0};
	if (rc < 0)
		return rc;
	ptf_attach_stacks_init(&attach, options);
	rc = record(options, &command, &attach, result, err);
	ptf_attach_stacks_release(&attach);
	ptf_perf_command_release(&command);
	return rc;
}
