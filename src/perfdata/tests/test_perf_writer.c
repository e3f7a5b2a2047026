/* SPDX-License-Identifier: BSD-2-Clause */
/* What the writer writes the reader reads: every kind of record, features, AUX data. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "perfdata/perf_reader.h"
#include "perfdata/perf_writer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct place {
	char dir[64], path[128];
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->dir, "/tmp/ptflame-test-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->path, sizeof(place->path), "%s/out.data", place->dir);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", place->dir);
	assert_int_equal(system(command), 0);
	free(place);
	return 0;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* All fields of a sample_id, so that each has to find its place. */
static const struct perf_event_attr dummy = {.type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_DUMMY,
        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID |
                       PERF_SAMPLE_TIME | PERF_SAMPLE_ADDR | PERF_SAMPLE_ID |
                       PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD |
                       PERF_SAMPLE_CALLCHAIN,
        .sample_id_all = 1,
        .context_switch = 1,
        .exclude_kernel = 1,
        .use_clockid = 1,
        .clockid = 1};
static const uint64_t dummy_ids[] = {71, 72};

static struct ptf_perf_writer *begin(const char *path)
{
	struct ptf_perf_writer *writer;

	assert_int_equal(ptf_perf_writer_create(&writer, path, NULL), 0);
	assert_int_equal(
	        ptf_perf_writer_add_attr(writer, &dummy, "dummy:u", dummy_ids, 2, NULL), 0);
	return writer;
}

static void finish(struct ptf_perf_writer *writer, uint64_t *bytes)
{
	struct ptf_perf_features none = {0};
	struct ptf_error err = {0};

	if (ptf_perf_writer_finish(writer, &none, bytes, &err) != 0)
		fail_msg("%s", err.msg);
	ptf_perf_writer_destroy(writer);
}

static struct ptf_perf_reader *open_reader(const char *path)
{
	struct ptf_perf_reader *reader;
	struct ptf_error err = {0};

	if (ptf_perf_reader_create(&reader, path, &err) != 0)
		fail_msg("%s", err.msg);
	return reader;
}

/* ---- records ---- */

#define SID(time)                                                                                  \
	{                                                                                          \
		.time_ns = (time), .id = 72, .pid = 100, .tid = 101, .cpu = 3, .has_time = true    \
	}
#define NO_SID                                                                                     \
	{                                                                                          \
		.pid = -1, .tid = -1, .cpu = -1                                                    \
	}

static const uint64_t chain[] = {UINT64_C(0xfffffffffffffe00), 0x401000, 0x402000};

