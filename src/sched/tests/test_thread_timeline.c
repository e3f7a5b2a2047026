/* SPDX-License-Identifier: BSD-2-Clause */
/* Lives of threads and when they were off their CPUs, from records written by hand. */
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "perfdata/perf_reader.h"
#include "sched/thread_timeline.h"
#include "sched/tests/tracing_data.h"

enum { PID = 10, WINDOW_START = 1000, WINDOW_END = 2000 };

/* ---- records ---- */

static void add(struct ptf_timelines *t, struct ptf_record record)
{
	assert_int_equal(ptf_timelines_add(t, &record, NULL), 0);
}

static struct ptf_sample_id sid(uint64_t ns, int32_t tid, int32_t cpu)
{
	return (struct ptf_sample_id){
	        .time_ns = ns, .has_time = true, .pid = PID, .tid = tid, .cpu = cpu};
}

static void comm(struct ptf_timelines *t, uint64_t ns, int32_t tid, const char *name)
{
	add(t, (struct ptf_record){
	               .type = PTF_RECORD_COMM, .sid = sid(ns, tid, 0), .comm = {PID, tid, name}});
}

static void task(
        struct ptf_timelines *t, enum ptf_record_type type, uint64_t ns, int32_t ptid, int32_t tid)
{
	add(t, (struct ptf_record){.type = type,
	               .sid = sid(ns, type == PTF_RECORD_FORK ? ptid : tid, 0),
	               .task = {.pid = PID, .ppid = PID, .tid = tid, .ptid = ptid, .time_ns = ns}});
}

static void forked(struct ptf_timelines *t, uint64_t ns, int32_t parent, int32_t tid)
{
	task(t, PTF_RECORD_FORK, ns, parent, tid);
}

static void exited(struct ptf_timelines *t, uint64_t ns, int32_t tid)
{
	task(t, PTF_RECORD_EXIT, ns, tid, tid);
}

static void switched(struct ptf_timelines *t, uint64_t ns, int32_t tid, int32_t cpu, bool out)
{
	add(t, (struct ptf_record){.type = PTF_RECORD_SWITCH,
	               .sid = sid(ns, tid, cpu),
	               .sw = {-1, -1, .out = out}});
}

static void out(struct ptf_timelines *t, uint64_t ns, int32_t tid)
{
	switched(t, ns, tid, 0, true);
}

static void in(struct ptf_timelines *t, uint64_t ns, int32_t tid)
{
	switched(t, ns, tid, 0, false);
}

static void preempted(struct ptf_timelines *t, uint64_t ns, int32_t tid)
{
	add(t, (struct ptf_record){.type = PTF_RECORD_SWITCH,
	               .sid = sid(ns, tid, 0),
	               .sw = {-1, -1, .out = true, .preempt = true}});
}

/* Of a CPU: `tid` leaves for `other`, or comes after it. */
static void cpu_switched(
        struct ptf_timelines *t, uint64_t ns, int32_t cpu, int32_t tid, int32_t other, bool is_out)
{
	struct ptf_record record = {.type = PTF_RECORD_SWITCH_CPU_WIDE,
	        .sid = sid(ns, tid, cpu),
	        .sw = {other ? PID : 0, other, .out = is_out}};

	if (!tid)
		record.sid.pid = 0;
	add(t, record);
}

/* ---- what comes out ---- */

static struct ptf_timelines *make(void)
{
	struct ptf_timelines *t = ptf_timelines_create();

	assert_non_null(t);
	return t;
}

static void freeze(struct ptf_timelines *t)
{
	assert_int_equal(ptf_timelines_freeze(t, WINDOW_START, WINDOW_END, NULL), 0);
}

static const struct ptf_thread_timeline *life(struct ptf_timelines *t, int32_t tid, uint64_t ns)
{
	const struct ptf_thread_timeline *found = ptf_timelines_find(t, tid, ns);

	assert_non_null(found);
	assert_int_equal(found->tid, tid);
	return found;
}

