/* SPDX-License-Identifier: BSD-2-Clause */
/* Files made by hand: what perf writes rarely, or not on the machine that tests. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "perfdata/perf_reader.h"
#include "perfdata/tests/perf_bytes.h"

static char dir[PERF_BYTES_DIR_SIZE], path[96];
static struct perf_bytes data, file; /* of the test that runs */

static int set_up(void **state)
{
	perf_bytes_make_dir(dir);
	snprintf(path, sizeof(path), "%s/perf.data", dir);
	data.n = file.n = 0;
	return 0;
}

static int tear_down(void **state)
{
	return perf_bytes_remove_dir(dir);
}

/* Time and event id are all that these records have: sample_id of 16 bytes. */
static const struct perf_bytes_event simple = {
        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME,
        .ids = {7},
        .n_ids = 1,
        .type = PERF_TYPE_SOFTWARE,
        .sample_id_all = 1,
};

static void put_id(struct perf_bytes *b, uint64_t time_ns)
{
	perf_bytes_u64(b, time_ns);
	perf_bytes_u64(b, 7);
}

/* A LOST record whose count tells it from others. */
static void put_lost(struct perf_bytes *b, uint64_t time_ns, uint64_t count)
{
	size_t record = perf_bytes_record(b, PTF_RECORD_LOST, 0);

	perf_bytes_u64(b, 7);
	perf_bytes_u64(b, count);
	put_id(b, time_ns);
	perf_bytes_end(b, record);
}

static struct ptf_perf_reader *open_path(const char *name)
{
	struct ptf_perf_reader *reader;
	struct ptf_error err = {0};

	if (ptf_perf_reader_create(&reader, name, &err) != 0)
		fail_msg("%s", err.msg);
	return reader;
}

static struct ptf_perf_reader *open_file(void)
{
	perf_bytes_write(&file, path);
	return open_path(path);
}

/* The file of `simple` with what is in data. */
static struct ptf_perf_reader *open_simple(void)
{
	perf_bytes_file(&file, &simple, 1, PERF_BYTES_ATTR_SIZE, &data);
	return open_file();
}

static struct ptf_record next(struct ptf_perf_reader *reader)
{
	struct ptf_record record;
	struct ptf_error err = {0};

	assert_int_equal(ptf_perf_reader_next(reader, &record, &err), 0);
	return record;
}

/* No record is left, none was skipped and nothing was wrong. */
static void end(struct ptf_perf_reader *reader)
{
	struct ptf_record record;

	assert_int_equal(ptf_perf_reader_next(reader, &record, NULL), 1);
	assert_int_equal(ptf_perf_reader_next(reader, &record, NULL), 1);
	if (ptf_perf_reader_info(reader)->damage.code)
		fail_msg("%s", ptf_perf_reader_info(reader)->damage.msg);
	assert_int_equal(ptf_perf_reader_info(reader)->skipped, 0);
	ptf_perf_reader_destroy(reader);
}

static void expect_lost(struct ptf_perf_reader *reader, uint64_t time_ns, uint64_t count)
{
	struct ptf_record record = next(reader);

	assert_int_equal(record.type, PTF_RECORD_LOST);
	assert_int_equal(record.sid.time_ns, time_ns);
	assert_int_equal(record.lost.count, count);
}

/* ---- records ---- */

static void mmap_of_code_and_data(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		size_t record = perf_bytes_record(&data, PTF_RECORD_MMAP, i ? 1 << 13 | 2 : 2);

		perf_bytes_u32(&data, 10);
		perf_bytes_u32(&data, 11);
		perf_bytes_u64(&data, 0x400000);
		perf_bytes_u64(&data, 0x1000);
		perf_bytes_u64(&data, 0x2000);
		perf_bytes_text(&data, "/bin/x");
		put_id(&data, i);
		perf_bytes_end(&data, record);
	}
	struct ptf_perf_reader *reader = open_simple();

	for (unsigned i = 0; i < 2; i++) {
		struct ptf_record record = next(reader);

		assert_int_equal(record.type, PTF_RECORD_MMAP);
		assert_int_equal(record.mmap.prot, i ? 1 : 4);
		assert_int_equal(record.mmap.tid, 11);
		assert_int_equal(record.mmap.addr, 0x400000);
		assert_int_equal(record.mmap.len, 0x1000);
		assert_int_equal(record.mmap.pgoff, 0x2000);
		assert_string_equal(record.mmap.filename, "/bin/x");
		assert_false(record.mmap.has_inode);
	}
	end(reader);
}

