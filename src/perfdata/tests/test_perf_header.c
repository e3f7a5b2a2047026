/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in headers and in records that describe others: events, ids, build-ids, trace setup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "perfdata/perf_header.h"
#include "perfdata/tests/perf_bytes.h"

static char path[64];
static struct perf_bytes data, file, feature; /* of the test that runs */

/* Where perf_bytes_file puts the attribute of a file's only event. */
enum { ATTR_AT = PTF_PERF_FILE_HEADER_SIZE + 4 * 8, ATTR_FLAGS = 40, ATTR_STACK_AND_CLOCK = 88 };

static const struct perf_bytes_event simple = {
        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME,
        .ids = {7},
        .n_ids = 1,
        .type = PERF_TYPE_SOFTWARE,
        .sample_id_all = 1,
};

static int set_up(void **state)
{
	int fd;

	strcpy(path, "/tmp/ptflame-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	data.n = file.n = feature.n = 0;
	return 0;
}

static int tear_down(void **state)
{
	return unlink(path);
}

static struct ptf_perf_reader *open_file(void)
{
	struct ptf_perf_reader *reader;
	struct ptf_error err = {0};

	perf_bytes_write(&file, path);
	if (ptf_perf_reader_create(&reader, path, &err) != 0)
		fail_msg("%s", err.msg);
	return reader;
}

static struct ptf_perf_reader *open_events(const struct perf_bytes_event *events, size_t n)
{
	perf_bytes_file(&file, events, n, PERF_BYTES_ATTR_SIZE, &data);
	return open_file();
}

/* A file with a record and one feature: what is in `feature`. */
static struct ptf_perf_reader *open_with_feature(
        const struct perf_bytes_event *events, size_t n, unsigned number)
{
	const struct perf_bytes *contents[] = {&feature};

	/* no data at all would be a recording that was killed: it has no features */
	data.n = 0;
	perf_bytes_end(&data, perf_bytes_record(&data, PTF_RECORD_FINISHED_ROUND, 0));
	perf_bytes_file(&file, events, n, PERF_BYTES_ATTR_SIZE, &data);
	perf_bytes_features(&file, &number, contents, 1);
	return open_file();
}

static struct ptf_record next(struct ptf_perf_reader *reader)
{
	struct ptf_record record;

	assert_int_equal(ptf_perf_reader_next(reader, &record, NULL), 0);
	return record;
}

static void end(struct ptf_perf_reader *reader)
{
	struct ptf_record record;
	int rc;

	while ((rc = ptf_perf_reader_next(reader, &record, NULL)) == 0)
		assert_int_equal(record.type, PTF_RECORD_FINISHED_ROUND);
	assert_int_equal(rc, 1);
	if (ptf_perf_reader_info(reader)->damage.code)
		fail_msg("%s", ptf_perf_reader_info(reader)->damage.msg);
	ptf_perf_reader_destroy(reader);
}

/* ---- events ---- */

static void flags_of_an_event(void **state)
{
	/* attributes of 96 bytes end with the clock, those before them have none */
	for (size_t size = 88; size <= 96; size += 8) {
		const struct ptf_perf_attr *attr;
		struct ptf_perf_reader *reader;

		for (unsigned bit = 0; bit < 64; bit++) {
			perf_bytes_file(&file, &simple, 1, size, &data);
			perf_bytes_set_u64(&file, ATTR_AT + ATTR_FLAGS, 1ull << bit);
			if (size == 96)
				perf_bytes_set_u64(
				        &file, ATTR_AT + ATTR_STACK_AND_CLOCK, 5ull << 32 | 0x1000);
			reader = open_file();
			attr = ptf_perf_reader_info(reader)->attrs;
			assert_int_equal(attr->exclude_user, bit == 4);
			assert_int_equal(attr->exclude_kernel, bit == 5);
			assert_int_equal(attr->sample_id_all, bit == 18);
			assert_int_equal(attr->use_clockid, bit == 25);
			assert_int_equal(attr->context_switch, bit == 26);
			assert_int_equal(attr->clockid, size == 96 ? 5 : 0);
			end(reader);
		}
	}
}

/* A pipe's attribute says its size; 0 is the first version's, 64 bytes. */
static void attributes_of_a_pipe(void **state)
{
	for (uint32_t says = 0; says <= 64; says += 64) {
		const struct ptf_perf_info *info;
		struct ptf_perf_reader *reader;
		size_t record;

		data.n = 0;
		record = perf_bytes_record(&data, PTF_RECORD_HEADER_ATTR, 0);
		perf_bytes_u32(&data, 3);
		perf_bytes_u32(&data, says);
		for (unsigned i = 1; i < 8; i++)
			perf_bytes_u64(&data, i);
		perf_bytes_u64(&data, 99); /* an id */
		perf_bytes_end(&data, record);
		perf_bytes_pipe(&file, &data);
		reader = open_file();
		info = ptf_perf_reader_info(reader);
		assert_int_equal(info->n_attrs, 1);
		assert_int_equal(info->attrs[0].type, 3);
		assert_int_equal(info->attrs[0].config, 1);
		assert_int_equal(info->attrs[0].sample_type, 3);
		assert_int_equal(info->attrs[0].read_format, 4);
		assert_int_equal(info->attrs[0].n_ids, 1);
		assert_int_equal(info->attrs[0].ids[0], 99);
		assert_int_equal(next(reader).type, PTF_RECORD_HEADER_ATTR);
		end(reader);
	}
}

static void put_event_desc(unsigned n, const char *const *names)
{
	static const uint8_t attr[PERF_BYTES_ATTR_SIZE];

	perf_bytes_u32(&feature, n);
	perf_bytes_u32(&feature, sizeof(attr));
	for (unsigned i = 0; i < n; i++) {
		perf_bytes_put(&feature, attr, sizeof(attr));
		perf_bytes_u32(&feature, 0);
		perf_bytes_u32(&feature, 8);
		perf_bytes_text(&feature, names[i]);
	}
}

/* Events without ids get their names by their order, if there are as many. */
static void names_without_ids(void **state)
{
	const struct perf_bytes_event events[] = {{.sample_type = PERF_SAMPLE_TIME, .type = 1},
	        {.sample_type = PERF_SAMPLE_TIME, .type = 2}};
	const char *const names[] = {"first", "second"};
	const struct ptf_perf_info *info;

	for (unsigned n = 1; n <= 2; n++) {
		struct ptf_perf_reader *reader;

		feature.n = 0;
		put_event_desc(n, names);
		reader = open_with_feature(events, 2, PTF_FEATURE_EVENT_DESC);
		info = ptf_perf_reader_info(reader);
		for (unsigned i = 0; i < 2 && n == 2; i++)
			assert_string_equal(info->attrs[i].name, names[i]);
		for (unsigned i = 0; i < 2 && n == 1; i++)
			assert_null(info->attrs[i].name);
		end(reader);
	}
}

/* Without IDENTIFIER the id's place, counted from the end, depends on what stands behind it. */
static void ids_at_the_end_of_records(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t common = PERF_SAMPLE_ID | (i & 1 ? PERF_SAMPLE_CPU : 0) |
		                  (i & 2 ? PERF_SAMPLE_STREAM_ID : 0);
		const struct perf_bytes_event events[] = {{common, 0, {300}, 1, 1, 1},
		        {common | PERF_SAMPLE_TID | PERF_SAMPLE_TIME, 0, {400}, 1, 2, 1}};
		struct ptf_perf_reader *reader;
		struct ptf_record got;
		size_t record;

		data.n = 0;
		record = perf_bytes_record(&data, PTF_RECORD_LOST, 0);
		perf_bytes_u64(&data, 1);
		perf_bytes_u64(&data, 55);
		perf_bytes_u32(&data, 21);
		perf_bytes_u32(&data, 22);
		perf_bytes_u64(&data, 77);
		perf_bytes_u64(&data, 400);
		if (i & 2)
			perf_bytes_u64(&data, 401);
		if (i & 1)
			perf_bytes_u64(&data, 3);
		perf_bytes_end(&data, record);
		reader = open_events(events, 2);
		got = next(reader);
		assert_int_equal(got.lost.count, 55);
		assert_int_equal(got.sid.id, 400);
		assert_int_equal(got.sid.pid, 21);
		assert_int_equal(got.sid.tid, 22);
		assert_true(got.sid.has_time);
		assert_int_equal(got.sid.time_ns, 77);
		assert_int_equal(got.sid.cpu, i & 1 ? 3 : -1);
		end(reader);
	}
}

