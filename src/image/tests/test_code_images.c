/* SPDX-License-Identifier: BSD-2-Clause */
/* Which mapping is where, when: epochs. Files do not matter here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "image/tests/image_testlib.h"

#define PID 7

struct fixture {
	struct ptf_function_table *table;
	struct ptf_code_images *images;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture.table = ptf_function_table_create();
	fixture.images = ptf_code_images_create(fixture.table, NULL);
	*state = &fixture;
	return fixture.images ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	ptf_code_images_destroy(fixture->images);
	ptf_function_table_destroy(fixture->table);
	return 0;
}

static struct ptf_code_images *images_of(void **state)
{
	return ((struct fixture *)*state)->images;
}

static void freeze(struct ptf_code_images *images)
{
	assert_int_equal(ptf_code_images_freeze(images, NULL), 0);
}

static void maps_are_sorted_and_found(void **state)
{
	struct ptf_code_images *images = images_of(state);
	const struct ptf_code_epoch *epoch;

	map(images, PID, 0, 0x5000, 0x2000, 0, "/c");
	map(images, PID, 1, 0x1000, 0x1000, 0x3000, "/a");
	map(images, PID, 2, 0x3000, 0x2000, 0, "/b");
	freeze(images);
	assert_string_equal(
	        history(images, PID), "0: 1000-2000 /a+3000, 3000-5000 /b+0, 5000-7000 /c+0");
	epoch = ptf_code_images_epoch(images, PID, 0);
	assert_null(ptf_code_epoch_find(epoch, 0));
	assert_null(ptf_code_epoch_find(epoch, 0xfff));
	assert_string_equal(ptf_code_epoch_find(epoch, 0x1000)->module->path, "/a");
	assert_string_equal(ptf_code_epoch_find(epoch, 0x1fff)->module->path, "/a");
	assert_null(ptf_code_epoch_find(epoch, 0x2000));
	assert_string_equal(ptf_code_epoch_find(epoch, 0x4fff)->module->path, "/b");
	assert_string_equal(ptf_code_epoch_find(epoch, 0x5000)->module->path, "/c");
	assert_null(ptf_code_epoch_find(epoch, 0x7000));
	assert_null(ptf_code_epoch_find(epoch, UINT64_MAX));
}

static void same_content_is_no_conflict(void **state)
{
	struct ptf_code_images *images = images_of(state);
	size_t n;

	map(images, PID, 0, 0x1000, 0x4000, 0, "/a");
	map(images, PID, 5, 0x1000, 0x4000, 0, "/a");
	map(images, PID, 6, 0x2000, 0x1000, 0x1000, "/a");
	map(images, PID, 7, 0x4000, 0x3000, 0x3000, "/a");
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-7000 /a+0");
	ptf_code_images_modules(images, &n);
	assert_int_equal(n, 1);
}

static void other_content_begins_an_epoch(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x5000, 0, "/a");
	map(images, PID, 9, 0x2000, 0x1000, 0, "/b");
	freeze(images);
	assert_string_equal(history(images, PID),
	        "0: 1000-6000 /a+0; "
	        "9: 1000-2000 /a+0, 2000-3000 /b+0, 3000-6000 /a+2000");
}

static void other_offset_is_other_content(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x2000, 0, "/a");
	map(images, PID, 9, 0x2000, 0x2000, 0, "/a");
	freeze(images);
	assert_string_equal(
	        history(images, PID), "0: 1000-3000 /a+0; 9: 1000-2000 /a+0, 2000-4000 /a+0");
}

static void new_map_lies_over_several(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	map(images, PID, 0, 0x2000, 0x1000, 0, "/b");
	map(images, PID, 0, 0x3000, 0x1000, 0, "/c");
	map(images, PID, 0, 0x8000, 0x1000, 0, "/d");
	map(images, PID, 9, 0x1800, 0x2000, 0, "/e");
	freeze(images);
	assert_string_equal(history(images, PID),
	        "0: 1000-2000 /a+0, 2000-3000 /b+0, 3000-4000 /c+0, 8000-9000 /d+0; "
	        "9: 1000-1800 /a+0, 1800-3800 /e+0, 3800-4000 /c+800, 8000-9000 /d+0");
}

/* perf reports what it finds at its start with time 0: the order of the records counts. */
static void conflict_at_one_time_needs_no_epoch(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x2000, 0, "/a");
	map(images, PID, 0, 0x1000, 0x1000, 0, "/b");
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-2000 /b+0, 2000-3000 /a+1000");
}

