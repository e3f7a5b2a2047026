/* SPDX-License-Identifier: BSD-2-Clause */
/* How pieces fill gaps, and where a file's segments lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "symbol/elf_ranges.h"

struct span {
	uint64_t start, end;
	const char *name;
};

static void fill(struct ptf_elf_ranges *ranges, const struct span *spans, size_t n,
        enum ptf_function_kind kind)
{
	struct ptf_elf_pieces pieces = {0};

	for (size_t i = 0; i < n; i++)
		assert_true(
		        ptf_vec_push(&pieces.list, (struct ptf_elf_piece){.start = spans[i].start,
		                                           .end = spans[i].end,
		                                           .name = spans[i].name}));
	assert_true(ptf_elf_ranges_fill(ranges, &pieces, kind));
	ptf_elf_pieces_release(&pieces);
}

/* "start-end name@function-start" of each range, in a static buffer. */
static const char *text(const struct ptf_elf_ranges *ranges)
{
	static char buffer[2048];
	size_t n = 0;

	buffer[0] = '\0';
	ptf_vec_foreach (range, &ranges->list) {
		const struct ptf_elf_function *f = &ranges->functions.v[range->function];

		n += snprintf(buffer + n, sizeof(buffer) - n, "%s%lx-%lx %s@%lx", n ? ", " : "",
		        range->start, range->end, f->name ? f->name : "-", f->start);
	}
	return buffer;
}

static void pieces_fill_only_gaps(void **state)
{
	static const struct span first[] = {{0x30, 0x40, "c"}, {0x10, 0x20, "a"}};
	static const struct span second[] = {{0x00, 0x60, "x"}};
	static const struct span third[] = {{0x58, 0x68, "y"}, {0x70, 0x70, "empty"}};
	struct ptf_elf_ranges ranges = {0};

	fill(&ranges, first, 2, PTF_FUNCTION_SYMBOL);
	assert_string_equal(text(&ranges), "10-20 a@10, 30-40 c@30");
	fill(&ranges, second, 1, PTF_FUNCTION_PLT);
	assert_string_equal(
	        text(&ranges), "0-10 x@0, 10-20 a@10, 20-30 x@0, 30-40 c@30, 40-60 x@0");
	/* Cut off from its beginning, it begins where it is not covered. */
	fill(&ranges, third, 2, PTF_FUNCTION_FDE);
	assert_string_equal(text(&ranges),
	        "0-10 x@0, 10-20 a@10, 20-30 x@0, 30-40 c@30, 40-60 x@0, 60-68 y@60");
	ptf_elf_ranges_release(&ranges);
}

/* A symbol of assembly code whose size is too small, and the FDE that knows better. */
static void a_longer_piece_makes_the_function_longer(void **state)
{
	static const struct span symbol[] = {{0x10, 0x14, "short"}, {0x20, 0x30, "next"}};
	static const struct span fde[] = {{0x10, 0x20, NULL}, {0x20, 0x30, NULL}};
	struct ptf_elf_ranges ranges = {0};

	fill(&ranges, symbol, 2, PTF_FUNCTION_SYMBOL);
	fill(&ranges, fde, 2, PTF_FUNCTION_FDE);
	assert_string_equal(text(&ranges), "10-14 short@10, 14-20 short@10, 20-30 next@20");
	assert_int_equal(ranges.functions.n, 2);
	ptf_elf_ranges_release(&ranges);
}

static void overlapping_pieces_do_not_overlap(void **state)
{
	static const struct span spans[] = {
	        {0x10, 0x40, "a"}, {0x20, 0x30, "inside"}, {0x38, 0x50, "b"}, {0x38, 0x44, "c"}};
	struct ptf_elf_ranges ranges = {0};

	fill(&ranges, spans, 4, PTF_FUNCTION_FDE);
	for (size_t i = 1; i < ranges.list.n; i++)
		assert_true(ranges.list.v[i - 1].end <= ranges.list.v[i].start);
	assert_string_equal(text(&ranges), "10-40 a@10, 40-44 c@40, 44-50 b@44");
	ptf_elf_ranges_release(&ranges);
}

