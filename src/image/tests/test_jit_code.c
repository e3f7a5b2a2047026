/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/jit_code.h"

static void add(struct ptf_jit_code *code, uint64_t start, uint64_t end, uint64_t time_ns)
{
	struct ptf_code_map map = {.start = start, .end = end, .file_offset = time_ns};

	assert_true(ptf_jit_code_add(code, &map, time_ns));
}

/* file_offset tells the pieces apart: it is their time. */
static uint64_t at(const struct ptf_jit_code *code, uint64_t ip, uint64_t time_ns)
{
	const struct ptf_code_map *map = ptf_jit_code_find(code, ip, time_ns);

	return map ? map->file_offset : 0;
}

static void replaced_code_is_there_at_its_time(void **state)
{
	struct ptf_jit_code *code = ptf_jit_code_create();
	const uint64_t *changes;
	size_t n;

	add(code, 0x100, 0x200, 10);
	add(code, 0x300, 0x400, 20);
	add(code, 0x1ff, 0x280, 30); /* over the first, in its last byte */
	add(code, 0x100, 0x180, 40); /* over nobody who still lives */
	assert_true(ptf_jit_code_freeze(code));
	assert_int_equal(at(code, 0x100, 9), 0);
	assert_int_equal(at(code, 0x100, 10), 10);
	assert_int_equal(at(code, 0x1ff, 29), 10);
	assert_int_equal(at(code, 0x1ff, 30), 30);
	assert_int_equal(at(code, 0x100, 30), 0);
	assert_int_equal(at(code, 0x100, 40), 40);
	assert_int_equal(at(code, 0x180, 40), 0);
	assert_int_equal(at(code, 0x3ff, UINT64_MAX), 20);
	assert_int_equal(at(code, 0x400, UINT64_MAX), 0);
	assert_int_equal(at(code, UINT64_MAX, UINT64_MAX), 0);
	changes = ptf_jit_code_changes(code, &n);
	assert_int_equal(n, 1);
	assert_int_equal(changes[0], 30);
	assert_int_equal(ptf_jit_code_ended(code), 1);
	ptf_jit_code_destroy(code);
}

static void exec_ends_all(void **state)
{
	struct ptf_jit_code *code = ptf_jit_code_create();

	add(code, 0x100, 0x200, 10);
	add(code, 0x300, 0x400, 10);
	assert_true(ptf_jit_code_clear(code, 20));
	add(code, 0x100, 0x200, 30);
	assert_true(ptf_jit_code_clear(code, 40));
	assert_true(ptf_jit_code_freeze(code));
	assert_int_equal(at(code, 0x100, 19), 10);
	assert_int_equal(at(code, 0x100, 20), 0);
	assert_int_equal(at(code, 0x300, 25), 0);
	assert_int_equal(at(code, 0x100, 30), 30);
	assert_int_equal(at(code, 0x100, 40), 0);
	ptf_jit_code_destroy(code);
}

static void nothing_is_found_in_nothing(void **state)
{
	struct ptf_jit_code *code = ptf_jit_code_create();

	assert_true(ptf_jit_code_freeze(code));
	assert_null(ptf_jit_code_find(code, 0, 0));
	assert_null(ptf_jit_code_find(code, 0x1000, UINT64_MAX));
	ptf_jit_code_destroy(code);
	ptf_jit_code_destroy(NULL);
}

static void times_that_go_back_are_the_latest(void **state)
{
	struct ptf_jit_code *code = ptf_jit_code_create();
	struct ptf_code_map map = {.start = 0x100, .end = 0x200, .file_offset = 7};

	add(code, 0x100, 0x200, 50);
	assert_true(ptf_jit_code_add(code, &map, 40));
	assert_true(ptf_jit_code_freeze(code));
	assert_int_equal(at(code, 0x100, 49), 0);
	assert_int_equal(at(code, 0x100, 50), 7);
	ptf_jit_code_destroy(code);
}

/* The same told simply: who was written last over a byte, unless an older piece was cut by it. */
enum { SPACE = 400, PIECES = 300, ROUNDS = 40 };

struct plain {
	uint64_t start, end, from, to;
};

static void like_a_plain_list(void **state)
{
	static struct plain plain[PIECES];

	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		struct ptf_jit_code *code = ptf_jit_code_create();
		uint64_t time_ns = 0;

		for (int i = 0; i < PIECES; i++) {
			struct plain *p = &plain[i];

			time_ns += (uint64_t)(rand() % 3 + 1);
			p->start = (uint64_t)(rand() % SPACE);
			p->end = p->start + (uint64_t)(rand() % (round % 2 ? 80 : 8) + 1);
			p->from = time_ns;
			p->to = UINT64_MAX;
			for (int k = 0; k < i; k++)
				if (plain[k].to == UINT64_MAX && plain[k].start < p->end &&
				        p->start < plain[k].end)
					plain[k].to = time_ns;
			add(code, p->start, p->end, time_ns);
		}
		assert_true(ptf_jit_code_freeze(code));
		for (int i = 0; i < 5000; i++) {
			uint64_t ip = (uint64_t)(rand() % (SPACE + 90));
			uint64_t t = (uint64_t)rand() % (time_ns + 10), want = 0;

			for (int k = 0; k < PIECES; k++)
				if (plain[k].start <= ip && ip < plain[k].end &&
				        plain[k].from <= t && t < plain[k].to)
					want = plain[k].from;
			assert_int_equal(at(code, ip, t), want);
		}
		ptf_jit_code_destroy(code);
	}
}

/* A hundred thousand versions of one place are no slower than a hundred thousand places. */
static void many_versions(void **state)
{
	struct ptf_jit_code *code = ptf_jit_code_create();
	size_t n;

	for (uint64_t i = 1; i <= 100000; i++)
		add(code, 0x1000 + i % 7, 0x2000, i);
	assert_true(ptf_jit_code_freeze(code));
	ptf_jit_code_changes(code, &n);
	assert_int_equal(n, 99999);
	for (uint64_t i = 1; i <= 100000; i++)
		assert_int_equal(at(code, 0x1fff, i), i);
	ptf_jit_code_destroy(code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(replaced_code_is_there_at_its_time),
	        cmocka_unit_test(exec_ends_all),
	        cmocka_unit_test(nothing_is_found_in_nothing),
	        cmocka_unit_test(times_that_go_back_are_the_latest),
	        cmocka_unit_test(like_a_plain_list),
	        cmocka_unit_test(many_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