/* More values than could be: their size in bytes is 0 modulo 2^64. */
static void too_many_counter_values(void **state)
{
	const struct perf_bytes_event event = {
	        PERF_SAMPLE_READ, PERF_FORMAT_GROUP | PERF_FORMAT_ID, {1}, 1, 2, 1};
	size_t record = perf_bytes_record(&data, PTF_RECORD_SAMPLE, 2);
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	perf_bytes_u64(&data, 1ull << 60);
	perf_bytes_end(&data, record);
	reader = open_events(&event, 1);
	assert_int_equal(ptf_perf_reader_next(reader, &got, NULL), 1);
	assert_non_null(strstr(ptf_perf_reader_info(reader)->damage.msg, "too short for its type"));
	ptf_perf_reader_destroy(reader);
}

/* ---- build-ids ---- */

static void put_id_bytes(struct perf_bytes *b, uint8_t first, uint8_t size)
{
	uint8_t id[24] = {0};

	for (unsigned i = 0; i < 20; i++)
		id[i] = (uint8_t)(first + i);
	id[20] = size;
	perf_bytes_put(b, id, sizeof(id));
}

static void put_build_id(uint16_t misc, uint8_t first, uint8_t size, const char *name)
{
	size_t record = perf_bytes_record(&feature, 0, misc);

	perf_bytes_u32(&feature, UINT32_MAX);
	put_id_bytes(&feature, first, size);
	perf_bytes_text(&feature, name);
	perf_bytes_end(&feature, record);
}

