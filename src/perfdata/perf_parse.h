/* SPDX-License-Identifier: BSD-2-Clause */
/* One record's bytes to struct ptf_record. Layouts: include/uapi/linux/perf_event.h. */
#ifndef PTF_PERF_PARSE_H
#define PTF_PERF_PARSE_H

#include "perfdata/perf_header.h"
#include "perfdata/perf_record.h"

#define PTF_RECORD_HEADER_SIZE 8u

/* Parses a whole record (header included). Strings are borrowed from bytes; one that is not
 * terminated there is copied to `spare` (at least 64 kB + 1). 0; 1: a type that we do not know
 * (only type, misc, sid are set); -PTF_EFORMAT: the record is too short for what it says. */
int ptf_perf_parse(const struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        char *spare, struct ptf_record *record);

#define PTF_PERF_SPARE_SIZE (65536u + 1u)

#endif
