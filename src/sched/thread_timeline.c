/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "sched/thread_timeline.h"

#define NOT_WOKEN UINT64_MAX

/* Who tells of a switch. */
enum source { SOURCE_SWITCH, SOURCE_TRACEPOINT };

/* A thread's life while records come in. */
struct life {
	struct ptf_thread_timeline t;
	uint64_t born_ns; /* start, not clipped to the window; valid when frozen */
	PTF_VEC(struct ptf_off_span) spans;
	uint64_t out_ns;     /* switched out since; valid when out */
	uint64_t woken_ns;   /* runnable again since, NOT_WOKEN: not while out */
	bool out, switched;  /* off now; a switch record was seen */
	uint8_t out_reason;  /* enum ptf_off_reason */
	uint8_t out_told;    /* by which sources (1 << enum source) it went out last */
	uint8_t before_told; /* ... when it left before_cpu */
	int32_t cpu;         /* where it runs or ran last, -1 unknown */
	int32_t before_cpu;  /* the one before, -1 unknown */
	size_t earlier;      /* life of the same tid before this one + 1, 0: none */
};

struct cpu_history {
	PTF_VEC(struct ptf_cpu_span) spans;
	bool traced; /* by sched_switch, which always says who comes next */
};

struct ptf_timelines {
	struct ptf_arena arena;
	PTF_VEC(struct life) lives;
	struct ptf_hash_map by_tid; /* tid -> index of its last life */
	PTF_VEC(struct cpu_history) cpus;
	PTF_VEC(struct ptf_record_wait) waits; /* after freeze by tid and time */
	struct ptf_thread_timeline *frozen;
	uint64_t first_ns, last_ns;
	const struct ptf_tracepoints *tracepoints; /* borrowed, NULL: none */
	bool any_time, switches, reasons_unknown;
	bool traced_switches; /* there was a sched_switch ... */
	bool traced_machine;  /* ... of the idle task */
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
	ptf_vec_release(&timelines->waits);
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
	struct life life = {.t = {.pid = pid, .tid = tid, .comm = "", .end_ns = UINT64_MAX},
	        .woken_ns = NOT_WOKEN,
	        .cpu = -1,
	        .before_cpu = -1};

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
static struct life *any_life(struct ptf_timelines *timelines, int32_t pid, int32_t tid)
{
	struct life *life = last_life(timelines, tid);

	if (!life)
		life = new_life(timelines, pid, tid);
	if (life && life->t.pid < 0)
		life->t.pid = pid;
	return life;
}

/* The same, of a thread that a record names. */
static struct life *current_life(struct ptf_timelines *timelines, int32_t pid, int32_t tid)
{
	struct life *life = any_life(timelines, pid, tid);

