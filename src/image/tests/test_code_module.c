/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions and bytes of code: of this very process, and of files without symbols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "image/code_module.h"
#include "image/tests/image_testlib.h"

#define PID 7
#define FLAT 0x10000000ull /* where the file without symbols is mapped, */
#define FLAT_OFFSET 0x1000ull
#define FLAT_SIZE 0x2000ull
#define ANON 0x20000000ull

int a_function_of_the_test(int n);

struct fixture {
	struct ptf_function_table *table;
	struct ptf_code_images *images;
	const struct ptf_code_epoch *epoch;
	char flat[64];     /* path of a file that is no ELF file, 0x2800 bytes */
	uint64_t vdso;     /* address, 0: none */
	uint64_t vdso_len; /* bytes */
};

__attribute__((noinline)) int a_function_of_the_test(int n)
{
	return n > 1 ? n * (n - 3) : 5;
}

/* Adds what is mapped in this process. */
static void map_self(struct fixture *f)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[1024], path[512];
	unsigned long start, end, offset;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx r-xp %lx %*s %*s %511s", &start, &end, &offset, path) !=
		        4)
			continue;
		if (strcmp(path, "[vdso]") == 0) {
			f->vdso = start;
			f->vdso_len = end - start;
			offset = 0x5000; /* means nothing there */
		}
		map(f->images, PID, 0, start, end - start, offset, path);
	}
	fclose(file);
}

static bool write_flat(struct fixture *f)
{
	int fd;
	bool ok = true;

	strcpy(f->flat, "/tmp/ptf-flat-XXXXXX");
	fd = mkstemp(f->flat);
	for (unsigned i = 0; ok && i < 0x2800; i++)
		ok = write(fd, &(uint8_t){(uint8_t)(i ^ i >> 8)}, 1) == 1;
	return close(fd) == 0 && ok;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->table = ptf_function_table_create();
	f->images = ptf_code_images_create(f->table, NULL);
	if (!write_flat(f))
		return -1;
	map_self(f);
	map(f->images, PID, 0, FLAT, FLAT_SIZE, FLAT_OFFSET, f->flat);
	map(f->images, PID, 0, ANON, 0x4000, 0, "//anon");
	map(f->images, PID, 1, ANON + 0x1000, 0x1000, 0, "//anon"); /* no conflict */
	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	f->epoch = ptf_code_images_epoch(f->images, PID, PTF_NO_TIME);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ptf_code_images_destroy(f->images);
	ptf_function_table_destroy(f->table);
	unlink(f->flat);
	free(f);
	return 0;
}

static void assert_function_at(struct fixture *f, uint64_t ip, uint64_t start, const char *name)
{
	uint64_t entry = 1;
	const struct ptf_function *function =
	        ptf_code_epoch_function_entry(f->epoch, ip, false, &entry);

	assert_string_equal(function->name, name);
	assert_int_equal(function->kind, PTF_FUNCTION_SYMBOL);
	assert_int_equal(entry, start);
	/* A symbol covers ip: that a call goes there makes no function of its own. */
	assert_ptr_equal(ptf_code_epoch_function(f->epoch, ip, true), function);
}

static void functions_of_this_process(void **state)
{
	struct fixture *f = *state;
	uint64_t own = (uint64_t)(uintptr_t)a_function_of_the_test;
	uint64_t libc = (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "l64a");

	assert_function_at(f, own, own, "a_function_of_the_test");
	assert_function_at(f, own + 3, own, "a_function_of_the_test");
	assert_function_at(f, libc, libc, "l64a");
	assert_function_at(f, libc + 1, libc, "l64a");
}

static void address_and_module_of_a_function(void **state)
{
	struct fixture *f = *state;
	void *named = dlsym(RTLD_DEFAULT, "l64a");
	const struct ptf_function *function =
	        ptf_code_epoch_function(f->epoch, (uint64_t)(uintptr_t)named, false);
	const struct ptf_code_map *m = ptf_code_epoch_find(f->epoch, (uint64_t)(uintptr_t)named);
	Dl_info info;

	assert_int_not_equal(dladdr(named, &info), 0);
	assert_int_equal(function->address, (uintptr_t)named - (uintptr_t)info.dli_fbase);
	assert_int_equal(function->address, ptf_code_map_vaddr(m, (uintptr_t)named));
	assert_string_equal(function->module, m->module->path);
	assert_true(function->size > 0);
}

