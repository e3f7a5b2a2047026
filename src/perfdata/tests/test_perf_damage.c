/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are wrong: what is said of them, and that none does harm. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static const struct perf_bytes_event simple = {
        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME,
        .ids = {7, 8},
        .n_ids = 2,
        .type = PERF_TYPE_SOFTWARE,
        .sample_id_all = 1,
};

static void put_lost(struct perf_bytes *b, uint64_t time_ns)
{
	size_t record = perf_bytes_record(b, PTF_RECORD_LOST, 0);

	perf_bytes_u64(b, 7);
	perf_bytes_u64(b, 1);
	perf_bytes_u64(b, time_ns);
	perf_bytes_u64(b, 7);
	perf_bytes_end(b, record);
}

static void make_file(void)
{
	perf_bytes_file(&file, &simple, 1, PERF_BYTES_ATTR_SIZE, &data);
}

/* Opens and reads all of it, and touches all that is promised; 0 or what create returned. */
static int read_all(const char *name, struct ptf_error *err, uint64_t *records)
{
	const struct ptf_aux_chunk *chunks;
	struct ptf_perf_reader *reader;
	struct ptf_record record;
	volatile uint8_t sum = 0;
	size_t n;
	int rc = ptf_perf_reader_create(&reader, name, err);

	if (rc < 0)
		return rc;
	while ((rc = ptf_perf_reader_next(reader, &record, NULL)) == 0) {
		const struct ptf_record_sample *sample = &record.sample;

		if (record.type == PTF_RECORD_COMM)
			sum += (uint8_t)strlen(record.comm.comm);
		if (record.type == PTF_RECORD_MMAP2)
			sum += (uint8_t)strlen(record.mmap.filename);
		if (record.type != PTF_RECORD_SAMPLE)
			continue;
		for (uint64_t i = 0; i < sample->callchain_n; i++)
			sum += sample->callchain[8 * i];
		for (uint64_t i = 0; i < sample->raw_size; i++)
			sum += sample->raw[i];
	}
	assert_int_equal(rc, 1);
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	for (size_t i = 0; i < n; i++) {
		for (uint64_t k = 0; k < chunks[i].size; k++)
			sum += chunks[i].bytes[k];
	}
	*records = ptf_perf_reader_info(reader)->records;
	*err = ptf_perf_reader_info(reader)->damage;
	ptf_perf_reader_destroy(reader);
	return 0;
}

/* ---- files that are refused ---- */

/* The file cannot be opened; the message names it, says so, and the place. */
static void refused(int code, uint64_t offset, const char *says)
{
	struct ptf_error err = {0};
	uint64_t records;

	perf_bytes_write(&file, path);
	assert_int_equal(read_all(path, &err, &records), -code);
	assert_int_equal(err.code, code);
	assert_int_equal(err.file_offset, offset);
	if (!strstr(err.msg, path) || !strstr(err.msg, says))
		fail_msg("%s: says nothing of %s", err.msg, says);
}

