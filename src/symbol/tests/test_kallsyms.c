/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "symbol/elf_symbols.h"

static const char text[] = "0000000000000000 A fixed_percpu_data\n"
                           "0000000000001000 D per_cpu_offset\n"
                           "ffffffff81000000 T _stext\n"
                           "ffffffff81000100 t local_one\n"
                           "ffffffff81000200 T alias_first\n"
                           "ffffffff81000200 T alias_last\n"
                           "ffffffff81000280 D data_ends_code\n"
                           "ffffffff81000300 W weak_one\n"
                           "ffffffff81000340 t weak_one.cold\n"
                           "no symbol at all\n"
                           "ffffffff81000400 T\n"
                           "ffffffff81000500 1 digit\n"
                           "ffffffffc0000010 t mod_a\t[one]\n"
                           "ffffffffc0000100 t mod_b\t[one]\n"
                           "ffffffffc0009000 t other\t[two]\n"
                           "ffffffff81000380 T out_of_order";

static const char *name_at(const struct ptf_elf_symbols *symbols, uint64_t address)
{
	const struct ptf_elf_range *range = ptf_elf_symbols_find(symbols, address);

	return range ? symbols->functions[range->function].name : "";
}

static void symbols_reach_to_the_next(void **state)
{
	static const struct {
		uint64_t address;
		const char *name;
	} want[] = {
	        {0x1000, ""},
	        {0xffffffff80ffffff, ""},
	        {0xffffffff81000000, "_stext"},
	        {0xffffffff810000ff, "_stext"},
	        {0xffffffff81000100, "local_one"},
	        {0xffffffff8100027f, "alias_last"},
	        {0xffffffff81000280, "data_ends_code"},
	        {0xffffffff81000300, "weak_one"},
	        {0xffffffff81000340, "weak_one"}, /* its cold part */
	        {0xffffffff81000380, "out_of_order"},
	        /* The last of the kernel: not up to the modules. */
	        {0xffffffff81001fff, "out_of_order"},
	        {0xffffffff81002000, ""},
	        {0xffffffffc000000f, ""},
	        {0xffffffffc0000010, "mod_a"},
	        {0xffffffffc00000ff, "mod_a"},
	        {0xffffffffc0001fff, "mod_b"},
	        {0xffffffffc0002000, ""},
	        {0xffffffffc0009000, "other"},
	};
	struct ptf_elf_symbols *symbols;

	assert_int_equal(
	        ptf_elf_symbols_from_kallsyms(&symbols, (const uint8_t *)text, strlen(text), NULL),
	        0);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_string_equal(name_at(symbols, want[i].address), want[i].name);
	ptf_elf_symbols_destroy(symbols);
}

/* Without the right to see them all addresses are 0. */
static void hidden_addresses_are_no_symbols(void **state)
{
	static const char hidden[] = "0000000000000000 T _text\n0000000000000000 t f\t[m]\n";
	struct ptf_elf_symbols *symbols;

	assert_int_equal(ptf_elf_symbols_from_kallsyms(
	                         &symbols, (const uint8_t *)hidden, strlen(hidden), NULL),
	        0);
	assert_int_equal(symbols->n_functions, 0);
	ptf_elf_symbols_destroy(symbols);
}

static void cut_off_anywhere(void **state)
{
	for (size_t n = 0; n < strlen(text); n++) {
		uint8_t *copy = malloc(n + 1);
		struct ptf_elf_symbols *symbols;

		memcpy(copy, text, n);
		assert_int_equal(ptf_elf_symbols_from_kallsyms(&symbols, copy, n, NULL), 0);
		assert_true(symbols->n_functions <= 12);
		ptf_elf_symbols_destroy(symbols);
		free(copy);
	}
}

static void addresses_at_the_end(void **state)
{
	static const char last[] = "ffffffffffffffff T last\nfffffffffffff000 T before\n";
	struct ptf_elf_symbols *symbols;

	assert_int_equal(
	        ptf_elf_symbols_from_kallsyms(&symbols, (const uint8_t *)last, strlen(last), NULL),
	        0);
	assert_string_equal(name_at(symbols, 0xfffffffffffff800), "before");
	ptf_elf_symbols_destroy(symbols);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(symbols_reach_to_the_next),
	        cmocka_unit_test(hidden_addresses_are_no_symbols),
	        cmocka_unit_test(cut_off_anywhere),
	        cmocka_unit_test(addresses_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