static void assert_build_id(
        const struct ptf_perf_info *info, size_t i, uint8_t first, uint8_t size, const char *name)
{
	assert_true(i < info->n_build_ids);
	assert_string_equal(info->build_ids[i].filename, name);
	assert_int_equal(info->build_ids[i].size, size);
	assert_int_equal(info->build_ids[i].id[0], first);
	assert_int_equal(info->build_ids[i].id[19], (uint8_t)(first + 19));
}

/* The size counts only where misc says that it is one; broken entries hide no others. */
static void build_ids_of_files(void **state)
{
	const uint16_t has_size = 1 << 15;
	const struct ptf_perf_info *info;
	struct ptf_perf_reader *reader;
	size_t record;

	put_build_id(0, 1, 5, "/bin/a");
	put_build_id(has_size, 2, 16, "/bin/b");
	record = perf_bytes_record(&feature, 0, 0); /* too short */
	perf_bytes_u64(&feature, 0);
	perf_bytes_end(&feature, record);
	put_build_id(has_size, 3, 20, "/bin/c");
	put_build_id(has_size, 4, 200, "/bin/d");
	put_build_id(0, 5, 0, "/bin/cut off");
	feature.n -= 8;
	reader = open_with_feature(&simple, 1, PTF_FEATURE_BUILD_ID);
	info = ptf_perf_reader_info(reader);
	assert_build_id(info, 0, 1, 20, "/bin/a");
	assert_build_id(info, 1, 2, 16, "/bin/b");
	assert_build_id(info, 2, 3, 20, "/bin/c");
	assert_build_id(info, 3, 4, 20, "/bin/d");
	assert_int_equal(info->n_build_ids, 4);
	end(reader);
}

static void build_ids_of_maps(void **state)
{
	const uint8_t sizes[] = {20, 16, 200};
	struct ptf_perf_reader *reader;

	for (unsigned i = 0; i < 3; i++) {
		size_t record = perf_bytes_record(&data, PTF_RECORD_MMAP2, PTF_MISC_MMAP_BUILD_ID);

		perf_bytes_u64(&data, 0);
		perf_bytes_u64(&data, 0x400000);
		perf_bytes_u64(&data, 0x1000);
		perf_bytes_u64(&data, 0);
		perf_bytes_u32(&data, sizes[i]);
		perf_bytes_put(&data, "abcdefghijklmnopqrst", 20);
		perf_bytes_u32(&data, 5);
		perf_bytes_u32(&data, 2);
		perf_bytes_text(&data, "/bin/x");
		perf_bytes_u64(&data, i);
		perf_bytes_u64(&data, 7);
		perf_bytes_end(&data, record);
	}
	reader = open_events(&simple, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct ptf_record got = next(reader);

		assert_int_equal(got.mmap.build_id_size, sizes[i] > 20 ? 20 : sizes[i]);
		assert_memory_equal(got.mmap.build_id, "abcdefghijklmnopqrst", 20);
		assert_int_equal(got.mmap.prot, 5);
		assert_int_equal(got.mmap.flags, 2);
		assert_string_equal(got.mmap.filename, "/bin/x");
		assert_false(got.mmap.has_inode);
	}
	end(reader);
}