/* In the order of time; those without come first, as they are written first. */
static const struct ptf_record records[] = {
        {.type = PTF_RECORD_AUXTRACE_INFO,
                .sid = NO_SID,
                .auxtrace_info = {.type = 1,
                        .pmu_type = 8,
                        .time_shift = 3,
                        .time_mult = 5,
                        .time_zero = 7,
                        .cap_user_time_zero = true,
                        .tsc_bit = 0x400,
                        .noretcomp_bit = 0x800,
                        .have_sched_switch = 2,
                        .snapshot_mode = 1,
                        .per_cpu_mmaps = 1,
                        .mtc_bit = 0x200,
                        .mtc_freq_bits = 0x3c000,
                        .tsc_ctc_ratio_n = 40,
                        .tsc_ctc_ratio_d = 2,
                        .cyc_bit = 2,
                        .max_nonturbo_ratio = 10,
                        .filter = "filter main @ /bin/true"}},
        {.type = PTF_RECORD_TIME_CONV,
                .sid = NO_SID,
                .time_conv = {.time_shift = 11,
                        .time_mult = 13,
                        .time_zero = 17,
                        .time_cycles = 19,
                        .time_mask = 23,
                        .cap_user_time_zero = true,
                        .cap_user_time_short = true}},
        {.type = PTF_RECORD_THREAD_MAP, .sid = NO_SID, .map = {.count = 1}},
        {.type = PTF_RECORD_COMM,
                .misc = PTF_MISC_COMM_EXEC,
                .sid = SID(1000),
                .comm = {100, 101, "name: of a comm"}},
        {.type = PTF_RECORD_MMAP2,
                .misc = 2,
                .sid = SID(1001),
                .mmap = {.pid = 100,
                        .tid = 101,
                        .addr = 0x7f0000001000,
                        .len = 0x2000,
                        .pgoff = 0x3000,
                        .maj = 8,
                        .min = 9,
                        .ino = 1234567,
                        .ino_gen = 89,
                        .prot = 5,
                        .flags = 2,
                        .has_inode = true,
                        .filename = "/usr/lib/a name of 16 b"}},
        {.type = PTF_RECORD_MMAP2,
                .misc = 2 | PTF_MISC_MMAP_BUILD_ID,
                .sid = SID(1002),
                .mmap = {.pid = 100,
                        .tid = 101,
                        .addr = 0x400000,
                        .len = 0x1000,
                        .prot = 4,
                        .flags = 2,
                        .build_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                                19, 20},
                        .build_id_size = 20,
                        .filename = ""}},
        {.type = PTF_RECORD_FORK, .sid = SID(1003), .task = {102, 100, 102, 101, 1003}},
        {.type = PTF_RECORD_SWITCH,
                .misc = PTF_MISC_SWITCH_OUT,
                .sid = SID(1004),
                .sw = {-1, -1, true, false}},
        {.type = PTF_RECORD_SWITCH, .sid = SID(1005), .sw = {-1, -1, false, false}},
        {.type = PTF_RECORD_SWITCH_CPU_WIDE,
                .misc = PTF_MISC_SWITCH_OUT | PTF_MISC_SWITCH_OUT_PREEMPT,
                .sid = SID(1006),
                .sw = {200, 201, true, true}},
        {.type = PTF_RECORD_ITRACE_START, .sid = SID(1007), .itrace_start = {100, 101}},
        {.type = PTF_RECORD_AUX,
                .sid = SID(1008),
                .aux = {0x123456789a, 0x1000, PTF_AUX_FLAG_TRUNCATED | PTF_AUX_FLAG_COLLISION}},
        {.type = PTF_RECORD_LOST, .sid = SID(1009), .lost = {71, 12345}},
        {.type = PTF_RECORD_SAMPLE,
                .misc = 2,
                .sid = SID(1010),
                .sample = {.ip = 0x401000,
                        .addr = 0x601000,
                        .period = 99,
                        .callchain = (const uint8_t *)chain,
                        .callchain_n = 3}},
        {.type = PTF_RECORD_EXIT, .sid = SID(1011), .task = {102, 100, 102, 101, 1011}},
        {.type = PTF_RECORD_FINISHED_ROUND, .sid = NO_SID},
};

static void same_mmap(const struct ptf_record_mmap *a, const struct ptf_record_mmap *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->tid, b->tid);
	assert_int_equal(a->addr, b->addr);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->pgoff, b->pgoff);
	assert_int_equal(a->maj, b->maj);
	assert_int_equal(a->min, b->min);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->ino_gen, b->ino_gen);
	assert_int_equal(a->prot, b->prot);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->build_id_size, b->build_id_size);
	assert_memory_equal(a->build_id, b->build_id, sizeof(a->build_id));
	assert_int_equal(a->has_inode, b->has_inode);
	assert_string_equal(a->filename, b->filename);
}

static void same_info(
        const struct ptf_record_auxtrace_info *a, const struct ptf_record_auxtrace_info *b)
{
	struct ptf_record_auxtrace_info x = *a, y = *b;

	assert_string_equal(x.filter, y.filter);
	x.filter = y.filter = NULL;
	assert_int_equal(x.type, y.type);
	assert_int_equal(x.cap_user_time_zero, y.cap_user_time_zero);
	assert_memory_equal(&x.pmu_type, &y.pmu_type, 4 * sizeof(uint64_t));
	assert_memory_equal(&x.tsc_bit, &y.tsc_bit,
	        offsetof(struct ptf_record_auxtrace_info, filter) -
	                offsetof(struct ptf_record_auxtrace_info, tsc_bit));
}