static void no_perf_data(void **state)
{
	struct ptf_error err = {0};

	refused(PTF_ETRUNC, 0, "shorter than its header");
	perf_bytes_put(&file, "PERFILE", 7);
	refused(PTF_ETRUNC, 7, "shorter than its header");
	file.n = 0;
	perf_bytes_put(&file,
	        "\x7f"
	        "ELF and more of it",
	        20);
	refused(PTF_EFORMAT, 0, "begins with 7f 45 4c 46");
	assert_int_equal(ptf_perf_reader_probe(path, NULL), 0);
	file.n = 0;
	perf_bytes_put(&file, "2ELIFREP\0\0\0\0\0\0\0h", 16);
	refused(PTF_EUNSUPPORTED, PTF_NO_OFFSET, "big-endian");
	assert_int_equal(ptf_perf_reader_probe("/nonexistent/x", &err), -PTF_ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
	snprintf(path, sizeof(path), "%s", dir);
	assert_int_equal(read_all(path, &err, &(uint64_t){0}), -PTF_ENOENT);
	assert_non_null(strstr(err.msg, "/data"));
}

static void broken_headers(void **state)
{
	put_lost(&data, 1);
	make_file();
	file.n = 100;
	refused(PTF_ETRUNC, 100, "inside its header");
	make_file();
	perf_bytes_set_u64(&file, 8, 24);
	refused(PTF_EFORMAT, 8, "header of 24 bytes");
	make_file();
	perf_bytes_set_u64(&file, 16, 79);
	refused(PTF_EFORMAT, 16, "attributes of 79 bytes");
	perf_bytes_set_u64(&file, 16, UINT64_MAX);
	refused(PTF_EFORMAT, 16, "attributes of 18446744073709551615 bytes");
	make_file();
	perf_bytes_set_u64(&file, 32, UINT64_MAX);
	refused(PTF_EFORMAT, 24, "attributes lie outside");
	make_file();
	perf_bytes_set_u64(&file, 24, file.n - 8);
	refused(PTF_EFORMAT, 24, "attributes lie outside");
	make_file();
	perf_bytes_set_u64(&file, 40, file.n + 1);
	refused(PTF_EFORMAT, 40, "data lies outside");
}

static void broken_ids(void **state)
{
	struct perf_bytes_event events[256];
	const size_t attr = 104 + sizeof(simple.ids) + PERF_BYTES_ATTR_SIZE; /* its ids section */

	put_lost(&data, 1);
	make_file();
	perf_bytes_set_u64(&file, attr + 8, UINT64_MAX);
	refused(PTF_EFORMAT, attr, "ids of an event lie outside");
	make_file();
	perf_bytes_set_u64(&file, attr, UINT64_MAX - 4);
	refused(PTF_EFORMAT, attr, "ids of an event lie outside");

	/* 256 events, each with a third of the file as its ids */
	for (unsigned i = 0; i < 256; i++)
		events[i] = simple;
	perf_bytes_file(&file, events, 256, 64, &data);
	for (unsigned i = 0; i < 256; i++)
		perf_bytes_set_u64(
		        &file, 104 + 256 * sizeof(simple.ids) + 80 * i + 72, file.n / 3 & ~7u);
	refused(PTF_EFORMAT, 104 + 256 * sizeof(simple.ids) + 80 * 3 + 64,
	        "more event ids than the file has room for");
}

/* ---- files that are read up to where they are wrong ---- */

static uint64_t data_offset(void)
{
	return file.n - data.n;
}

/* One good record, then one at data + at that is not. */
static void damaged(uint64_t at, const char *says)
{
	struct ptf_error err = {0};
	uint64_t records;

	perf_bytes_write(&file, path);
	assert_int_equal(read_all(path, &err, &records), 0);
	assert_int_equal(records, 1);
	assert_int_not_equal(err.code, 0);
	if (!strstr(err.msg, path) || !strstr(err.msg, says))
		fail_msg("%s: says nothing of %s", err.msg, says);
	assert_int_equal(err.file_offset, data_offset() + at);
}

static void broken_records(void **state)
{
	const uint16_t sizes[] = {0, 1, 7};
	size_t record;

	for (unsigned i = 0; i < 3; i++) {
		data.n = 0;
		put_lost(&data, 1);
		perf_bytes_u32(&data, PTF_RECORD_LOST);
		perf_bytes_u16(&data, 0);
		perf_bytes_u16(&data, sizes[i]);
		put_lost(&data, 2);
		make_file();
		damaged(40, "without a proper header");
	}
	data.n = 0;
	put_lost(&data, 1);
	perf_bytes_u32(&data, PTF_RECORD_LOST);
	make_file();
	damaged(40, "without a proper header");

	data.n = 0;
	put_lost(&data, 1);
	record = perf_bytes_record(&data, PTF_RECORD_MMAP2, 0);
	perf_bytes_u64(&data, 0);
	perf_bytes_end(&data, record);
	put_lost(&data, 2);
	make_file();
	damaged(40, "too short for its type, 10");

	data.n = 0;
	put_lost(&data, 1);
	put_lost(&data, 2);
	data.n -= 8;
	make_file();
	damaged(40, "ends inside a record");
}

/* The trace data that is there is kept. */
static void truncated_trace(void **state)
{
	struct ptf_perf_reader *reader;
	const struct ptf_aux_chunk *chunks;
	struct ptf_record record;
	size_t at, n;

	at = perf_bytes_record(&data, PTF_RECORD_AUXTRACE, 0);
	perf_bytes_u64(&data, UINT64_MAX - 7);
	for (unsigned i = 0; i < 4; i++)
		perf_bytes_u64(&data, i);
	perf_bytes_end(&data, at);
	perf_bytes_put(&data, "some of it", 10);
	make_file();
	damaged(0, "inside trace data");
	assert_int_equal(ptf_perf_reader_create(&reader, path, NULL), 0);
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	assert_int_equal(n, 1);
	assert_int_equal(chunks[0].size, 10);
	assert_memory_equal(chunks[0].bytes, "some of it", 10);
	assert_int_equal(ptf_perf_reader_next(reader, &record, NULL), 0);
	assert_int_equal(record.auxtrace.size, 10);
	assert_ptr_equal(record.auxtrace.bytes, chunks[0].bytes);
	ptf_perf_reader_destroy(reader);
}

/* A recording that was killed has a data size of 0; one that was cut, more than there is. */
static void unfinished_recordings(void **state)
{
	struct ptf_error err = {0};
	uint64_t records;

	put_lost(&data, 1);
	put_lost(&data, 2);
	make_file();
	perf_bytes_set_u64(&file, 48, 0);
	perf_bytes_write(&file, path);
	assert_int_equal(read_all(path, &err, &records), 0);
	assert_int_equal(records, 2);
	assert_int_equal(err.code, 0);

	perf_bytes_set_u64(&file, 48, UINT64_MAX);
	perf_bytes_write(&file, path);
	assert_int_equal(read_all(path, &err, &records), 0);
	assert_int_equal(records, 2);
	assert_int_equal(err.code, PTF_ETRUNC);
	assert_int_equal(err.file_offset, file.n);
}

static void put_container(const void *bytes, size_t n)
{
	size_t record = perf_bytes_record(&data, PTF_RECORD_COMPRESSED, 0);

	perf_bytes_put(&data, bytes, n);
	perf_bytes_end(&data, record);
}

static void compress_into(uint8_t *out, size_t *n, const void *bytes, size_t size)
{
	*n = ZSTD_compress(out, 65000, bytes, size, 1);
	assert_false(ZSTD_isError(*n));
}

static void broken_compression(void **state)
{
	static uint8_t packed[65000], zeros[64 << 20];
	struct perf_bytes *inner = calloc(1, sizeof(*inner));
	size_t n, record;

	put_lost(&data, 1);
	put_container("this is no zstd data", 20);
	make_file();
	damaged(40, "compressed data is broken");

	/* 64 MB in 2 kB: expands 32000 times */
	data.n = 0;
	put_lost(&data, 1);
	memset(zeros, 0x55, sizeof(zeros));
	compress_into(packed, &n, zeros, sizeof(zeros));
	put_container(packed, n);
	make_file();
	damaged(40, "expands without end");

	/* a record of size 0 inside */
	data.n = 0;
	put_lost(&data, 1);
	compress_into(packed, &n, "\2\0\0\0\0\0\0\0", 8);
	put_container(packed, n);
	make_file();
	damaged(40, "without size in compressed data");

	/* a record that nothing completes */
	data.n = 0;
	put_lost(&data, 1);
	put_lost(inner, 2);
	compress_into(packed, &n, inner->v, inner->n - 1);
	put_container(packed, n);
	make_file();
	damaged(40, "compressed data ends inside a record");
	inner->n = 0;

	/* a record with data behind it inside */
	data.n = 0;
	put_lost(&data, 1);
	record = perf_bytes_record(inner, PTF_RECORD_AUXTRACE, 0);
	for (unsigned i = 0; i < 5; i++)
		perf_bytes_u64(inner, i);
	perf_bytes_end(inner, record);
	compress_into(packed, &n, inner->v, inner->n);
	put_container(packed, n);
	make_file();
	damaged(40, "trace data inside of compressed data");

	/* COMPRESSED2 that says more than it is */
	data.n = 0;
	put_lost(&data, 1);
	record = perf_bytes_record(&data, PTF_RECORD_COMPRESSED2, 0);
	perf_bytes_u64(&data, 1);
	perf_bytes_end(&data, record);
	make_file();
	damaged(40, "too short for its type, 83");
	free(inner);
}

/* In a directory the message names the file, and the other files are read. */
static void damage_in_a_directory(void **state)
{
	struct ptf_error err = {0};
	uint64_t records;
	char name[160];

	snprintf(name, sizeof(name), "%s/data", dir);
	put_lost(&data, 1);
	make_file();
	perf_bytes_write(&file, name);
	snprintf(name, sizeof(name), "%s/data.1", dir);
	perf_bytes_write(&data, name);
	snprintf(name, sizeof(name), "%s/data.0", dir);
	perf_bytes_u64(&data, 0);
	perf_bytes_write(&data, name);
	assert_int_equal(read_all(dir, &err, &records), 0);
	assert_int_equal(records, 3);
	assert_non_null(strstr(err.msg, name));
	assert_int_equal(err.file_offset, 40);
}

/* An event that a pipe names after its records changes how they are read: none is read wrongly. */
static void an_event_that_comes_late(void **state)
{
	const struct perf_bytes_event late = {
	        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN,
	        .ids = {UINT64_MAX},
	        .n_ids = 1,
	        .sample_id_all = 1};
	struct ptf_error err = {0};
	uint64_t records;
	size_t record;

	perf_bytes_attr_record(&data, &simple);
	record = perf_bytes_record(&data, PTF_RECORD_SAMPLE, 2);
	perf_bytes_u64(&data, UINT64_MAX);
	perf_bytes_u64(&data, 1);
	perf_bytes_end(&data, record);
	perf_bytes_attr_record(&data, &late);
	perf_bytes_pipe(&file, &data);
	perf_bytes_write(&file, path);
	assert_int_equal(read_all(path, &err, &records), 0);
	assert_int_equal(records, 2); /* the two attributes */
}

/* ---- every cut and every flip ---- */

/* A file with a bit of all that is parsed. */
static void make_sample_file(bool compressed, bool pipe)
{
	const struct perf_bytes_event rich = {
	        PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_RAW,
	        0, {7}, 1, 2, 1};
	static struct perf_bytes records;
	uint8_t packed[1000];
	size_t record, n;

	data.n = records.n = 0;
	if (pipe)
		perf_bytes_attr_record(&data, &rich);
	record = perf_bytes_record(&records, PTF_RECORD_MMAP2, 2);
	for (unsigned i = 0; i < 8; i++)
		perf_bytes_u64(&records, i);
	perf_bytes_text(&records, "/bin/x");
	perf_bytes_u64(&records, 5);
	perf_bytes_u64(&records, 7);
	perf_bytes_end(&records, record);
	record = perf_bytes_record(&records, PTF_RECORD_SAMPLE, 2);
	perf_bytes_u64(&records, 7);
	perf_bytes_u64(&records, 4);
	perf_bytes_u64(&records, 2);
	perf_bytes_u64(&records, 0x1000);
	perf_bytes_u64(&records, 0x2000);
	perf_bytes_u32(&records, 4);
	perf_bytes_put(&records, "raw!", 4);
	perf_bytes_end(&records, record);
	put_lost(&records, 3);
	if (compressed) {
		compress_into(packed, &n, records.v, records.n);
		put_container(packed, n / 2);
		put_container(packed + n / 2, n - n / 2);
	} else {
		perf_bytes_put(&data, records.v, records.n);
	}
	record = perf_bytes_record(&data, PTF_RECORD_AUXTRACE, 0);
	perf_bytes_u64(&data, 16);
	for (unsigned i = 0; i < 4; i++)
		perf_bytes_u64(&data, i);
	perf_bytes_end(&data, record);
	perf_bytes_put(&data, "sixteen of bytes", 16);
	if (pipe)
		perf_bytes_pipe(&file, &data);
	else
		perf_bytes_file(&file, &rich, 1, 64, &data);
}

static void add_features(void)
{
	static struct perf_bytes build_ids, hostname, cmdline, event_desc;
	const struct perf_bytes *contents[] = {&build_ids, &hostname, &cmdline, &event_desc};
	const unsigned numbers[] = {2, 3, 11, 12};
	size_t record;

	build_ids.n = hostname.n = cmdline.n = event_desc.n = 0;
	record = perf_bytes_record(&build_ids, 0, 0);
	perf_bytes_put(&build_ids, "pid.twenty bytes of it......", 28);
	perf_bytes_text(&build_ids, "/bin/x..");
	perf_bytes_end(&build_ids, record);
	perf_bytes_u32(&hostname, 8);
	perf_bytes_text(&hostname, "host");
	perf_bytes_u32(&cmdline, 2);
	for (unsigned i = 0; i < 2; i++) {
		perf_bytes_u32(&cmdline, 8);
		perf_bytes_text(&cmdline, "arg");
	}
	perf_bytes_u32(&event_desc, 1);
	perf_bytes_u32(&event_desc, 8);
	perf_bytes_u64(&event_desc, 0);
	perf_bytes_u32(&event_desc, 1);
	perf_bytes_u32(&event_desc, 8);
	perf_bytes_text(&event_desc, "name");
	perf_bytes_u64(&event_desc, 7);
	perf_bytes_features(&file, numbers, contents, 4);
}

/* Reading costs no more memory than a few times the file: what the reader has of its own is 64 kB
 * for a name, zstd's decoder up to its largest window, 128 MB. (Sanitizers do not count.) */
static int read_within(bool compressed, uint64_t *records, struct ptf_error *err)
{
	struct mallinfo2 before = mallinfo2(), after;
	struct ptf_perf_reader *reader;

	if (!compressed && ptf_perf_reader_create(&reader, path, NULL) == 0) {
		after = mallinfo2();
		assert_true(after.uordblks + after.hblkhd <=
		            before.uordblks + before.hblkhd + 160000 + 4 * file.n);
		ptf_perf_reader_destroy(reader);
	}
	return read_all(path, err, records);
}

static void every_cut(void **state)
{
	for (unsigned form = 0; form < 4; form++) {
		uint64_t last = 0, records = 0;
		size_t whole;

		make_sample_file(form & 1, form & 2);
		whole = file.n;
		for (file.n = 0; file.n < whole; file.n++) {
			struct ptf_error err = {0};

			perf_bytes_write(&file, path);
			if (read_within(form & 1, &records, &err) < 0) {
				assert_non_null(strstr(err.msg, path));
				assert_int_equal(last, 0);
				continue;
			}
			assert_true(records >= last);
			/* In the middle it is damaged; between two records of a pipe it is not. */
			assert_true(form & 2 || err.code);
			last = records;
		}
		perf_bytes_write(&file, path);
		assert_int_equal(read_all(path, &(struct ptf_error){0}, &records), 0);
		assert_int_equal(records, form & 2 ? 5 : 4);
	}
}

static void every_flip(void **state)
{
	const uint8_t masks[] = {0x01, 0x80, 0xff};

	for (unsigned form = 0; form < 4; form++) {
		make_sample_file(form & 1, form & 2);
		if (!(form & 2))
			add_features();
		for (size_t at = 0; at < file.n; at++) {
			for (unsigned i = 0; i < 3; i++) {
				struct ptf_error err = {0};
				uint64_t records;

				file.v[at] ^= masks[i];
				perf_bytes_write(&file, path);
				if (read_within(form & 1, &records, &err) < 0 || err.code)
					assert_non_null(strstr(err.msg, path));
				file.v[at] ^= masks[i];
			}
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(no_perf_data),
	        TEST(broken_headers),
	        TEST(broken_ids),
	        TEST(broken_records),
	        TEST(truncated_trace),
	        TEST(unfinished_recordings),
	        TEST(broken_compression),
	        TEST(damage_in_a_directory),
	        TEST(an_event_that_comes_late),
	        TEST(every_cut),
	        TEST(every_flip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