static void epochs_are_found_by_time(void **state)
{
	struct ptf_code_images *images = images_of(state);
	const struct ptf_code_epoch *const *epochs;
	size_t n;

	for (unsigned i = 0; i < 5; i++)
		map(images, PID, 100 * (i + 1), 0x1000, 0x1000, 0, i % 2 ? "/odd" : "/even");
	map(images, PID + 1, 50, 0x1000, 0x1000, 0, "/other");
	freeze(images);
	epochs = ptf_code_images_epochs(images, PID, &n);
	assert_int_equal(n, 5);
	assert_ptr_equal(ptf_code_images_epoch(images, PID, 0), epochs[0]);
	for (unsigned i = 0; i < 5; i++) {
		assert_ptr_equal(ptf_code_images_epoch(images, PID, 100 * (i + 1)), epochs[i]);
		assert_ptr_equal(ptf_code_images_epoch(images, PID, 100 * (i + 1) + 99), epochs[i]);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(epochs[i]->id, epochs[k]->id);
		assert_int_not_equal(epochs[i]->id, ptf_code_images_epoch(images, PID + 1, 0)->id);
	}
	assert_ptr_equal(ptf_code_images_epoch(images, PID, PTF_NO_TIME), epochs[4]);
	assert_null(ptf_code_images_epoch(images, PID + 2, 0));
	assert_null(ptf_code_images_epochs(images, PID + 2, &n));
	assert_int_equal(n, 0);
}

static void exec_starts_anew(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/shell");
	comm(images, PID, 5, "a name only", false);
	comm(images, PID, 9, "program", true);
	map(images, PID, 10, 0x4000, 0x1000, 0, "/program");
	comm(images, PID + 1, 11, "never seen", true);
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-2000 /shell+0; 9: 4000-5000 /program+0");
}

static void fork_copies_the_maps_of_the_parent(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	task(images, PTF_RECORD_FORK, PID, PID + 1, PID, 3); /* a thread */
	task(images, PTF_RECORD_FORK, 8, 8, PID, 5);
	map(images, PID, 6, 0x2000, 0x1000, 0, "/parent");
	map(images, 8, 7, 0x3000, 0x1000, 0, "/child");
	task(images, PTF_RECORD_FORK, 9, 9, 99, 8); /* of an unknown parent */
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-2000 /a+0, 2000-3000 /parent+0");
	assert_string_equal(history(images, 8), "5: 1000-2000 /a+0, 3000-4000 /child+0");
	assert_string_equal(history(images, 9), "8:");
}

/* perf makes up FORK records for processes that were there before it; it reports their own maps,
 * and the parent may have executed another program since. */
static void fork_made_up_by_perf_copies_nothing(void **state)
{
	struct ptf_code_images *images = images_of(state);
	struct ptf_record record = {.type = PTF_RECORD_FORK,
	        .misc = 1u << 13,
	        .sid = {.time_ns = 5, .has_time = true},
	        .task = {.pid = 9, .tid = 9, .ppid = PID, .ptid = PID, .time_ns = 5}};

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	task(images, PTF_RECORD_FORK, 8, 8, PID, 0);
	map(images, 8, 0, 0x2000, 0x1000, 0, "/b");
	add(images, &record, NULL);
	map(images, 9, 5, 0x3000, 0x1000, 0, "/c");
	freeze(images);
	assert_string_equal(history(images, 8), "0: 2000-3000 /b+0");
	assert_string_equal(history(images, 9), "5: 3000-4000 /c+0");
}

static void number_of_an_exited_process_is_used_again(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	map(images, 8, 0, 0x2000, 0x1000, 0, "/b");
	task(images, PTF_RECORD_EXIT, 8, 8, 1, 10);
	task(images, PTF_RECORD_FORK, 8, 8, PID, 20);
	task(images, PTF_RECORD_EXIT, 8, 8, 1, 30);
	map(images, 8, 40, 0x5000, 0x1000, 0, "/without-fork");
	map(images, 8, 41, 0x6000, 0x1000, 0, "/more-of-it");
	freeze(images);
	assert_string_equal(history(images, 8),
	        "0: 2000-3000 /b+0; 20: 1000-2000 /a+0; "
	        "40: 5000-6000 /without-fork+0, 6000-7000 /more-of-it+0");
}