static void same_body(const struct ptf_record *a, const struct ptf_record *b)
{
	switch (a->type) {
	case PTF_RECORD_MMAP2:
		same_mmap(&a->mmap, &b->mmap);
		break;
	case PTF_RECORD_COMM:
		assert_int_equal(a->comm.pid, b->comm.pid);
		assert_int_equal(a->comm.tid, b->comm.tid);
		assert_string_equal(a->comm.comm, b->comm.comm);
		break;
	case PTF_RECORD_FORK:
	case PTF_RECORD_EXIT:
		assert_memory_equal(&a->task, &b->task, sizeof(a->task));
		break;
	case PTF_RECORD_SWITCH:
	case PTF_RECORD_SWITCH_CPU_WIDE:
		assert_int_equal(a->sw.next_prev_pid, b->sw.next_prev_pid);
		assert_int_equal(a->sw.next_prev_tid, b->sw.next_prev_tid);
		assert_int_equal(a->sw.out, b->sw.out);
		assert_int_equal(a->sw.preempt, b->sw.preempt);
		break;
	case PTF_RECORD_AUX:
		assert_memory_equal(&a->aux, &b->aux, sizeof(a->aux));
		break;
	case PTF_RECORD_ITRACE_START:
		assert_memory_equal(&a->itrace_start, &b->itrace_start, sizeof(a->itrace_start));
		break;
	case PTF_RECORD_LOST:
		assert_memory_equal(&a->lost, &b->lost, sizeof(a->lost));
		break;
	case PTF_RECORD_SAMPLE:
		assert_int_equal(a->sample.ip, b->sample.ip);
		assert_int_equal(a->sample.addr, b->sample.addr);
		assert_int_equal(a->sample.period, b->sample.period);
		assert_int_equal(a->sample.callchain_n, b->sample.callchain_n);
		assert_memory_equal(a->sample.callchain, b->sample.callchain, sizeof(chain));
		break;
	case PTF_RECORD_AUXTRACE_INFO:
		same_info(&a->auxtrace_info, &b->auxtrace_info);
		break;
	case PTF_RECORD_TIME_CONV:
		assert_memory_equal(&a->time_conv, &b->time_conv, 5 * sizeof(uint64_t) + 2);
		break;
	case PTF_RECORD_THREAD_MAP:
		assert_int_equal(a->map.count, b->map.count);
		break;
	default:
		assert_int_equal(a->type, PTF_RECORD_FINISHED_ROUND);
		break;
	}
}

static void same_record(const struct ptf_record *a, const struct ptf_record *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->misc, b->misc);
	assert_int_equal(a->sid.has_time, b->sid.has_time);
	assert_int_equal(a->sid.time_ns, b->sid.time_ns);
	assert_int_equal(a->sid.id, b->sid.id);
	assert_int_equal(a->sid.pid, b->sid.pid);
	assert_int_equal(a->sid.tid, b->sid.tid);
	assert_int_equal(a->sid.cpu, b->sid.cpu);
	same_body(a, b);
}

static void every_kind_comes_back(void **state)
{
	struct place *place = *state;
	struct ptf_perf_writer *writer = begin(place->path);
	struct ptf_perf_reader *reader;
	struct ptf_record got;
	uint64_t bytes;
	struct stat st;

	for (size_t i = 0; i < COUNT(records); i++)
		assert_int_equal(ptf_perf_writer_record(writer, &records[i], NULL), 0);
	finish(writer, &bytes);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(bytes, st.st_size);

	reader = open_reader(place->path);
	for (size_t i = 0; i < COUNT(records); i++) {
		assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 0);
		same_record(&records[i], &got);
	}
	assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 1);
	assert_int_equal(ptf_perf_reader_info(reader)->damage.code, 0);
	assert_int_equal(ptf_perf_reader_info(reader)->records, COUNT(records));
	assert_int_equal(ptf_perf_reader_info(reader)->skipped, 0);
	ptf_perf_reader_destroy(reader);
}

static void records_come_in_the_order_of_time(void **state)
{
	struct place *place = *state;
	struct ptf_perf_writer *writer = begin(place->path);
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	/* 7919 is prime to 1000: all times, in a wild order; each twice, told apart by the count */
	for (uint64_t i = 0; i < 2000; i++) {
		struct ptf_record lost = {.type = PTF_RECORD_LOST,
		        .sid = SID(1 + i * 7919 % 1000),
		        .lost = {.count = i}};

		assert_int_equal(ptf_perf_writer_record(writer, &lost, NULL), 0);
	}
	finish(writer, NULL);
	reader = open_reader(place->path);
	for (uint64_t i = 0, last = 0; i < 2000; i++) {
		assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 0);
		assert_int_equal(got.sid.time_ns, 1 + i / 2);
		assert_int_equal(got.lost.count * 7919 % 1000 + 1, got.sid.time_ns);
		if (i % 2)
			assert_int_equal(got.lost.count, last + 1000);
		last = got.lost.count;
	}
	ptf_perf_reader_destroy(reader);
}

