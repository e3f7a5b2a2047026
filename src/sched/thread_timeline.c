/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "sched/thread_timeline.h"

/* A thread's life while records come in. */
struct life {
	struct ptf_thread_timeline t;
	PTF_VEC(struct ptf_off_span) spans;
	uint64_t out_ns;    /* switched out since; valid when out */
	bool out, switched; /* off now; a switch record was seen */
	uint8_t out_reason; /* enum ptf_off_reason */
	size_t earlier;     /* life of the same tid before this one + 1, 0: none */
};

struct cpu_history {
	PTF_VEC(struct ptf_cpu_span) spans;
};

struct ptf_timelines {
	struct ptf_arena arena;
	PTF_VEC(struct life) lives;
	struct ptf_hash_map by_tid; /* tid -> index of its last life */
	PTF_VEC(struct cpu_history) cpus;
	struct ptf_thread_timeline *frozen;
	uint64_t first_ns, last_ns;
	bool any_time, switches, reasons_unknown;
};

struct ptf_timelines *ptf_timelines_create(void)
{
	return calloc(1, sizeof(struct ptf_timelines));
}

void ptf_timelines_destroy(struct ptf_timelines *timelines)
{
	if (!timelines)
		return;
	ptf_vec_foreach (life, &timelines->lives)
		ptf_vec_release(&life->spans);
	ptf_vec_foreach (cpu, &timelines->cpus)
		ptf_vec_release(&cpu->spans);
	ptf_vec_release(&timelines->lives);
	ptf_vec_release(&timelines->cpus);
	ptf_hash_map_release(&timelines->by_tid);
	ptf_arena_release(&timelines->arena);
	free(timelines->frozen);
	free(timelines);
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for thread timelines");
}

static struct life *last_life(struct ptf_timelines *timelines, int32_t tid)
{
	uint64_t *at = ptf_hash_map_find(&timelines->by_tid, (uint32_t)tid);

	return at ? &timelines->lives.v[*at] : NULL;
}

/* Begins a life of tid; the one before, if any, stays reachable through `earlier`. */
static struct life *new_life(struct ptf_timelines *timelines, int32_t pid, int32_t tid)
{
	bool made;
	uint64_t *at = ptf_hash_map_at(&timelines->by_tid, (uint32_t)tid, &made);
	struct life life = {.t = {.pid = pid, .tid = tid, .comm = "", .end_ns = UINT64_MAX}};

	if (!at)
		return NULL;
	life.earlier = made ? 0 : *at + 1;
	if (!ptf_vec_push(&timelines->lives, life))
		return NULL;
	*at = timelines->lives.n - 1;
	return &timelines->lives.v[*at];
}

/* The life that is going on; a mention after EXIT without FORK belongs to the life that ended
 * (its last switch-out comes after its EXIT record). NULL: out of memory. */
static struct life *current_life(struct ptf_timelines *timelines, int32_t pid, int32_t tid)
{
	struct life *life = last_life(timelines, tid);

	if (!life)
		life = new_life(timelines, pid, tid);
	if (life && life->t.pid < 0)
		life->t.pid = pid;
	return life;
}

static int add_comm(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	struct life *life = current_life(timelines, record->comm.pid, record->comm.tid);
	char *comm = life ? ptf_arena_strdup(&timelines->arena, record->comm.comm) : NULL;

	if (!comm)
		return no_memory(err);
	life->t.comm = comm;
	return 0;
}

/* The next life of a tid; if the end of the one before was not recorded, it is over by now. */
static struct life *succeed(
        struct ptf_timelines *timelines, struct life *old, const struct ptf_record *record)
{
	if (old && !old->t.exited)
		old->t.end_ns = record->task.time_ns;
	return new_life(timelines, record->task.pid, record->task.tid);
}

static int add_fork(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	struct life *parent = last_life(timelines, record->task.ptid);
	struct life *old = last_life(timelines, record->task.tid);
	const char *comm = parent ? parent->t.comm : "";
	struct life *life;

	/* perf repeats FORK in the rings of several CPUs; the one of an unused life is it. */
	if (old && !old->t.exited && !old->switched && !old->t.forked)
		life = old;
	else if (old && !old->t.exited && old->t.forked && old->t.start_ns == record->task.time_ns)
		return 0;
	else
		life = succeed(timelines, old, record);
	if (!life)
		return no_memory(err);
	life->t.forked = record->task.time_ns != 0;
	life->t.start_ns = record->task.time_ns;
	if (!*life->t.comm)
		life->t.comm = comm;
	/* A new thread waits for its first switch-in: runnable, like a preempted one. */
	return 0;
}