static void assert_life(
        const struct ptf_thread_timeline *t, uint64_t start_ns, uint64_t end_ns, const char *name)
{
	assert_int_equal(t->start_ns, start_ns);
	assert_int_equal(t->end_ns, end_ns);
	assert_string_equal(t->comm, name);
}

/* The spans, given as from, to, reason, ..., 0. */
static void assert_off(const struct ptf_thread_timeline *t, ...)
{
	size_t n = 0;
	uint64_t from;
	va_list args;

	va_start(args, t);
	while ((from = (uint64_t)va_arg(args, int))) {
		uint64_t to = (uint64_t)va_arg(args, int);
		int reason = va_arg(args, int);

		assert_true(n < t->n_off);
		assert_int_equal(t->off[n].from_ns, from);
		assert_int_equal(t->off[n].to_ns, to);
		assert_int_equal(t->off[n].reason, reason);
		n++;
	}
	va_end(args);
	assert_int_equal(t->n_off, n);
}

/* ---- tests ---- */

static void test_switches(void **state)
{
	struct ptf_timelines *t = make();

	assert_false(ptf_timelines_switches(t));
	comm(t, 0, 11, "worker");
	out(t, 1100, 11);
	in(t, 1150, 11);
	preempted(t, 1200, 11);
	in(t, 1230, 11);
	assert_true(ptf_timelines_switches(t));
	freeze(t);
	assert_life(life(t, 11, 1100), WINDOW_START, WINDOW_END, "worker");
	assert_off(
	        life(t, 11, 1100), 1100, 1150, PTF_OFF_BLOCKED, 1200, 1230, PTF_OFF_PREEMPTED, 0);
	ptf_timelines_destroy(t);
}

/* The first switch tells what was before it: its opposite. */
static void test_before_the_first_switch(void **state)
{
	struct ptf_timelines *t = make();

	in(t, 1100, 11);
	out(t, 1100, 12);
	comm(t, 0, 13, "silent");
	freeze(t);
	assert_off(life(t, 11, 1100), WINDOW_START, 1100, PTF_OFF_BLOCKED, 0);
	assert_off(life(t, 12, 1100), 1100, WINDOW_END, PTF_OFF_BLOCKED, 0);
	assert_off(life(t, 13, 1100), 0);
	ptf_timelines_destroy(t);
}

static void test_open_at_both_ends(void **state)
{
	struct ptf_timelines *t = make();

	out(t, 900, 11); /* before the window */
	in(t, 950, 11);
	out(t, 980, 11);
	in(t, 1010, 11);
	out(t, 1990, 11);
	in(t, 2050, 11); /* behind it */
	out(t, 2060, 11);
	freeze(t);
	assert_off(life(t, 11, 1000), 1000, 1010, PTF_OFF_BLOCKED, 1990, 2000, PTF_OFF_BLOCKED, 0);
	ptf_timelines_destroy(t);
}

/* In twice: what is between was on, as far as is known. Out twice: the thread has run between, but
 * nobody knows when. */
static void test_repeated_switches(void **state)
{
	struct ptf_timelines *t = make();

	out(t, 1100, 11);
	preempted(t, 1120, 11);
	in(t, 1150, 11);
	in(t, 1160, 11);
	out(t, 1200, 11);
	in(t, 1200, 11); /* no time passed: no span */
	in(t, 1100, 12);
	in(t, 1150, 12);
	freeze(t);
	assert_off(
	        life(t, 11, 1000), 1100, 1120, PTF_OFF_BLOCKED, 1120, 1150, PTF_OFF_PREEMPTED, 0);
	assert_off(life(t, 12, 1000), WINDOW_START, 1100, PTF_OFF_BLOCKED, 0);
	ptf_timelines_destroy(t);
}

/* The clock of the CPU that a thread left is ahead of the one it came to: its switch-out comes
 * behind the switch-in that followed it, and is over. */