static void bytes_are_those_of_the_process(void **state)
{
	struct fixture *f = *state;
	void *places[] = {(void *)a_function_of_the_test, dlsym(RTLD_DEFAULT, "l64a")};
	uint8_t bytes[32];

	for (size_t i = 0; i < 2; i++) {
		size_t n = ptf_code_epoch_read(f->epoch, (uintptr_t)places[i], bytes, 32);

		assert_int_equal(n, 32);
		assert_memory_equal(bytes, places[i], 32);
	}
}

static void reading_stops_at_the_ends(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[64];

	/* The file has 0x1800 bytes behind the offset, the mapping 0x2000. */
	assert_int_equal(ptf_code_epoch_read(f->epoch, FLAT, bytes, 64), 64);
	assert_int_equal(bytes[0], 0x10);
	assert_int_equal(bytes[63], 0x3f ^ 0x10);
	assert_int_equal(ptf_code_epoch_read(f->epoch, FLAT + 0x17f0, bytes, 64), 16);
	assert_int_equal(bytes[15], (0xff ^ 0x27));
	assert_int_equal(ptf_code_epoch_read(f->epoch, FLAT + 0x1800, bytes, 64), 0);
	assert_int_equal(ptf_code_epoch_read(f->epoch, FLAT + FLAT_SIZE, bytes, 64), 0);
	assert_int_equal(ptf_code_epoch_read(f->epoch, FLAT - 1, bytes, 64), 0);
	assert_int_equal(ptf_code_epoch_read(f->epoch, ANON, bytes, 64), 0);
}

static void reading_stops_at_the_end_of_the_mapping(void **state)
{
	struct fixture *f = *state;
	struct ptf_code_images *images = ptf_code_images_create(f->table, NULL);
	uint8_t bytes[64];

	map(images, PID, 0, FLAT, 0x100, 0, f->flat);
	assert_int_equal(ptf_code_images_freeze(images, NULL), 0);
	assert_int_equal(
	        ptf_code_epoch_read(ptf_code_images_epoch(images, PID, 0), FLAT + 0xf0, bytes, 64),
	        16);
	ptf_code_images_destroy(images);
}

/* What covers an address must not depend on what was asked before. */
static void call_target_without_symbol(void **state)
{
	struct fixture *f = *state;
	const struct ptf_function *whole = ptf_code_epoch_function(f->epoch, FLAT + 0x30, false);
	const struct ptf_function *target;
	uint64_t entry = 1;
	char name[128];

	target = ptf_code_epoch_function_entry(f->epoch, FLAT + 0x20, true, &entry);
	snprintf(name, sizeof(name), "[%s+0x1020]", strrchr(f->flat, '/') + 1);
	assert_string_equal(target->name, name);
	assert_int_equal(target->kind, PTF_FUNCTION_TARGET);
	assert_int_equal(target->address, 0x1020);
	assert_string_equal(target->module, f->flat);
	assert_int_equal(entry, FLAT + 0x20);
	assert_ptr_equal(ptf_code_epoch_function(f->epoch, FLAT + 0x20, true), target);

	snprintf(name, sizeof(name), "[%s]", strrchr(f->flat, '/') + 1);
	assert_string_equal(whole->name, name);
	assert_int_equal(whole->kind, PTF_FUNCTION_MODULE);
	assert_ptr_equal(
	        ptf_code_epoch_function_entry(f->epoch, FLAT + 0x20, false, &entry), whole);
	assert_int_equal(entry, 0);
	assert_ptr_equal(ptf_code_epoch_function(f->epoch, FLAT + 0x30, false), whole);
}

static void code_made_at_run_time(void **state)
{
	struct fixture *f = *state;
	const struct ptf_function *target = ptf_code_epoch_function(f->epoch, ANON + 0x1040, true);
	struct ptf_module *module = ptf_code_epoch_find(f->epoch, ANON)->module;
	size_t n;

	assert_string_equal(target->name, "[jit]");
	assert_string_equal(ptf_code_epoch_function(f->epoch, ANON, false)->name, "[jit]");
	assert_int_equal(ptf_module_open(module), -1);
	assert_string_equal(module->problem, "code in memory, without a file");
	ptf_code_images_epochs(f->images, PID, &n);
	assert_int_equal(n, 1);
}