static void exit_of_a_thread_is_not_the_end(void **state)
{
	struct ptf_code_images *images = images_of(state);
	struct ptf_record record = mmap_record(PID, 40, 0x4000, 0x1000, 0);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	task(images, PTF_RECORD_EXIT, PID, PID + 1, 1, 10);
	map(images, PID, 20, 0x2000, 0x1000, 0, "/b");
	task(images, PTF_RECORD_EXIT, PID, PID, 1, 30); /* the main thread: another lives on */
	record.mmap.tid = PID + 2;
	add(images, &record, "/c");
	freeze(images);
	assert_string_equal(
	        history(images, PID), "0: 1000-2000 /a+0, 2000-3000 /b+0, 4000-5000 /c+0");
}

static void only_code_counts(void **state)
{
	struct ptf_code_images *images = images_of(state);
	struct ptf_record data = mmap_record(PID, 1, 0x2000, 0x1000, 0);
	struct ptf_record old = mmap_record(PID, 1, 0x4000, 0x1000, 0);
	struct ptf_record guest = mmap_record(PID, 1, 0x6000, 0x1000, 0);

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	map(images, PID, 1, 0x8000, 0, 0, "/empty");
	data.mmap.prot = 1;
	add(images, &data, "/read-only");
	old.type = PTF_RECORD_MMAP; /* has no prot, but a bit for data */
	old.mmap.prot = 0;
	add(images, &old, "/old");
	old.mmap.addr = 0x5000;
	old.misc |= 1u << 13;
	add(images, &old, "/old-data");
	guest.misc = 5;
	add(images, &guest, "/guest");
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-2000 /a+0, 4000-5000 /old+0");
}

static void kernel_is_in_every_process(void **state)
{
	struct ptf_code_images *images = images_of(state);
	uint64_t text = 0xffffffff81000000, module = 0xffffffffc0000000;
	struct ptf_record record = mmap_record(-1, 0, text, 0x7f000000, text);
	const struct ptf_code_map *found;
	const struct ptf_code_epoch *epoch;

	record.misc = KERNEL;
	add(images, &record, "[kernel.kallsyms]_text");
	record = mmap_record(-1, 50, module, 0x4000, 0);
	record.misc = KERNEL;
	add(images, &record, "/lib/modules/x/ext4.ko");
	map(images, PID, 1, 0x1000, 0x1000, 0, "/a");
	map(images, PID, 60, 0x1000, 0x1000, 0, "/b");
	freeze(images);
	epoch = ptf_code_images_epoch(images, PID, 0);
	found = ptf_code_epoch_find(epoch, text + 5);
	assert_string_equal(found->module->path, "[kernel.kallsyms]_text");
	assert_true(found->module->kernel);
	assert_string_equal(
	        ptf_code_epoch_find(epoch, module)->module->path, "/lib/modules/x/ext4.ko");
	assert_false(ptf_code_epoch_find(epoch, 0x1000)->module->kernel);
	assert_string_equal(ptf_code_epoch_function(epoch, text, true)->name,
	        "[kernel.kallsyms+0xffffffff81000000]");
	assert_string_equal(
	        ptf_code_epoch_function(epoch, text + 3, false)->name, "[kernel.kallsyms]");
	assert_true(found->module->missing);
	assert_non_null(found->module->problem);
}

static void map_may_end_the_address_space(void **state)
{
	struct ptf_code_images *images = images_of(state);

	map(images, PID, 0, 0xfffffffffffff000, 0x1000, 0, "/exactly");
	map(images, 8, 0, 0xfffffffffffff000, UINT64_MAX, 0, "/beyond");
	freeze(images);
	assert_string_equal(
	        history(images, PID), "0: fffffffffffff000-ffffffffffffffff /exactly+0");
	assert_string_equal(history(images, 8), "0: fffffffffffff000-ffffffffffffffff /beyond+0");
}

/* A program upgraded while it runs: one path, two files. */
static void build_ids_tell_modules_of_one_path_apart(void **state)
{
	struct ptf_code_images *images = images_of(state);
	struct ptf_record record = mmap_record(PID, 0, 0x1000, 0x1000, 0);
	size_t n;

	record.mmap.build_id[0] = 1;
	record.mmap.build_id_size = 20;
	add(images, &record, "/a");
	record.mmap.build_id[0] = 2;
	record.sid.time_ns = 9;
	add(images, &record, "/a");
	add(images, &record, "/a");
	freeze(images);
	assert_string_equal(history(images, PID), "0: 1000-2000 /a+0; 9: 1000-2000 /a+0");
	ptf_code_images_modules(images, &n);
	assert_int_equal(n, 2);
}

