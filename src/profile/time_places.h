/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time places: in which functions the time of a subtree of calls went, whoever called them, and
 * what they waited for: "crc32", "syscall:fdatasync_[k] [blocked]".
 */
#ifndef PTF_TIME_PLACES_H
#define PTF_TIME_PLACES_H

#include <ptflame/error.h>

#include "profile/profile.h"

struct ptf_time_place {
	const char *name; /* of the function, or of the pseudo-frames under it (profile_view.h) */
	uint64_t ns;
};

struct ptf_time_places {
	struct ptf_arena arena;
	struct ptf_time_place *v; /* the most time first, then by name; in the arena */
	size_t n;
	uint64_t total_ns; /* of all places */
};

/* Of a node and all below; names are the profile's or in the arena. -PTF_ENOMEM: nothing to
 * release. */
int ptf_time_places_init(struct ptf_time_places *places, const struct ptf_profile *profile,
        const struct ptf_call_node *node, struct ptf_error *err);
void ptf_time_places_release(struct ptf_time_places *places);

#endif
