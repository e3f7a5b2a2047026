/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * write_perf_file OUT PROGRAM ADDRESS START: a recording, for check_perf_writer.py, of a program
 * whose code from START on calls a function, which returns at once, twice, and then comes to a
 * system call. ADDRESS: where its file is mapped, from offset 0x1000 on. Both are hexadecimal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perfdata/perf_writer.h"

enum { PT_TYPE = 8, PID = 4242 };

static struct ptf_perf_writer *writer;
static uint64_t now = 5000;

static void check(int rc, const struct ptf_error *err)
{
	if (rc < 0) {
		fprintf(stderr, "%s\n", err->msg);
		exit(1);
	}
}

static void put(struct ptf_record record)
{
	struct ptf_error err = {0};

	if (record.type < PTF_RECORD_HEADER_ATTR)
		record.sid = (struct ptf_sample_id){
		        .time_ns = now++, .id = 2, .pid = PID, .tid = PID, .has_time = true};
	check(ptf_perf_writer_record(writer, &record, &err), &err);
}

static void add_events(void)
{
	const uint64_t ids[] = {1, 2};
	struct perf_event_attr pt = {.type = PT_TYPE,
	        .config = 0x2001, /* no timing packets */
	        .sample_period = 1,
	        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID |
	                       PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD |
	                       PERF_SAMPLE_CALLCHAIN,
	        .sample_id_all = 1,
	        .exclude_kernel = 1};
	struct perf_event_attr dummy = pt;
	struct ptf_error err = {0};

	dummy.type = PERF_TYPE_SOFTWARE;
	dummy.config = PERF_COUNT_SW_DUMMY;
	dummy.mmap = dummy.mmap2 = dummy.comm = dummy.task = dummy.context_switch = 1;
	check(ptf_perf_writer_add_attr(writer, &pt, "intel_pt//u", &ids[0], 1, &err), &err);
	check(ptf_perf_writer_add_attr(writer, &dummy, "dummy:u", &ids[1], 1, &err), &err);
}

static void put_sideband(const char *program, uint64_t address)
{
	static const uint64_t chain[] = {UINT64_C(0xfffffffffffffe00), 0x401000};

	put((struct ptf_record){.type = PTF_RECORD_AUXTRACE_INFO,
	        .auxtrace_info = {.type = 1,
	                .pmu_type = PT_TYPE,
	                .time_mult = 1,
	                .cap_user_time_zero = true,
	                .tsc_bit = 0x400,
	                .noretcomp_bit = 0x800,
	                .mtc_bit = 0x200,
	                .mtc_freq_bits = 0x3c000,
	                .cyc_bit = 2,
	                .max_nonturbo_ratio = 10}});
	put((struct ptf_record){.type = PTF_RECORD_TIME_CONV, .time_conv = {.time_mult = 1}});
	put((struct ptf_record){.type = PTF_RECORD_THREAD_MAP, .sid = {.tid = PID}});
	put((struct ptf_record){.type = PTF_RECORD_COMM,
	        .misc = PTF_MISC_COMM_EXEC,
	        .comm = {PID, PID, "program"}});
	put((struct ptf_record){.type = PTF_RECORD_MMAP2,
	        .mmap = {.pid = PID,
	                .tid = PID,
	                .addr = address,
	                .len = 0x1000,
	                .prot = 5,
	                .flags = 2,
	                .maj = 8,
	                .min = 1,
	                .ino = 99,
	                .has_inode = true,
	                .pgoff = 0x1000,
	                .filename = program}});
	put((struct ptf_record){.type = PTF_RECORD_MMAP2,
	        .mmap = {.pid = PID,
	                .tid = PID,
	                .addr = 0x7f0000000000,
	                .len = 0x1000,
	                .prot = 5,
	                .flags = 2,
	                .build_id = {0xab, 0xcd},
	                .build_id_size = 20,
	                .filename = "/nonexistent/library"}});
	put((struct ptf_record){.type = PTF_RECORD_ITRACE_START, .itrace_start = {PID, PID}});
	put((struct ptf_record){.type = PTF_RECORD_SWITCH, .sw = {-1, -1, true, true}});
	put((struct ptf_record){.type = PTF_RECORD_SWITCH, .sw = {-1, -1, false, false}});
	put((struct ptf_record){.type = PTF_RECORD_SAMPLE,
	        .sample = {.ip = 0x401000,
	                .period = 6,
	                .callchain = (const uint8_t *)chain,
	                .callchain_n = 2}});
	put((struct ptf_record){.type = PTF_RECORD_FORK, .task = {PID, PID, PID + 1, PID, now}});
	put((struct ptf_record){.type = PTF_RECORD_EXIT, .task = {PID, PID, PID + 1, PID, now}});
	put((struct ptf_record){.type = PTF_RECORD_LOST, .lost = {1, 3}});
}

