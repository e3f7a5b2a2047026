/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/jit_dump.h"
#include "image/perf_map.h"

enum { LOAD = 0, MOVE = 1, DEBUG_INFO = 2, CLOSE = 3, UNWINDING = 4, FUTURE = 77 };

struct bytes {
	uint8_t v[1024];
	size_t n;
};

static void put(struct bytes *b, uint64_t value, size_t size)
{
	memcpy(b->v + b->n, &value, size);
	b->n += size;
}

static void header(struct bytes *b, uint32_t size, uint32_t machine, uint64_t flags)
{
	put(b, 0x4a695444, 4);
	put(b, 1, 4);
	put(b, size, 4);
	put(b, machine, 4);
	put(b, 0, 4);
	put(b, 4711, 4);
	put(b, 99, 8);
	put(b, flags, 8);
	while (b->n < size)
		put(b, 0, 1);
}

static void begin(struct bytes *b, uint32_t id, uint64_t body, uint64_t time)
{
	put(b, id, 4);
	put(b, 16 + body, 4);
	put(b, time, 8);
}

static void load(struct bytes *b, uint64_t time, uint64_t start, const char *name, const char *code)
{
	size_t size = strlen(code), name_size = strlen(name) + 1;

	begin(b, LOAD, 40 + name_size + size, time);
	put(b, 4711, 4);
	put(b, 4712, 4);
	put(b, 0xdead, 8);
	put(b, start, 8);
	put(b, size, 8);
	put(b, 3, 8);
	memcpy(b->v + b->n, name, name_size);
	memcpy(b->v + b->n + name_size, code, size);
	b->n += name_size + size;
}

static void move(struct bytes *b, uint64_t time, uint64_t from, uint64_t to, uint64_t size)
{
	begin(b, MOVE, 48, time);
	put(b, 4711, 4);
	put(b, 4712, 4);
	put(b, to, 8);
	put(b, from, 8);
	put(b, to, 8);
	put(b, size, 8);
	put(b, 3, 8);
}

static void skipped(struct bytes *b, uint32_t id)
{
	begin(b, id, 12, 5);
	put(b, 0x1111, 8);
	put(b, 0x2222, 4);
}

static struct bytes sample(void)
{
	struct bytes b = {.n = 0};

	header(&b, 48, 62, 0);
	skipped(&b, DEBUG_INFO);
	load(&b, 100, 0x7000, "first", "abcdef");
	skipped(&b, UNWINDING);
	load(&b, 110, 0x8000, "", "x");
	load(&b, 115, 0x9000, "no code", "");
	move(&b, 120, 0x7000, 0xa000, 6);
	skipped(&b, FUTURE);
	begin(&b, CLOSE, 0, 130);
	load(&b, 140, 0xb000, "behind the end", "y");
	return b;
}

static void events_in_order(void **state)
{
	struct bytes b = sample();
	struct ptf_jit_dump dump;
	struct ptf_jit_event event;

	assert_int_equal(ptf_jit_dump_init(&dump, b.v, b.n, NULL), 0);
	assert_int_equal(dump.pid, 4711);
	assert_int_equal(dump.made, 99);
	assert_false(dump.tsc);
	assert_int_equal(ptf_jit_dump_next(&dump, &event, NULL), 0);
	assert_int_equal(event.kind, PTF_JIT_LOAD);
	assert_int_equal(event.time, 100);
	assert_int_equal(event.start, 0x7000);
	assert_int_equal(event.size, 6);
	assert_string_equal(event.name, "first");
	assert_memory_equal(b.v + event.file_offset, "abcdef", 6);
	assert_int_equal(ptf_jit_dump_next(&dump, &event, NULL), 0);
	assert_string_equal(event.name, "");
	assert_memory_equal(b.v + event.file_offset, "x", 1);
	assert_int_equal(ptf_jit_dump_next(&dump, &event, NULL), 0);
	assert_int_equal(event.kind, PTF_JIT_MOVE);
	assert_int_equal(event.old_start, 0x7000);
	assert_int_equal(event.start, 0xa000);
	assert_int_equal(event.size, 6);
	assert_int_equal(event.time, 120);
	assert_int_equal(ptf_jit_dump_next(&dump, &event, NULL), 1);
}

static void headers(void **state)
{
	struct bytes b = {.n = 0};
	struct ptf_error err = {0};
	struct ptf_jit_dump dump;

	header(&b, 40, 62, 1);
	assert_int_equal(ptf_jit_dump_init(&dump, b.v, b.n, NULL), 0);
	assert_true(dump.tsc);
	for (size_t n = 0; n < 40; n++)
		assert_int_equal(ptf_jit_dump_init(&dump, b.v, n, NULL), -PTF_EFORMAT);
	b.v[4] = 2;
	assert_int_equal(ptf_jit_dump_init(&dump, b.v, b.n, &err), -PTF_EUNSUPPORTED);
	assert_string_equal(err.msg, "jitdump version 2");
	b = (struct bytes){.n = 0};
	header(&b, 40, 183 /* AArch64 */, 0);
	assert_int_equal(ptf_jit_dump_init(&dump, b.v, b.n, NULL), -PTF_EUNSUPPORTED);
	b.v[0] = 0x4a, b.v[1] = 0x69, b.v[2] = 0x54, b.v[3] = 0x44;
	assert_int_equal(ptf_jit_dump_init(&dump, b.v, b.n, &err), -PTF_EUNSUPPORTED);
	assert_string_equal(err.msg, "written on a big-endian machine");
}

