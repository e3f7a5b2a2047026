/* SPDX-License-Identifier: BSD-2-Clause */
/* The state machine against a plain sorted array, the value log, the row locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash_map.h"
#include "store/kv_lock_table.h"
#include "store/kv_store.h"

#define KEYS 500

static struct kv_slice text(const char *s)
{
	return (struct kv_slice){(const uint8_t *)s, strlen(s)};
}

static struct kv_result apply(
        struct kv_store *store, enum kv_op op, struct kv_slice key, struct kv_slice value)
{
	struct kv_command command = {.op = op, .bucket = text("b"), .key = key, .value = value};
	struct kv_result result;

	assert_int_equal(kv_store_apply(store, &command, &result, NULL), 0);
	return result;
}

static void expect(struct kv_store *store, const char *key, const char *value)
{
	struct kv_value *found = kv_store_get(store, text("b"), text(key));

	if (!value) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_int_equal(found->size, strlen(value));
	assert_memory_equal(found->bytes, value, found->size);
	kv_value_unref(found);
}

/* Reads all keys in order, a few at a time; the number. */
static size_t check_scan(struct kv_store *store, const bool *there, size_t step)
{
	struct kv_value_vec keys = {0};
	struct kv_slice after = {0};
	size_t at = 0;
	char name[16];

	while (kv_store_scan(store, text("b"), after, step, &keys))
		after = (struct kv_slice){keys.v[keys.n - 1]->bytes, keys.v[keys.n - 1]->size};
	for (unsigned i = 0; i < KEYS; i++) {
		if (!there[i])
			continue;
		sprintf(name, "k%05u", i);
		assert_true(at < keys.n);
		assert_int_equal(keys.v[at]->size, strlen(name));
		assert_memory_equal(keys.v[at]->bytes, name, strlen(name));
		at++;
	}
	assert_int_equal(at, keys.n);
	kv_value_vec_release(&keys);
	return at;
}

static void run_against_model(bool global_lock)
{
	struct kv_store_options options = {.global_lock = global_lock};
	struct kv_store *store = kv_store_create(&options, NULL);
	bool there[KEYS] = {0};
	char values[KEYS][16], name[16];
	unsigned seed = 7;

	for (int i = 0; i < 20000; i++) {
		unsigned key = rand_r(&seed) % KEYS;

		sprintf(name, "k%05u", key);
		if (rand_r(&seed) % 3) {
			sprintf(values[key], "v%d", i);
			apply(store, KV_OP_SET, text(name), text(values[key]));
			there[key] = true;
		} else {
			assert_int_equal(
			        apply(store, KV_OP_DEL, text(name), text("")).number, there[key]);
			there[key] = false;
		}
		expect(store, name, there[key] ? values[key] : NULL);
	}
	assert_int_equal(check_scan(store, there, 7), kv_store_count(store));
	check_scan(store, there, 1000);
	kv_store_destroy(store);
}

static void test_against_model(void **state)
{
	run_against_model(false);
	run_against_model(true);
}

static void test_incr(void **state)
{
	struct kv_store_options options = {0};
	struct kv_store *store = kv_store_create(&options, NULL);

	assert_int_equal(apply(store, KV_OP_INCR, text("n"), text("")).number, 1);
	assert_int_equal(apply(store, KV_OP_INCR, text("n"), text("")).number, 2);
	expect(store, "n", "2");
	apply(store, KV_OP_SET, text("n"), text("12x"));
	assert_true(apply(store, KV_OP_INCR, text("n"), text("")).error);
	expect(store, "n", "12x");
	apply(store, KV_OP_SET, text("n"), text("9223372036854775807"));
	assert_true(apply(store, KV_OP_INCR, text("n"), text("")).error);
	kv_store_destroy(store);
}

static void test_capture_is_one_moment(void **state)
{
	struct kv_store_options options = {0};
	struct kv_store *store = kv_store_create(&options, NULL);
	struct kv_item_vec items = {0};

	apply(store, KV_OP_SET, text("a"), text("old"));
	apply(store, KV_OP_SET, text("gone"), text("x"));
	kv_store_capture(store, &items);
	apply(store, KV_OP_SET, text("a"), text("new"));
	apply(store, KV_OP_DEL, text("gone"), text(""));
	assert_int_equal(items.n, 2);
	ptf_vec_foreach (item, &items)
		assert_true(item->value->bytes[0] == 'o' || item->value->bytes[0] == 'x');
	kv_item_vec_release(&items);
	kv_store_destroy(store);
}

/* Large values are overwritten until most of the log is garbage; compaction gives the room back
 * and every value is still right. */
