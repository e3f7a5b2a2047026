/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name of the system call that a user function makes, guessed from its symbol.
 *
 * A trace of user code shows that a system call instruction ran, not which number was in its
 * register. But nearly all of them are made by small wrappers named after the call: read,
 * __libc_write, epoll_wait@plt, __GI___poll_nocancel.
 */
#ifndef PTF_SYSCALL_NAME_H
#define PTF_SYSCALL_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "symbol/function_table.h"

/* The longest name that is given, with its terminator; longer symbols are no wrappers. */
#define PTF_SYSCALL_NAME_SIZE 64

/*
 * Writes the system call's name for the function on top when it was made: the symbol without the
 * C library's decoration when that is a system call of Linux, or when the function is the C
 * library's (its own wrappers may be named otherwise; those of futex are written "futex"). False
 * when the function is no wrapper, or has no symbol (or is NULL).
 */
bool ptf_syscall_name(const struct ptf_function *function, char name[PTF_SYSCALL_NAME_SIZE]);

#endif