/* ---- trace setup ---- */

/* Fields 1, 2, ... behind the type; older ones of perf end earlier. */
static void put_auxtrace_info(uint32_t type, unsigned fields, uint64_t filter_len)
{
	size_t record = perf_bytes_record(&data, PTF_RECORD_AUXTRACE_INFO, 0);

	perf_bytes_u32(&data, type);
	perf_bytes_u32(&data, 0);
	for (unsigned i = 1; i <= fields; i++)
		perf_bytes_u64(&data, i == 17 ? filter_len : i);
	if (filter_len)
		perf_bytes_text(&data, "filter");
	perf_bytes_end(&data, record);
}

static void trace_setup(void **state)
{
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	put_auxtrace_info(1, 17, 8);
	put_auxtrace_info(1, 17, 16); /* longer than there is */
	put_auxtrace_info(1, 9, 0);
	put_auxtrace_info(2, 17, 8); /* of another trace hardware */
	reader = open_events(&simple, 1);
	got = next(reader);
	assert_int_equal(got.auxtrace_info.pmu_type, 1);
	assert_int_equal(got.auxtrace_info.time_shift, 2);
	assert_true(got.auxtrace_info.cap_user_time_zero);
	assert_int_equal(got.auxtrace_info.tsc_bit, 6);
	assert_int_equal(got.auxtrace_info.per_cpu_mmaps, 10);
	assert_int_equal(got.auxtrace_info.max_nonturbo_ratio, 16);
	assert_string_equal(got.auxtrace_info.filter, "filter");
	assert_null(next(reader).auxtrace_info.filter);
	got = next(reader);
	assert_int_equal(got.auxtrace_info.snapshot_mode, 9);
	assert_int_equal(got.auxtrace_info.per_cpu_mmaps, 0);
	assert_int_equal(got.auxtrace_info.max_nonturbo_ratio, 0);
	assert_null(got.auxtrace_info.filter);
	got = next(reader);
	assert_int_equal(got.auxtrace_info.type, 2);
	assert_int_equal(got.auxtrace_info.pmu_type, 0);
	assert_null(got.auxtrace_info.filter);
	end(reader);
}

/* The short form of TIME_CONV always is usable; the long one says so. */
static void time_conversion(void **state)
{
	struct ptf_perf_reader *reader;
	struct ptf_record got;

	for (unsigned i = 0; i < 3; i++) {
		size_t record = perf_bytes_record(&data, PTF_RECORD_TIME_CONV, 0);

		for (unsigned k = 1; k <= (i ? 5 : 3); k++)
			perf_bytes_u64(&data, k);
		if (i)
			perf_bytes_u64(&data, i == 1 ? 0x0100 : 0x0001);
		perf_bytes_end(&data, record);
	}
	reader = open_events(&simple, 1);
	for (unsigned i = 0; i < 3; i++) {
		got = next(reader);
		assert_int_equal(got.time_conv.time_shift, 1);
		assert_int_equal(got.time_conv.time_mult, 2);
		assert_int_equal(got.time_conv.time_zero, 3);
		assert_int_equal(got.time_conv.time_cycles, i ? 4 : 0);
		assert_int_equal(got.time_conv.time_mask, i ? 5 : 0);
		assert_int_equal(got.time_conv.cap_user_time_zero, i != 1);
		assert_int_equal(got.time_conv.cap_user_time_short, i == 1);
	}
	end(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(flags_of_an_event),
	        TEST(attributes_of_a_pipe),
	        TEST(names_without_ids),
	        TEST(ids_at_the_end_of_records),
	        TEST(too_many_counter_values),
	        TEST(build_ids_of_files),
	        TEST(build_ids_of_maps),
	        TEST(trace_setup),
	        TEST(time_conversion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