static void test_switches_out_of_order(void **state)
{
	struct ptf_timelines *t = make();

	switched(t, 1100, 11, 0, false);
	switched(t, 1199, 11, 1, false);
	switched(t, 1200, 11, 0, true);
	switched(t, 1300, 11, 1, true);
	switched(t, 1350, 11, 0, false);
	/* But this one was only lost. */
	switched(t, 1400, 11, 1, false);
	switched(t, 1450, 11, 1, true);
	switched(t, 1500, 11, 1, false);
	freeze(t);
	assert_off(life(t, 11, 1000), WINDOW_START, 1100, PTF_OFF_BLOCKED, 1300, 1350,
	        PTF_OFF_BLOCKED, 1450, 1500, PTF_OFF_BLOCKED, 0);
	ptf_timelines_destroy(t);
}

/* Spans never overlap, not even when the records of two CPUs disagree. */
static void test_spans_do_not_overlap(void **state)
{
	struct ptf_timelines *t = make();
	const struct ptf_thread_timeline *found;

	out(t, 1100, 11);
	in(t, 1150, 11);
	out(t, 1140, 11);
	in(t, 1145, 11);
	out(t, 1130, 11);
	in(t, 1170, 11);
	freeze(t);
	found = life(t, 11, 1000);
	assert_off(found, 1100, 1150, PTF_OFF_BLOCKED, 1150, 1170, PTF_OFF_BLOCKED, 0);
	ptf_timelines_destroy(t);
}

static void test_fork_and_exit(void **state)
{
	struct ptf_timelines *t = make();
	const struct ptf_thread_timeline *found;

	comm(t, 0, PID, "server");
	forked(t, 1100, PID, 11);
	in(t, 1120, 11); /* a new thread waits for a CPU */
	comm(t, 1130, 11, "early");
	comm(t, 1140, 11, "late");
	exited(t, 1500, 11);
	out(t, 1510, 11); /* its last switch comes behind its EXIT */
	forked(t, 1600, PID, 12);
	exited(t, 1700, 13); /* all that is known of it */
	freeze(t);
	assert_life(life(t, 13, 1000), WINDOW_START, 1700, "");
	found = life(t, 11, 1200);
	assert_life(found, 1100, 1500, "late");
	assert_true(found->forked && found->exited);
	assert_off(found, 1100, 1120, PTF_OFF_PREEMPTED, 0);
	assert_life(life(t, 12, 1700), 1600, WINDOW_END, "server"); /* as its parent is called */
	assert_off(life(t, 12, 1700), 0);
	assert_life(life(t, PID, 1700), WINDOW_START, WINDOW_END, "server");
	assert_false(life(t, PID, 1700)->forked || life(t, PID, 1700)->exited);
	ptf_timelines_destroy(t);
}

static void test_lives_outside_of_the_window(void **state)
{
	struct ptf_timelines *t = make();

	forked(t, 500, PID, 11);
	out(t, 600, 11);
	exited(t, 700, 11);
	forked(t, 2500, PID, 12);
	in(t, 2510, 12);
	freeze(t);
	assert_life(life(t, 11, 600), WINDOW_START, WINDOW_START, "");
	assert_off(life(t, 11, 600), 0);
	assert_life(life(t, 12, 2500), WINDOW_END, WINDOW_END, "");
	assert_off(life(t, 12, 2500), 0);
	ptf_timelines_destroy(t);
}

/* perf writes FORK for threads that were there, with time 0: that is no birth. */
static void test_synthesized_fork(void **state)
{
	struct ptf_timelines *t = make();

	forked(t, 0, PID, 11);
	comm(t, 0, 11, "old");
	freeze(t);
	assert_life(life(t, 11, 1000), WINDOW_START, WINDOW_END, "old");
	assert_false(life(t, 11, 1000)->forked);
	ptf_timelines_destroy(t);
}