static void rare_records(void **state)
{
	size_t record = perf_bytes_record(&data, PTF_RECORD_KSYMBOL, 0);
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	perf_bytes_u64(&data, 0xffffffffc0000000);
	perf_bytes_u32(&data, 0x80);
	perf_bytes_u16(&data, 1);
	perf_bytes_u16(&data, 1);
	perf_bytes_text(&data, "bpf_prog");
	put_id(&data, 1);
	perf_bytes_end(&data, record);
	record = perf_bytes_record(&data, PTF_RECORD_TEXT_POKE, 0);
	perf_bytes_u64(&data, 0xffffffff81000000);
	perf_bytes_u16(&data, 5);
	perf_bytes_u16(&data, 5);
	perf_bytes_put(&data, "\x0f\x1f\x44\0\0\xe9\1\2\3\4\0\0", 12);
	put_id(&data, 2);
	perf_bytes_end(&data, record);
	record = perf_bytes_record(&data, PTF_RECORD_NAMESPACES, 0);
	perf_bytes_u32(&data, 20);
	perf_bytes_u32(&data, 21);
	perf_bytes_u64(&data, 1);
	perf_bytes_u64(&data, 4);
	perf_bytes_u64(&data, 4026531840);
	put_id(&data, 3);
	perf_bytes_end(&data, record);
	record = perf_bytes_record(&data, PTF_RECORD_LOST_SAMPLES, 0);
	perf_bytes_u64(&data, 99);
	put_id(&data, 4);
	perf_bytes_end(&data, record);

	reader = open_simple();
	got = next(reader);
	assert_int_equal(got.ksymbol.addr, 0xffffffffc0000000);
	assert_int_equal(got.ksymbol.len, 0x80);
	assert_int_equal(got.ksymbol.ksym_type, 1);
	assert_int_equal(got.ksymbol.flags, 1);
	assert_string_equal(got.ksymbol.name, "bpf_prog");
	got = next(reader);
	assert_int_equal(got.text_poke.addr, 0xffffffff81000000);
	assert_int_equal(got.text_poke.old_len, 5);
	assert_int_equal(got.text_poke.new_len, 5);
	assert_memory_equal(got.text_poke.bytes, "\x0f\x1f\x44\0\0\xe9\1\2\3\4", 10);
	got = next(reader);
	assert_int_equal(got.namespaces.tid, 21);
	assert_int_equal(got.namespaces.count, 1);
	got = next(reader);
	assert_int_equal(got.type, PTF_RECORD_LOST_SAMPLES);
	assert_int_equal(got.lost.count, 99);
	end(reader);
}

/* A name that fills its record without an end, one of a record's length, and none at all. */
static void unterminated_names(void **state)
{
	static char name[60001];
	const size_t lengths[] = {8, 60000, 0};
	struct ptf_perf_reader *reader;

	memset(name, 'n', sizeof(name) - 1);
	for (unsigned i = 0; i < 3; i++) {
		size_t record = perf_bytes_record(&data, PTF_RECORD_COMM, 0);

		perf_bytes_u64(&data, 0);
		perf_bytes_put(&data, name, lengths[i]);
		put_id(&data, i);
		perf_bytes_end(&data, record);
	}
	reader = open_simple();
	for (unsigned i = 0; i < 3; i++) {
		struct ptf_record record = next(reader);

		assert_int_equal(strlen(record.comm.comm), lengths[i]);
		assert_memory_equal(record.comm.comm, name, lengths[i]);
	}
	end(reader);
}

