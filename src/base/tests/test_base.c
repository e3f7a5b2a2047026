/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

#include "base/arena.h"
#include "base/attached_files.h"
#include "base/file_map.h"
#include "base/hash_map.h"
#include "base/reader.h"
#include "base/thread_pool.h"
#include "base/vec.h"

static void error_keeps_context(void **state)
{
	struct ptf_error err = {0};

	assert_int_equal(ptf_error_set_at(&err, PTF_EFORMAT, 0x20, "bad %s", "size"), -PTF_EFORMAT);
	assert_int_equal(ptf_error_prepend(&err, "file"), -PTF_EFORMAT);
	assert_string_equal(err.msg, "file: bad size (at offset 0x20)");
	assert_int_equal(err.file_offset, 0x20);
	assert_int_equal(ptf_error_set(NULL, PTF_EIO, "x"), -PTF_EIO);
	assert_string_equal(ptf_error_text(-PTF_ENODATA), "no trace data");
}

static void reader_stops_at_the_end(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct ptf_reader r = ptf_reader_make(bytes, sizeof(bytes));
	size_t len;

	assert_int_equal(ptf_reader_u32(&r), 0x04030201);
	assert_false(r.failed);
	assert_int_equal(ptf_reader_u16(&r), 0);
	assert_true(r.failed);
	assert_int_equal(ptf_reader_left(&r), 1);
	assert_null(ptf_reader_string(&r, 2, &len));
	assert_null(ptf_reader_bytes(&r, SIZE_MAX));
}

static void arena_gives_zeroed_aligned_memory(void **state)
{
	struct ptf_arena arena = {0};

	for (size_t size = 1; size < 200000; size = size * 3 + 1) {
		uint8_t *at = ptf_arena_alloc(&arena, size);

		assert_non_null(at);
		assert_int_equal((uintptr_t)at % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(at[i], 0);
		memset(at, 0xff, size);
	}
	assert_null(ptf_arena_alloc(&arena, SIZE_MAX - 3));
	assert_string_equal(ptf_arena_strndup(&arena, "abcdef", 3), "abc");
	ptf_arena_release(&arena);
	ptf_arena_release(&arena);
}

/* However often things come and go, an arena grows only for the most that there are at once. */
static void arena_uses_what_was_given_back(void **state)
{
	enum { THINGS = 100, ROUNDS = 1000 };
	struct ptf_arena arena = {0};
	uint8_t *things[THINGS], *large;

	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < THINGS; i++) {
			size_t size = 1 + (i * 7 + round) % 300;

			things[i] = ptf_arena_alloc(&arena, size);
			assert_non_null(things[i]);
			for (size_t k = 0; k < size; k++)
				assert_int_equal(things[i][k], 0);
			memset(things[i], 0xff, size);
		}
		for (size_t i = 0; i < THINGS; i++)
			ptf_arena_recycle(&arena, things[i], 1 + (i * 7 + round) % 300);
	}
	assert_in_range(arena.total, 1, 20 * THINGS * 300);
	large = ptf_arena_alloc(&arena, 100000);
	ptf_arena_recycle(&arena, large, 100000);
	ptf_arena_recycle(&arena, NULL, 10);
	assert_ptr_not_equal(ptf_arena_alloc(&arena, 100000), large);
	ptf_arena_release(&arena);
}

static void map_holds_what_was_put(void **state)
{
	struct ptf_hash_map map = {0};
	bool made;

	assert_null(ptf_hash_map_find(&map, 0));
	for (uint64_t key = 0; key < 10000; key++)
		*ptf_hash_map_at(&map, key * 4096, NULL) = key;
	assert_int_equal(map.n, 10000);
	for (uint64_t key = 0; key < 10000; key++)
		assert_int_equal(*ptf_hash_map_find(&map, key * 4096), key);
	assert_null(ptf_hash_map_find(&map, 1));
	ptf_hash_map_at(&map, 4096, &made);
	assert_false(made);
	ptf_hash_map_release(&map);
}

struct order_check {
	size_t next;
	size_t stop_at;
};

static void *order_work(void *context, unsigned worker, size_t job)
{
	if (job % 7 == 0)
		usleep(200);
	return (void *)(uintptr_t)(job + 1);
}

static int order_done(void *context, size_t job, void *result)
{
	struct order_check *check = context;

	assert_int_equal(job, check->next++);
	assert_int_equal((uintptr_t)result, job + 1);
	return job == check->stop_at ? -PTF_EIO : 0;
}

static void jobs_come_back_in_order(void **state)
{
	for (unsigned threads = 1; threads <= 4; threads++) {
		struct order_check check = {.stop_at = SIZE_MAX};
		struct ptf_jobs jobs = {order_work, order_done, NULL, &check};

		assert_int_equal(ptf_jobs_run(&jobs, 500, threads), 0);
		assert_int_equal(check.next, 500);
		check = (struct order_check){.stop_at = 100};
		assert_int_equal(ptf_jobs_run(&jobs, 500, threads), -PTF_EIO);
		assert_int_equal(check.next, 101);
	}
}

static void record_info_survives(void **state)
{
	struct ptf_record_info info = {.start_ns = 5,
	        .end_ns = 9,
	        .simulated = true,
	        .clock = PTF_SIM_CLOCK_INSN,
	        .dilation = 10.5,
	        .switches = true};
	struct ptf_record_info got;
	uint8_t bytes[PTF_RECORD_INFO_SIZE];

	ptf_record_info_encode(&info, bytes);
	assert_int_equal(ptf_record_info_decode(&got, bytes, sizeof(bytes)), 0);
	assert_int_equal(got.end_ns, 9);
	assert_true(got.simulated && got.switches && !got.lossy);
	assert_int_equal(got.clock, PTF_SIM_CLOCK_INSN);
	assert_true(got.dilation == 10.5);
	assert_int_equal(ptf_record_info_decode(&got, bytes, sizeof(bytes) - 1), -1);
}