	if (life)
		life->t.named = true;
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
	life->t.named = true;
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
	life->t.named = true;
	life->t.exited = true;
	life->t.end_ns = record->task.time_ns;
	return 0;
}

/* Ends the time off the CPU: as it began up to the wakeup, if one is known, then in the run queue.
 */
static int close_span(struct life *life, uint64_t to_ns, struct ptf_error *err)
{
	struct ptf_off_span span = {life->out_ns, to_ns, life->out_reason};
	struct ptf_off_span queued = {life->woken_ns, to_ns, PTF_OFF_RUNQUEUE};

	life->out = false;
	if (life->woken_ns != NOT_WOKEN && life->woken_ns < to_ns) {
		span.to_ns = life->woken_ns;
		if (span.from_ns > span.to_ns)
			queued.from_ns = span.from_ns;
	} else {
		queued.from_ns = to_ns;
	}
	life->woken_ns = NOT_WOKEN;
	if (span.from_ns < span.to_ns && !ptf_vec_push(&life->spans, span))
		return no_memory(err);
	if (queued.from_ns < queued.to_ns && !ptf_vec_push(&life->spans, queued))
		return no_memory(err);
	return 0;
}

/* ---- who runs on a CPU ---- */

/* NULL: no such CPU (*rc 0) or out of memory. */
static struct cpu_history *cpu_at(
        struct ptf_timelines *timelines, int32_t cpu, int *rc, struct ptf_error *err)
{
	*rc = 0;
	if (cpu < 0 || cpu > 65535)
		return NULL;
	while ((size_t)cpu >= timelines->cpus.n) {
		if (!ptf_vec_push(&timelines->cpus, (struct cpu_history){0})) {
			*rc = no_memory(err);
			return NULL;
		}
	}
	return &timelines->cpus.v[cpu];
}

/* From a time on the CPU runs (pid, tid); before: who ran until then, tid <= 0 unknown. */
static int note_cpu(struct cpu_history *history, struct ptf_cpu_span span, int32_t before_pid,
        int32_t before_tid, struct ptf_error *err)
{
	/* A first record that switches a thread out tells who ran before. */
	if (!history->spans.n && before_tid > 0 &&
	        !ptf_vec_push(&history->spans, (struct ptf_cpu_span){0, before_pid, before_tid}))
		return no_memory(err);
	if (history->spans.n && history->spans.v[history->spans.n - 1].tid == span.tid)
		return 0;
	return ptf_vec_push(&history->spans, span) ? 0 : no_memory(err);
}

static int note_cpu_of_switch(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	const struct ptf_sample_id *sid = &record->sid;
	bool out = record->sw.out;
	struct ptf_cpu_span span = {sid->time_ns, sid->pid, sid->tid};
	struct cpu_history *history;
	int rc;

	history = cpu_at(timelines, sid->cpu, &rc, err);
	if (!history)
		return rc;
	if (out) {
		/* One that does not say who comes next unsays nothing. */
		if (record->type == PTF_RECORD_SWITCH && history->traced)
			return 0;
		span.pid = record->sw.next_prev_pid;
		span.tid = record->sw.next_prev_tid;
	}
	return note_cpu(history, span, out ? sid->pid : -1, out ? sid->tid : -1, err);
}

/* ---- switches ---- */

/* runnable: the records say so; before Linux 4.17 SWITCH never does. */
static enum ptf_off_reason out_reason(
        const struct ptf_timelines *timelines, enum source source, bool runnable)
{
	if (runnable)
		return PTF_OFF_PREEMPTED;
	return timelines->reasons_unknown && source == SOURCE_SWITCH ? PTF_OFF_UNKNOWN
	                                                             : PTF_OFF_BLOCKED;
}

/* It left a CPU where it had been before the one where it is now, and the clocks of the two
 * disagree: the record comes after the switch-in that followed it. */
static bool is_stale(const struct life *life, int32_t cpu, enum source source)
{
	return cpu != life->cpu && cpu >= 0 && cpu == life->before_cpu &&
	       !(life->before_told & 1u << source);
}

static int thread_out(struct ptf_timelines *timelines, struct life *life,
        const struct ptf_sample_id *sid, enum source source, bool runnable, struct ptf_error *err)
{
	enum ptf_off_reason reason = out_reason(timelines, source, runnable);

	if (is_stale(life, sid->cpu, source)) {
		life->before_told |= (uint8_t)(1u << source);
		return 0;
	}
	if (life->out && !(life->out_told & 1u << source)) { /* the other source's word */
		life->out_told |= (uint8_t)(1u << source);
		if (life->out_reason == PTF_OFF_UNKNOWN)
			life->out_reason = (uint8_t)reason;
		return 0;
	}
	/* Out twice: a switch-in between was lost, nobody knows when; off until now. */
	if (life->out && close_span(life, sid->time_ns, err) < 0)
		return -PTF_ENOMEM;
	life->out = life->switched = true;
	life->out_ns = sid->time_ns;
	life->woken_ns = NOT_WOKEN;
	life->out_reason = (uint8_t)reason;
	life->out_told = (uint8_t)(1u << source);
	life->cpu = sid->cpu;
	return 0;
}

/* The reason of a thread that was off before anything was seen of it: a new one waits for its
 * first CPU. */
static enum ptf_off_reason first_reason(
        const struct ptf_timelines *timelines, const struct life *life, enum source source)
{
	if (life->woken_ns != NOT_WOKEN)
		return PTF_OFF_BLOCKED;
	return out_reason(timelines, source, life->t.forked);
}

static void was_off(struct ptf_timelines *timelines, struct life *life, enum source source)
{
	life->out = true;
	life->out_ns = life->t.start_ns;
	life->out_reason = (uint8_t)first_reason(timelines, life, source);
}

static int thread_in(struct ptf_timelines *timelines, struct life *life,
        const struct ptf_sample_id *sid, enum source source, struct ptf_error *err)
{
	/* The first switch tells the state before it: its opposite. */
	if (!life->switched)
		was_off(timelines, life, source);
	life->switched = true;
	if (sid->cpu != life->cpu) {
		life->before_cpu = life->cpu;
		life->before_told = life->out ? life->out_told : 0;
		life->cpu = sid->cpu;
	}
	return life->out ? close_span(life, sid->time_ns, err) : 0;
}

/* SWITCH and SWITCH_CPU_WIDE of the thread in the sample_id; tid 0 is the idle task. The latter
 * tells of every thread of a CPU: perf asks for it even where it records one process. */
static int add_switch(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	const struct ptf_sample_id *sid = &record->sid;
	struct life *life;
	int rc = 0;

	if (!sid->has_time)
		return 0;
	timelines->switches = true;
	if (sid->tid > 0) {
		life = any_life(timelines, sid->pid, sid->tid);
		if (!life)
			return no_memory(err);
		life->t.named |= record->type == PTF_RECORD_SWITCH;
		rc = record->sw.out ? thread_out(timelines, life, sid, SOURCE_SWITCH,
		                              record->sw.preempt, err)
		                    : thread_in(timelines, life, sid, SOURCE_SWITCH, err);
	}
	return rc < 0 ? rc : note_cpu_of_switch(timelines, record, err);
}

/* ---- tracepoints ---- */

static int add_traced_switch(struct ptf_timelines *timelines, const struct ptf_record *record,
        const struct ptf_tracepoint *point, struct ptf_error *err)
{
	const struct ptf_sample_id *sid = &record->sid;
	struct cpu_history *history;
	struct life *life;
	int rc = 0;

	timelines->traced_switches = true;
	timelines->traced_machine |= point->prev_tid == 0;
	if (point->prev_tid > 0) {
		life = any_life(timelines, sid->pid, point->prev_tid);
		rc = life ? thread_out(
		                    timelines, life, sid, SOURCE_TRACEPOINT, point->runnable, err)
		          : no_memory(err);
	}
	if (rc == 0 && point->next_tid > 0) {
		life = any_life(timelines, -1, point->next_tid);
		rc = life ? thread_in(timelines, life, sid, SOURCE_TRACEPOINT, err)
		          : no_memory(err);
	}
	history = rc == 0 ? cpu_at(timelines, sid->cpu, &rc, err) : NULL;
	if (!history)
		return rc;
	history->traced = true;
	return note_cpu(history,
	        (struct ptf_cpu_span){sid->time_ns, point->next_tid ? -1 : 0, point->next_tid},
	        sid->pid, point->prev_tid, err);
}

/* The thread was asleep, or has never run: since now it waits for a CPU. Later wakeups of the same
 * sleep (sched_wakeup behind sched_waking) say nothing new. */
static void add_wakeup(struct ptf_timelines *timelines, uint64_t time_ns, int32_t tid)
{
	struct life *life = last_life(timelines, tid);

	if (!life || life->woken_ns != NOT_WOKEN)
		return;
	if (life->out ? life->out_reason != PTF_OFF_PREEMPTED : !life->switched)
		life->woken_ns = time_ns;
	if (life->out && life->out_reason == PTF_OFF_UNKNOWN)
		life->out_reason = PTF_OFF_BLOCKED;
}

static int add_sample(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err)
{
	struct ptf_tracepoint point;

	if (!timelines->tracepoints || !record->sid.has_time)
		return 0;
	point = ptf_tracepoints_read(timelines->tracepoints, record);
	if (point.kind == PTF_TRACEPOINT_SWITCH)
		return add_traced_switch(timelines, record, &point, err);
	if (point.kind == PTF_TRACEPOINT_WAKING && point.tid > 0)
		add_wakeup(timelines, record->sid.time_ns, point.tid);
	return 0;
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
	case PTF_RECORD_SAMPLE:
		return add_sample(timelines, record, err);
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

void ptf_timelines_use_tracepoints(
        struct ptf_timelines *timelines, const struct ptf_tracepoints *tracepoints)
{
	timelines->tracepoints = tracepoints;
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

/* Clips spans to the life; those that become empty go. */
static void clip_spans(struct life *life)
{
	const struct ptf_thread_timeline *t = &life->t;
	size_t kept = 0;

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
}

/* ---- waits for the recorder ---- */

int ptf_timelines_add_wait(
        struct ptf_timelines *timelines, const struct ptf_record_wait *wait, struct ptf_error *err)
{
	if (wait->from_ns >= wait->to_ns)
		return 0;
	return ptf_vec_push(&timelines->waits, *wait) ? 0 : no_memory(err);
}

static int compare_waits(const void *a, const void *b)
{
	const struct ptf_record_wait *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

/* The first wait of tid that ends after a time; NULL: none. */
static const struct ptf_record_wait *wait_after(
        const struct ptf_timelines *timelines, int32_t tid, uint64_t time_ns)
{
	size_t low = 0, high = timelines->waits.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ptf_record_wait *wait = &timelines->waits.v[middle];

		if (wait->tid < tid || (wait->tid == tid && wait->to_ns <= time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == timelines->waits.n || timelines->waits.v[low].tid != tid)
		return NULL;
	return &timelines->waits.v[low];
}

/* Appends what the span becomes: its parts inside of waits have another reason. */
static bool push_parts(
        struct life *life, const struct ptf_timelines *timelines, struct ptf_off_span span)
{
	bool blocked = span.reason == PTF_OFF_BLOCKED || span.reason == PTF_OFF_UNKNOWN;
	const struct ptf_record_wait *wait;

	while (blocked && span.from_ns < span.to_ns &&
	        (wait = wait_after(timelines, life->t.tid, span.from_ns)) &&
	        wait->from_ns < span.to_ns) {
		struct ptf_off_span before = span, in = span;

		before.to_ns = in.from_ns = clamp(wait->from_ns, span.from_ns, span.to_ns);
		in.to_ns = clamp(wait->to_ns, in.from_ns, span.to_ns);
		in.reason = PTF_OFF_RECORDER;
		if (before.from_ns < before.to_ns && !ptf_vec_push(&life->spans, before))
			return false;
		if (in.from_ns < in.to_ns && !ptf_vec_push(&life->spans, in))
			return false;
		span.from_ns = in.to_ns;
	}
	return span.from_ns >= span.to_ns || ptf_vec_push(&life->spans, span);
}

static bool tell_waits(struct ptf_timelines *timelines, struct life *life)
{
	size_t n = life->spans.n;

	if (!wait_after(timelines, life->t.tid, 0))
		return true;
	for (size_t i = 0; i < n; i++) {
		if (!push_parts(life, timelines, life->spans.v[i]))
			return false;
	}
	life->spans.n -= n;
	memmove(life->spans.v, life->spans.v + n, life->spans.n * sizeof(*life->spans.v));
	return true;
}

/* ---- the end ---- */

/* Clips life and spans to the window. */
static int freeze_life(struct ptf_timelines *timelines, struct life *life, uint64_t start_ns,
        uint64_t end_ns, struct ptf_error *err)
{
	struct ptf_thread_timeline *t = &life->t;
	bool idle = timelines->switches && !life->switched;

	if (idle)
		was_off(timelines, life, SOURCE_SWITCH);
	life->born_ns = t->start_ns;
	t->start_ns = clamp(t->start_ns, start_ns, end_ns);
	t->end_ns = clamp(t->end_ns, t->start_ns, end_ns);
	if (life->out && close_span(life, UINT64_MAX, err) < 0)
		return -PTF_ENOMEM;
	clip_spans(life);
	if (!tell_waits(timelines, life))
		return no_memory(err);
	if (idle) {
		t->idle_off = life->spans.v;
		t->n_idle_off = life->spans.n;
	} else {
		t->off = life->spans.v;
		t->n_off = life->spans.n;
	}
	return 0;
}

/* Were the sched_switch events those of whole CPUs? One that is opened for threads fires when they
 * leave a CPU, never when they come: it is always in the name of one of them. */
static bool traced_whole_machine(const struct ptf_timelines *timelines)
{
	bool strangers = timelines->traced_machine;

	ptf_vec_foreach (life, &timelines->lives)
		strangers |= life->switched && !life->t.named && life->out_told;
	return timelines->traced_switches && strangers;
}

/* Tracepoints say who comes onto a CPU by tid alone. */
static void complete_cpus(struct ptf_timelines *timelines)
{
	ptf_vec_foreach (cpu, &timelines->cpus) {
		ptf_vec_foreach (span, &cpu->spans) {
			const struct ptf_thread_timeline *life =
			        span->pid < 0 && span->tid > 0
			                ? ptf_timelines_find(timelines, span->tid, span->from_ns)
			                : NULL;

			if (life)
				span->pid = life->pid;
		}
	}
}

/* Switches-out alone are no accounting. */
static void decide_switches(struct ptf_timelines *timelines)
{
	if (timelines->switches || !timelines->traced_switches)
		return;
	timelines->switches = traced_whole_machine(timelines);
	if (timelines->switches)
		return;
	ptf_vec_foreach (life, &timelines->lives) {
		life->spans.n = 0;
		life->out = false;
	}
	ptf_vec_foreach (cpu, &timelines->cpus)
		cpu->spans.n = 0;
}

int ptf_timelines_freeze(
        struct ptf_timelines *timelines, uint64_t start_ns, uint64_t end_ns, struct ptf_error *err)
{
	size_t n = timelines->lives.n;

	decide_switches(timelines);
	if (timelines->waits.n)
		qsort(timelines->waits.v, timelines->waits.n, sizeof(*timelines->waits.v),
		        compare_waits);
	timelines->frozen = calloc(n ? n : 1, sizeof(*timelines->frozen));
	if (!timelines->frozen)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		if (freeze_life(timelines, &timelines->lives.v[i], start_ns, end_ns, err) < 0)
			return -PTF_ENOMEM;
		timelines->frozen[i] = timelines->lives.v[i].t;
	}
	complete_cpus(timelines);
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
	while (timelines->lives.v[i].earlier && time_ns < timelines->lives.v[i].born_ns)
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