/* Kinds that the writer does not make itself, as a kernel would hand them over. */
static void put_raw(void)
{
	const uint64_t id[] = {(uint64_t)PID << 32 | PID, now++, 0, 2}; /* its sample_id */
	const uint64_t lost_samples[] = {
	        PERF_RECORD_LOST_SAMPLES | UINT64_C(48) << 48, 7, id[0], id[1], id[2], id[3]};
	const uint64_t ksymbol[] = {PERF_RECORD_KSYMBOL | UINT64_C(72) << 48,
	        UINT64_C(0xffffffffc0001000), 0x100 | UINT64_C(1) << 32, 0x676f72705f667062, 0,
	        id[0], id[1], id[2], id[3]};
	struct ptf_error err = {0};

	check(ptf_perf_writer_raw(writer, lost_samples, sizeof(lost_samples), &err), &err);
	check(ptf_perf_writer_raw(writer, ksymbol, sizeof(ksymbol), &err), &err);
}

/* SDM volume 3, chapter "Intel Processor Trace", packet definitions. */
static void put_trace(uint64_t start)
{
	uint8_t trace[64] = {0};
	struct ptf_aux_chunk chunk = {.bytes = trace, .reference = 1, .tid = PID, .cpu = -1};
	struct ptf_error err = {0};
	size_t n = 0;

	for (unsigned i = 0; i < 8; i++) { /* PSB */
		trace[n++] = 0x02;
		trace[n++] = 0x82;
	}
	trace[n++] = 0x02; /* PSBEND */
	trace[n++] = 0x23;
	trace[n++] = 0x71; /* TIP.PGE, 48 bits */
	memcpy(trace + n, &start, 6);
	n += 6;
	trace[n++] = 0x0e; /* TNT: two returns to where they were called from */
	trace[n++] = 0x01; /* TIP.PGD without an address: the system call */
	chunk.size = n;
	put((struct ptf_record){.type = PTF_RECORD_AUX, .aux = {0, (n + 7) & ~7ull, 0}});
	put((struct ptf_record){.type = PTF_RECORD_EXIT, .task = {PID, PID, PID, PID, now}});
	check(ptf_perf_writer_auxtrace(writer, &chunk, &err), &err);
	put((struct ptf_record){.type = PTF_RECORD_FINISHED_ROUND});
}

int main(int argc, char **argv)
{
	const char *const words[] = {"ptflame", "record", "program"};
	struct ptf_perf_features features = {.hostname = "host",
	        .os_release = "6.1",
	        .nr_cpus = 2,
	        .arch = "x86_64",
	        .cpuid = "GenuineIntel,6,158,9",
	        .cpu_desc = "a CPU",
	        .argc = 3,
	        .argv = words,
	        .ptflame = (const uint8_t *)"own",
	        .ptflame_size = 3};
	struct ptf_error err = {0};

	if (argc != 5)
		return 2;
	check(ptf_perf_writer_create(&writer, argv[1], &err), &err);
	add_events();
	put_sideband(argv[2], strtoull(argv[3], NULL, 16));
	put_raw();
	put_trace(strtoull(argv[4], NULL, 16));
	check(ptf_perf_writer_finish(writer, &features, NULL, &err), &err);
	ptf_perf_writer_destroy(writer);
	return 0;
}
