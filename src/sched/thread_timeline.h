/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When each thread lived and when it was off its CPU.
 *
 * All records are added in time order, then the collection is frozen with the window; after that
 * it is constant and thread-safe. Sources: COMM, FORK, EXIT, ITRACE_START, THREAD_MAP-like
 * mentions, SWITCH and SWITCH_CPU_WIDE (include/uapi/linux/perf_event.h), and samples of the
 * scheduler's tracepoints (sched/tracepoints.h).
 *
 * SWITCH and sched_switch may both tell of a switch: whichever comes first counts, and who is out
 * cannot go out again. Tracepoints and SWITCH_CPU_WIDE records tell of all threads of a machine,
 * also of those that nobody records; such a life is not `named` and does not belong into a profile.
 */
#ifndef PTF_THREAD_TIMELINE_H
#define PTF_THREAD_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

#include "perfdata/perf_record.h"
#include "sched/time_class.h"
#include "sched/tracepoints.h"

/* A span in which a thread was off its CPU. */
struct ptf_off_span {
	uint64_t from_ns, to_ns; /* perf clock; from < to */
	uint8_t reason;          /* enum ptf_off_reason */
};

/* One life of a thread: a thread id that is used again after EXIT is another life. */
struct ptf_thread_timeline {
	int32_t pid, tid;
	const char *comm;          /* last name, "" unknown; owned by the collection */
	uint64_t start_ns, end_ns; /* life inside the window; end >= start */
	bool forked, exited;       /* start is a FORK, end is an EXIT */
	bool named;                /* by a record or a stream of its own, not only by tracepoints */
	const struct ptf_off_span *off; /* n_off spans, in time order, inside the life */
	size_t n_off;
	/* n_idle_off spans in place of `off` if no code of the thread was traced: without a switch
	 * it was off all the time (n_off is 0), with code it ran all the time. */
	const struct ptf_off_span *idle_off;
	size_t n_idle_off;
};

/* Which thread a CPU ran from a time on. */
struct ptf_cpu_span {
	uint64_t from_ns;
	int32_t pid, tid; /* -1: not known; 0: idle */
};

struct ptf_timelines;

struct ptf_timelines *ptf_timelines_create(void); /* NULL: out of memory */
void ptf_timelines_destroy(struct ptf_timelines *timelines);

/* Takes one record (others than those above, and those of the idle task, are ignored). Errors:
 * PTF_ENOMEM. */
int ptf_timelines_add(
        struct ptf_timelines *timelines, const struct ptf_record *record, struct ptf_error *err);

/* A thread that is known to have a stream of its own. */
int ptf_timelines_mention(
        struct ptf_timelines *timelines, int32_t pid, int32_t tid, struct ptf_error *err);

/* To be called first: what samples of tracepoints mean (borrowed until freeze). */
void ptf_timelines_use_tracepoints(
        struct ptf_timelines *timelines, const struct ptf_tracepoints *tracepoints);

/* Before freeze: a simulated thread waited for the recorder; where it was blocked meanwhile, that
 * is why. */
int ptf_timelines_add_wait(
        struct ptf_timelines *timelines, const struct ptf_record_wait *wait, struct ptf_error *err);

/* To be called first: the kernel does not say why a thread is switched out (before Linux 4.17). */
void ptf_timelines_reasons_unknown(struct ptf_timelines *timelines);

/* Earliest and latest time of the records added (0, 0 when there was none). */
void ptf_timelines_range(
        const struct ptf_timelines *timelines, uint64_t *first_ns, uint64_t *last_ns);

/* Clips all lives to the window and closes open spans at its end. */
int ptf_timelines_freeze(
        struct ptf_timelines *timelines, uint64_t start_ns, uint64_t end_ns, struct ptf_error *err);

/* Were there context switch records (or sched_switch of the whole machine)? If not, off and kernel
 * time cannot be told apart. */
bool ptf_timelines_switches(const struct ptf_timelines *timelines);

/* The lives, in order of their first mention; frozen. */
const struct ptf_thread_timeline *ptf_timelines_all(
        const struct ptf_timelines *timelines, size_t *n);

/* The life of tid at a time (PTF_NO_TIME or before the first: its first life); NULL if unknown. */
const struct ptf_thread_timeline *ptf_timelines_find(
        const struct ptf_timelines *timelines, int32_t tid, uint64_t time_ns);

/* Who ran on a CPU, in time order; NULL and 0 when unknown. */
const struct ptf_cpu_span *ptf_timelines_cpu(
        const struct ptf_timelines *timelines, int32_t cpu, size_t *n);

/* Index of the first off span of `thread` that ends after time_ns (n_off when none does). */
size_t ptf_thread_timeline_off_after(const struct ptf_thread_timeline *thread, uint64_t time_ns);

#endif