static void unknown_records_are_counted(void **state)
{
	const uint32_t types[] = {0, 8, 22, 63, 65, 84, 0x7fffffff, UINT32_MAX};
	struct ptf_perf_reader *reader;
	struct ptf_record record;

	for (unsigned i = 0; i < 8; i++)
		perf_bytes_end(&data, perf_bytes_record(&data, types[i], 0));
	put_lost(&data, 1, 1);
	reader = open_simple();
	expect_lost(reader, 1, 1);
	assert_int_equal(ptf_perf_reader_next(reader, &record, NULL), 1);
	assert_int_equal(ptf_perf_reader_info(reader)->skipped, 8);
	assert_int_equal(ptf_perf_reader_info(reader)->damage.code, 0);
	ptf_perf_reader_destroy(reader);
}

/* ---- events ---- */

/* Attributes of older kernels are shorter; the ids tell records of unlike events apart. */
static void unlike_events_of_all_sizes(void **state)
{
	const struct perf_bytes_event events[] = {
	        {PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME, 0, {100, 101}, 2, 1, 1},
	        {PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU, 0,
	                {200}, 1, 8, 1}};
	const size_t sizes[] = {64, 72, 80, 96, 104, 112, 120, 128};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ptf_perf_reader *reader;
		struct ptf_record got;
		size_t record;

		data.n = 0;
		record = perf_bytes_record(&data, PTF_RECORD_SWITCH, 0);
		perf_bytes_u64(&data, 55);
		perf_bytes_u64(&data, 101);
		perf_bytes_end(&data, record);
		record = perf_bytes_record(&data, PTF_RECORD_SWITCH, PTF_MISC_SWITCH_OUT);
		perf_bytes_u32(&data, 30);
		perf_bytes_u32(&data, 31);
		perf_bytes_u64(&data, 56);
		perf_bytes_u64(&data, 5);
		perf_bytes_u64(&data, 200);
		perf_bytes_end(&data, record);
		perf_bytes_file(&file, events, 2, sizes[i], &data);
		reader = open_file();
		assert_int_equal(ptf_perf_reader_info(reader)->n_attrs, 2);
		assert_int_equal(ptf_perf_reader_info(reader)->attrs[1].type, 8);
		assert_int_equal(ptf_perf_reader_info(reader)->attrs[0].n_ids, 2);
		got = next(reader);
		assert_int_equal(got.sid.time_ns, 55);
		assert_int_equal(got.sid.id, 101);
		assert_int_equal(got.sid.tid, -1);
		assert_int_equal(got.sid.cpu, -1);
		got = next(reader);
		assert_int_equal(got.sid.time_ns, 56);
		assert_int_equal(got.sid.tid, 31);
		assert_int_equal(got.sid.cpu, 5);
		assert_true(got.sw.out && !got.sw.preempt);
		end(reader);
	}
}

/* Without IDENTIFIER the id stands between other fields, at one place for all events. */
static void ids_between_other_fields(void **state)
{
	const uint64_t common = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
	                        PERF_SAMPLE_ADDR | PERF_SAMPLE_ID | PERF_SAMPLE_CPU;
	const struct perf_bytes_event events[] = {
	        {common, 0, {300}, 1, 1, 1}, {common | PERF_SAMPLE_PERIOD, 0, {400}, 1, 2, 1}};
	size_t record = perf_bytes_record(&data, PTF_RECORD_SAMPLE, 2);
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	perf_bytes_u64(&data, 0x401000);
	perf_bytes_u32(&data, 1);
	perf_bytes_u32(&data, 2);
	perf_bytes_u64(&data, 77);
	perf_bytes_u64(&data, 0x601000);
	perf_bytes_u64(&data, 400);
	perf_bytes_u64(&data, 3);
	perf_bytes_u64(&data, 1234); /* period: only of the second event */
	perf_bytes_end(&data, record);
	perf_bytes_file(&file, events, 2, PERF_BYTES_ATTR_SIZE, &data);
	reader = open_file();
	got = next(reader);
	assert_int_equal(got.sample.ip, 0x401000);
	assert_int_equal(got.sample.addr, 0x601000);
	assert_int_equal(got.sample.period, 1234);
	assert_int_equal(got.sid.id, 400);
	assert_int_equal(got.sid.cpu, 3);
	end(reader);
}