/* Reads in memory of exactly that size, for the sanitizers; the number of good events. */
static unsigned read_all(const uint8_t *bytes, size_t size, struct ptf_error *err)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct ptf_jit_dump dump;
	struct ptf_jit_event event;
	unsigned n = 0;
	int rc;

	memcpy(copy, bytes, size);
	rc = ptf_jit_dump_init(&dump, copy, size, err);
	while (rc == 0 && (rc = ptf_jit_dump_next(&dump, &event, err)) == 0) {
		assert_true(event.size > 0);
		assert_true(event.start + event.size >= event.start);
		if (event.kind == PTF_JIT_LOAD) {
			assert_true(event.file_offset + event.size <= size);
			assert_true(strlen(event.name) < size);
		}
		n++;
	}
	free(copy);
	return n;
}

static void cut_off_anywhere(void **state)
{
	struct bytes b = sample();

	for (size_t n = 0; n < b.n; n++) {
		struct ptf_error err = {0};
		unsigned events = read_all(b.v, n, &err);

		assert_true(events <= 3);
		if (err.code && n > 48)
			assert_true(err.file_offset >= 48 && err.file_offset < n);
	}
	assert_int_equal(read_all(b.v, b.n, NULL), 3);
}

static void changed_anywhere(void **state)
{
	static const uint8_t masks[] = {0xff, 0x80, 0x01};
	struct bytes b = sample();

	for (size_t at = 0; at < b.n; at++) {
		for (size_t m = 0; m < sizeof(masks); m++) {
			b.v[at] ^= masks[m];
			assert_true(read_all(b.v, b.n, NULL) <= 8);
			b.v[at] ^= masks[m];
		}
	}
}

static void damage_has_an_offset(void **state)
{
	struct bytes b = {.n = 0};
	struct ptf_error err = {0};

	header(&b, 40, 62, 0);
	load(&b, 1, 0x1000, "good", "a");
	load(&b, UINT64_MAX, UINT64_MAX, "wraps", "ab");
	assert_int_equal(read_all(b.v, b.n, &err), 1);
	assert_int_equal(err.file_offset, 40 + 16 + 40 + 5 + 1);
	assert_string_equal(err.msg, "a record is damaged (at offset 0x66)");
}

static void names_of_dumps(void **state)
{
	assert_true(ptf_jit_dump_is_name("/tmp/jit-123.dump"));
	assert_true(ptf_jit_dump_is_name("jit-1.dump"));
	assert_false(ptf_jit_dump_is_name("/tmp/jit-.dump"));
	assert_false(ptf_jit_dump_is_name("/tmp/jit-12.dump.old"));
	assert_false(ptf_jit_dump_is_name("/tmp/jit-12x.dump"));
	assert_false(ptf_jit_dump_is_name("/tmp/xjit-12.dump"));
	assert_false(ptf_jit_dump_is_name("/jit-1.dump/lib.so"));
}

static void perf_maps(void **state)
{
	static const char text[] = "7f00 10 plain\n"
	                           "0x7f10 0X20 with blanks, a ; and :: in it\r\n"
	                           "\n"
	                           "# no such line\n"
	                           "7f30 0 empty\n"
	                           "7f40 8\n"
	                           "fffffffffffffff8 10 wraps\n"
	                           "11112222333344445 8 too long\n"
	                           "ABC 1  two blanks\n"
	                           "7f50 4 cut off";
	static const struct {
		uint64_t start, size;
		const char *name;
	} want[] = {{0x7f00, 0x10, "plain"}, {0x7f10, 0x20, "with blanks, a ; and :: in it"},
	        {0xabc, 1, "two blanks"}, {0x7f50, 4, "cut off"}};
	struct ptf_perf_map_entry entry;
	struct ptf_perf_map map;

	ptf_perf_map_init(&map, text, strlen(text));
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(ptf_perf_map_next(&map, &entry), 0);
		assert_int_equal(entry.start, want[i].start);
		assert_int_equal(entry.size, want[i].size);
		assert_int_equal(entry.name_len, strlen(want[i].name));
		assert_memory_equal(entry.name, want[i].name, entry.name_len);
	}
	assert_int_equal(ptf_perf_map_next(&map, &entry), 1);
	assert_int_equal(map.bad_lines, 5);
	for (size_t n = 0; n < strlen(text); n++) {
		char *copy = malloc(n + 1);

		memcpy(copy, text, n);
		ptf_perf_map_init(&map, copy, n);
		while (ptf_perf_map_next(&map, &entry) == 0)
			assert_true(entry.name + entry.name_len <= copy + n);
		free(copy);
	}
	ptf_perf_map_init(&map, NULL, 0);
	assert_int_equal(ptf_perf_map_next(&map, &entry), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(events_in_order),
	        cmocka_unit_test(headers),
	        cmocka_unit_test(cut_off_anywhere),
	        cmocka_unit_test(changed_anywhere),
	        cmocka_unit_test(damage_has_an_offset),
	        cmocka_unit_test(names_of_dumps),
	        cmocka_unit_test(perf_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
