/* SPDX-License-Identifier: BSD-2-Clause */
/* Percentiles of the histogram against the sorted values themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/latency.h"

enum { VALUES = 20000 };

static const double shares[] = {1e-9, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};

/* xorshift64: the same numbers in every run. */
static uint64_t random_u64(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* The smallest value that a share of n sorted values does not exceed. */
static uint64_t exact(const uint64_t *sorted, size_t n, double share)
{
	size_t rank = 1;

	while ((double)rank < share * (double)n)
		rank++;
	return sorted[rank - 1];
}

static void compare(const struct ptf_latency *latency, uint64_t *values, size_t n)
{
	uint64_t sum = 0;

	qsort(values, n, sizeof(*values), by_value);
	for (size_t i = 0; i < n; i++)
		sum += values[i];
	assert_int_equal(latency->count, n);
	assert_int_equal(latency->sum_ns, sum);
	assert_int_equal(latency->min_ns, values[0]);
	assert_int_equal(latency->max_ns, values[n - 1]);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		uint64_t want = exact(values, n, shares[i]);
		uint64_t got = ptf_latency_percentile(latency, shares[i]);
		uint64_t error = got > want ? got - want : want - got;

		if (error > want / 256)
			fail_msg("share %g of %zu: %llu, not %llu", shares[i], n,
			        (unsigned long long)got, (unsigned long long)want);
		assert_in_range(got, values[0], values[n - 1]);
	}
}

static uint64_t small(void)
{
	return random_u64() % 256;
}

static uint64_t wide(void)
{
	return random_u64() >> random_u64() % 64;
}

/* Most calls are short, one in a hundred waits. */
static uint64_t server(void)
{
	return random_u64() % 100 ? 200 + random_u64() % 300 : 5000000 + random_u64() % 70000000;
}

static uint64_t constant(void)
{
	return 12345677;
}

static uint64_t (*const sources[])(void) = {small, wide, server, constant};

static void test_percentiles(void **state)
{
	static uint64_t values[VALUES];
	static const size_t counts[] = {1, 2, 3, 10, 999, 1000, VALUES};

	for (size_t s = 0; s < sizeof(sources) / sizeof(sources[0]); s++) {
		for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
			struct ptf_latency latency = {0};
			struct ptf_arena arena = {0};

			for (size_t i = 0; i < counts[k]; i++) {
				values[i] = sources[s]();
				assert_true(ptf_latency_add(&latency, &arena, values[i]));
			}
			compare(&latency, values, counts[k]);
			ptf_arena_release(&arena);
		}
	}
}

/* The ends of every power of two, where rows meet. */
static void test_borders(void **state)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int64_t d = -2; d <= 2; d++) {
			uint64_t value = (1ull << bit) + (uint64_t)d, values[2] = {value, value};
			struct ptf_latency latency = {0};
			struct ptf_arena arena = {0};

			/* A wide pair around it, so that min and max do not give it away. */
			assert_true(ptf_latency_add(&latency, &arena, 0));
			assert_true(ptf_latency_add(&latency, &arena, value));
			assert_true(ptf_latency_add(&latency, &arena, UINT64_MAX));
			values[1] = ptf_latency_percentile(&latency, 0.5);
			qsort(values, 2, sizeof(values[0]), by_value);
			assert_true(values[1] - values[0] <= value / 256);
			ptf_arena_release(&arena);
		}
	}
}

static void test_empty(void **state)
{
	struct ptf_latency empty = {0}, other = {0};
	struct ptf_arena arena = {0};

	assert_int_equal(ptf_latency_percentile(&empty, 0.5), 0);
	assert_true(ptf_latency_add(&other, &arena, 7));
	assert_true(ptf_latency_merge(&other, &arena, &empty));
	assert_int_equal(other.min_ns, 7);
	assert_true(ptf_latency_merge(&empty, &arena, &other));
	assert_int_equal(empty.min_ns, 7);
	assert_int_equal(empty.max_ns, 7);
	assert_int_equal(empty.count, 1);
	ptf_arena_release(&arena);
}

/* Parts that are merged are the whole. */
static void test_merge(void **state)
{
	enum { PARTS = 7 };
	static uint64_t values[VALUES];
	struct ptf_latency parts[PARTS] = {0}, all = {0};
	struct ptf_arena arena = {0};

	for (size_t i = 0; i < VALUES; i++) {
		values[i] = wide();
		assert_true(ptf_latency_add(&parts[i % PARTS], &arena, values[i]));
	}
	for (size_t i = 0; i < PARTS; i++)
		assert_true(ptf_latency_merge(&all, &arena, &parts[i]));
	compare(&all, values, VALUES);
	ptf_arena_release(&arena);
}

/* Every value is in the bucket that begins at or below it, and counts add up over buckets. */
static void test_buckets(void **state)
{
	struct ptf_latency latency = {0};
	struct ptf_arena arena = {0};

	assert_int_equal(ptf_latency_bucket(UINT64_MAX), PTF_LATENCY_BUCKETS - 1);
	for (size_t i = 0; i < VALUES; i++) {
		uint64_t value = wide();
		unsigned bucket = ptf_latency_bucket(value);

		assert_true(ptf_latency_bucket_start(bucket) <= value);
		if (bucket < PTF_LATENCY_BUCKETS - 1)
			assert_true(ptf_latency_bucket_start(bucket + 1) > value);
		assert_int_equal(ptf_latency_bucket(ptf_latency_bucket_start(bucket)), bucket);
		assert_true(ptf_latency_add(&latency, &arena, value % 1000));
	}
	assert_int_equal(ptf_latency_between(&latency, 0, PTF_LATENCY_BUCKETS), VALUES);
	assert_int_equal(
	        ptf_latency_between(&latency, 0, ptf_latency_bucket(500)) +
	                ptf_latency_between(&latency, ptf_latency_bucket(500), PTF_LATENCY_BUCKETS),
	        VALUES);
	assert_int_equal(ptf_latency_between(&latency, 0, ptf_latency_bucket(1000)), VALUES);
	assert_int_equal(ptf_latency_between(&latency, ptf_latency_bucket(1000), 1u << 31), 0);
	ptf_arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_percentiles),
	        cmocka_unit_test(test_borders),
	        cmocka_unit_test(test_empty),
	        cmocka_unit_test(test_merge),
	        cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
