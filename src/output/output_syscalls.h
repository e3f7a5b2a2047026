/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of system calls, for the terminal and as JSON (ptflame(1), "ptflame syscalls"). */
#ifndef PTF_OUTPUT_SYSCALLS_H
#define PTF_OUTPUT_SYSCALLS_H

#include <stdio.h>

#include "profile/syscall_table.h"

/* Both flush; -PTF_EIO or -PTF_ENOMEM. window: the profile's. */
int ptf_output_syscalls_table(const struct ptf_syscall_table *table,
        const struct ptf_profile_window *window, FILE *out, struct ptf_error *err);
int ptf_output_syscalls_json(const struct ptf_syscall_table *table,
        const struct ptf_profile_window *window, FILE *out, struct ptf_error *err);

#endif