/* A record as a ring buffer has it is copied; what is none is refused. */
static void raw_records(void **state)
{
	struct place *place = *state;
	struct ptf_perf_writer *writer = begin(place->path);
	/* sample_id: pid, tid, time, id, stream id, cpu, identifier */
	const uint64_t lost[] = {PERF_RECORD_LOST | (uint64_t)(9 * 8) << 48, 71, 5,
	        (uint64_t)101 << 32 | 100, 4711, 72, 72, 3, 72};
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	assert_int_equal(ptf_perf_writer_raw(writer, lost, sizeof(lost), NULL), 0);
	assert_int_equal(ptf_perf_writer_raw(writer, lost, sizeof(lost) - 8, NULL), -PTF_EINVAL);
	assert_int_equal(ptf_perf_writer_raw(writer, lost, 4, NULL), -PTF_EINVAL);
	finish(writer, NULL);
	reader = open_reader(place->path);
	assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 0);
	assert_int_equal(got.lost.count, 5);
	assert_int_equal(got.sid.time_ns, 4711);
	assert_int_equal(got.sid.tid, 101);
	assert_int_equal(got.sid.cpu, 3);
	assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 1);
	ptf_perf_reader_destroy(reader);
}

/* ---- header and trace data ---- */

static void features_come_back(void **state)
{
	struct place *place = *state;
	struct ptf_perf_writer *writer = begin(place->path);
	const char *const argv[] = {"ptflame", "record", "a b"};
	const uint8_t own[] = {0, 1, 2, 0xff};
	struct ptf_perf_features features = {.hostname = "host",
	        .os_release = "6.1.0",
	        .arch = "x86_64",
	        .cpuid = "GenuineIntel,6,158,9",
	        .cpu_desc = "a CPU",
	        .nr_cpus = 4,
	        .argc = 3,
	        .argv = argv,
	        .ptflame = own,
	        .ptflame_size = sizeof(own)};
	const struct ptf_perf_info *info;
	struct ptf_perf_reader *reader;

	assert_int_equal(ptf_perf_writer_record(writer, &records[3], NULL), 0);
	assert_int_equal(ptf_perf_writer_finish(writer, &features, NULL, NULL), 0);
	ptf_perf_writer_destroy(writer);
	reader = open_reader(place->path);
	info = ptf_perf_reader_info(reader);
	assert_string_equal(info->hostname, "host");
	assert_string_equal(info->os_release, "6.1.0");
	assert_string_equal(info->arch, "x86_64");
	assert_string_equal(info->cpuid, "GenuineIntel,6,158,9");
	assert_string_equal(info->cpu_desc, "a CPU");
	assert_string_equal(info->cmdline, "ptflame record a b");
	assert_memory_equal(info->version, "ptflame ", 8);
	assert_int_equal(info->nr_cpus, 4);
	assert_int_equal(info->ptflame_size, sizeof(own));
	assert_memory_equal(info->ptflame, own, sizeof(own));
	assert_int_equal(info->n_attrs, 1);
	assert_string_equal(info->attrs[0].name, "dummy:u");
	assert_int_equal(info->attrs[0].config, PERF_COUNT_SW_DUMMY);
	assert_int_equal(info->attrs[0].sample_type, dummy.sample_type);
	assert_int_equal(info->attrs[0].n_ids, 2);
	assert_memory_equal(info->attrs[0].ids, dummy_ids, sizeof(dummy_ids));
	assert_true(info->attrs[0].sample_id_all && info->attrs[0].context_switch);
	assert_true(info->attrs[0].use_clockid && info->attrs[0].exclude_kernel);
	assert_false(info->attrs[0].exclude_user);
	assert_int_equal(info->attrs[0].clockid, 1);
	assert_false(info->pipe_mode || info->directory || info->compressed);
	ptf_perf_reader_destroy(reader);
}

static void aux_data_comes_back(void **state)
{
	static const uint8_t data[] = "trace data, 29 bytes of it...";
	struct place *place = *state;
	struct ptf_perf_writer *writer = begin(place->path);
	struct ptf_aux_chunk chunk = {.bytes = data,
	        .size = 29,
	        .aux_offset = 0x1000,
	        .reference = 77,
	        .idx = 2,
	        .tid = 101,
	        .cpu = -1};
	const struct ptf_aux_chunk *chunks;
	struct ptf_perf_reader *reader;
	struct ptf_record got;
	size_t n;

	assert_int_equal(ptf_perf_writer_auxtrace(writer, &chunk, NULL), 0);
	chunk.aux_offset += 32;
	chunk.size = 0;
	assert_int_equal(ptf_perf_writer_auxtrace(writer, &chunk, NULL), 0);
	finish(writer, NULL);
	reader = open_reader(place->path);
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	assert_int_equal(n, 2);
	assert_int_equal(chunks[0].size, 32);
	assert_memory_equal(chunks[0].bytes, data, 29);
	assert_memory_equal(chunks[0].bytes + 29, "\0\0\0", 3);
	assert_int_equal(chunks[0].reference, 77);
	assert_int_equal(chunks[0].idx, 2);
	assert_int_equal(chunks[0].tid, 101);
	assert_int_equal(chunks[0].cpu, -1);
	assert_int_equal(chunks[1].size, 0);
	assert_int_equal(chunks[1].aux_offset, 0x1020);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 0);
		assert_int_equal(got.type, PTF_RECORD_AUXTRACE);
		assert_ptr_equal(got.auxtrace.bytes, chunks[i].bytes);
		assert_int_equal(got.auxtrace.size, chunks[i].size);
		assert_int_equal(got.auxtrace.file_offset, chunks[i].file_offset);
		assert_int_equal(got.file_offset + 0x30, chunks[i].file_offset);
	}
	ptf_perf_reader_destroy(reader);
}

