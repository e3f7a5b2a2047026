/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "perfdata/perf_insert.h"
#include "record/attach_stacks.h"
#include "record/stack_sample.h"

enum { LOOK_MS = 2, LOOKS = 2500 };

static void note(const char *why)
{
	ptf_log(PTF_LOG_WARN, "stacks are not known from the beginning: %s", why);
}

void ptf_attach_stacks_init(
        struct ptf_attach_stacks *attach, const struct ptf_record_options *options)
{
	struct ptf_error err;

	*attach = (struct ptf_attach_stacks){.options = options, .give_up_after = LOOKS};
	if (!options->n_pids && !options->tid)
		return;
	if (ptf_stack_copies_init(&attach->copies, &err) < 0)
		note(err.msg);
	else
		attach->due = true;
}

void ptf_attach_stacks_release(struct ptf_attach_stacks *attach)
{
	ptf_stack_copies_release(&attach->copies);
}

int ptf_attach_stacks_wait_ms(const struct ptf_attach_stacks *attach)
{
	return attach->due ? LOOK_MS : -1;
}

/* The first line of a file of /proc; false: there is none. */
static bool read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(line, size, file);

	if (file)
		fclose(file);
	return ok;
}

/* perf forks its workload at once and lets it execute when all events are on. */
static bool tracing_is_on(pid_t perf)
{
	char path[64], line[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)perf, (int)perf);
	if (!read_line(path, line, sizeof(line)))
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/comm", strtol(line, NULL, 10));
	return read_line(path, line, sizeof(line)) && strcmp(line, "sleep\n") == 0;
}

/* The process of a thread, or the number itself. */
static pid_t process_of(pid_t tid)
{
	char path[64], line[128];
	int pid = (int)tid;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file) && sscanf(line, "Tgid: %d", &pid) != 1)
		;
	if (file)
		fclose(file);
	return pid;
}

static void take(struct ptf_attach_stacks *attach, pid_t pid, pid_t tid)
{
	struct ptf_error err;

	if (ptf_stack_copies_take(&attach->copies, pid, tid, &err) < 0)
		note(err.msg);
}

void ptf_attach_stacks_step(struct ptf_attach_stacks *attach, pid_t perf)
{
	const struct ptf_record_options *options = attach->options;

	if (!attach->due) {
		ptf_stack_copies_poll(&attach->copies);
		return;
	}
	if (!tracing_is_on(perf) && attach->give_up_after-- > 0)
		return;
	attach->due = false;
	for (size_t i = 0; i < options->n_pids; i++)
		take(attach, options->pids[i], 0);
	if (options->tid)
		take(attach, process_of(options->tid), options->tid);
	if (attach->copies.refused)
		note("stopping threads of the process is not permitted (kernel.yama.ptrace_scope, "
		     "or a debugger has them)");
}

/* ---- into the file ---- */

PTF_VEC_TYPEDEF(records, struct ptf_record);

/* The chain lives in the arena. */
static bool add_records(struct ptf_stack_copies *copies, const struct ptf_stack_copy *thread,
        const struct ptf_ips *ips, struct records *records)
{
	struct ptf_stack_sample *sample;

	for (size_t done = 0; done < ips->n;) {
		struct ptf_record record = {.type = PTF_RECORD_SAMPLE,
		        .file_offset = records->n, /* not in the file yet: its number */
		        .sid = {.time_ns = thread->time_ns,
		                .pid = thread->pid,
		                .tid = thread->tid,
		                .cpu = -1,
		                .has_time = true}};

		sample = ptf_arena_alloc(&copies->arena, sizeof(*sample));
		if (!sample)
			return false;
		done += ptf_stack_sample_fill(sample, ips, done);
		record.sample = sample->record;
		if (!ptf_vec_push(records, record))
			return false;
	}
	return true;
}

static int unwind_process(struct ptf_stack_copies *copies, const struct ptf_process_code *process,
        struct records *records, struct ptf_error *err)
{
	struct ptf_stack_unwinder *unwinder;
	struct ptf_ips ips = {0};
	int rc = ptf_stack_unwinder_create(&unwinder, &process->maps, err);

	if (rc < 0)
		return rc;
	ptf_vec_foreach (thread, &copies->threads) {
		if (thread->pid != process->pid || !thread->copy.stack || rc < 0)
			continue;
		ips.n = 0;
		rc = ptf_stack_unwinder_run(unwinder, &thread->copy, &ips, err);
		if (rc == 0 && !add_records(copies, thread, &ips, records))
			rc = ptf_error_set(err, PTF_ENOMEM, "out of memory for stacks");
	}
	ptf_vec_release(&ips);
	ptf_stack_unwinder_destroy(unwinder);
	return rc;
}

static int by_time(const void *a, const void *b)
{
	const struct ptf_record *x = a, *y = b;

	if (x->sid.time_ns != y->sid.time_ns)
		return x->sid.time_ns < y->sid.time_ns ? -1 : 1;
	/* Parts of one stack stay in their order. */
	return x->file_offset < y->file_offset ? -1 : x->file_offset > y->file_offset;
}

int ptf_attach_stacks_finish(
        struct ptf_attach_stacks *attach, struct ptf_record_result *result, struct ptf_error *err)
{
	struct ptf_stack_copies *copies = &attach->copies;
	struct records records = {0};
	struct ptf_error why;
	int rc = 0;

	ptf_vec_foreach (process, &copies->processes) {
		rc = rc < 0 ? rc : unwind_process(copies, process, &records, &why);
		if (rc == -PTF_EIO)
			note(why.msg);
		rc = rc == -PTF_EIO ? 0 : rc;
	}
	if (rc == 0 && records.n) {
		qsort(records.v, records.n, sizeof(*records.v), by_time);
		rc = ptf_perf_insert_samples(attach->options->output, records.v, records.n, &why);
	}
	ptf_vec_foreach (thread, &copies->threads)
		result->stacks += rc == 0 && thread->copy.stack;
	result->longest_stop_ns = copies->longest_stop_ns;
	ptf_vec_release(&records);
	if (rc == -PTF_ENOMEM)
		return ptf_error_set(err, PTF_ENOMEM, "%s", why.msg);
	if (rc < 0)
		note(why.msg);
	return 0;
}
