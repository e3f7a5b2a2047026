/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/log.h"
#include "base/vec.h"
#include "perfdata/perf_writer.h"
#include "record/aux_writer.h"
#include "record/sim_recording.h"
#include "record/stack_sample.h"
#include "record/stack_unwinder.h"

/* Numbers that perf expects of a file; the PMU number is a dynamic one, as on hardware. */
#define PT_PMU_TYPE 8u
#define PT_EVENT_ID 1u
#define DUMMY_EVENT_ID 2u

/* IA32_RTIT_CTL as perf's intel_pt format files lay it out over attr.config. */
#define PT_CONFIG_PT (1ull << 0)
#define PT_CONFIG_CYC (1ull << 1)
#define PT_CONFIG_MTC (1ull << 9)
#define PT_CONFIG_TSC (1ull << 10)
#define PT_CONFIG_NORETCOMP (1ull << 11)
#define PT_CONFIG_BRANCH (1ull << 13)
#define PT_CONFIG_MTC_PERIOD_SHIFT 14
#define PT_CONFIG_MTC_PERIOD_MASK (0xfull << PT_CONFIG_MTC_PERIOD_SHIFT)

#define COMM_BYTES 16

/* One life of a thread. */
struct sim_thread {
	int32_t pid, tid, ppid, ptid;
	bool alive, kept; /* kept: its data goes into the file */
	bool unwound;     /* its stack at START is in the file */
	uint64_t exit_ns; /* valid when !alive */
	char comm[COMM_BYTES];
	struct ptf_aux_writer *stream; /* owned, NULL until it has data */
};

/* A record that waits to be sorted. */
struct held_record {
	struct ptf_record record;
	size_t order; /* in which it came */
};

/* Code of a process when its recording began. */
struct process_map {
	int32_t pid;
	struct ptf_unwind_map map;
};

struct ptf_sim_recording {
	const struct ptf_record_options *options;
	enum ptf_sim_clock clock;
	double dilation;
	bool switches, lacks_switches;
	struct ptf_perf_writer *writer;
	struct ptf_arena arena;              /* strings of held records and maps */
	PTF_VEC(struct process_map) maps;    /* of processes that were attached to */
	struct ptf_stack_unwinder *unwinder; /* owned: of process unwinder_pid, or NULL */
	int32_t unwinder_pid;
	PTF_VEC(struct held_record) held;         /* clock insn */
	PTF_VEC(struct sim_thread) threads;       /* all lives, in order of appearance */
	PTF_VEC(struct ptf_aux_writer *) streams; /* owned, all of them */
	struct ptf_hash_map by_tid;               /* tid -> its last life */
	PTF_VEC(uint8_t) section;                 /* feature 255: the info, then waits */
	struct ptf_record_result counts;
	uint64_t start_ns, end_ns; /* the window */
	uint64_t last_ns;          /* newest time heard of */
	bool started, mapped;      /* start_ns is valid; THREAD_MAP is written */
};

static bool holds(const struct ptf_sim_recording *rec)
{
	return rec->clock == PTF_SIM_CLOCK_INSN;
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory while recording");
}

