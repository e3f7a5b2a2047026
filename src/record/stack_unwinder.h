/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks of threads that stood still: from a copy of registers and stack memory to return
 * addresses, by the unwind tables (.eh_frame) of what was mapped, with libdwfl.
 */
#ifndef PTF_STACK_UNWINDER_H
#define PTF_STACK_UNWINDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptflame/error.h>

#include "base/vec.h"

#define PTF_UNWIND_REGS 17      /* by DWARF number (x86-64 psABI): 16 general registers, then rip */
#define PTF_UNWIND_RSP 7        /* number of the stack pointer */
#define PTF_UNWIND_RIP 16       /* ... and of the instruction pointer */
#define PTF_UNWIND_RED_ZONE 128 /* bytes below the stack pointer that belong to a function */
#define PTF_UNWIND_STACK_MAX ((size_t)8 << 20) /* bytes of a stack that are copied */

PTF_VEC_TYPEDEF(ptf_ips, uint64_t);

/* Where a file's code is mapped. */
struct ptf_unwind_map {
	uint64_t addr, len, pgoff; /* bytes; pgoff: of addr in the file */
	const char *path;          /* as mapped, "[vdso]" */
};

PTF_VEC_TYPEDEF(ptf_unwind_maps, struct ptf_unwind_map);

/* A thread as it stood. */
struct ptf_thread_copy {
	uint64_t regs[PTF_UNWIND_REGS];
	uint64_t addr;        /* of stack[0] */
	const uint8_t *stack; /* borrowed, size bytes from below the stack pointer upwards */
	size_t size;
};

struct ptf_stack_unwinder;

/* Maps of code (executable ones): not kept. Files that cannot be read are left out: stacks end at
 * their functions. Errors: PTF_ENOMEM; PTF_EIO when libdwfl fails. */
int ptf_stack_unwinder_create(struct ptf_stack_unwinder **unwinder,
        const struct ptf_unwind_maps *maps, struct ptf_error *err);
void ptf_stack_unwinder_destroy(struct ptf_stack_unwinder *unwinder);

/* Appends the copy's rip and the return addresses, innermost first, as far as they can be found (at
 * least rip). 0, or -PTF_ENOMEM. */
int ptf_stack_unwinder_run(struct ptf_stack_unwinder *unwinder, const struct ptf_thread_copy *copy,
        struct ptf_ips *ips, struct ptf_error *err);

#endif
