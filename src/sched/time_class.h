/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a thread did at an instant: every nanosecond of its life is of exactly one class.
 *
 * off > lost > kernel > on, as in ARCHITECTURE.md ("Accounting"): a thread that the scheduler took
 * off its CPU is off, whatever the trace says; the off classes remember where the thread was
 * (in user code, in a system call, in an interrupt or fault) because that is where the time is
 * drawn.
 */
#ifndef PTF_TIME_CLASS_H
#define PTF_TIME_CLASS_H

#include <stdbool.h>

enum ptf_off_reason {
	PTF_OFF_BLOCKED,   /* switched out, not runnable */
	PTF_OFF_PREEMPTED, /* switched out while runnable */
	PTF_OFF_YIELDED,   /* runnable, inside sched_yield */
	PTF_OFF_RUNQUEUE,  /* woken, waits for a CPU (needs sched_waking) */
	PTF_OFF_UNKNOWN,   /* the kernel did not say (before 4.17) */
	PTF_OFF_RECORDER,  /* simulated PT: waited for the recorder, not for its own sake */
	PTF_OFF_REASONS
};

enum ptf_place {
	PTF_PLACE_USER,      /* traced code */
	PTF_PLACE_SYSCALL,   /* trace off after a system call instruction */
	PTF_PLACE_INTERRUPT, /* trace off by an interrupt, fault or signal (FUP) */
	PTF_PLACE_KERNEL,    /* trace off for a reason that is not known */
	PTF_PLACE_FILTERED,  /* trace off by an address filter: counted as on */
	PTF_PLACES
};

enum ptf_time_class {
	PTF_TIME_ON,
	PTF_TIME_FILTERED, /* on, but outside of the address filter */
	PTF_TIME_SYSCALL,  /* kernel */
	PTF_TIME_INTERRUPT,
	PTF_TIME_KERNEL,
	PTF_TIME_KERNEL_CODE, /* in traced code of the kernel */
	PTF_TIME_LOST,
	PTF_TIME_OFF, /* PTF_TIME_OFF + place * PTF_OFF_REASONS + reason */
	PTF_TIME_CLASSES = PTF_TIME_OFF + PTF_PLACES * PTF_OFF_REASONS
};

enum ptf_time_state { PTF_STATE_ON, PTF_STATE_KERNEL, PTF_STATE_OFF, PTF_STATE_LOST, PTF_STATES };

static inline enum ptf_time_state ptf_time_class_state(unsigned time_class)
{
	if (time_class <= PTF_TIME_FILTERED)
		return PTF_STATE_ON;
	if (time_class <= PTF_TIME_KERNEL_CODE)
		return PTF_STATE_KERNEL;
	return time_class == PTF_TIME_LOST ? PTF_STATE_LOST : PTF_STATE_OFF;
}

static inline unsigned ptf_time_class_off(enum ptf_place place, enum ptf_off_reason reason)
{
	return PTF_TIME_OFF + place * PTF_OFF_REASONS + reason;
}

/* The class of time in a place while the thread is on its CPU. */
static inline unsigned ptf_time_class_running(enum ptf_place place)
{
	static const unsigned char of_place[PTF_PLACES] = {PTF_TIME_ON, PTF_TIME_SYSCALL,
	        PTF_TIME_INTERRUPT, PTF_TIME_KERNEL, PTF_TIME_FILTERED};

	return of_place[place];
}

/* Place and reason of an off class (time_class >= PTF_TIME_OFF). */
static inline enum ptf_place ptf_time_class_place(unsigned time_class)
{
	return (enum ptf_place)((time_class - PTF_TIME_OFF) / PTF_OFF_REASONS);
}

static inline enum ptf_off_reason ptf_time_class_reason(unsigned time_class)
{
	return (enum ptf_off_reason)((time_class - PTF_TIME_OFF) % PTF_OFF_REASONS);
}

#endif
