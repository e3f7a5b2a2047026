/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/kallsyms.h"

#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"

#define PAGE 4096u
#define KERNEL_ADDRESSES (1ull << 63) /* and above */

/* Which module a symbol is of is kept as its unit: a hash, 0 for the kernel itself. */
static uint32_t unit_of(const char *module, const char *end)
{
	return module ? (uint32_t)ptf_hash_bytes(module, (size_t)(end - module)) | 1 : 0;
}

static const char *read_address(const char *at, const char *end, uint64_t *address)
{
	const char *start = at;

	for (*address = 0; at < end && isxdigit((unsigned char)*at); at++) {
		int digit = *at <= '9' ? *at - '0' : (*at | 0x20) - 'a' + 10;

		*address = *address << 4 | (uint64_t)digit;
	}
	return at - start == 16 || at - start == 8 ? at : NULL;
}

/* Data ends the function before it; it is a symbol like any other. */
static uint8_t type_of(char letter)
{
	return strchr("tTwW", letter) ? STT_FUNC : STT_OBJECT;
}

static uint8_t bind_of(char letter)
{
	if (strchr("wWvV", letter))
		return STB_WEAK;
	return isupper((unsigned char)letter) ? STB_GLOBAL : STB_LOCAL;
}

static bool read_line(
        struct ptf_elf_symtab *symtab, struct ptf_arena *names, const char *at, const char *end)
{
	const char *module = memchr(at, '\t', (size_t)(end - at));
	const char *name_end = module ? module : end;
	struct ptf_elf_symbol symbol = {.limit = UINT64_MAX, .unit = unit_of(module, end)};

	at = read_address(at, end, &symbol.start);
	if (!at || name_end - at < 4 || at[0] != ' ' || at[2] != ' ' ||
	        !isalpha((unsigned char)at[1]))
		return true;
	if (symbol.start < KERNEL_ADDRESSES)
		return true; /* hidden, or an offset (per-CPU data) */
	symbol.end = symbol.start;
	symbol.type = type_of(at[1]);
	symbol.bind = bind_of(at[1]);
	symbol.order = (uint32_t)symtab->list.n;
	at += 3;
	symbol.name = ptf_arena_strndup(names, at, (size_t)(name_end - at));
	return symbol.name && ptf_vec_push(&symtab->list, symbol);
}

static int by_start(const void *a, const void *b)
{
	const struct ptf_elf_symbol *x = a, *y = b;

	return x->start != y->start ? (x->start < y->start ? -1 : 1)
	                            : (x->order > y->order) - (x->order < y->order);
}

/* What follows the last symbol of the kernel or of a module is not its code: it reaches to the end
 * of the page behind its own. */
static void set_limits(struct ptf_elf_symtab *symtab)
{
	struct ptf_elf_symbol *list = symtab->list.v;

	for (size_t i = 0; i < symtab->list.n; i++) {
		bool last = i + 1 == symtab->list.n || list[i + 1].unit != list[i].unit;

		if (last && list[i].start < UINT64_MAX - 2 * PAGE)
			list[i].limit = (list[i].start + 2 * PAGE - 1) / PAGE * PAGE;
	}
}

bool ptf_kallsyms_read(
        struct ptf_elf_symtab *symtab, struct ptf_arena *names, const uint8_t *text, size_t size)
{
	const char *at = (const char *)text, *end = at + size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline)
			newline = end;
		if (!read_line(symtab, names, at, newline))
			return false;
		at = newline < end ? newline + 1 : end;
	}
	if (symtab->list.n)
		qsort(symtab->list.v, symtab->list.n, sizeof(*symtab->list.v), by_start);
	set_limits(symtab);
	return true;
}