/* The time of records that no message dates. */
static uint64_t now_ns(const struct ptf_sim_recording *rec)
{
	struct timespec ts;

	if (holds(rec))
		return rec->last_ns;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void note_time(struct ptf_sim_recording *rec, uint64_t time_ns)
{
	if (time_ns > rec->last_ns)
		rec->last_ns = time_ns;
}

/* --- the head of the file --- */

static uint64_t pt_config(const struct ptf_record_options *options)
{
	uint64_t config = PT_CONFIG_PT | PT_CONFIG_TSC | PT_CONFIG_BRANCH;

	if (options->timing != PTF_TIMING_TSC)
		config |= PT_CONFIG_MTC | (uint64_t)PTF_SIM_MTC_FREQ_BITS
		                                  << PT_CONFIG_MTC_PERIOD_SHIFT;
	if (options->timing == PTF_TIMING_CYC)
		config |= PT_CONFIG_CYC;
	return config;
}

static struct perf_event_attr base_attr(void)
{
	return (struct perf_event_attr){
	        .size = sizeof(struct perf_event_attr),
	        .sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
	                       PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER,
	        .sample_period = 1,
	        .sample_id_all = 1,
	        .exclude_kernel = 1,
	        .exclude_hv = 1,
	        .inherit = 1,
	};
}

static int add_events(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct perf_event_attr pt = base_attr(), dummy = base_attr();
	uint64_t pt_id = PT_EVENT_ID, dummy_id = DUMMY_EVENT_ID;
	int rc;

	pt.type = PT_PMU_TYPE;
	pt.config = pt_config(rec->options);
	dummy.type = PERF_TYPE_SOFTWARE;
	dummy.config = PERF_COUNT_SW_DUMMY;
	dummy.mmap = dummy.mmap2 = dummy.comm = dummy.comm_exec = dummy.task = 1;
	dummy.context_switch = rec->switches;
	dummy.sample_type |= PERF_SAMPLE_CALLCHAIN; /* stacks at START */
	if (!holds(rec)) {
		dummy.use_clockid = 1;
		dummy.clockid = CLOCK_MONOTONIC;
	}
	rc = ptf_perf_writer_add_attr(rec->writer, &pt, "intel_pt//u", &pt_id, 1, err);
	if (rc < 0)
		return rc;
	return ptf_perf_writer_add_attr(rec->writer, &dummy, "dummy:u", &dummy_id, 1, err);
}

static int write_preamble(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct ptf_record info = {
	        .type = PTF_RECORD_AUXTRACE_INFO,
	        .auxtrace_info =
	                {
	                        .type = 1, /* Intel PT */
	                        .pmu_type = PT_PMU_TYPE,
	                        .time_mult = 1,
	                        .cap_user_time_zero = true,
	                        .tsc_bit = PT_CONFIG_TSC,
	                        .noretcomp_bit = PT_CONFIG_NORETCOMP,
	                        /* Whose data it is, is known; else perf looks for who ran on
	                         * the stream's CPU, and there is none. */
	                        .have_sched_switch = 0,
	                        .mtc_bit = PT_CONFIG_MTC,
	                        .mtc_freq_bits = PT_CONFIG_MTC_PERIOD_MASK,
	                        .tsc_ctc_ratio_n = PTF_SIM_TSC_CTC_RATIO_N,
	                        .tsc_ctc_ratio_d = PTF_SIM_TSC_CTC_RATIO_D,
	                        .cyc_bit = PT_CONFIG_CYC,
	                        .max_nonturbo_ratio = PTF_SIM_MAX_NONTURBO_RATIO,
	                },
	};
	struct ptf_record conv = {
	        .type = PTF_RECORD_TIME_CONV,
	        .time_conv = {.time_mult = 1, .cap_user_time_zero = true},
	};
	int rc = ptf_perf_writer_record(rec->writer, &info, err);

	return rc < 0 ? rc : ptf_perf_writer_record(rec->writer, &conv, err);
}

static int open_file(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	int rc = ptf_perf_writer_create(&rec->writer, rec->options->output, err);

	if (rc == 0)
		rc = add_events(rec, err);
	return rc < 0 ? rc : write_preamble(rec, err);
}

int ptf_sim_recording_create(struct ptf_sim_recording **recording,
        const struct ptf_sim_recording_setup *setup, struct ptf_error *err)
{
	struct ptf_sim_recording *rec = calloc(1, sizeof(*rec));
	int rc;

	if (!rec)
		return no_memory(err);
	rec->options = setup->options;
	rec->clock = setup->clock;
	rec->dilation = setup->dilation;
	rec->switches = setup->switches;
	if (ptf_vec_reserve(&rec->section, PTF_RECORD_INFO_SIZE)) {
		rec->section.n = PTF_RECORD_INFO_SIZE;
		rc = open_file(rec, err);
	} else {
		rc = no_memory(err);
	}
	if (rc < 0) {
		ptf_sim_recording_destroy(rec);
		return rc;
	}
	*recording = rec;
	return 0;
}

void ptf_sim_recording_destroy(struct ptf_sim_recording *rec)
{
	if (!rec)
		return;
	ptf_perf_writer_destroy(rec->writer);
	for (size_t i = 0; i < rec->streams.n; i++) {
		ptf_aux_writer_release(rec->streams.v[i]);
		free(rec->streams.v[i]);
	}
	ptf_vec_release(&rec->streams);
	ptf_vec_release(&rec->threads);
	ptf_vec_release(&rec->held);
	ptf_vec_release(&rec->section);
	ptf_vec_release(&rec->maps);
	ptf_stack_unwinder_destroy(rec->unwinder);
	ptf_hash_map_release(&rec->by_tid);
	ptf_arena_release(&rec->arena);
	free(rec);
}

/* --- records --- */

static const char **string_of(struct ptf_record *record)
{
	if (record->type == PTF_RECORD_MMAP2)
		return &record->mmap.filename;
	return record->type == PTF_RECORD_COMM ? &record->comm.comm : NULL;
}

static bool hold_chain(struct ptf_sim_recording *rec, struct ptf_record_sample *sample)
{
	size_t size = (size_t)sample->callchain_n * sizeof(uint64_t);
	void *copy = ptf_arena_alloc(&rec->arena, size);

	if (copy)
		memcpy(copy, sample->callchain, size);
	sample->callchain = copy;
	return copy != NULL;
}

static int hold(
        struct ptf_sim_recording *rec, const struct ptf_record *record, struct ptf_error *err)
{
	struct held_record held = {.record = *record, .order = rec->held.n};
	const char **text = string_of(&held.record);

	if (text)
		*text = ptf_arena_strdup(&rec->arena, *text);
	if (record->type == PTF_RECORD_SAMPLE && !hold_chain(rec, &held.record.sample))
		return no_memory(err);
	if ((text && !*text) || !ptf_vec_push(&rec->held, held))
		return no_memory(err);
	return 0;
}

static int emit(
        struct ptf_sim_recording *rec, const struct ptf_record *record, struct ptf_error *err)
{
	if (holds(rec))
		return hold(rec, record, err);
	return ptf_perf_writer_record(rec->writer, record, err);
}

static struct ptf_record new_record(
        enum ptf_record_type type, int32_t pid, int32_t tid, uint64_t time_ns)
{
	return (struct ptf_record){
	        .type = type,
	        .sid = {.time_ns = time_ns,
	                .id = DUMMY_EVENT_ID,
	                .pid = pid,
	                .tid = tid,
	                .cpu = -1,
	                .has_time = true},
	};
}

static int emit_comm(struct ptf_sim_recording *rec, struct sim_thread *thread, const char *comm,
        bool exec, uint64_t time_ns, struct ptf_error *err)
{
	struct ptf_record record = new_record(PTF_RECORD_COMM, thread->pid, thread->tid, time_ns);

	snprintf(thread->comm, sizeof(thread->comm), "%s", comm);
	record.misc = exec ? PTF_MISC_COMM_EXEC : 0;
	record.comm.pid = thread->pid;
	record.comm.tid = thread->tid;
	record.comm.comm = thread->comm;
	return thread->kept ? emit(rec, &record, err) : 0;
}

static int emit_task(struct ptf_sim_recording *rec, enum ptf_record_type type,
        const struct sim_thread *thread, uint64_t time_ns, struct ptf_error *err)
{
	struct ptf_record record = new_record(type, thread->pid, thread->tid, time_ns);

	record.task.pid = thread->pid;
	record.task.tid = thread->tid;
	record.task.ppid = thread->ppid;
	record.task.ptid = thread->ptid;
	record.task.time_ns = time_ns;
	return thread->kept ? emit(rec, &record, err) : 0;
}

/* --- threads --- */

static struct sim_thread *find_thread(struct ptf_sim_recording *rec, int32_t tid)
{
	uint64_t *at = ptf_hash_map_find(&rec->by_tid, (uint32_t)tid);

	return at ? &rec->threads.v[*at] : NULL;
}

static struct sim_thread *add_thread(struct ptf_sim_recording *rec, const struct ptf_sim_task *task)
{
	pid_t only = rec->options->tid;
	struct sim_thread thread = {.pid = task->pid,
	        .tid = task->tid,
	        .ppid = task->ppid,
	        .ptid = task->ptid,
	        .alive = true,
	        .kept = !only || only == task->real_tid};
	uint64_t *at = ptf_hash_map_at(&rec->by_tid, (uint32_t)task->tid, NULL);

	if (!at || !ptf_vec_push(&rec->threads, thread))
		return NULL;
	*at = rec->threads.n - 1;
	rec->counts.threads += thread.kept;
	rec->counts.processes += thread.kept && task->tid == task->pid;
	return &rec->threads.v[*at];
}

/* perf wants the thread map of a per-thread recording; its first thread says it all. */
static int map_thread(
        struct ptf_sim_recording *rec, const struct sim_thread *thread, struct ptf_error *err)
{
	struct ptf_record record = new_record(PTF_RECORD_THREAD_MAP, thread->pid, thread->tid, 0);

	if (rec->mapped || !thread->kept)
		return 0;
	rec->mapped = true;
	record.map.count = 1;
	return emit(rec, &record, err);
}

static int start_trace(struct ptf_sim_recording *rec, const struct sim_thread *thread,
        uint64_t time_ns, struct ptf_error *err)
{
	struct ptf_record record =
	        new_record(PTF_RECORD_ITRACE_START, thread->pid, thread->tid, time_ns);

	record.sid.id = PT_EVENT_ID;
	record.itrace_start.pid = thread->pid;
	record.itrace_start.tid = thread->tid;
	return thread->kept ? emit(rec, &record, err) : 0;
}

static int on_thread(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	struct ptf_sim_task task;
	const char *comm = ptf_sim_msg_string(msg, sizeof(task));
	struct sim_thread *thread;
	uint64_t time_ns;
	bool fresh;
	int rc = 0;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 1;
	time_ns = task.time_ns ? task.time_ns : base_ns;
	thread = find_thread(rec, task.tid);
	/* The first thread of a child is known from its parent's FORK. */
	fresh = !thread || !thread->alive || thread->pid != task.pid;
	if (fresh)
		thread = add_thread(rec, &task);
	if (!thread)
		return no_memory(err);
	rc = map_thread(rec, thread, err);
	/* A process is not its own child: perf would begin it anew and forget its maps. */
	if (rc == 0 && fresh && task.tid != task.pid)
		rc = emit_task(rec, PTF_RECORD_FORK, thread, time_ns, err);
	if (rc == 0 && strcmp(comm, thread->comm))
		rc = emit_comm(rec, thread, comm, false, time_ns, err);
	return rc < 0 ? rc : start_trace(rec, thread, time_ns, err);
}

static int on_fork(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	struct sim_thread *thread, *parent;
	struct ptf_sim_task task;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 1;
	note_time(rec, task.time_ns);
	thread = add_thread(rec, &task);
	if (!thread)
		return no_memory(err);
	parent = find_thread(rec, task.ptid);
	if (parent)
		memcpy(thread->comm, parent->comm, sizeof(thread->comm));
	return emit_task(rec, PTF_RECORD_FORK, thread, task.time_ns, err);
}

static struct ptf_aux_target aux_target(const struct ptf_sim_recording *rec)
{
	return (struct ptf_aux_target){
	        .writer = rec->writer, .event_id = PT_EVENT_ID, .time_ns = now_ns(rec)};
}

static int end_thread(struct ptf_sim_recording *rec, struct sim_thread *thread, uint64_t time_ns,
        struct ptf_error *err)
{
	note_time(rec, time_ns);
	thread->alive = false;
	thread->exit_ns = time_ns;
	return emit_task(rec, PTF_RECORD_EXIT, thread, time_ns, err);
}

static int on_exit_message(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg,
        uint64_t base_ns, struct ptf_error *err)
{
	struct sim_thread *thread;
	struct ptf_sim_task task;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 1;
	note_time(rec, task.time_ns);
	thread = find_thread(rec, task.tid);
	if (!thread || !thread->alive)
		return 0;
	return end_thread(rec, thread, task.time_ns, err);
}

int ptf_sim_recording_gone(
        struct ptf_sim_recording *rec, int32_t pid, uint64_t time_ns, struct ptf_error *err)
{
	int rc = 0;

	if (holds(rec))
		time_ns = rec->last_ns;
	for (size_t i = 0; i < rec->threads.n && rc == 0; i++) {
		struct sim_thread *thread = &rec->threads.v[i];

		if (thread->pid == pid && thread->alive)
			rc = end_thread(rec, thread, time_ns, err);
	}
	return rc;
}

/* --- stacks at START --- */

static bool keep_map(
        struct ptf_sim_recording *rec, const struct ptf_sim_mmap *map, const char *path)
{
	struct process_map kept = {.pid = map->pid,
	        .map = {.addr = map->addr,
	                .len = map->len,
	                .pgoff = map->pgoff,
	                .path = ptf_arena_strdup(&rec->arena, path)}};

	return kept.map.path && ptf_vec_push(&rec->maps, kept);
}

/* What was mapped at an earlier START of this process is not there any more. */
static void forget_maps(struct ptf_sim_recording *rec, int32_t pid)
{
	size_t n = 0;

	ptf_vec_foreach (map, &rec->maps) {
		if (map->pid != pid)
			rec->maps.v[n++] = *map;
	}
	rec->maps.n = n;
	if (rec->unwinder_pid == pid)
		rec->unwinder_pid = 0;
}

/* Makes the unwinder of a process; the next thread is likely to be of the same. */
static int choose_unwinder(struct ptf_sim_recording *rec, int32_t pid, struct ptf_error *err)
{
	struct ptf_unwind_maps maps = {0};
	int rc = 0;

	if (rec->unwinder && rec->unwinder_pid == pid)
		return 0;
	ptf_stack_unwinder_destroy(rec->unwinder);
	rec->unwinder = NULL;
	ptf_vec_foreach (map, &rec->maps) {
		if (map->pid == pid && !ptf_vec_push(&maps, map->map))
			rc = no_memory(err);
	}
	if (rc == 0)
		rc = ptf_stack_unwinder_create(&rec->unwinder, &maps, err);
	ptf_vec_release(&maps);
	rec->unwinder_pid = pid;
	return rc;
}

/* The chain of a thread as SAMPLE records: it may be longer than one can be. */
static int emit_chain(struct ptf_sim_recording *rec, const struct sim_thread *thread,
        uint64_t time_ns, const struct ptf_ips *ips, struct ptf_error *err)
{
	struct ptf_record record = new_record(PTF_RECORD_SAMPLE, thread->pid, thread->tid, time_ns);
	struct ptf_stack_sample sample;
	size_t done = 0;
	int rc = 0;

	while (done < ips->n && rc == 0) {
		done += ptf_stack_sample_fill(&sample, ips, done);
		record.sample = sample.record;
		rc = emit(rec, &record, err);
	}
	return rc;
}

static int unwind(struct ptf_sim_recording *rec, struct sim_thread *thread,
        const struct ptf_sim_stack *stack, const struct ptf_thread_copy *copy,
        struct ptf_error *err)
{
	struct ptf_ips ips = {0};
	int rc = choose_unwinder(rec, stack->pid, err);

	if (rc == -PTF_EIO) {
		ptf_log(PTF_LOG_WARN, "stacks of process %d are not known from the beginning",
		        stack->pid);
		return 0;
	}
	if (rc == 0)
		rc = ptf_stack_unwinder_run(rec->unwinder, copy, &ips, err);
	if (rc == 0)
		rc = emit_chain(rec, thread, stack->time_ns, &ips, err);
	ptf_vec_release(&ips);
	return rc;
}

static int on_stack(
        struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, struct ptf_error *err)
{
	struct ptf_thread_copy copy = {0};
	struct ptf_sim_stack stack;
	struct sim_thread *thread;

	if (!ptf_sim_msg_get(msg, &stack, sizeof(stack), &copy.stack))
		return 1;
	note_time(rec, stack.time_ns);
	thread = find_thread(rec, stack.tid);
	if (!thread || !thread->kept || thread->unwound)
		return 0;
	thread->unwound = true;
	memcpy(copy.regs, stack.regs, sizeof(copy.regs));
	copy.addr = stack.addr;
	copy.size = msg->size - sizeof(stack);
	return unwind(rec, thread, &stack, &copy, err);
}

static int on_process(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg)
{
	struct ptf_sim_task task;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 1;
	forget_maps(rec, task.pid);
	return 0;
}

/* --- the other messages --- */

static int on_mmap(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	struct ptf_record record;
	struct ptf_sim_mmap map;

	if (!ptf_sim_msg_get(msg, &map, sizeof(map), NULL))
		return 1;
	note_time(rec, map.time_ns);
	if (!map.time_ns && !keep_map(rec, &map, ptf_sim_msg_string(msg, sizeof(map))))
		return no_memory(err);
	record =
	        new_record(PTF_RECORD_MMAP2, map.pid, map.tid, map.time_ns ? map.time_ns : base_ns);
	record.misc = PERF_RECORD_MISC_USER;
	record.mmap = (struct ptf_record_mmap){
	        .pid = map.pid,
	        .tid = map.tid,
	        .addr = map.addr,
	        .len = map.len,
	        .pgoff = map.pgoff,
	        .maj = map.maj,
	        .min = map.min,
	        .ino = map.ino,
	        .prot = map.prot,
	        .flags = map.flags,
	        .has_inode = true,
	        .filename = ptf_sim_msg_string(msg, sizeof(map)),
	};
	return emit(rec, &record, err);
}

static int on_comm(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	struct sim_thread *thread;
	struct ptf_sim_comm comm;

	if (!ptf_sim_msg_get(msg, &comm, sizeof(comm), NULL))
		return 1;
	note_time(rec, comm.time_ns);
	thread = find_thread(rec, comm.tid);
	if (!thread)
		return 0;
	return emit_comm(rec, thread, ptf_sim_msg_string(msg, sizeof(comm)), comm.exec,
	        comm.time_ns ? comm.time_ns : base_ns, err);
}

/* execve: the threads but the leader end, the leader goes on under a new name (if it is simulated
 * again; else it is out of sight, which is as good as its end). So does its stream, of which the
 * old program's last bytes may still come. */
static int on_exec(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	const char *path = ptf_sim_msg_string(msg, sizeof(struct ptf_sim_exec));
	const char *slash = strrchr(path, '/');
	struct sim_thread *leader;
	struct ptf_sim_exec exec;
	int rc = 0;

	if (!ptf_sim_msg_get(msg, &exec, sizeof(exec), NULL))
		return 1;
	note_time(rec, exec.time_ns);
	for (size_t i = 0; i < rec->threads.n && rc == 0; i++) {
		struct sim_thread *thread = &rec->threads.v[i];

		if (thread->pid == exec.pid && thread->tid != exec.pid && thread->alive)
			rc = end_thread(rec, thread, exec.time_ns, err);
	}
	leader = find_thread(rec, exec.pid);
	if (rc < 0 || !leader || !leader->alive)
		return rc;
	rc = emit_comm(rec, leader, slash ? slash + 1 : path, true, exec.time_ns, err);
	if (rc == 0 && !exec.simulated)
		rc = end_thread(rec, leader, exec.time_ns, err);
	return rc;
}

/* --- AUX data --- */

static struct ptf_aux_writer *new_stream(struct ptf_sim_recording *rec, struct sim_thread *thread)
{
	struct ptf_aux_writer *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	ptf_aux_writer_init(stream, thread->pid, thread->tid, holds(rec));
	stream->idx = (uint32_t)rec->streams.n;
	if (!ptf_vec_push(&rec->streams, stream)) {
		free(stream);
		return NULL;
	}
	thread->stream = stream;
	return stream;
}

/* The thread waited for us. */
static int add_wait(
        struct ptf_sim_recording *rec, const struct ptf_sim_aux *aux, struct ptf_error *err)
{
	struct ptf_record_wait wait = {aux->tid, aux->waited_from_ns, aux->waited_to_ns};

	if (wait.from_ns >= wait.to_ns)
		return 0;
	rec->counts.waited_ns += wait.to_ns - wait.from_ns;
	if (!ptf_vec_reserve(&rec->section, PTF_RECORD_WAIT_SIZE))
		return no_memory(err);
	ptf_record_wait_encode(&wait, rec->section.v + rec->section.n);
	rec->section.n += PTF_RECORD_WAIT_SIZE;
	return 0;
}

static int on_aux(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	struct ptf_aux_target target = aux_target(rec);
	struct ptf_aux_piece piece;
	struct sim_thread *thread;
	struct ptf_sim_aux aux;
	const uint8_t *bytes;

	if (!ptf_sim_msg_get(msg, &aux, sizeof(aux), &bytes) || msg->size - sizeof(aux) < aux.size)
		return 1;
	thread = find_thread(rec, aux.tid);
	if (!thread)
		return ptf_error_set(err, PTF_EFORMAT, "trace data of unknown thread %d", aux.tid);
	if (!thread->kept)
		return 0;
	if (!thread->stream && !new_stream(rec, thread))
		return no_memory(err);
	piece = (struct ptf_aux_piece){.offset = aux.offset, .size = aux.size, .flags = aux.flags};
	if (add_wait(rec, &aux, err) < 0)
		return -PTF_ENOMEM;
	rec->counts.aux_bytes += aux.size;
	rec->counts.truncations += !!(aux.flags & PTF_AUX_FLAG_TRUNCATED);
	return ptf_aux_writer_append(thread->stream, &target, &piece, bytes, err);
}

/* --- the window --- */

static int on_started(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg)
{
	struct ptf_sim_time time;

	if (!ptf_sim_msg_get(msg, &time, sizeof(time), NULL))
		return 1;
	if (!rec->started || time.time_ns < rec->start_ns)
		rec->start_ns = time.time_ns;
	rec->started = true;
	note_time(rec, time.time_ns);
	return 0;
}

static int on_stopped(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg)
{
	struct ptf_sim_time time;

	if (!ptf_sim_msg_get(msg, &time, sizeof(time), NULL))
		return 1;
	rec->counts.lost_aux_bytes += time.lost_bytes;
	note_time(rec, time.time_ns);
	return 0;
}

/* <0 errors, 0 done, 1 the body is too short. */
static int dispatch(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg, uint64_t base_ns,
        struct ptf_error *err)
{
	switch (msg->type) {
	case PTF_SIM_PROCESS:
		return on_process(rec, msg);
	case PTF_SIM_STACK:
		return on_stack(rec, msg, err);
	case PTF_SIM_THREAD:
		return on_thread(rec, msg, base_ns, err);
	case PTF_SIM_STARTED:
		return on_started(rec, msg);
	case PTF_SIM_MMAP:
		return on_mmap(rec, msg, base_ns, err);
	case PTF_SIM_COMM:
		return on_comm(rec, msg, base_ns, err);
	case PTF_SIM_FORK:
		return on_fork(rec, msg, base_ns, err);
	case PTF_SIM_EXEC:
		return on_exec(rec, msg, base_ns, err);
	case PTF_SIM_EXIT:
		return on_exit_message(rec, msg, base_ns, err);
	case PTF_SIM_AUX:
		return on_aux(rec, msg, base_ns, err);
	case PTF_SIM_STOPPED:
		return on_stopped(rec, msg);
	default:
		return 0;
	}
}

int ptf_sim_recording_message(struct ptf_sim_recording *rec, const struct ptf_sim_msg *msg,
        uint64_t base_ns, struct ptf_error *err)
{
	int rc = dispatch(rec, msg, base_ns, err);

	if (rc <= 0)
		return rc;
	return ptf_error_set(err, PTF_EFORMAT,
	        "simulator message of type %u is too short (%zu bytes)", msg->type, msg->size);
}

int ptf_sim_recording_switch(struct ptf_sim_recording *rec, int32_t pid, int32_t tid,
        const struct ptf_switch *sw, struct ptf_error *err)
{
	struct sim_thread *thread = find_thread(rec, tid);
	struct ptf_record record = new_record(PTF_RECORD_SWITCH, pid, tid, sw->time_ns);

	/* qemu's own way out of a thread is not the guest's. */
	if (thread && (!thread->kept || (!thread->alive && sw->time_ns > thread->exit_ns)))
		return 0;
	record.sid.cpu = sw->cpu;
	if (sw->lost) {
		rec->counts.lost_switches += sw->lost;
		record.type = PTF_RECORD_LOST;
		record.lost.id = DUMMY_EVENT_ID;
		record.lost.count = sw->lost;
		return emit(rec, &record, err);
	}
	rec->counts.switches++;
	record.sw = (struct ptf_record_switch){
	        .next_prev_pid = -1, .next_prev_tid = -1, .out = sw->out, .preempt = sw->preempt};
	record.misc = (uint16_t)((sw->out ? PTF_MISC_SWITCH_OUT : 0) |
	                         (sw->preempt ? PTF_MISC_SWITCH_OUT_PREEMPT : 0));
	return emit(rec, &record, err);
}

static int flush_streams(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct ptf_aux_target target = aux_target(rec);
	int rc = 0;

	for (size_t i = 0; i < rec->streams.n && rc == 0; i++)
		rc = ptf_aux_writer_flush(rec->streams.v[i], &target, err);
	return rc;
}

int ptf_sim_recording_round(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct ptf_record record = {.type = PTF_RECORD_FINISHED_ROUND};
	int rc;

	if (holds(rec))
		return 0;
	rc = flush_streams(rec, err);
	if (rc < 0)
		return rc;
	return ptf_perf_writer_record(rec->writer, &record, err);
}

void ptf_sim_recording_lacks_switches(struct ptf_sim_recording *rec)
{
	rec->lacks_switches = true;
}

uint64_t ptf_sim_recording_size(const struct ptf_sim_recording *rec)
{
	const uint64_t bytes_per_switch = 56;

	return rec->counts.aux_bytes + rec->counts.switches * bytes_per_switch;
}

/* --- the end --- */

static int compare_held(const void *a, const void *b)
{
	const struct held_record *x = a, *y = b;

	if (x->record.sid.time_ns != y->record.sid.time_ns)
		return x->record.sid.time_ns < y->record.sid.time_ns ? -1 : 1;
	if (x->record.sid.pid != y->record.sid.pid)
		return x->record.sid.pid < y->record.sid.pid ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Streams of one thread id (after exec) keep their order: idx still is the order of appearance. */
static int compare_streams(const void *a, const void *b)
{
	const struct ptf_aux_writer *x = *(struct ptf_aux_writer *const *)a;
	const struct ptf_aux_writer *y = *(struct ptf_aux_writer *const *)b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static int write_held(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct ptf_aux_target target = aux_target(rec);
	int rc = 0;

	if (rec->held.n)
		qsort(rec->held.v, rec->held.n, sizeof(*rec->held.v), compare_held);
	for (size_t i = 0; i < rec->held.n && rc == 0; i++)
		rc = ptf_perf_writer_record(rec->writer, &rec->held.v[i].record, err);
	if (rec->streams.n)
		qsort(rec->streams.v, rec->streams.n, sizeof(*rec->streams.v), compare_streams);
	for (size_t i = 0; i < rec->streams.n && rc == 0; i++) {
		rec->streams.v[i]->idx = (uint32_t)i;
		rc = ptf_aux_writer_write_spool(rec->streams.v[i], &target, err);
	}
	return rc;
}

static int finish_file(struct ptf_sim_recording *rec, struct ptf_error *err)
{
	struct ptf_record_info info = {
	        .start_ns = rec->start_ns,
	        .end_ns = rec->end_ns,
	        .simulated = true,
	        .clock = rec->clock,
	        .dilation = rec->dilation,
	        .switches = rec->switches && !rec->lacks_switches,
	        .lossy = rec->options->lossy || rec->counts.truncations,
	};
	struct utsname uts = {0};
	struct ptf_perf_features features = {
	        .hostname = uts.nodename,
	        .os_release = uts.release,
	        .arch = uts.machine,
	        .cpuid = PTF_SIM_CPUID,
	        .cpu_desc = "simulated Intel PT (ptflame sim)",
	        .nr_cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
	        .argc = rec->options->argc,
	        .argv = rec->options->argv,
	        .ptflame = rec->section.v,
	        .ptflame_size = rec->section.n,
	};

	uname(&uts);
	ptf_record_info_encode(&info, rec->section.v);
	return ptf_perf_writer_finish(rec->writer, &features, &rec->counts.file_bytes, err);
}

int ptf_sim_recording_finish(
        struct ptf_sim_recording *rec, struct ptf_record_result *result, struct ptf_error *err)
{
	int rc = flush_streams(rec, err);

	rec->end_ns = rec->last_ns > rec->start_ns ? rec->last_ns : rec->start_ns;
	if (rc == 0 && holds(rec))
		rc = write_held(rec, err);
	if (rc == 0)
		rc = finish_file(rec, err);
	if (rc < 0)
		return rc;
	rec->counts.simulated = true;
	rec->counts.dilation = rec->dilation;
	rec->counts.switches_missing = !holds(rec) && (!rec->switches || rec->lacks_switches);
	*result = rec->counts;
	return 0;
}