static void the_range_before_is_found(void **state)
{
	struct ptf_elf_range ranges[33];

	for (unsigned n = 0; n <= 33; n++) {
		for (unsigned i = 0; i < n; i++)
			ranges[i] = (struct ptf_elf_range){
			        .start = 10 * (i + 1), .end = 10 * (i + 1) + 5};
		assert_null(ptf_elf_range_before(ranges, n, 9));
		for (unsigned i = 0; i < n; i++)
			for (unsigned k = 0; k < 10; k++)
				assert_ptr_equal(ptf_elf_range_before(ranges, n, 10 * (i + 1) + k),
				        &ranges[i]);
		if (n)
			assert_ptr_equal(
			        ptf_elf_range_before(ranges, n, UINT64_MAX), &ranges[n - 1]);
	}
}

/* An ELF file of three segments: data, code, and code that shares a page of the file with it. */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	uint8_t rest[0x4000];
};

static struct image *make_image(void)
{
	struct image *image = calloc(1, sizeof(*image));
	Elf64_Phdr data = {.p_type = PT_LOAD,
	        .p_flags = PF_R,
	        .p_vaddr = 0x10000,
	        .p_filesz = 0x1800,
	        .p_memsz = 0x1800};
	Elf64_Phdr code = {.p_type = PT_LOAD,
	        .p_flags = PF_R | PF_X,
	        .p_offset = 0x1800,
	        .p_vaddr = 0x21800,
	        .p_filesz = 0x1000,
	        .p_memsz = 0x1000};
	Elf64_Phdr beyond = {.p_type = PT_LOAD,
	        .p_flags = PF_R | PF_X,
	        .p_offset = 0x3000,
	        .p_vaddr = 0x43000,
	        .p_filesz = 0x100000,
	        .p_memsz = 0x100000};

	memcpy(image->header.e_ident, ELFMAG, SELFMAG);
	image->header.e_ident[EI_CLASS] = ELFCLASS64;
	image->header.e_ident[EI_DATA] = ELFDATA2LSB;
	image->header.e_ident[EI_VERSION] = EV_CURRENT;
	image->header.e_type = ET_DYN;
	image->header.e_machine = EM_X86_64;
	image->header.e_version = EV_CURRENT;
	image->header.e_phoff = offsetof(struct image, segments);
	image->header.e_ehsize = sizeof(Elf64_Ehdr);
	image->header.e_phentsize = sizeof(Elf64_Phdr);
	image->header.e_phnum = 3;
	image->segments[0] = data;
	image->segments[1] = code;
	image->segments[2] = beyond;
	return image;
}

static void offsets_and_addresses(void **state)
{
	struct image *image = make_image();
	struct ptf_elf_file file;
	uint64_t at = 1;
	size_t size;

	assert_int_equal(ptf_elf_file_init(&file, (uint8_t *)image, sizeof(*image), NULL), 0);
	assert_int_equal(file.n_segments, 3);
	assert_true(ptf_elf_file_vaddr(&file, 0x1900, &at));
	assert_int_equal(at, 0x21900);
	/* The page's other half is data, but as it is mapped for code it is asked for as code. */
	assert_true(ptf_elf_file_vaddr(&file, 0x1000, &at));
	assert_int_equal(at, 0x21000);
	assert_true(ptf_elf_file_vaddr(&file, 0x0500, &at));
	assert_int_equal(at, 0x10500);
	/* The second piece of code begins in the page that the first one ends in. */
	assert_true(ptf_elf_file_vaddr(&file, 0x2fff, &at));
	assert_int_equal(at, 0x22fff);
	assert_true(ptf_elf_file_vaddr(&file, 0x3000, &at));
	assert_int_equal(at, 0x43000);
	at = 1;
	assert_false(ptf_elf_file_vaddr(&file, 0x100000, &at));
	assert_int_equal(at, 1);
	assert_true(ptf_elf_file_offset(&file, 0x21800, &at));
	assert_int_equal(at, 0x1800);
	assert_false(ptf_elf_file_offset(&file, 0x22800, &at));
	/* What the file does not have is cut off. */
	assert_ptr_equal(ptf_elf_file_bytes(&file, 0x43010, &size), (uint8_t *)image + 0x3010);
	assert_int_equal(size, sizeof(*image) - 0x3010);
	assert_null(ptf_elf_file_bytes(&file, 0x100000, &size));
	ptf_elf_file_release(&file);
	free(image);
}

