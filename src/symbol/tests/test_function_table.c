/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "symbol/demangle.h"
#include "symbol/function_table.h"
#include "symbol/name_distance.h"

static void unknown_is_number_zero(void **state)
{
	struct ptf_function_table *table = ptf_function_table_create();
	const struct ptf_function *unknown = ptf_function_table_unknown(table);

	assert_int_equal(ptf_function_table_count(table), 1);
	assert_int_equal(unknown->id, 0);
	assert_string_equal(unknown->name, "[unknown]");
	assert_string_equal(unknown->module, "");
	assert_int_equal(unknown->kind, PTF_FUNCTION_UNKNOWN);
	assert_null(ptf_function_table_get(table, 1));
	ptf_function_table_destroy(table);
	ptf_function_table_destroy(NULL);
}

static void same_key_same_function(void **state)
{
	struct ptf_function_table *table = ptf_function_table_create();
	char module[] = "/bin/a", name[] = "f";
	const struct ptf_function *f =
	        ptf_function_table_intern(table, module, 16, 8, PTF_FUNCTION_SYMBOL, name, true);

	/* The table must own what it was given. */
	module[5] = 'b';
	name[0] = 'g';
	assert_string_equal(f->module, "/bin/a");
	assert_string_equal(f->name, "f");
	assert_int_equal(f->size, 8);
	assert_ptr_equal(f,
	        ptf_function_table_intern(table, "/bin/a", 16, 8, PTF_FUNCTION_SYMBOL, "f", true));
	assert_ptr_not_equal(f,
	        ptf_function_table_intern(table, "/bin/a", 17, 8, PTF_FUNCTION_SYMBOL, "f", true));
	assert_ptr_not_equal(f,
	        ptf_function_table_intern(table, "/bin/b", 16, 8, PTF_FUNCTION_SYMBOL, "f", true));
	assert_ptr_not_equal(f,
	        ptf_function_table_intern(table, "/bin/a", 16, 8, PTF_FUNCTION_SYMBOL, "g", true));
	assert_ptr_not_equal(f,
	        ptf_function_table_intern(table, "/bin/a", 16, 8, PTF_FUNCTION_TARGET, NULL, true));
	assert_int_equal(ptf_function_table_count(table), 6);
	for (uint32_t id = 0; id < 6; id++)
		assert_int_equal(ptf_function_table_get(table, id)->id, id);
	ptf_function_table_destroy(table);
}

static void names_without_symbols(void **state)
{
	static const struct {
		const char *module;
		enum ptf_function_kind kind;
		const char *name;
	} cases[] = {
	        {"/usr/bin/redis-server", PTF_FUNCTION_FDE, "[redis-server+0x1a30]"},
	        {"/usr/bin/redis-server", PTF_FUNCTION_MODULE, "[redis-server]"},
	        {"relative", PTF_FUNCTION_TARGET, "[relative+0x1a30]"},
	        {"[vdso]", PTF_FUNCTION_FDE, "[vdso+0x1a30]"},
	        {"[kernel.kallsyms]_text", PTF_FUNCTION_MODULE, "[kernel.kallsyms]"},
	        {"//anon", PTF_FUNCTION_TARGET, "[anon+0x1a30]"},
	        {"", PTF_FUNCTION_MODULE, "[unknown]"},
	        {"/dir/", PTF_FUNCTION_MODULE, "[unknown]"},
	};
	struct ptf_function_table *table = ptf_function_table_create();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ptf_function *f = ptf_function_table_intern(
		        table, cases[i].module, 0x1a30, 0, cases[i].kind, NULL, true);

		assert_string_equal(f->name, cases[i].name);
		assert_string_equal(f->module, cases[i].module);
		assert_null(f->raw_name);
	}
	ptf_function_table_destroy(table);
}