static void anonymous_paths(void **state)
{
	static const char *const anonymous[] = {"//anon", "[heap]", "[stack]", "[anon:JIT]",
	        "/memfd:jit (deleted)", "/dev/zero (deleted)", "/SYSV00000000", "[uprobes]"};
	static const char *const files[] = {
	        "[vdso]", "/usr/bin/anon", "/dev/shm/code", "/home/memfd:", "/a//anon"};

	for (size_t i = 0; i < sizeof(anonymous) / sizeof(anonymous[0]); i++)
		assert_true(ptf_module_is_anonymous(anonymous[i]));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		assert_false(ptf_module_is_anonymous(files[i]));
}

static void vdso_is_that_of_this_process(void **state)
{
	struct fixture *f = *state;
	void *handle = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *named = handle ? dlsym(handle, "__vdso_clock_gettime") : NULL;
	struct ptf_module *module;
	uint8_t bytes[32];

	if (!named || !f->vdso)
		skip();
	assert_function_at(f, (uintptr_t)named, (uintptr_t)named, "__vdso_clock_gettime");
	assert_int_equal(ptf_code_epoch_read(f->epoch, (uintptr_t)named, bytes, 32), 32);
	assert_memory_equal(bytes, named, 32);
	/* No build-id was recorded: that is worth a word. */
	module = ptf_code_epoch_find(f->epoch, f->vdso)->module;
	assert_int_equal(ptf_module_open(module), 0);
	assert_non_null(module->problem);
}

static void vdso_of_another_kernel(void **state)
{
	struct fixture *f = *state;
	struct ptf_code_images *images = ptf_code_images_create(f->table, NULL);
	struct ptf_record record = mmap_record(PID, 0, f->vdso, f->vdso_len, 0);
	const struct ptf_code_epoch *epoch;
	uint8_t byte;

	if (!f->vdso)
		skip();
	setenv("HOME", "/nonexistent", 1);
	memset(record.mmap.build_id, 0x5a, 20);
	record.mmap.build_id_size = 20;
	add(images, &record, "[vdso]");
	record = mmap_record(8, 0, f->vdso, f->vdso_len + 0x1000, 0);
	add(images, &record, "[vdso]");
	assert_int_equal(ptf_code_images_freeze(images, NULL), 0);
	epoch = ptf_code_images_epoch(images, PID, 0);
	assert_int_equal(ptf_code_epoch_read(epoch, f->vdso, &byte, 1), 0);
	assert_string_equal(ptf_code_epoch_function(epoch, f->vdso, false)->name, "[vdso]");
	epoch = ptf_code_images_epoch(images, 8, 0);
	assert_int_equal(ptf_code_epoch_read(epoch, f->vdso, &byte, 1), 0);
	ptf_code_images_destroy(images);
}

#define THREADS 4
#define LOOKUPS 4000

struct lookups {
	const struct fixture *fixture;
	const struct ptf_function *found[LOOKUPS];
};

static void *look_up(void *argument)
{
	struct lookups *lookups = argument;
	uint64_t named = (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "l64a");

	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint64_t ip = i % 3 == 0   ? named + i * 7
		              : i % 3 == 1 ? FLAT + i / 3
		                           : (uintptr_t)a_function_of_the_test + i;

		lookups->found[i] =
		        ptf_code_epoch_function(lookups->fixture->epoch, ip, i % 2 == 0);
	}
	return NULL;
}

static void threads_find_the_same_functions(void **state)
{
	struct lookups *lookups = calloc(THREADS, sizeof(*lookups));
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		lookups[i].fixture = *state;
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, &lookups[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		assert_memory_equal(lookups[i].found, lookups[0].found, sizeof(lookups[0].found));
	for (int i = 0; i < LOOKUPS; i++)
		assert_non_null(lookups[0].found[i]);
	free(lookups);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(functions_of_this_process),
	        TEST(address_and_module_of_a_function),
	        TEST(bytes_are_those_of_the_process),
	        TEST(reading_stops_at_the_ends),
	        TEST(reading_stops_at_the_end_of_the_mapping),
	        TEST(call_target_without_symbol),
	        TEST(code_made_at_run_time),
	        TEST(anonymous_paths),
	        TEST(vdso_is_that_of_this_process),
	        TEST(vdso_of_another_kernel),
	        TEST(threads_find_the_same_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