/* The same FORK in the rings of two CPUs, and a mention in front of it, make one life. */
static void test_fork_is_told_twice(void **state)
{
	struct ptf_timelines *t = make();
	size_t n;

	assert_int_equal(ptf_timelines_mention(t, -1, 11, NULL), 0);
	forked(t, 1100, PID, 11);
	in(t, 1120, 11);
	forked(t, 1100, PID, 11);
	freeze(t);
	assert_non_null(ptf_timelines_all(t, &n));
	assert_int_equal(n, 1);
	assert_int_equal(life(t, 11, 1100)->pid, PID);
	assert_int_equal(life(t, 11, 1100)->start_ns, 1100);
	ptf_timelines_destroy(t);
}

static void test_tid_is_used_again(void **state)
{
	struct ptf_timelines *t = make();
	const struct ptf_thread_timeline *all;
	size_t n;

	comm(t, 0, 11, "first");
	out(t, 1100, 11);
	exited(t, 1200, 11);
	forked(t, 1300, PID, 11);
	comm(t, 1310, 11, "second");
	in(t, 1320, 11);
	exited(t, 1400, 11);
	forked(t, 1500, PID, 11);
	comm(t, 1510, 11, "third");
	freeze(t);
	all = ptf_timelines_all(t, &n);
	assert_int_equal(n, 3);
	assert_life(&all[0], WINDOW_START, 1200, "first");
	assert_off(&all[0], 1100, 1200, PTF_OFF_BLOCKED, 0);
	assert_life(&all[1], 1300, 1400, "second");
	assert_off(&all[1], 1300, 1320, PTF_OFF_PREEMPTED, 0);
	assert_life(&all[2], 1500, WINDOW_END, "third");
	assert_ptr_equal(life(t, 11, 0), &all[0]);
	assert_ptr_equal(life(t, 11, 1299), &all[0]);
	assert_ptr_equal(life(t, 11, 1300), &all[1]);
	assert_ptr_equal(life(t, 11, 1499), &all[1]);
	assert_ptr_equal(life(t, 11, 1999), &all[2]);
	assert_ptr_equal(life(t, 11, UINT64_MAX), &all[0]);
	assert_null(ptf_timelines_find(t, 12, 1500));
	ptf_timelines_destroy(t);
}

/* The EXIT was lost: the life ends where the next one begins. */
static void test_tid_is_used_again_without_exit(void **state)
{
	struct ptf_timelines *t = make();
	const struct ptf_thread_timeline *all;
	size_t n;

	out(t, 1100, 11);
	forked(t, 1300, PID, 11);
	freeze(t);
	all = ptf_timelines_all(t, &n);
	assert_int_equal(n, 2);
	assert_life(&all[0], WINDOW_START, 1300, "");
	assert_off(&all[0], 1100, 1300, PTF_OFF_BLOCKED, 0);
	assert_false(all[0].exited);
	assert_life(&all[1], 1300, WINDOW_END, "");
	ptf_timelines_destroy(t);
}

/* Before Linux 4.17 nobody knows why a thread was switched out. */
static void test_reasons_unknown(void **state)
{
	struct ptf_timelines *t = make();

	ptf_timelines_reasons_unknown(t);
	out(t, 1100, 11);
	in(t, 1150, 11);
	in(t, 1200, 12);
	forked(t, 1300, 11, 13);
	in(t, 1310, 13); /* but why a new thread waits is known */
	freeze(t);
	assert_off(life(t, 11, 1100), 1100, 1150, PTF_OFF_UNKNOWN, 0);
	assert_off(life(t, 12, 1100), WINDOW_START, 1200, PTF_OFF_UNKNOWN, 0);
	assert_off(life(t, 13, 1300), 1300, 1310, PTF_OFF_PREEMPTED, 0);
	ptf_timelines_destroy(t);
}

