/* SPDX-License-Identifier: BSD-2-Clause */
/* The history checker against exhaustive search: every order of a small history is tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/kv_history.h"

#define MAX_OPS 7

/* Is there an order of the operations that respects time and lets each read see the last write?
 * Writes of unknown outcome may be left out. */
static bool search(const struct kv_history_op *ops, size_t n, unsigned done, uint64_t value)
{
	bool finished = true;

	for (size_t i = 0; i < n; i++)
		finished &= (done >> i & 1) || ops[i].end == KV_HISTORY_NEVER;
	if (finished)
		return true;
	for (size_t i = 0; i < n; i++) {
		bool first = !(done >> i & 1) && (ops[i].write || ops[i].value == value);

		for (size_t j = 0; j < n; j++)
			first &= (done >> j & 1) || ops[j].end >= ops[i].start;
		if (first && search(ops, n, done | 1u << i, ops[i].write ? ops[i].value : value))
			return true;
	}
	return false;
}

static size_t random_history(struct kv_history_op *ops, unsigned *seed)
{
	size_t n = 1 + rand_r(seed) % MAX_OPS, writes = 0;

	for (size_t i = 0; i < n; i++) {
		ops[i] = (struct kv_history_op){
		        .key = 1, .write = rand_r(seed) % 2, .start = 1 + rand_r(seed) % 20};
		ops[i].end = ops[i].start + 1 + rand_r(seed) % 8;
		if (ops[i].write) {
			ops[i].value = ++writes;
			if (rand_r(seed) % 6 == 0)
				ops[i].end = KV_HISTORY_NEVER;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!ops[i].write)
			ops[i].value = rand_r(seed) % (writes + 1);
	return n;
}

static void test_agrees_with_exhaustive_search(void **state)
{
	struct kv_history_op ops[MAX_OPS];
	unsigned seed = 1, good = 0;
	char why[128];

	for (int i = 0; i < 200000; i++) {
		struct kv_history history = {.v = ops, .n = random_history(ops, &seed)};
		bool expected = search(ops, history.n, 0, 0);

		good += expected;
		assert_int_equal(kv_history_check(&history, why, sizeof(why)), expected);
	}
	assert_in_range(good, 20000, 180000); /* both kinds were there */
}

static void test_keys_are_apart(void **state)
{
	struct kv_history_op ops[] = {{.key = 1, .value = 1, .start = 1, .end = 2, .write = true},
	        {.key = 2, .value = 0, .start = 3, .end = 4},
	        {.key = 1, .value = 0, .start = 5, .end = 6}};
	struct kv_history history = {.v = ops, .n = 2};
	char why[128];

	assert_true(kv_history_check(&history, why, sizeof(why)));
	history.n = 3; /* a lost write */
	assert_false(kv_history_check(&history, why, sizeof(why)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_agrees_with_exhaustive_search),
	        cmocka_unit_test(test_keys_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
