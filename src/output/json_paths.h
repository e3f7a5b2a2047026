/* SPDX-License-Identifier: BSD-2-Clause */
/* The "paths" of a JSON report: counts, times and latencies of every call path. */
#ifndef PTF_JSON_PATHS_H
#define PTF_JSON_PATHS_H

#include "output/json_object.h"

/* Writes the object, which it takes, with "paths" as its last member, and flushes: one object for
 * each path, threads together, callers before callees. Paths are written one by one, since all of
 * them may be more than the memory holds. -PTF_EIO or -PTF_ENOMEM. */
int ptf_json_write_with_paths(struct ptf_json *object, const struct ptf_profile *profile, FILE *out,
        struct ptf_error *err);

#endif