static int add_exit(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	struct life *life = last_life(timelines, record->task.tid);

	if (!life)
		life = new_life(timelines, record->task.pid, record->task.tid);
	if (!life)
		return no_memory(err);
	life->t.exited = true;
	life->t.end_ns = record->task.time_ns;
	return 0;
}

static int close_span(struct life *life, uint64_t to_ns, struct ptf_error *err)
{
	struct ptf_off_span span = {life->out_ns, to_ns, life->out_reason};

	life->out = false;
	if (to_ns <= span.from_ns)
		return 0;
	return ptf_vec_push(&life->spans, span) ? 0 : no_memory(err);
}

/* From the record's time on its CPU runs (pid, tid). */
static int note_cpu(struct ptf_timelines *timelines, const struct ptf_record *record, int32_t pid,
        int32_t tid, struct ptf_error *err)
{
	int32_t before_pid = record->sw.out ? record->sid.pid : -1;
	int32_t before_tid = record->sw.out ? record->sid.tid : -1;
	struct ptf_cpu_span span = {record->sid.time_ns, pid, tid};
	int32_t cpu = record->sid.cpu;
	struct cpu_history *history;

	if (cpu < 0 || cpu > 65535)
		return 0;
	while ((size_t)cpu >= timelines->cpus.n) {
		if (!ptf_vec_push(&timelines->cpus, (struct cpu_history){0}))
			return no_memory(err);
	}
	history = &timelines->cpus.v[cpu];
	/* A first record that switches a thread out tells who ran before. */
	if (!history->spans.n && before_tid > 0 &&
	        !ptf_vec_push(&history->spans, (struct ptf_cpu_span){0, before_pid, before_tid}))
		return no_memory(err);
	if (history->spans.n && history->spans.v[history->spans.n - 1].tid == tid)
		return 0;
	return ptf_vec_push(&history->spans, span) ? 0 : no_memory(err);
}

/* runnable: the records say so; before Linux 4.17 they never do. */
static enum ptf_off_reason out_reason(const struct ptf_timelines *timelines, bool runnable)
{
	if (runnable)
		return PTF_OFF_PREEMPTED;
	return timelines->reasons_unknown ? PTF_OFF_UNKNOWN : PTF_OFF_BLOCKED;
}

static int thread_out(struct ptf_timelines *timelines, const struct ptf_record *record, int32_t pid,
        int32_t tid, struct ptf_error *err)
{
	struct life *life = current_life(timelines, pid, tid);

	if (!life)
		return no_memory(err);
	if (!life->out) {
		life->out = true;
		life->out_ns = record->sid.time_ns;
		life->out_reason = out_reason(timelines, record->sw.preempt);
	}
	life->switched = true;
	return 0;
}

static int thread_in(struct ptf_timelines *timelines, const struct ptf_record *record, int32_t pid,
        int32_t tid, struct ptf_error *err)
{
	struct life *life = current_life(timelines, pid, tid);

	if (!life)
		return no_memory(err);
	/* The first switch tells the state before it: its opposite. */
	if (!life->switched && !life->out) {
		life->out = true;
		life->out_ns = life->t.start_ns;
		life->out_reason = out_reason(timelines, life->t.forked);
	}
	life->switched = true;
	return life->out ? close_span(life, record->sid.time_ns, err) : 0;
}

/* SWITCH and SWITCH_CPU_WIDE of the thread in the sample_id; tid 0 is the idle task. */
static int add_switch(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	int32_t pid = record->sid.pid, tid = record->sid.tid;
	bool out = record->sw.out;
	int rc = 0;

	if (!record->sid.has_time)
		return 0;
	timelines->switches = true;
	if (tid > 0)
		rc = out ? thread_out(timelines, record, pid, tid, err)
		         : thread_in(timelines, record, pid, tid, err);
	if (rc < 0)
		return rc;
	if (!out)
		return note_cpu(timelines, record, pid, tid, err);
	if (record->type == PTF_RECORD_SWITCH_CPU_WIDE)
		return note_cpu(
		        timelines, record, record->sw.next_prev_pid, record->sw.next_prev_tid, err);
	return note_cpu(timelines, record, -1, -1, err);
}

static void note_time(struct ptf_timelines *timelines, const struct ptf_record *record)
{
	uint64_t time_ns = record->sid.time_ns;

	if (!record->sid.has_time || !time_ns)
		return;
	if (!timelines->any_time || time_ns < timelines->first_ns)
		timelines->first_ns = time_ns;
	if (!timelines->any_time || time_ns > timelines->last_ns)
		timelines->last_ns = time_ns;
	timelines->any_time = true;
}

