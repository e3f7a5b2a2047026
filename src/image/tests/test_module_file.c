/* SPDX-License-Identifier: BSD-2-Clause */
/* Which file is taken for a module. The subject is the libc of this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/module_file.h"
#include "image/tests/image_testlib.h"

#define PID 7
#define BASE 0x10000000ull /* where files are mapped, whole */
#define NAMED "l64a"       /* a function of libc that sanitizers leave alone */

struct fixture {
	struct ptf_function_table *table;
	struct ptf_code_images *images;
	char dir[64];   /* for files, removed afterwards */
	char libc[512]; /* path */
	uint64_t named; /* file offset of NAMED in libc */
	struct ptf_elf_file elf;
	struct ptf_file_map map; /* of libc */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *named = dlsym(RTLD_DEFAULT, NAMED);
	Dl_info info;

	*state = f;
	strcpy(f->dir, "/tmp/ptf-image-XXXXXX");
	if (!mkdtemp(f->dir) || !named || !dladdr(named, &info) ||
	        !realpath(info.dli_fname, f->libc) ||
	        ptf_file_map_init(&f->map, f->libc, NULL) < 0 ||
	        ptf_elf_file_init(&f->elf, f->map.bytes, f->map.size, NULL) < 0)
		return -1;
	setenv("HOME", f->dir, 1); /* where perf's cache of files is */
	f->table = ptf_function_table_create();
	f->images = ptf_code_images_create(f->table, NULL);
	return ptf_elf_file_offset(&f->elf, (uint64_t)named - (uint64_t)info.dli_fbase, &f->named)
	               ? 0
	               : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	ptf_code_images_destroy(f->images);
	ptf_function_table_destroy(f->table);
	ptf_elf_file_release(&f->elf);
	ptf_file_map_release(&f->map);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	free(f);
	return system(command);
}

static void use_options(struct fixture *f, const struct ptf_code_images_options *options)
{
	ptf_code_images_destroy(f->images);
	f->images = ptf_code_images_create(f->table, options);
	assert_non_null(f->images);
}

static const struct ptf_code_epoch *frozen(struct fixture *f)
{
	assert_int_equal(ptf_code_images_freeze(f->images, NULL), 0);
	return ptf_code_images_epoch(f->images, PID, PTF_NO_TIME);
}

/* Writes a file, with the directories above it; name is relative to f->dir. */
static const char *write_file(struct fixture *f, const char *name, const void *bytes, size_t size)
{
	static char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0777);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

static const char *copy_libc(struct fixture *f, const char *name)
{
	return write_file(f, name, f->map.bytes, f->map.size);
}

/* Maps a file whole, with a build-id that differs in `flip` bits of its first byte. */
static void map_with_id(struct fixture *f, const char *path, uint8_t flip)
{
	struct ptf_record record = mmap_record(PID, 0, BASE, f->map.size, 0);

	assert_int_equal(f->elf.build_id_size, 20);
	memcpy(record.mmap.build_id, f->elf.build_id, 20);
	record.mmap.build_id[0] ^= flip;
	record.mmap.build_id_size = 20;
	add(f->images, &record, path);
}

/* Does the one module of the collection have this file, with its bytes and symbols? */
static void assert_read_from(struct fixture *f, const char *disk_path)
{
	const struct ptf_code_epoch *epoch = frozen(f);
	struct ptf_module *module = ptf_code_epoch_find(epoch, BASE)->module;
	uint8_t bytes[16];

	assert_int_equal(ptf_module_open(module), 0);
	assert_false(module->missing);
	assert_null(module->problem);
	assert_string_equal(module->disk_path, disk_path);
	assert_int_equal(ptf_code_epoch_read(epoch, BASE + f->named, bytes, 16), 16);
	assert_memory_equal(bytes, f->map.bytes + f->named, 16);
	assert_string_equal(ptf_code_epoch_function(epoch, BASE + f->named, false)->name, NAMED);
}

static void assert_missing(struct fixture *f, const char *problem)
{
	const struct ptf_code_epoch *epoch = frozen(f);
	struct ptf_module *module = ptf_code_epoch_find(epoch, BASE)->module;
	uint8_t byte;

	assert_int_equal(ptf_module_open(module), -1);
	assert_true(module->missing);
	assert_null(module->disk_path);
	assert_string_equal(module->problem, problem);
	assert_int_equal(ptf_code_epoch_read(epoch, BASE, &byte, 1), 0);
	assert_int_equal(
	        ptf_code_epoch_function(epoch, BASE + f->named, false)->kind, PTF_FUNCTION_MODULE);
}

static void file_at_its_path(void **state)
{
	struct fixture *f = *state;

	map_with_id(f, f->libc, 0);
	assert_read_from(f, f->libc);
}

static void file_that_does_not_exist(void **state)
{
	struct fixture *f = *state;

	map_with_id(f, "/nonexistent/file", 0);
	assert_missing(f, "no such file");
}

static void file_that_is_a_directory(void **state)
{
	struct fixture *f = *state;

	map_with_id(f, f->dir, 0);
	assert_missing(f, "not a regular file");
}

static void file_of_another_build(void **state)
{
	struct fixture *f = *state;

	map_with_id(f, f->libc, 1);
	assert_missing(f, "build-id differs");
}

static void build_id_of_the_header_counts(void **state)
{
	struct fixture *f = *state;
	uint8_t id[20];

	memcpy(id, f->elf.build_id, 20);
	id[19] ^= 1;
	map(f->images, PID, 0, BASE, f->map.size, 0, f->libc);
	assert_int_equal(ptf_code_images_expect_build_id(f->images, f->libc, id, 20, NULL), 0);
	assert_int_equal(ptf_code_images_expect_build_id(f->images, "/other", id, 20, NULL), 0);
	assert_missing(f, "build-id differs");
}