/* ---- files and misuse ---- */

static void an_older_file_is_kept(void **state)
{
	struct place *place = *state;
	char old[160], temporary[192];
	struct ptf_perf_writer *writer;

	snprintf(old, sizeof(old), "%s.old", place->path);
	snprintf(temporary, sizeof(temporary), "%s.tmp.%d", place->path, (int)getpid());
	finish(begin(place->path), NULL);
	assert_false(exists(old));
	writer = begin(place->path);
	assert_true(exists(temporary));
	ptf_perf_writer_destroy(writer);
	assert_false(exists(temporary) || exists(old));
	finish(begin(place->path), NULL);
	assert_true(exists(place->path) && exists(old));
	assert_false(exists(temporary));
}

static void misuse_is_refused(void **state)
{
	struct place *place = *state;
	struct ptf_record record = {.type = PTF_RECORD_KSYMBOL};
	struct perf_event_attr other = dummy;
	struct ptf_perf_features none = {0};
	struct ptf_perf_writer *writer;
	char *name = malloc(70000);

	assert_int_equal(ptf_perf_writer_create(&writer, "/nonexistent/x", NULL), -PTF_ENOENT);
	assert_int_equal(ptf_perf_writer_create(&writer, place->path, NULL), 0);
	assert_int_equal(ptf_perf_writer_record(writer, &records[3], NULL), -PTF_EINVAL);
	assert_int_equal(ptf_perf_writer_finish(writer, &none, NULL, NULL), -PTF_EINVAL);
	ptf_perf_writer_destroy(writer);

	writer = begin(place->path);
	other.sample_type ^= PERF_SAMPLE_CPU;
	assert_int_equal(
	        ptf_perf_writer_add_attr(writer, &other, "x", dummy_ids, 1, NULL), -PTF_EINVAL);
	assert_int_equal(
	        ptf_perf_writer_add_attr(writer, &dummy, "x", dummy_ids, 0, NULL), -PTF_EINVAL);
	assert_int_equal(ptf_perf_writer_record(writer, &record, NULL), -PTF_EINVAL);
	assert_int_equal(
	        ptf_perf_writer_add_attr(writer, &dummy, "x", dummy_ids, 1, NULL), -PTF_EINVAL);
	memset(name, 'n', 69999);
	name[69999] = '\0';
	record = (struct ptf_record){.type = PTF_RECORD_MMAP2, .mmap = {.filename = name}};
	assert_int_equal(ptf_perf_writer_record(writer, &record, NULL), -PTF_EINVAL);
	finish(writer, NULL);
	free(name);
}

/* A disk that is full: the error names the file, and nothing is left behind. */
static void a_full_disk_is_told(void **state)
{
	static const uint8_t data[1 << 16];
	struct place *place = *state;
	struct ptf_aux_chunk chunk = {.bytes = data, .size = sizeof(data), .reference = 1};
	struct rlimit was, limit;
	struct ptf_perf_features none = {0};
	struct ptf_perf_writer *writer;
	struct ptf_error err = {0};
	char command[160];
	int rc = 0;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = (struct rlimit){1 << 20, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	writer = begin(place->path);
	for (unsigned i = 0; i < 64 && rc == 0; i++)
		rc = ptf_perf_writer_auxtrace(writer, &chunk, &err);
	if (rc == 0)
		rc = ptf_perf_writer_finish(writer, &none, NULL, &err);
	ptf_perf_writer_destroy(writer);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(rc, -PTF_EIO);
	assert_non_null(strstr(err.msg, place->path));
	snprintf(command, sizeof(command), "test -z \"$(ls %s)\"", place->dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(every_kind_comes_back),
	        TEST(records_come_in_the_order_of_time),
	        TEST(raw_records),
	        TEST(features_come_back),
	        TEST(aux_data_comes_back),
	        TEST(an_older_file_is_kept),
	        TEST(misuse_is_refused),
	        TEST(a_full_disk_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