/* Counter values of a group, then the callchain and the tracepoint's data. */
static void samples_with_counters(void **state)
{
	const uint64_t formats[] = {0, PERF_FORMAT_ID | PERF_FORMAT_TOTAL_TIME_ENABLED | 1 << 4,
	        PERF_FORMAT_GROUP | PERF_FORMAT_ID | PERF_FORMAT_TOTAL_TIME_ENABLED |
	                PERF_FORMAT_TOTAL_TIME_RUNNING};
	const unsigned values[] = {1, 4, 3 + 2 * 2};

	for (unsigned i = 0; i < 3; i++) {
		const struct perf_bytes_event event = {PERF_SAMPLE_TIME | PERF_SAMPLE_READ |
		                                               PERF_SAMPLE_CALLCHAIN |
		                                               PERF_SAMPLE_RAW,
		        formats[i], {1}, 1, 2, 1};
		struct ptf_perf_reader *reader;
		struct ptf_record got;
		size_t record;

		data.n = 0;
		record = perf_bytes_record(&data, PTF_RECORD_SAMPLE, 2);
		perf_bytes_u64(&data, 9);
		for (unsigned k = 0; k < values[i]; k++)
			perf_bytes_u64(&data, 2); /* of a group: two counters */
		perf_bytes_u64(&data, 1);
		perf_bytes_u64(&data, 0x1234);
		perf_bytes_u32(&data, 4);
		perf_bytes_put(&data, "raw!", 4);
		perf_bytes_end(&data, record);
		perf_bytes_file(&file, &event, 1, PERF_BYTES_ATTR_SIZE, &data);
		reader = open_file();
		got = next(reader);
		assert_int_equal(got.sid.time_ns, 9);
		assert_int_equal(got.sample.callchain_n, 1);
		assert_memory_equal(got.sample.callchain, "\x34\x12\0\0\0\0\0\0", 8);
		assert_int_equal(got.sample.raw_size, 4);
		assert_memory_equal(got.sample.raw, "raw!", 4);
		end(reader);
	}
}

/* Without sample_id_all only tasks have a time, in their own words; the rest stands where it is. */
static void no_sample_ids(void **state)
{
	const struct perf_bytes_event event = {PERF_SAMPLE_TIME | PERF_SAMPLE_TID, 0, {1}, 1, 1, 0};
	const uint32_t types[] = {PTF_RECORD_EXIT, PTF_RECORD_FORK};
	struct ptf_perf_reader *reader;
	struct ptf_record got;
	size_t record;

	for (unsigned i = 0; i < 2; i++) { /* the exit of time 20 before the fork of time 10 */
		record = perf_bytes_record(&data, types[i], 0);
		for (unsigned k = 0; k < 4; k++)
			perf_bytes_u32(&data, k);
		perf_bytes_u64(&data, 20 - 10 * i);
		perf_bytes_end(&data, record);
	}
	record = perf_bytes_record(&data, PTF_RECORD_ITRACE_START, 0);
	perf_bytes_u32(&data, 1);
	perf_bytes_u32(&data, 2);
	perf_bytes_end(&data, record);
	perf_bytes_file(&file, &event, 1, PERF_BYTES_ATTR_SIZE, &data);
	reader = open_file();
	got = next(reader);
	assert_int_equal(got.type, PTF_RECORD_FORK);
	assert_true(got.sid.has_time);
	assert_int_equal(got.sid.time_ns, 10);
	assert_int_equal(got.task.ptid, 3);
	got = next(reader);
	assert_int_equal(got.type, PTF_RECORD_EXIT);
	assert_int_equal(got.sid.time_ns, 20);
	got = next(reader);
	assert_int_equal(got.type, PTF_RECORD_ITRACE_START);
	assert_false(got.sid.has_time);
	assert_int_equal(got.sid.tid, -1);
	end(reader);
}

