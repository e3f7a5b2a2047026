/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the records of a perf.data as the reader delivers them, each line in the words of
 * `perf script -D`, so that check_perf_reader.py can compare the two:
 *
 *     CPU TIME OFFSET NAME FIELDS
 *
 * then a line for every piece of AUX data and one for every field of the header.
 */
#include <inttypes.h>
#include <stdio.h>

#include "perfdata/perf_reader.h"

static void print_mmap(const struct ptf_record *record)
{
	const struct ptf_record_mmap *m = &record->mmap;
	bool second = record->type == PTF_RECORD_MMAP2;

	printf(" %d/%d: [%#" PRIx64 "(%#" PRIx64 ") @ %#" PRIx64, m->pid, m->tid, m->addr, m->len,
	        m->pgoff);
	if (second && m->build_id_size) {
		printf(" <");
		for (unsigned i = 0; i < m->build_id_size; i++)
			printf("%02x", m->build_id[i]);
		printf(">");
	} else if (second) {
		printf(" %02x:%02x %" PRIu64 " %" PRIu64, m->maj, m->min, m->ino, m->ino_gen);
	}
	if (second)
		printf("]: %c%c%c%c %s", m->prot & 1 ? 'r' : '-', m->prot & 2 ? 'w' : '-',
		        m->prot & 4 ? 'x' : '-', m->flags & 1 ? 's' : 'p', m->filename);
	else
		printf("]: %c %s", m->prot & 4 ? 'x' : 'r', m->filename);
}

static void print_switch(const struct ptf_record *record)
{
	printf(" %s%s", record->sw.out ? "OUT" : "IN", record->sw.preempt ? " preempt" : "");
	if (record->type == PTF_RECORD_SWITCH_CPU_WIDE)
		printf(" %s pid/tid: %d/%d", record->sw.out ? "next" : "prev",
		        record->sw.next_prev_pid, record->sw.next_prev_tid);
}

static void print_sample(const struct ptf_record *record)
{
	const struct ptf_record_sample *s = &record->sample;

	printf("(IP, %#x): %d/%d: %#" PRIx64 " period: %" PRIu64 " addr: %#" PRIx64, record->misc,
	        record->sid.pid, record->sid.tid, s->ip, s->period, s->addr);
	for (uint64_t i = 0; i < s->callchain_n; i++) {
		uint64_t ip = 0;

		for (unsigned k = 0; k < 8; k++)
			ip |= (uint64_t)s->callchain[8 * i + k] << (8 * k);
		printf(" %016" PRIx64, ip);
	}
}

static void print_auxtrace_info(const struct ptf_record_auxtrace_info *info)
{
	printf(" type: %u", info->type);
	printf(" PMU Type %" PRIu64 " Time Shift %" PRIu64 " Time Muliplier %" PRIu64
	       " Time Zero %" PRIu64 " Cap Time Zero %d",
	        info->pmu_type, info->time_shift, info->time_mult, info->time_zero,
	        info->cap_user_time_zero);
	printf(" TSC bit %#" PRIx64 " NoRETComp bit %#" PRIx64 " Have sched_switch %" PRIu64
	       " Snapshot mode %" PRIu64 " Per-cpu maps %" PRIu64,
	        info->tsc_bit, info->noretcomp_bit, info->have_sched_switch, info->snapshot_mode,
	        info->per_cpu_mmaps);
	printf(" MTC bit %#" PRIx64 " MTC freq bits %#" PRIx64 " TSC:CTC numerator %" PRIu64
	       " TSC:CTC denominator %" PRIu64 " CYC bit %#" PRIx64 " Max non-turbo ratio %" PRIu64,
	        info->mtc_bit, info->mtc_freq_bits, info->tsc_ctc_ratio_n, info->tsc_ctc_ratio_d,
	        info->cyc_bit, info->max_nonturbo_ratio);
}

static void print_task(const char *name, const struct ptf_record_task *task)
{
	printf("%s(%d:%d):(%d:%d)", name, task->pid, task->tid, task->ppid, task->ptid);
}