static void waited(struct ptf_timelines *t, int32_t tid, uint64_t from_ns, uint64_t to_ns)
{
	struct ptf_record_wait wait = {tid, from_ns, to_ns};

	assert_int_equal(ptf_timelines_add_wait(t, &wait, NULL), 0);
}

/* A simulated thread that waits for the recorder is blocked for no reason of its own. */
static void test_waits_for_the_recorder(void **state)
{
	struct ptf_timelines *t = make();

	waited(t, 12, 1000, 1900); /* another thread */
	waited(t, 11, 1220, 1240);
	waited(t, 11, 1260, 1280);
	waited(t, 11, 1150, 1130); /* nonsense */
	waited(t, 11, 1090, 1130);
	waited(t, 11, 1380, 1520);
	out(t, 1100, 11);
	in(t, 1120, 11); /* the whole time */
	out(t, 1200, 11);
	in(t, 1300, 11); /* two in the middle */
	preempted(t, 1390, 11);
	in(t, 1400, 11); /* would have been so anyway */
	out(t, 1500, 11);
	in(t, 1600, 11);
	freeze(t);
	assert_off(life(t, 11, 1100), 1100, 1120, PTF_OFF_RECORDER, 1200, 1220, PTF_OFF_BLOCKED,
	        1220, 1240, PTF_OFF_RECORDER, 1240, 1260, PTF_OFF_BLOCKED, 1260, 1280,
	        PTF_OFF_RECORDER, 1280, 1300, PTF_OFF_BLOCKED, 1390, 1400, PTF_OFF_PREEMPTED, 1500,
	        1520, PTF_OFF_RECORDER, 1520, 1600, PTF_OFF_BLOCKED, 0);
	ptf_timelines_destroy(t);
}

/* ---- tracepoints ---- */

static uint8_t formats[TRACING_DATA_MAX];
static struct ptf_tracepoints *tracepoints;
static struct ptf_perf_attr switch_attr = {.type = PERF_TYPE_TRACEPOINT, .config = SCHED_SWITCH_ID};
static struct ptf_perf_attr waking_attr = {.type = PERF_TYPE_TRACEPOINT};

static struct ptf_timelines *make_traced(void)
{
	struct ptf_timelines *t = make();

	tracepoints = ptf_tracepoints_create(formats, tracing_data_make(formats));
	assert_non_null(tracepoints);
	ptf_timelines_use_tracepoints(t, tracepoints);
	return t;
}

static void destroy_traced(struct ptf_timelines *t)
{
	ptf_timelines_destroy(t);
	ptf_tracepoints_destroy(tracepoints);
}

/* On a CPU, `prev` (prev_state: 0 it could go on) leaves for `next`. */
static void sched_switch(struct ptf_timelines *t, uint64_t ns, int32_t cpu, int32_t prev,
        uint64_t prev_state, int32_t next)
{
	uint8_t raw[SCHED_SWITCH_SIZE];
	struct ptf_record record = {.type = PTF_RECORD_SAMPLE,
	        .sid = sid(ns, prev, cpu),
	        .sample = {.attr = &switch_attr, .raw = raw, .raw_size = sizeof(raw)}};

	sched_switch_raw(raw, prev, prev_state, next);
	add(t, record);
}

static void wakeup(struct ptf_timelines *t, uint64_t ns, uint16_t id, int32_t tid)
{
	uint8_t raw[SCHED_WAKING_SIZE];
	struct ptf_record record = {.type = PTF_RECORD_SAMPLE,
	        .sid = sid(ns, 99, 3),
	        .sample = {.attr = &waking_attr, .raw = raw, .raw_size = sizeof(raw)}};

	waking_attr.config = id;
	sched_waking_raw(raw, id, tid);
	add(t, record);
}