/* perf takes a time of all ones for none. */
static void a_time_that_is_none(void **state)
{
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	put_lost(&data, 30, 1);
	put_lost(&data, UINT64_MAX, 2);
	put_lost(&data, 20, 3);
	reader = open_simple();
	expect_lost(reader, 20, 3);
	expect_lost(reader, 30, 1);
	got = next(reader);
	assert_int_equal(got.lost.count, 2);
	assert_false(got.sid.has_time);
	end(reader);
}

/* ---- compressed ---- */

/* Puts records into one zstd stream that is cut into containers of at most step bytes. */
static void compress(
        struct perf_bytes *out, const struct perf_bytes *records, uint32_t type, size_t step)
{
	static uint8_t packed[PERF_BYTES_MAX];
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = {records->v, records->n, 0};
	ZSTD_outBuffer all = {packed, sizeof(packed), 0};

	assert_int_equal(ZSTD_compressStream2(zstd, &all, &in, ZSTD_e_flush), 0);
	ZSTD_freeCCtx(zstd);
	for (size_t at = 0; at < all.pos; at += step) {
		size_t n = all.pos - at < step ? all.pos - at : step;
		size_t record = perf_bytes_record(out, type, 0);

		if (type == PTF_RECORD_COMPRESSED2)
			perf_bytes_u64(out, n);
		perf_bytes_put(out, packed + at, n);
		if (type == PTF_RECORD_COMPRESSED2)
			perf_bytes_put(out, "\xff\xff\xff\xff\xff\xff\xff", (8 - n % 8) % 8);
		perf_bytes_end(out, record);
	}
}

/* A container with a zstd frame of its own; returns where it begins. */
static size_t put_frame(struct perf_bytes *out, const void *bytes, size_t size)
{
	uint8_t packed[1000];
	size_t n = ZSTD_compress(packed, sizeof(packed), bytes, size, 1);
	size_t record = perf_bytes_record(out, PTF_RECORD_COMPRESSED, 0);

	assert_false(ZSTD_isError(n));
	perf_bytes_put(out, packed, n);
	perf_bytes_end(out, record);
	return record;
}

static void compressed_in_pieces(void **state)
{
	enum { RECORDS = 5000 }; /* 200 kB: more than one block of zstd */
	static struct perf_bytes records;
	const size_t steps[] = {1, 7, 64, 1000, 60000};

	for (unsigned i = 0; i < 10; i++) {
		struct ptf_perf_reader *reader;

		data.n = records.n = 0;
		for (uint64_t k = 0; k < RECORDS; k++)
			put_lost(&records, 2 * (k * 7919 % RECORDS), k);
		put_lost(&data, 11, RECORDS);
		compress(&data, &records, i % 2 ? PTF_RECORD_COMPRESSED2 : PTF_RECORD_COMPRESSED,
		        steps[i / 2]);
		put_lost(&data, 13, RECORDS + 1);
		reader = open_simple();
		assert_true(ptf_perf_reader_info(reader)->compressed);
		for (uint64_t time_ns = 0; time_ns < 2 * RECORDS; time_ns += 2) {
			struct ptf_record record = next(reader);

			assert_int_equal(record.lost.count * 7919 % RECORDS * 2, time_ns);
			assert_int_equal(record.sid.time_ns, time_ns);
			assert_true(record.file_offset < file.n);
			/* that of the container in which it ends */
			assert_in_range(file.v[record.file_offset], 81, 83);
			if (time_ns == 10)
				expect_lost(reader, 11, RECORDS);
			if (time_ns == 12)
				expect_lost(reader, 13, RECORDS + 1);
		}
		end(reader);
	}
}