static void test_value_log(void **state)
{
	char directory[] = "/tmp/kv-store-XXXXXX", command[64], name[16];
	struct kv_store_options options = {.large_value = 1000};
	static uint8_t value[1 << 20];
	struct kv_value_log_stats before, after;
	struct kv_store *store;
	struct ptf_error err;

	assert_non_null(mkdtemp(directory));
	options.directory = directory;
	store = kv_store_create(&options, &err);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 20; i++) {
			if (round && i == 0)
				continue; /* stays in the first file */
			memset(value, round * 20 + i, sizeof(value));
			sprintf(name, "k%d", i);
			apply(store, KV_OP_SET, text(name),
			        (struct kv_slice){value, sizeof(value)});
		}
	}
	kv_value_log_stats(kv_store_value_log(store), &before);
	assert_true(before.live_bytes == 20ull << 20);
	assert_true(before.bytes > 60ull << 20);
	assert_true(kv_store_compact(store, &err) > 0);
	kv_value_log_stats(kv_store_value_log(store), &after);
	assert_true(after.bytes < before.bytes);
	assert_true(after.live_bytes == 20ull << 20);
	for (int i = 0; i < 20; i++) {
		struct kv_value *found;

		sprintf(name, "k%d", i);
		found = kv_store_get(store, text("b"), text(name));
		assert_true(kv_value_log_read(found, value));
		for (size_t j = 0; j < sizeof(value); j += 4099)
			assert_int_equal(value[j], (uint8_t)(i ? 180 + i : 0));
		kv_value_unref(found);
	}
	kv_store_destroy(store);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

static uint64_t granted_owner;
static unsigned n_granted;

static void on_granted(void *context, uint64_t owner, void *request)
{
	granted_owner = owner;
	n_granted++;
}

static void test_row_locks(void **state)
{
	for (int list = 0; list < 2; list++) {
		struct kv_lock_table *table = kv_lock_table_create(list, on_granted, NULL);

		n_granted = 0;
		assert_int_equal(kv_lock_table_lock(table, text("r"), 1, NULL), KV_LOCK_GRANTED);
		assert_int_equal(kv_lock_table_lock(table, text("r"), 1, NULL), KV_LOCK_HELD);
		assert_int_equal(kv_lock_table_lock(table, text("r"), 2, NULL), KV_LOCK_WAITING);
		assert_int_equal(kv_lock_table_lock(table, text("r"), 3, NULL), KV_LOCK_WAITING);
		assert_false(kv_lock_table_unlock(table, text("r"), 2));
		assert_true(kv_lock_table_unlock(table, text("r"), 1));
		assert_int_equal(granted_owner, 2); /* first come, first served */
		assert_true(kv_lock_table_release_owner(table, 3));
		assert_false(kv_lock_table_release_owner(table, 2));
		assert_int_equal(n_granted, 1);
		assert_int_equal(kv_lock_table_lock(table, text("r"), 4, NULL), KV_LOCK_GRANTED);
		kv_lock_table_destroy(table);
	}
}

static void test_deadlocks_are_refused(void **state)
{
	for (int list = 0; list < 2; list++) {
		struct kv_lock_table *table = kv_lock_table_create(list, on_granted, NULL);

		kv_lock_table_lock(table, text("a"), 1, NULL);
		kv_lock_table_lock(table, text("b"), 2, NULL);
		kv_lock_table_lock(table, text("c"), 3, NULL);
		assert_int_equal(kv_lock_table_lock(table, text("b"), 1, NULL), KV_LOCK_WAITING);
		assert_int_equal(kv_lock_table_lock(table, text("c"), 2, NULL), KV_LOCK_WAITING);
		assert_int_equal(kv_lock_table_lock(table, text("a"), 3, NULL), KV_LOCK_DEADLOCK);
		/* One who holds nothing is waited for by nobody. */
		assert_int_equal(kv_lock_table_lock(table, text("a"), 9, NULL), KV_LOCK_WAITING);
		kv_lock_table_destroy(table);
	}
}

static void test_many_owners(void **state)
{
	struct kv_lock_table *table = kv_lock_table_create(false, on_granted, NULL);

	for (uint64_t i = 1; i < 20000; i++) {
		assert_int_equal(kv_lock_table_lock(table, text("r"), i, NULL), KV_LOCK_GRANTED);
		assert_int_equal(
		        kv_lock_table_lock(table, text("r"), i + 100000, NULL), KV_LOCK_WAITING);
		kv_lock_table_release_owner(table, i + 100000);
		kv_lock_table_release_owner(table, i);
	}
	kv_lock_table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_against_model),
	        cmocka_unit_test(test_incr),
	        cmocka_unit_test(test_capture_is_one_moment),
	        cmocka_unit_test(test_value_log),
	        cmocka_unit_test(test_row_locks),
	        cmocka_unit_test(test_deadlocks_are_refused),
	        cmocka_unit_test(test_many_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