static void modules_are_numbered_as_they_come(void **state)
{
	struct ptf_code_images *images = images_of(state);
	struct ptf_module *const *modules;
	char path[16];
	size_t n;

	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/m%u", i);
		map(images, PID, i, 0x1000 * (100 - i), 0x1000, 0, path);
		map(images, 8, i, 0x1000 * i, 0x1000, 0, path);
	}
	freeze(images);
	modules = ptf_code_images_modules(images, &n);
	assert_int_equal(n, 100);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/m%u", i);
		assert_int_equal(modules[i]->index, i);
		assert_string_equal(modules[i]->path, path);
	}
	assert_int_equal(ptf_code_images_epoch(images, PID, 0)->n_maps, 100);
}

static void unknown_addresses_are_unknown(void **state)
{
	struct ptf_code_images *images = images_of(state);
	const struct ptf_code_epoch *epoch;
	uint64_t entry = 1;
	uint8_t byte;

	map(images, PID, 0, 0x1000, 0x1000, 0, "/a");
	freeze(images);
	epoch = ptf_code_images_epoch(images, PID, 0);
	assert_int_equal(ptf_code_epoch_function_entry(epoch, 0x9000, true, &entry)->kind,
	        PTF_FUNCTION_UNKNOWN);
	assert_int_equal(entry, 0);
	assert_int_equal(ptf_code_epoch_read(epoch, 0x9000, &byte, 1), 0);
}

#define PAGES 40u
#define STEPS 60u

struct page {
	char module; /* letter of its path */
	uint64_t offset;
};

static void assert_like_pages(const struct ptf_code_epoch *epoch, const struct page *pages)
{
	for (size_t i = 0; i + 1 < epoch->n_maps; i++)
		assert_true(epoch->maps[i].end <= epoch->maps[i + 1].start);
	for (unsigned i = 0; i < PAGES; i++) {
		const struct ptf_code_map *m = ptf_code_epoch_find(epoch, i * 0x1000ull + 5);

		assert_non_null(m);
		assert_int_equal(m->module->path[1], pages[i].module);
		assert_int_equal(m->file_offset + (i * 0x1000ull - m->start), pages[i].offset);
	}
}

/* Many random mappings, held against a table of pages after each of them. All pages are mapped from
 * the start, because what is mapped without a conflict would be there before its time, too. */
static void random_maps_are_like_a_page_table(void **state)
{
	static struct page pages[STEPS + 1][PAGES];
	struct ptf_code_images *images = images_of(state);
	unsigned seed = 1;

	for (unsigned i = 0; i < PAGES; i++)
		pages[0][i] = (struct page){'z', i * 0x1000ull};
	map(images, PID, 0, 0, PAGES * 0x1000ull, 0, "/z");
	for (unsigned step = 1; step <= STEPS; step++) {
		unsigned first = (unsigned)rand_r(&seed) % PAGES;
		unsigned n = 1 + (unsigned)rand_r(&seed) % (PAGES - first);
		char path[] = {'/', (char)('x' + rand_r(&seed) % 3), '\0'};
		uint64_t offset = rand_r(&seed) % 3 ? first * 0x1000ull : 0;

		memcpy(pages[step], pages[step - 1], sizeof(pages[step]));
		for (unsigned i = first; i < first + n; i++)
			pages[step][i] = (struct page){path[1], offset + (i - first) * 0x1000ull};
		map(images, PID, step, first * 0x1000ull, n * 0x1000ull, offset, path);
	}
	freeze(images);
	for (unsigned step = 0; step <= STEPS; step++)
		assert_like_pages(ptf_code_images_epoch(images, PID, step), pages[step]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(maps_are_sorted_and_found),
	        TEST(same_content_is_no_conflict),
	        TEST(other_content_begins_an_epoch),
	        TEST(other_offset_is_other_content),
	        TEST(new_map_lies_over_several),
	        TEST(conflict_at_one_time_needs_no_epoch),
	        TEST(epochs_are_found_by_time),
	        TEST(exec_starts_anew),
	        TEST(fork_copies_the_maps_of_the_parent),
	        TEST(fork_made_up_by_perf_copies_nothing),
	        TEST(number_of_an_exited_process_is_used_again),
	        TEST(exit_of_a_thread_is_not_the_end),
	        TEST(only_code_counts),
	        TEST(kernel_is_in_every_process),
	        TEST(map_may_end_the_address_space),
	        TEST(build_ids_tell_modules_of_one_path_apart),
	        TEST(modules_are_numbered_as_they_come),
	        TEST(unknown_addresses_are_unknown),
	        TEST(random_maps_are_like_a_page_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