/* A record that begins in one container and ends in the next is said to stand in that one. */
static void a_record_across_containers(void **state)
{
	static struct perf_bytes records;
	const size_t cut = 40 + 10;
	size_t first, second;
	struct ptf_perf_reader *reader;

	records.n = 0;
	for (uint64_t i = 0; i < 3; i++)
		put_lost(&records, i, i);
	first = put_frame(&data, records.v, cut);
	second = put_frame(&data, records.v + cut, records.n - cut);
	reader = open_simple();
	first += file.n - data.n;
	second += file.n - data.n;
	assert_int_equal(next(reader).file_offset, first);
	assert_int_equal(next(reader).file_offset, second);
	assert_int_equal(next(reader).file_offset, second);
	end(reader);
}

/* ---- pipes and directories ---- */

static void put_feature(struct perf_bytes *b, uint64_t feature, const char *text)
{
	size_t record = perf_bytes_record(b, PTF_RECORD_HEADER_FEATURE, 0);

	perf_bytes_u64(b, feature);
	perf_bytes_u32(b, (uint32_t)(strlen(text) + 8) & ~7u);
	perf_bytes_text(b, text);
	perf_bytes_end(b, record);
}

/* EVENT_DESC with the name of `simple`. */
static void put_event_desc(struct perf_bytes *b)
{
	size_t record = perf_bytes_record(b, PTF_RECORD_HEADER_FEATURE, 0);

	perf_bytes_u64(b, 12);
	perf_bytes_u32(b, 1);
	perf_bytes_u32(b, 8);
	perf_bytes_u64(b, 0);
	perf_bytes_u32(b, 1);
	perf_bytes_u32(b, 8);
	perf_bytes_text(b, "simple");
	perf_bytes_u64(b, 7);
	perf_bytes_end(b, record);
}

static void fill_pipe(void)
{
	size_t record;

	put_feature(&data, 3, "host");
	put_event_desc(&data);
	perf_bytes_attr_record(&data, &simple);
	record = perf_bytes_record(&data, PTF_RECORD_HEADER_TRACING_DATA, 0);
	perf_bytes_u32(&data, 13);
	perf_bytes_u32(&data, 0);
	perf_bytes_end(&data, record);
	perf_bytes_put(&data, "thirteen byte\xff\xff\xff", 16);
	record = perf_bytes_record(&data, PTF_RECORD_HEADER_BUILD_ID, 1 << 15);
	perf_bytes_u32(&data, 0);
	perf_bytes_put(&data, "\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\0\0\0\0\0\10\0\0\0", 24);
	perf_bytes_text(&data, "/bin/x");
	perf_bytes_end(&data, record);
	put_lost(&data, 1, 1);
	record = perf_bytes_record(&data, PTF_RECORD_AUXTRACE, 0);
	perf_bytes_u64(&data, 8);
	perf_bytes_u64(&data, 0x40);
	perf_bytes_u64(&data, 99);
	perf_bytes_u32(&data, 1);
	perf_bytes_u32(&data, (uint32_t)-1);
	perf_bytes_u64(&data, 1);
	perf_bytes_end(&data, record);
	perf_bytes_put(&data, "aux data", 8);
	put_lost(&data, 2, 2);
	perf_bytes_pipe(&file, &data);
}

static void check_pipe(struct ptf_perf_reader *reader)
{
	const struct ptf_perf_info *info = ptf_perf_reader_info(reader);
	const uint32_t types[] = {80, 80, 64, 66, 67};
	const struct ptf_aux_chunk *chunks;
	size_t n;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(next(reader).type, types[i]);
	expect_lost(reader, 1, 1);
	assert_int_equal(next(reader).auxtrace.cpu, 1);
	expect_lost(reader, 2, 2);
	assert_true(info->pipe_mode);
	assert_string_equal(info->hostname, "host");
	assert_int_equal(info->n_attrs, 1);
	assert_string_equal(info->attrs[0].name, "simple");
	assert_int_equal(info->n_build_ids, 1);
	assert_string_equal(info->build_ids[0].filename, "/bin/x");
	assert_int_equal(info->build_ids[0].size, 8);
	assert_memory_equal(info->build_ids[0].id, "\1\2\3\4\5\6\7\10", 8);
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	assert_int_equal(n, 1);
	assert_memory_equal(chunks[0].bytes, "aux data", 8);
	assert_int_equal(chunks[0].tid, -1);
	assert_int_equal(chunks[0].aux_offset, 0x40);
	end(reader);
}

