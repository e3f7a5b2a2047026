/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profiles made by hand, for tests of what reads profiles.
 */
#ifndef PTF_SAMPLE_PROFILE_H
#define PTF_SAMPLE_PROFILE_H

#include "profile/profile.h"

/* An empty timed profile with room for `n_threads` threads, all zero but for their names. Aborts
 * when out of memory, as everything here. */
struct ptf_profile *sample_profile_make(size_t n_threads);

struct ptf_profile_thread *sample_thread(struct ptf_profile *profile, size_t index, int pid,
        int tid, const char *comm, const char *process_comm);

/* A function called `name` of /usr/bin/app; names with '[' first have no symbol. */
const struct ptf_function *sample_function(struct ptf_profile *profile, const char *name);
const struct ptf_function *sample_function_of(
        struct ptf_profile *profile, const char *module, uint64_t address, const char *name);

/* The node of a path of sample functions, "main;work" ("" is the root). */
struct ptf_call_node *sample_node(struct ptf_profile *profile, size_t thread, const char *path);

/* Adds time of a class to a node of a thread, and to the thread's state. */
void sample_time(struct ptf_profile *profile, size_t thread, struct ptf_call_node *node,
        unsigned time_class, uint64_t ns);

/* Adds a call that was seen from begin to end, all of it on the CPU, to a node. */
void sample_call(
        struct ptf_profile *profile, size_t thread, struct ptf_call_node *node, uint64_t ns);
void sample_call_of(struct ptf_profile *profile, size_t thread, struct ptf_call_node *node,
        const struct ptf_time_parts *call); /* by what the thread did meanwhile */

/*
 * The profile that the tests of all formats share: two processes, three threads, every time
 * class, an empty stack, names that no format can print as they are.
 */
struct ptf_profile *sample_profile_full(void);

/* One thread with a stack of `depth` frames and time in the deepest and the outermost. */
struct ptf_profile *sample_profile_deep(unsigned depth);

#endif