static void files_without_sections_have_no_functions(void **state)
{
	struct image *image = make_image();
	struct ptf_elf_file file;
	struct ptf_elf_symbols *symbols;

	assert_int_equal(ptf_elf_file_init(&file, (uint8_t *)image, sizeof(*image), NULL), 0);
	assert_int_equal(ptf_elf_symbols_create(&symbols, &file, NULL, NULL), 0);
	assert_int_equal(symbols->n_ranges, 0);
	assert_null(ptf_elf_symbols_find(symbols, 0x21800));
	ptf_elf_symbols_destroy(symbols);
	ptf_elf_symbols_destroy(NULL);
	ptf_elf_file_release(&file);
	free(image);
}

static void other_files_are_refused(void **state)
{
	struct image *image = make_image();
	struct ptf_elf_file file;
	struct ptf_error err = {0};

	image->header.e_machine = EM_AARCH64;
	assert_int_equal(ptf_elf_file_init(&file, (uint8_t *)image, sizeof(*image), &err),
	        -PTF_EUNSUPPORTED);
	assert_non_null(strstr(err.msg, "183"));
	assert_int_equal(ptf_elf_file_init(&file, (uint8_t *)image, 20, &err), -PTF_EFORMAT);
	assert_int_equal(ptf_elf_file_init(&file, (uint8_t *)image, 3, &err), -PTF_EFORMAT);
	assert_int_equal(ptf_elf_file_init(&file, NULL, 0, &err), -PTF_EFORMAT);
	image->header.e_ident[0] = 0;
	assert_int_equal(
	        ptf_elf_file_init(&file, (uint8_t *)image, sizeof(*image), &err), -PTF_EFORMAT);
	ptf_elf_file_release(&file);
	free(image);
}

/* Every truncation of a real file, in steps, is read without harm, and what is left is in order. */
static void truncated_files_are_read_as_far_as_they_go(void **state)
{
	struct ptf_file_map map;
	uint8_t *copy;
	size_t reads = 0;

	assert_int_equal(ptf_file_map_init(&map, "/proc/self/exe", NULL), 0);
	for (size_t size = map.size; size > 64; size -= size / 16 + 1) {
		struct ptf_elf_file file;
		struct ptf_elf_symbols *symbols = NULL;

		copy = malloc(size); /* so that AddressSanitizer sees its end */
		memcpy(copy, map.bytes, size);
		if (ptf_elf_file_init(&file, copy, size, NULL) == 0 &&
		        ptf_elf_symbols_create(&symbols, &file, NULL, NULL) == 0) {
			for (size_t i = 1; i < symbols->n_ranges; i++)
				assert_true(symbols->ranges[i - 1].end <= symbols->ranges[i].start);
			reads += symbols->n_ranges > 0;
			ptf_elf_symbols_destroy(symbols);
		}
		ptf_elf_file_release(&file);
		free(copy);
	}
	assert_true(reads > 1);
	ptf_file_map_release(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(pieces_fill_only_gaps),
	        cmocka_unit_test(a_longer_piece_makes_the_function_longer),
	        cmocka_unit_test(overlapping_pieces_do_not_overlap),
	        cmocka_unit_test(the_range_before_is_found),
	        cmocka_unit_test(offsets_and_addresses),
	        cmocka_unit_test(files_without_sections_have_no_functions),
	        cmocka_unit_test(other_files_are_refused),
	        cmocka_unit_test(truncated_files_are_read_as_far_as_they_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
