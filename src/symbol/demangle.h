/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readable names of C++ and Rust functions, as perf prints them: parameters and return types left
 * out. libiberty does the work.
 */
#ifndef PTF_DEMANGLE_H
#define PTF_DEMANGLE_H

/* The demangled name, to be freed; NULL when raw_name is not mangled (or out of memory). What
 * stands behind an '@' ("@plt") is not part of the mangled name and is kept. */
char *ptf_demangle(const char *raw_name);

#endif