/* The name and the fields of records that perf prints with their fields. */
static void print_body(const struct ptf_record *r)
{
	switch (r->type) {
	case PTF_RECORD_MMAP:
	case PTF_RECORD_MMAP2:
		printf("MMAP%s", r->type == PTF_RECORD_MMAP2 ? "2" : "");
		print_mmap(r);
		break;
	case PTF_RECORD_COMM:
		printf("COMM%s: %s:%d/%d", r->misc & PTF_MISC_COMM_EXEC ? " exec" : "",
		        r->comm.comm, r->comm.pid, r->comm.tid);
		break;
	case PTF_RECORD_FORK:
	case PTF_RECORD_EXIT:
		print_task(r->type == PTF_RECORD_FORK ? "FORK" : "EXIT", &r->task);
		break;
	case PTF_RECORD_SWITCH:
	case PTF_RECORD_SWITCH_CPU_WIDE:
		printf("SWITCH%s", r->type == PTF_RECORD_SWITCH ? "" : "_CPU_WIDE");
		print_switch(r);
		break;
	case PTF_RECORD_AUX:
		printf("AUX offset: %#" PRIx64 " size: %#" PRIx64 " flags: %#" PRIx64,
		        r->aux.aux_offset, r->aux.aux_size, r->aux.flags);
		break;
	case PTF_RECORD_ITRACE_START:
		printf("ITRACE_START pid: %d tid: %d", r->itrace_start.pid, r->itrace_start.tid);
		break;
	case PTF_RECORD_LOST:
		printf("LOST: id:%" PRIu64 ": lost:%" PRIu64, r->lost.id, r->lost.count);
		break;
	case PTF_RECORD_LOST_SAMPLES:
		printf("LOST_SAMPLES: id:%" PRIu64 ": lost samples :%" PRIu64, r->sid.id,
		        r->lost.count);
		break;
	case PTF_RECORD_NAMESPACES:
		printf("NAMESPACES %d/%d - nr_namespaces: %" PRIu64, r->namespaces.pid,
		        r->namespaces.tid, r->namespaces.count);
		break;
	case PTF_RECORD_KSYMBOL:
		printf("KSYMBOL addr %" PRIx64 " len %u type %u flags 0x%x name %s",
		        r->ksymbol.addr, r->ksymbol.len, r->ksymbol.ksym_type, r->ksymbol.flags,
		        r->ksymbol.name);
		break;
	case PTF_RECORD_SAMPLE:
		printf("SAMPLE");
		print_sample(r);
		break;
	case PTF_RECORD_AUXTRACE:
		printf("AUXTRACE size: %#" PRIx64 " offset: %#" PRIx64 " ref: %#" PRIx64
		       " idx: %u tid: %d cpu: %d",
		        r->auxtrace.size, r->auxtrace.aux_offset, r->auxtrace.reference,
		        r->auxtrace.idx, r->auxtrace.tid, r->auxtrace.cpu);
		break;
	case PTF_RECORD_AUXTRACE_INFO:
		printf("AUXTRACE_INFO");
		print_auxtrace_info(&r->auxtrace_info);
		break;
	case PTF_RECORD_TIME_CONV:
		printf("TIME_CONV Time Shift %" PRIu64 " Time Muliplier %" PRIu64
		       " Time Zero %" PRIu64,
		        r->time_conv.time_shift, r->time_conv.time_mult, r->time_conv.time_zero);
		break;
	case PTF_RECORD_THREAD_MAP:
		printf("THREAD_MAP nr: %" PRIu64, r->map.count);
		break;
	default:
		printf("%u", r->type);
		break;
	}
}

static void print_chunk(const struct ptf_aux_chunk *chunk)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a, as in check_perf_reader.py */

	for (uint64_t i = 0; i < chunk->size; i++)
		hash = (hash ^ chunk->bytes[i]) * 0x100000001b3ull;
	printf("aux %#" PRIx64 " %#" PRIx64 " %016" PRIx64 "\n", chunk->file_offset, chunk->size,
	        hash);
}

static void print_header(const struct ptf_perf_info *info)
{
	const char *const fields[][2] = {{"hostname", info->hostname},
	        {"os release", info->os_release}, {"perf version", info->version},
	        {"arch", info->arch}, {"cpuid", info->cpuid}, {"cpudesc", info->cpu_desc},
	        {"cmdline", info->cmdline}};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i][1])
			printf("header %s : %s\n", fields[i][0], fields[i][1]);
	}
	if (info->nr_cpus)
		printf("header nrcpus avail : %u\n", info->nr_cpus);
	for (size_t i = 0; i < info->n_attrs; i++) {
		const struct ptf_perf_attr *attr = &info->attrs[i];

		printf("event %s type %u config %#" PRIx64 " sample_type %#" PRIx64 " ids",
		        attr->name ? attr->name : "?", attr->type, attr->config, attr->sample_type);
		for (size_t k = 0; k < attr->n_ids; k++)
			printf(" %" PRIu64, attr->ids[k]);
		printf("\n");
	}
	for (size_t i = 0; i < info->n_build_ids; i++) {
		printf("buildid ");
		for (unsigned k = 0; k < info->build_ids[i].size; k++)
			printf("%02x", info->build_ids[i].id[k]);
		printf(" %s\n", info->build_ids[i].filename);
	}
	printf("form %s%s%s\n", info->pipe_mode ? "pipe " : "", info->directory ? "directory " : "",
	        info->compressed ? "compressed" : "");
	printf("counts %" PRIu64 " records %" PRIu64 " skipped\n", info->records, info->skipped);
	if (info->damage.code)
		printf("damage %s\n", info->damage.msg);
}

int main(int argc, char **argv)
{
	struct ptf_perf_reader *reader;
	const struct ptf_aux_chunk *chunks;
	struct ptf_error err = {0};
	struct ptf_record record;
	size_t n;
	int rc;

	if (argc != 2)
		return 2;
	if (ptf_perf_reader_create(&reader, argv[1], &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	while ((rc = ptf_perf_reader_next(reader, &record, &err)) == 0) {
		printf("%d %" PRIu64 " %#" PRIx64 " ", record.sid.cpu, record.sid.time_ns,
		        record.file_offset);
		print_body(&record);
		printf("\n");
	}
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	for (size_t i = 0; i < n; i++)
		print_chunk(&chunks[i]);
	print_header(ptf_perf_reader_info(reader));
	ptf_perf_reader_destroy(reader);
	return rc < 0;
}