/* What the tracepoints say alone. */
static void test_tracepoints(void **state)
{
	struct ptf_timelines *t = make_traced();

	comm(t, 0, 11, "worker");
	sched_switch(t, 1100, 0, 11, 1, 0); /* asleep */
	wakeup(t, 1140, SCHED_WAKING_ID, 11);
	wakeup(t, 1145, SCHED_WAKEUP_ID, 11); /* the same, told again */
	sched_switch(t, 1150, 0, 0, 0, 11);
	sched_switch(t, 1200, 0, 11, 0, 12);  /* preempted */
	wakeup(t, 1210, SCHED_WAKING_ID, 11); /* of a thread that is awake */
	sched_switch(t, 1230, 0, 12, 0x100, 11);
	wakeup(t, 1240, SCHED_WAKING_ID, 11); /* nor is it off */
	sched_switch(t, 1300, 0, 11, 2, 0);
	sched_switch(t, 1310, 1, 0, 0, 11);
	sched_switch(t, 1400, 1, 11, 1, 0);
	wakeup(t, 1450, SCHED_WAKING_ID, 11); /* and never comes */
	assert_false(ptf_timelines_switches(t));
	freeze(t);
	assert_true(ptf_timelines_switches(t));
	assert_off(life(t, 11, 1100), 1100, 1140, PTF_OFF_BLOCKED, 1140, 1150, PTF_OFF_RUNQUEUE,
	        1200, 1230, PTF_OFF_PREEMPTED, 1300, 1310, PTF_OFF_BLOCKED, 1400, 1450,
	        PTF_OFF_BLOCKED, 1450, WINDOW_END, PTF_OFF_RUNQUEUE, 0);
	assert_true(life(t, 11, 1100)->named);
	assert_false(life(t, 12, 1100)->named);
	destroy_traced(t);
}

/* A thread whose sleep began before the recording; a new one, which waits for its first CPU. */
static void test_wakeups_before_the_first_switch(void **state)
{
	struct ptf_timelines *t = make_traced();

	comm(t, 0, 11, "old");
	wakeup(t, 1050, SCHED_WAKING_ID, 11);
	in(t, 1100, 11);
	forked(t, 1200, PID, 12);
	wakeup(t, 1205, SCHED_WAKEUP_NEW_ID, 12);
	in(t, 1230, 12);
	comm(t, 0, 13, "sleeps on");
	wakeup(t, 1300, SCHED_WAKING_ID, 13);
	out(t, 1310, 13);
	in(t, 1320, 13);
	freeze(t);
	assert_off(life(t, 11, 1100), WINDOW_START, 1050, PTF_OFF_BLOCKED, 1050, 1100,
	        PTF_OFF_RUNQUEUE, 0);
	assert_off(life(t, 12, 1200), 1200, 1205, PTF_OFF_BLOCKED, 1205, 1230, PTF_OFF_RUNQUEUE, 0);
	assert_off(life(t, 13, 1200), 1310, 1320, PTF_OFF_BLOCKED, 0);
	destroy_traced(t);
}

/* SWITCH and sched_switch of the same switches: each counts once, and the tracepoint knows why
 * where an old kernel's SWITCH does not. */
static void test_both_sources(void **state)
{
	struct ptf_timelines *t = make_traced();
	const struct ptf_cpu_span *cpu;
	size_t n;

	ptf_timelines_reasons_unknown(t);
	sched_switch(t, 1100, 0, 11, 1, 12);
	out(t, 1101, 11);
	sched_switch(t, 1150, 0, 12, 0, 11);
	in(t, 1151, 11);
	out(t, 1200, 11); /* in the other order */
	sched_switch(t, 1201, 0, 11, 0, 12);
	in(t, 1250, 11);
	sched_switch(t, 1251, 0, 12, 0, 11);
	freeze(t);
	assert_off(
	        life(t, 11, 1100), 1100, 1150, PTF_OFF_BLOCKED, 1200, 1250, PTF_OFF_PREEMPTED, 0);
	cpu = ptf_timelines_cpu(t, 0, &n);
	assert_int_equal(n, 5); /* 11 12 11 12 11: SWITCH alone does not say who comes */
	assert_int_equal(cpu[1].tid, 12);
	assert_int_equal(cpu[1].pid, PID);
	destroy_traced(t);
}

