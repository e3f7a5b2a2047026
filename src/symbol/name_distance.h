/* SPDX-License-Identifier: BSD-2-Clause */
/* How much two names differ: to say what was perhaps meant. */
#ifndef PTF_NAME_DISTANCE_H
#define PTF_NAME_DISTANCE_H

/* Not alike at all. */
#define PTF_NAME_UNLIKE 1000u

/* 0: `name` holds `wanted` (upper and lower case are the same), else how many characters have to be
 * changed, put in or taken out (Levenshtein), PTF_NAME_UNLIKE when that are more than a third. */
unsigned ptf_name_distance(const char *wanted, const char *name);

#endif
