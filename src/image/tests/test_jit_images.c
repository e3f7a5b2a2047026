/* SPDX-License-Identifier: BSD-2-Clause */
/* Code made at run time as processes see it: jitdumps and perf maps through forks and execs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/tests/image_testlib.h"

enum { PARENT = 1000001, CHILD = 1000002, OTHER = 1000003 };
enum { PLACE = 0x7000, SPARE = 0x8000, ANON = 0x10000 };

struct fixture {
	char directory[32];
	char dump[64]; /* of the parent */
	struct ptf_function_table *functions;
	struct ptf_code_images *images;
};

static void put(FILE *file, uint64_t value, size_t size)
{
	assert_int_equal(fwrite(&value, 1, size, file), size);
}

static void put_load(FILE *file, uint64_t time, uint64_t start, const char *name, const char *code)
{
	size_t name_size = strlen(name) + 1, size = strlen(code);

	put(file, 0, 4);
	put(file, 16 + 40 + name_size + size, 4);
	put(file, time, 8);
	put(file, 0, 8); /* pid, tid */
	put(file, 0, 8); /* vma */
	put(file, start, 8);
	put(file, size, 8);
	put(file, 0, 8);
	assert_int_equal(fwrite(name, 1, name_size, file), name_size);
	assert_int_equal(fwrite(code, 1, size, file), size);
}

static void write_dump(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	put(file, 0x4a695444, 4);
	put(file, 1, 4);
	put(file, 40, 4);
	put(file, 62, 4);
	for (int i = 0; i < 3; i++)
		put(file, 0, 8); /* pad, pid, timestamp, flags */
	put_load(file, 100, PLACE, "first", "AAAA");
	put_load(file, 200, SPARE, "spare", "SSSS");
	put_load(file, 300, PLACE, "second", "BBBB");
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct ptf_code_images_options options = {.jit_clock = {.monotonic = true}};
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/ptf-jit-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->dump, sizeof(f->dump), "%s/jit-%d.dump", f->directory, PARENT);
	write_dump(f->dump);
	f->functions = ptf_function_table_create();
	f->images = ptf_code_images_create(f->functions, &options);
	map(f->images, PARENT, 10, ANON, 0x1000, 0, "//anon");
	map(f->images, PARENT, 20, 0x4000, 0x1000, 0, f->dump);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ptf_code_images_destroy(f->images);
	ptf_function_table_destroy(f->functions);
	unlink(f->dump);
	rmdir(f->directory);
	free(f);
	return 0;
}

static void assert_code(const struct fixture *f, int32_t pid, uint64_t time_ns, uint64_t ip,
        const char *name, const char *code)
{
	const struct ptf_code_epoch *epoch = ptf_code_images_epoch(f->images, pid, time_ns);
	uint8_t bytes[8];
	size_t n;

	assert_non_null(epoch);
	assert_string_equal(ptf_code_epoch_function(epoch, ip, true)->name, name);
	n = ptf_code_epoch_read(epoch, ip, bytes, sizeof(bytes));
	assert_int_equal(n, strlen(code));
	assert_memory_equal(bytes, code, n);
}

static void each_epoch_has_its_code(void **state)
{
	struct fixture *f = *state;
	const struct ptf_code_epoch *const *epochs;
	size_t n;

	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	assert_code(f, PARENT, 150, PLACE, "first", "AAAA");
	assert_code(f, PARENT, 299, PLACE + 2, "first", "AA");
	assert_code(f, PARENT, 300, PLACE, "second", "BBBB");
	assert_code(f, PARENT, PTF_NO_TIME, SPARE, "spare", "SSSS");
	assert_code(f, PARENT, 300, ANON, "[jit]", "");
	/* Only what was replaced begins an epoch, which shares its maps. */
	epochs = ptf_code_images_epochs(f->images, PARENT, &n);
	assert_int_equal(n, 2);
	assert_int_equal(epochs[1]->from_ns, 300);
	assert_ptr_equal(epochs[0]->maps, epochs[1]->maps);
	assert_true(epochs[0]->id != epochs[1]->id);
}

static void a_child_has_what_was_there_at_its_fork(void **state)
{
	struct fixture *f = *state;

	task(f->images, PTF_RECORD_FORK, CHILD, CHILD, PARENT, 250);
	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	assert_code(f, CHILD, 260, PLACE, "first", "AAAA");
	assert_code(f, CHILD, 400, PLACE, "first", "AAAA");
	assert_code(f, CHILD, 400, SPARE, "spare", "SSSS");
	assert_code(f, PARENT, 400, PLACE, "second", "BBBB");
}

static void exec_ends_it(void **state)
{
	struct fixture *f = *state;

	task(f->images, PTF_RECORD_FORK, CHILD, CHILD, PARENT, 350);
	comm(f->images, CHILD, 360, "new", true);
	comm(f->images, PARENT, 500, "new", true);
	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	assert_code(f, CHILD, 355, PLACE, "second", "BBBB");
	assert_code(f, CHILD, 365, PLACE, "[unknown]", "");
	assert_code(f, PARENT, 499, PLACE, "second", "BBBB");
	assert_code(f, PARENT, 500, PLACE, "[unknown]", "");
}

static void names_without_code(void **state)
{
	struct fixture *f = *state;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", OTHER);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%x 10 old\n%x 20 new\n%x 10 of a file\n", ANON, ANON, 0x400000);
	assert_int_equal(fclose(file), 0);
	map(f->images, OTHER, 10, ANON, 0x1000, 0, "//anon");
	map(f->images, OTHER, 10, 0x400000, 0x1000, 0, "/no/such/file");
	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	unlink(path);
	assert_code(f, OTHER, 100, ANON + 0x1f, "new", "");
	assert_code(f, OTHER, 100, ANON + 0x20, "[jit]", "");
	assert_code(f, OTHER, 100, 0x400000, "[file+0x0]", ""); /* the file's own matter */
	assert_code(f, PARENT, 100, ANON, "[jit]", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(each_epoch_has_its_code),
	        TEST(a_child_has_what_was_there_at_its_fork),
	        TEST(exec_ends_it),
	        TEST(names_without_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