/* Some builds have 16 bytes (MD5), and perf fills up with zeros. All zeros: perf knew none. */
static void short_build_ids_are_padded(void **state)
{
	struct fixture *f = *state;
	uint8_t *copy = malloc(f->map.size), id[20] = {0};
	size_t at = 0;
	const char *path;

	memcpy(copy, f->map.bytes, f->map.size);
	while (memcmp(copy + at, f->elf.build_id, 20) != 0)
		at++;
	copy[at - 12] = 16; /* n_descsz of the note */
	path = write_file(f, "short", copy, f->map.size);
	free(copy);
	map(f->images, PID, 0, BASE, f->map.size, 0, path);
	map(f->images, PID, 0, 2 * BASE, f->map.size, 0, f->libc);
	ptf_code_images_expect_build_id(f->images, f->libc, id, 20, NULL);
	memcpy(id, f->elf.build_id, 16);
	ptf_code_images_expect_build_id(f->images, path, id, 20, NULL);
	assert_read_from(f, path);
	assert_int_equal(ptf_module_open(ptf_code_epoch_find(frozen(f), 2 * BASE)->module), 0);
}

static void zeros_only_pad(void **state)
{
	struct fixture *f = *state;
	uint8_t id[21] = {0};

	memcpy(id, f->elf.build_id, 20);
	id[20] = 1;
	map(f->images, PID, 0, BASE, f->map.size, 0, f->libc);
	ptf_code_images_expect_build_id(f->images, f->libc, id, 21, NULL);
	assert_missing(f, "build-id differs");
}

static void beginning_of_a_build_id_is_another_one(void **state)
{
	struct fixture *f = *state;

	map(f->images, PID, 0, BASE, f->map.size, 0, f->libc);
	ptf_code_images_expect_build_id(f->images, f->libc, f->elf.build_id, 16, NULL);
	assert_missing(f, "build-id differs");
}

static void file_below_symfs_goes_first(void **state)
{
	struct fixture *f = *state;
	char symfs[128], path[1024];

	snprintf(symfs, sizeof(symfs), "%s/root", f->dir);
	use_options(f, &(struct ptf_code_images_options){.symfs = symfs});
	snprintf(path, sizeof(path), "root%s", f->libc);
	snprintf(path, sizeof(path), "%s", copy_libc(f, path));
	memset(symfs, 'x', sizeof(symfs) - 1); /* the collection has its own copy */
	map_with_id(f, f->libc, 0);
	assert_read_from(f, path);
}

static void file_below_symfs_of_another_build_does_not(void **state)
{
	struct fixture *f = *state;
	char path[1024];

	use_options(f, &(struct ptf_code_images_options){.symfs = f->dir});
	snprintf(path, sizeof(path), "%.200s", f->libc);
	write_file(f, path + 1, "other", 5);
	map_with_id(f, f->libc, 0);
	assert_read_from(f, f->libc);
}

static void file_in_the_archive(void **state)
{
	struct fixture *f = *state;

	use_options(f, &(struct ptf_code_images_options){.search_dir = f->dir});
	map_with_id(f, "/gone/libc", 0);
	assert_read_from(f, copy_libc(f, "gone/libc"));
}

static const char *cached_libc(struct fixture *f)
{
	char path[128] = ".debug/.build-id/", *at = path + strlen(path);

	for (size_t i = 0; i < f->elf.build_id_size; i++)
		at += sprintf(at, i == 1 ? "/%02x" : "%02x", f->elf.build_id[i]);
	strcpy(at, "/elf");
	return copy_libc(f, path);
}

static void file_in_the_cache_of_perf(void **state)
{
	struct fixture *f = *state;
	const char *cached = cached_libc(f);

	map_with_id(f, "/nonexistent/libc", 0);
	assert_read_from(f, cached);
}

/* The program was upgraded since: the cache has what was recorded. */
static void cache_has_the_older_build(void **state)
{
	struct fixture *f = *state;
	char upgraded[1024];
	const char *cached;

	snprintf(upgraded, sizeof(upgraded), "%s", write_file(f, "upgraded", "other", 5));
	cached = cached_libc(f);
	map_with_id(f, upgraded, 0);
	assert_read_from(f, cached);
}

static void deleted_file_is_another_one(void **state)
{
	struct fixture *f = *state;
	char path[1024];

	snprintf(path, sizeof(path), "%s (deleted)", copy_libc(f, "libc"));
	map(f->images, PID, 0, BASE, f->map.size, 0, path);
	assert_missing(f, "no such file");
}

static void deleted_file_with_its_build_id_is_the_same(void **state)
{
	struct fixture *f = *state;
	char path[1024];

	snprintf(path, sizeof(path), "%s (deleted)", copy_libc(f, "libc"));
	map_with_id(f, path, 0);
	path[strlen(path) - strlen(" (deleted)")] = '\0';
	assert_read_from(f, path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(file_at_its_path),
	        TEST(file_that_does_not_exist),
	        TEST(file_that_is_a_directory),
	        TEST(file_of_another_build),
	        TEST(build_id_of_the_header_counts),
	        TEST(short_build_ids_are_padded),
	        TEST(zeros_only_pad),
	        TEST(beginning_of_a_build_id_is_another_one),
	        TEST(file_below_symfs_goes_first),
	        TEST(file_below_symfs_of_another_build_does_not),
	        TEST(file_in_the_archive),
	        TEST(file_in_the_cache_of_perf),
	        TEST(cache_has_the_older_build),
	        TEST(deleted_file_is_another_one),
	        TEST(deleted_file_with_its_build_id_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