/* The tracepoint of a thread that migrates tells of its switch-in on the other CPU before the
 * SWITCH record of the one it left. */
static void test_both_sources_out_of_order(void **state)
{
	struct ptf_timelines *t = make_traced();

	switched(t, 1050, 11, 0, false);
	sched_switch(t, 1100, 0, 11, 0, 12);
	sched_switch(t, 1101, 1, 0, 0, 11);
	switched(t, 1102, 11, 0, true);
	switched(t, 1103, 11, 1, false);
	switched(t, 1200, 11, 1, true);
	switched(t, 1250, 11, 1, false);
	freeze(t);
	assert_off(life(t, 11, 1100), WINDOW_START, 1050, PTF_OFF_BLOCKED, 1100, 1101,
	        PTF_OFF_PREEMPTED, 1200, 1250, PTF_OFF_BLOCKED, 0);
	destroy_traced(t);
}

/* sched_switch of the recorded threads alone never says when they come back: no accounting. */
static void test_tracepoints_of_threads(void **state)
{
	struct ptf_timelines *t = make_traced();
	size_t n;

	comm(t, 0, 11, "worker");
	comm(t, 0, 12, "worker");
	sched_switch(t, 1100, 0, 11, 1, 0);
	sched_switch(t, 1200, 1, 12, 1, 77); /* a stranger comes, but is never heard to go */
	sched_switch(t, 1300, 0, 11, 1, 12);
	freeze(t);
	assert_false(ptf_timelines_switches(t));
	assert_off(life(t, 11, 1100), 0);
	assert_off(life(t, 12, 1100), 0);
	ptf_timelines_cpu(t, 0, &n);
	assert_int_equal(n, 0);
	destroy_traced(t);
}

/* On a machine that never idles. */
static void test_tracepoints_of_a_busy_machine(void **state)
{
	struct ptf_timelines *t = make_traced();

	comm(t, 0, 11, "worker");
	sched_switch(t, 1100, 0, 11, 1, 77);
	sched_switch(t, 1200, 0, 77, 0, 11);
	freeze(t);
	assert_true(ptf_timelines_switches(t));
	assert_off(life(t, 11, 1100), 1100, 1200, PTF_OFF_BLOCKED, 0);
	destroy_traced(t);
}

/* The idle task and what has no thread are no lives. */
static void test_idle_task(void **state)
{
	struct ptf_timelines *t = make();
	size_t n;

	comm(t, 0, 0, "swapper");
	comm(t, 0, -1, "nobody");
	forked(t, 1000, 0, 0);
	exited(t, 1000, -1);
	in(t, 1100, 0);
	out(t, 1200, 0);
	assert_int_equal(ptf_timelines_mention(t, 0, 0, NULL), 0);
	assert_int_equal(ptf_timelines_mention(t, -1, -1, NULL), 0);
	freeze(t);
	ptf_timelines_all(t, &n);
	assert_int_equal(n, 0);
	ptf_timelines_destroy(t);
}

static void assert_cpu(
        struct ptf_timelines *t, int32_t cpu, size_t count, const struct ptf_cpu_span *want)
{
	const struct ptf_cpu_span *spans;
	size_t n;

	spans = ptf_timelines_cpu(t, cpu, &n);
	assert_int_equal(n, count);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(spans[i].from_ns, want[i].from_ns);
		assert_int_equal(spans[i].pid, want[i].pid);
		assert_int_equal(spans[i].tid, want[i].tid);
	}
}