static void a_pipe_in_a_file(void **state)
{
	fill_pipe();
	check_pipe(open_file());
}

static void a_pipe_on_standard_input(void **state)
{
	int saved = dup(STDIN_FILENO), fd;

	fill_pipe();
	perf_bytes_write(&file, path);
	fd = open(path, O_RDONLY);
	assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	close(fd);
	check_pipe(open_path("-"));
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	close(saved);
}

static void a_pipe_in_a_fifo(void **state)
{
	struct ptf_perf_reader *reader;
	pid_t child;

	fill_pipe();
	assert_int_equal(mkfifo(path, 0600), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		perf_bytes_write(&file, path);
		_exit(0);
	}
	reader = open_path(path);
	assert_int_equal(waitpid(child, NULL, 0), child);
	check_pipe(reader);
}

/* EVENT_UPDATE gives a name that EVENT_DESC does not change; other updates say nothing to us. */
static void an_event_gets_a_new_name(void **state)
{
	struct ptf_perf_reader *reader;

	perf_bytes_attr_record(&data, &simple);
	for (uint64_t kind = 0; kind < 4; kind++) {
		size_t record = perf_bytes_record(&data, PTF_RECORD_EVENT_UPDATE, 0);

		perf_bytes_u64(&data, kind);
		perf_bytes_u64(&data, 7);
		perf_bytes_text(&data, kind == 2 ? "new" : "other");
		perf_bytes_end(&data, record);
	}
	put_event_desc(&data);
	perf_bytes_pipe(&file, &data);
	reader = open_file();
	assert_string_equal(ptf_perf_reader_info(reader)->attrs[0].name, "new");
	ptf_perf_reader_destroy(reader);
}

static void a_directory(void **state)
{
	static struct perf_bytes records;
	struct ptf_perf_reader *reader;
	char name[128];

	snprintf(name, sizeof(name), "%s/data.0", dir);
	put_lost(&data, 2, 20);
	put_lost(&data, 3, 30);
	perf_bytes_write(&data, name);
	snprintf(name, sizeof(name), "%s/data.1", dir);
	data.n = 0;
	put_lost(&records, 2, 21);
	put_lost(&records, 1, 10);
	compress(&data, &records, PTF_RECORD_COMPRESSED, 50);
	perf_bytes_write(&data, name);
	snprintf(name, sizeof(name), "%s/data", dir);
	data.n = 0;
	put_lost(&data, 4, 40);
	perf_bytes_file(&file, &simple, 1, PERF_BYTES_ATTR_SIZE, &data);
	perf_bytes_write(&file, name);

	assert_int_equal(ptf_perf_reader_probe(dir, NULL), 1);
	reader = open_path(dir);
	assert_true(ptf_perf_reader_info(reader)->directory);
	assert_true(ptf_perf_reader_info(reader)->compressed);
	expect_lost(reader, 1, 10);
	expect_lost(reader, 2, 20);
	expect_lost(reader, 2, 21);
	expect_lost(reader, 3, 30);
	expect_lost(reader, 4, 40);
	end(reader);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(mmap_of_code_and_data),
	        TEST(rare_records),
	        TEST(unterminated_names),
	        TEST(unknown_records_are_counted),
	        TEST(unlike_events_of_all_sizes),
	        TEST(ids_between_other_fields),
	        TEST(samples_with_counters),
	        TEST(no_sample_ids),
	        TEST(a_time_that_is_none),
	        TEST(compressed_in_pieces),
	        TEST(a_record_across_containers),
	        TEST(a_pipe_in_a_file),
	        TEST(a_pipe_on_standard_input),
	        TEST(a_pipe_in_a_fifo),
	        TEST(an_event_gets_a_new_name),
	        TEST(a_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
