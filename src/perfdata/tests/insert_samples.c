/* SPDX-License-Identifier: BSD-2-Clause */
/* insert_samples FILE PID:TID:TIME:IP,IP...: adds samples, in the order of time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "perfdata/perf_insert.h"

enum { MAX_SAMPLES = 64, MAX_IPS = 64 };

static uint64_t chains[MAX_SAMPLES][MAX_IPS];

static void parse(char *text, uint64_t *chain, struct ptf_record *record)
{
	*record = (struct ptf_record){
	        .type = PTF_RECORD_SAMPLE, .sid = {.cpu = -1, .has_time = true}};
	record->sid.pid = (int32_t)strtol(text, &text, 10);
	record->sid.tid = (int32_t)strtol(text + 1, &text, 10);
	record->sid.time_ns = strtoull(text + 1, &text, 10);
	record->sample.callchain = (const uint8_t *)chain;
	chain[record->sample.callchain_n++] = (uint64_t)-512; /* PERF_CONTEXT_USER */
	while (*text && record->sample.callchain_n < MAX_IPS)
		chain[record->sample.callchain_n++] = strtoull(text + 1, &text, 16);
	record->sample.ip = chain[1];
}

int main(int argc, char **argv)
{
	struct ptf_record records[MAX_SAMPLES];
	struct ptf_error err = {0};
	size_t n = 0;

	for (int i = 2; i < argc && n < MAX_SAMPLES; i++, n++)
		parse(argv[i], chains[n], &records[n]);
	if (argc < 2 || ptf_perf_insert_samples(argv[1], records, n, &err) < 0) {
		fprintf(stderr, "%s: %s\n", ptf_error_text((int)err.code), err.msg);
		return 1;
	}
	return 0;
}