static void test_cpus(void **state)
{
	struct ptf_timelines *t = make();

	/* CPU 0 ran 11 when the recording began */
	cpu_switched(t, 1100, 0, 11, 0, true);
	cpu_switched(t, 1100, 0, 0, 11, false);
	cpu_switched(t, 1200, 0, 0, 12, true);
	cpu_switched(t, 1200, 0, 12, 0, false);
	/* CPU 2: switches of threads alone do not say who comes next */
	switched(t, 1300, 13, 2, false);
	switched(t, 1350, 13, 2, true);
	freeze(t);
	assert_cpu(t, 0, 3, (struct ptf_cpu_span[]){{0, PID, 11}, {1100, 0, 0}, {1200, PID, 12}});
	assert_cpu(t, 1, 0, NULL);
	assert_cpu(t, 2, 2, (struct ptf_cpu_span[]){{1300, PID, 13}, {1350, -1, -1}});
	assert_cpu(t, 3, 0, NULL);
	assert_cpu(t, -1, 0, NULL);
	assert_off(life(t, 11, 1000), 1100, WINDOW_END, PTF_OFF_BLOCKED, 0);
	assert_off(life(t, 12, 1000), WINDOW_START, 1200, PTF_OFF_BLOCKED, 0);
	/* Switches of a CPU may be anybody's; those of a thread are of one that is recorded. */
	assert_false(life(t, 11, 1000)->named);
	assert_true(life(t, 13, 1000)->named);
	ptf_timelines_destroy(t);
}

static void test_range_of_times(void **state)
{
	struct ptf_timelines *t = make();
	uint64_t first, last;

	ptf_timelines_range(t, &first, &last);
	assert_true(first == 0 && last == 0);
	comm(t, 0, 11, "x"); /* perf's own records have no time */
	out(t, 1700, 11);
	in(t, 1100, 11);
	add(t, (struct ptf_record){.type = PTF_RECORD_AUX, .sid = sid(1800, 11, 0)});
	ptf_timelines_range(t, &first, &last);
	assert_int_equal(first, 1100);
	assert_int_equal(last, 1800);
	ptf_timelines_destroy(t);
}

/* The search among many spans against looking at each. */
static void test_off_after(void **state)
{
	enum { SPANS = 100 };
	static struct ptf_off_span spans[SPANS];
	struct ptf_thread_timeline t = {.off = spans, .n_off = SPANS};

	for (unsigned i = 0; i < SPANS; i++)
		spans[i] = (struct ptf_off_span){10 * i + 5, 10 * i + 5 + 1 + i % 10, 0};
	for (uint64_t ns = 0; ns < 10 * SPANS + 20; ns++) {
		size_t want = 0;

		while (want < SPANS && spans[want].to_ns <= ns)
			want++;
		assert_int_equal(ptf_thread_timeline_off_after(&t, ns), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_switches),
	        cmocka_unit_test(test_before_the_first_switch),
	        cmocka_unit_test(test_open_at_both_ends),
	        cmocka_unit_test(test_repeated_switches),
	        cmocka_unit_test(test_spans_do_not_overlap),
	        cmocka_unit_test(test_fork_and_exit),
	        cmocka_unit_test(test_lives_outside_of_the_window),
	        cmocka_unit_test(test_synthesized_fork),
	        cmocka_unit_test(test_fork_is_told_twice),
	        cmocka_unit_test(test_tid_is_used_again),
	        cmocka_unit_test(test_tid_is_used_again_without_exit),
	        cmocka_unit_test(test_reasons_unknown),
	        cmocka_unit_test(test_switches_out_of_order),
	        cmocka_unit_test(test_waits_for_the_recorder),
	        cmocka_unit_test(test_tracepoints),
	        cmocka_unit_test(test_wakeups_before_the_first_switch),
	        cmocka_unit_test(test_both_sources),
	        cmocka_unit_test(test_both_sources_out_of_order),
	        cmocka_unit_test(test_tracepoints_of_threads),
	        cmocka_unit_test(test_tracepoints_of_a_busy_machine),
	        cmocka_unit_test(test_idle_task),
	        cmocka_unit_test(test_cpus),
	        cmocka_unit_test(test_range_of_times),
	        cmocka_unit_test(test_off_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