int ptf_timelines_add(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	note_time(timelines, record);
	switch (record->type) {
	case PTF_RECORD_COMM:
		return record->comm.tid > 0 ? add_comm(timelines, record, err) : 0;
	case PTF_RECORD_FORK:
		return record->task.tid > 0 ? add_fork(timelines, record, err) : 0;
	case PTF_RECORD_EXIT:
		return record->task.tid > 0 ? add_exit(timelines, record, err) : 0;
	case PTF_RECORD_SWITCH:
	case PTF_RECORD_SWITCH_CPU_WIDE:
		return add_switch(timelines, record, err);
	case PTF_RECORD_ITRACE_START:
		return ptf_timelines_mention(
		        timelines, record->itrace_start.pid, record->itrace_start.tid, err);
	default:
		return 0;
	}
}

int ptf_timelines_mention(
        struct ptf_timelines *timelines, int32_t pid, int32_t tid, struct ptf_error *err)
{
	if (tid <= 0)
		return 0;
	return current_life(timelines, pid, tid) ? 0 : no_memory(err);
}

void ptf_timelines_reasons_unknown(struct ptf_timelines *timelines)
{
	timelines->reasons_unknown = true;
}

void ptf_timelines_range(
        const struct ptf_timelines *timelines, uint64_t *first_ns, uint64_t *last_ns)
{
	*first_ns = timelines->first_ns;
	*last_ns = timelines->last_ns;
}

static uint64_t clamp(uint64_t x, uint64_t low, uint64_t high)
{
	return x < low ? low : x > high ? high : x;
}

/* Clips life and spans to the window; spans that become empty go. */
static int freeze_life(struct ptf_timelines *timelines, struct life *life, uint64_t start_ns,
        uint64_t end_ns, struct ptf_error *err)
{
	struct ptf_thread_timeline *t = &life->t;
	size_t kept = 0;

	t->start_ns = clamp(t->start_ns, start_ns, end_ns);
	t->end_ns = clamp(t->end_ns, t->start_ns, end_ns);
	if (life->out && close_span(life, UINT64_MAX, err) < 0)
		return -PTF_ENOMEM;
	for (size_t i = 0; i < life->spans.n; i++) {
		struct ptf_off_span span = life->spans.v[i];

		span.from_ns = clamp(span.from_ns, t->start_ns, t->end_ns);
		span.to_ns = clamp(span.to_ns, t->start_ns, t->end_ns);
		/* Records of two CPUs may disagree by some ns: spans never overlap here. */
		if (kept && span.from_ns < life->spans.v[kept - 1].to_ns)
			span.from_ns = life->spans.v[kept - 1].to_ns;
		if (span.from_ns < span.to_ns)
			life->spans.v[kept++] = span;
	}
	life->spans.n = kept;
	t->off = life->spans.v;
	t->n_off = kept;
	return 0;
}

int ptf_timelines_freeze(
        struct ptf_timelines *timelines, uint64_t start_ns, uint64_t end_ns, struct ptf_error *err)
{
	size_t n = timelines->lives.n;

	timelines->frozen = calloc(n ? n : 1, sizeof(*timelines->frozen));
	if (!timelines->frozen)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		if (freeze_life(timelines, &timelines->lives.v[i], start_ns, end_ns, err) < 0)
			return -PTF_ENOMEM;
		timelines->frozen[i] = timelines->lives.v[i].t;
	}
	return 0;
}

bool ptf_timelines_switches(const struct ptf_timelines *timelines)
{
	return timelines->switches;
}

const struct ptf_thread_timeline *ptf_timelines_all(
        const struct ptf_timelines *timelines, size_t *n)
{
	*n = timelines->lives.n;
	return timelines->frozen;
}

const struct ptf_thread_timeline *ptf_timelines_find(
        const struct ptf_timelines *timelines, int32_t tid, uint64_t time_ns)
{
	uint64_t *at = ptf_hash_map_find(&timelines->by_tid, (uint32_t)tid);
	size_t i;

	if (!at)
		return NULL;
	i = (size_t)*at;
	while (timelines->lives.v[i].earlier && time_ns < timelines->frozen[i].start_ns)
		i = timelines->lives.v[i].earlier - 1;
	if (time_ns == UINT64_MAX) {
		while (timelines->lives.v[i].earlier)
			i = timelines->lives.v[i].earlier - 1;
	}
	return &timelines->frozen[i];
}

const struct ptf_cpu_span *ptf_timelines_cpu(
        const struct ptf_timelines *timelines, int32_t cpu, size_t *n)
{
	*n = 0;
	if (cpu < 0 || (size_t)cpu >= timelines->cpus.n)
		return NULL;
	*n = timelines->cpus.v[cpu].spans.n;
	return timelines->cpus.v[cpu].spans.v;
}

size_t ptf_thread_timeline_off_after(const struct ptf_thread_timeline *thread, uint64_t time_ns)
{
	size_t low = 0, high = thread->n_off;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (thread->off[middle].to_ns > time_ns)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
