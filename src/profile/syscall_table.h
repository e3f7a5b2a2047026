/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Syscall table: what each system call cost, over all threads of a profile and, on demand, for
 * each function that made it. Interrupts (page faults included) are a row of their own, so are
 * visits of the kernel whose system call has no name and the kernel's code where that is traced,
 * which is no visit; the sum of all rows is the time that the
 * threads spent in the kernel or were off their CPU there.
 */
#ifndef PTF_SYSCALL_TABLE_H
#define PTF_SYSCALL_TABLE_H

#include <stdbool.h>

#include <ptflame/error.h>

#include "profile/profile.h"

struct ptf_syscall_cost {
	uint64_t calls;              /* that began */
	uint64_t partial_calls;      /* whose beginning or end was not seen */
	uint64_t kernel_ns;          /* on the CPU, in partial ones too */
	uint64_t off_ns;             /* off it */
	struct ptf_call_times times; /* of those with both ends seen and timed */
};

static inline uint64_t ptf_syscall_cost_ns(const struct ptf_syscall_cost *cost)
{
	return cost->kernel_ns + cost->off_ns;
}

struct ptf_syscall_caller {
	const struct ptf_function *function; /* the wrapper's caller; of a row without a name, whose
	                                      * code it was; NULL: not known */
	struct ptf_syscall_cost cost;
};

struct ptf_syscall_row {
	const char *name; /* "read", "[interrupt]" or, if the trace does not tell, "[kernel]" */
	struct ptf_syscall_cost cost;
	struct ptf_syscall_caller *callers; /* n_callers, sorted as rows are */
	size_t n_callers;                   /* 0 unless asked for */
};

enum ptf_syscall_order {
	PTF_SYSCALLS_BY_TIME, /* total time, then calls, largest first; then name */
	PTF_SYSCALLS_BY_CALLS,
	PTF_SYSCALLS_BY_AVERAGE,
	PTF_SYSCALLS_BY_NAME,
};

struct ptf_syscall_table {
	struct ptf_arena arena;
	struct ptf_syscall_row *rows; /* n, in the arena */
	size_t n;
	struct ptf_syscall_cost sum; /* without times */
	uint64_t wall_ns;            /* of all threads */
};

/* Borrows the profile. 0 or -PTF_ENOMEM; then the table needs no release. */
int ptf_syscall_table_init(struct ptf_syscall_table *table, const struct ptf_profile *profile,
        bool callers, enum ptf_syscall_order order, struct ptf_error *err);
void ptf_syscall_table_release(struct ptf_syscall_table *table);

#endif