static void record_waits_survive(void **state)
{
	const struct ptf_record_wait waits[] = {{7, 100, 200}, {-1, 300, UINT64_MAX}};
	uint8_t bytes[PTF_RECORD_INFO_SIZE + 2 * PTF_RECORD_WAIT_SIZE];
	struct ptf_record_info info = {.end_ns = 9};
	struct ptf_record_wait got;

	ptf_record_info_encode(&info, bytes);
	for (size_t i = 0; i < 2; i++)
		ptf_record_wait_encode(
		        &waits[i], bytes + PTF_RECORD_INFO_SIZE + i * PTF_RECORD_WAIT_SIZE);
	for (size_t i = 0; i < 2; i++) {
		assert_true(ptf_record_wait_decode(&got, bytes, sizeof(bytes), i));
		assert_int_equal(got.tid, waits[i].tid);
		assert_int_equal(got.from_ns, waits[i].from_ns);
		assert_int_equal(got.to_ns, waits[i].to_ns);
	}
	assert_false(ptf_record_wait_decode(&got, bytes, sizeof(bytes), 2));
	assert_false(ptf_record_wait_decode(&got, bytes, sizeof(bytes), SIZE_MAX));
	assert_false(ptf_record_wait_decode(&got, bytes, sizeof(bytes) - 1, 1));
	assert_false(ptf_record_wait_decode(&got, bytes, 7, 0));
	bytes[4] = 1; /* version 1 has none, whatever follows */
	assert_false(ptf_record_wait_decode(&got, bytes, sizeof(bytes), 0));
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void assert_attached(const char *path, const char *name, const char *text)
{
	struct ptf_attached_files files;
	const struct ptf_attached_file *file;

	assert_int_equal(ptf_attached_files_init(&files, path, NULL), 0);
	file = ptf_attached_files_find(&files, name);
	assert_true(!file == !text);
	if (text) {
		assert_int_equal(file->size, strlen(text));
		if (file->size)
			assert_memory_equal(file->bytes, text, file->size);
		assert_int_equal((uintptr_t)file->bytes % 8, 0);
	}
	ptf_attached_files_release(&files);
}

static void attached_files_stay_with_the_file(void **state)
{
	char path[] = "/tmp/ptf-attached-XXXXXX";
	struct ptf_attached_file first[] = {
	        {"/a", 2, (const uint8_t *)"hello", 5}, {"/empty", 6, NULL, 0}};
	struct ptf_attached_file more = {"/b", 2, (const uint8_t *)"new", 3};
	struct ptf_attached_file again = {"/a", 2, (const uint8_t *)"other", 5};

	assert_true(close(mkstemp(path)) == 0);
	write_file(path, "itself", 6);
	assert_attached(path, "/a", NULL);
	assert_int_equal(ptf_attached_files_add(path, first, 2, NULL), 0);
	assert_attached(path, "/a", "hello");
	assert_attached(path, "/empty", "");
	assert_attached(path, "/", NULL);
	assert_int_equal(ptf_attached_files_add(path, &more, 1, NULL), 0);
	assert_int_equal(ptf_attached_files_add(path, &again, 1, NULL), 0);
	assert_attached(path, "/a", "other");
	assert_attached(path, "/b", "new");
	unlink(path);
}

/* Every cut and every changed byte: an error or another list, and no read beyond the file. */
static void attached_files_may_be_damaged(void **state)
{
	char path[] = "/tmp/ptf-attached-XXXXXX";
	struct ptf_attached_file file = {"/name", 5, (const uint8_t *)"content", 7};
	struct ptf_attached_files files;
	struct ptf_file_map map;
	uint8_t bytes[256];
	unsigned errors = 0;
	size_t size;

	assert_true(close(mkstemp(path)) == 0);
	write_file(path, "itself", 6);
	assert_int_equal(ptf_attached_files_add(path, &file, 1, NULL), 0);
	assert_int_equal(ptf_file_map_init(&map, path, NULL), 0);
	size = map.size;
	assert_true(size <= sizeof(bytes));
	memcpy(bytes, map.bytes, size);
	ptf_file_map_release(&map);
	for (size_t i = 0; i < 2 * size; i++) {
		bytes[i % size] ^= 0xff;
		write_file(path, bytes, i < size ? size : i - size);
		errors += ptf_attached_files_init(&files, path, NULL) < 0;
		ptf_vec_foreach (found, &files.list) {
			assert_true(found->size <= files.map.size);
			assert_true(found->name_len <= files.map.size);
		}
		ptf_attached_files_release(&files);
		bytes[i % size] ^= 0xff;
	}
	assert_true(errors > 20);
	unlink(path);
}

static void a_fifo_is_no_file(void **state)
{
	char directory[] = "/tmp/ptf-base-XXXXXX", path[64];
	struct ptf_file_map map;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10); /* opening must not wait for a writer */
	assert_int_equal(ptf_file_map_init(&map, path, NULL), -PTF_EINVAL);
	alarm(0);
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(attached_files_stay_with_the_file),
	        cmocka_unit_test(attached_files_may_be_damaged),
	        cmocka_unit_test(a_fifo_is_no_file),
	        cmocka_unit_test(error_keeps_context),
	        cmocka_unit_test(reader_stops_at_the_end),
	        cmocka_unit_test(arena_gives_zeroed_aligned_memory),
	        cmocka_unit_test(arena_uses_what_was_given_back),
	        cmocka_unit_test(map_holds_what_was_put),
	        cmocka_unit_test(jobs_come_back_in_order),
	        cmocka_unit_test(record_info_survives),
	        cmocka_unit_test(record_waits_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