static void names_of_symbols(void **state)
{
	static const struct {
		const char *raw_name;
		enum ptf_function_kind kind;
		const char *name;
	} cases[] = {
	        {"main", PTF_FUNCTION_SYMBOL, "main"},
	        {"_Z3fooi", PTF_FUNCTION_SYMBOL, "foo"},
	        {"_ZN3FooC2Ei", PTF_FUNCTION_SYMBOL, "Foo::Foo"},
	        {"_RNvC6_123foo3bar", PTF_FUNCTION_SYMBOL, "123foo::bar"},
	        {"_ZN4core3fmt5write17h0123456789abcdefE", PTF_FUNCTION_SYMBOL, "core::fmt::write"},
	        {"_ZdlPv@plt", PTF_FUNCTION_PLT, "operator delete@plt"},
	        {"clock_gettime@@GLIBC_2.17", PTF_FUNCTION_SYMBOL, "clock_gettime"},
	        {"_ZdlPv@@CXX_1", PTF_FUNCTION_SYMBOL, "operator delete"},
	        {"helper.constprop.0", PTF_FUNCTION_SYMBOL, "helper.constprop.0"},
	        {"_Z", PTF_FUNCTION_SYMBOL, "_Z"},
	};
	struct ptf_function_table *table = ptf_function_table_create();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ptf_function *f = ptf_function_table_intern(
		        table, "/m", i, 0, cases[i].kind, cases[i].raw_name, true);

		assert_string_equal(f->name, cases[i].name);
		assert_string_equal(f->raw_name, cases[i].raw_name);
	}
	assert_string_equal(
	        ptf_function_table_intern(table, "/n", 0, 0, PTF_FUNCTION_TEXT, "_Z3fooi", false)
	                ->name,
	        "_Z3fooi");
	ptf_function_table_destroy(table);
}

static void very_long_names_are_not_demangled(void **state)
{
	size_t len = 100000;
	char *name = malloc(len + 1);

	memset(name, 'N', len);
	memcpy(name, "_Z", 2);
	name[len] = '\0';
	assert_null(ptf_demangle(name));
	free(name);
}

#define THREADS 4
#define FUNCTIONS 2000

static void *intern_many(void *argument)
{
	struct ptf_function_table *table = argument;
	const struct ptf_function **made = calloc(FUNCTIONS, sizeof(*made));
	char name[16];

	for (unsigned i = 0; i < FUNCTIONS; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		made[i] = ptf_function_table_intern(
		        table, "/m", i, 1, PTF_FUNCTION_SYMBOL, name, true);
	}
	return made;
}

static void threads_get_the_same_functions(void **state)
{
	struct ptf_function_table *table = ptf_function_table_create();
	const struct ptf_function **made[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, intern_many, table);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], (void **)&made[i]);
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < FUNCTIONS; k++)
			assert_ptr_equal(made[i][k], made[0][k]);
	assert_int_equal(ptf_function_table_count(table), FUNCTIONS + 1);
	for (int i = 0; i < THREADS; i++)
		free(made[i]);
	ptf_function_table_destroy(table);
}

static bool is_watched(struct ptf_function_table *table, uint64_t address, const char *raw_name)
{
	return ptf_function_table_intern(
	        table, "/bin/a", address, 8, PTF_FUNCTION_SYMBOL, raw_name, true)
	        ->watched;
}

/* By the name that is printed, with or without arguments, or that of the symbol table. */
static void watched_by_any_name(void **state)
{
	static const char *const names[] = {"ns::work", "ns::work(int)",
	        "ns::work(std::vector<int> (*)(int))", "_ZN2ns4workEi"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct ptf_function_table *table = ptf_function_table_create();

		assert_false(is_watched(table, 8, "_ZN2ns4workEi")); /* made before */
		assert_true(ptf_function_table_watch(table, names[i]));
		assert_true(is_watched(table, 16, "_ZN2ns4workEi"));
		assert_false(is_watched(table, 24, "_ZN2ns6workerEi"));
		assert_false(is_watched(table, 32, "work"));
		assert_false(is_watched(table, 40, "_ZN2ns3worEi"));
		assert_false(ptf_function_table_unknown(table)->watched);
		ptf_function_table_destroy(table);
	}
}

static void names_that_are_alike(void **state)
{
	assert_int_equal(ptf_name_distance("command", "processCommand"), 0);
	assert_int_equal(ptf_name_distance("procesCommand", "processCommand"), 1);
	assert_int_equal(ptf_name_distance("proecssCommand", "processCommand"), 2);
	assert_int_equal(ptf_name_distance("main", "mein"), 1);
	assert_int_equal(ptf_name_distance("main", "exit"), PTF_NAME_UNLIKE);
	assert_int_equal(ptf_name_distance("x", "y"), 1);
	assert_int_equal(ptf_name_distance("", "y"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(unknown_is_number_zero),
	        cmocka_unit_test(same_key_same_function),
	        cmocka_unit_test(names_without_symbols),
	        cmocka_unit_test(names_of_symbols),
	        cmocka_unit_test(very_long_names_are_not_demangled),
	        cmocka_unit_test(threads_get_the_same_functions),
	        cmocka_unit_test(watched_by_any_name),
	        cmocka_unit_test(names_that_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
