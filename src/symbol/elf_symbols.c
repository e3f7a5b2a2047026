/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_symbols.h"

#include <stdlib.h>

#include "symbol/elf_ranges.h"
#include "symbol/elf_symtab.h"

/* What lies behind a struct ptf_elf_symbols. */
struct owned {
	struct ptf_elf_symbols symbols; /* first: the pointer that callers have */
	struct ptf_elf_ranges ranges;
};

static bool read_symbols(struct owned *o, const struct ptf_elf_file *file)
{
	struct ptf_elf_symtab symtab = {0};
	bool ok = ptf_elf_symtab_read(&symtab, file, SHT_SYMTAB);

	if (ok && symtab.list.n == 0)
		ok = ptf_elf_symtab_read(&symtab, file, SHT_DYNSYM);
	ok = ok && ptf_elf_symtab_ranges(&symtab, &o->ranges);
	ptf_elf_symtab_release(&symtab);
	return ok;
}

int ptf_elf_symbols_create(struct ptf_elf_symbols **symbols, const struct ptf_elf_file *file,
        const struct ptf_elf_debug_search *search, struct ptf_error *err)
{
	struct owned *o = calloc(1, sizeof(*o));

	if (!o || !read_symbols(o, file)) {
		ptf_elf_symbols_destroy(&o->symbols);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	o->symbols.ranges = o->ranges.list.v;
	o->symbols.n_ranges = o->ranges.list.n;
	o->symbols.functions = o->ranges.functions.v;
	o->symbols.n_functions = o->ranges.functions.n;
	*symbols = &o->symbols;
	return 0;
}

void ptf_elf_symbols_destroy(struct ptf_elf_symbols *symbols)
{
	struct owned *o = (struct owned *)symbols;

	if (!o)
		return;
	ptf_elf_ranges_release(&o->ranges);
	free(o);
}

const struct ptf_elf_range *ptf_elf_symbols_find(
        const struct ptf_elf_symbols *symbols, uint64_t vaddr)
{
	const struct ptf_elf_range *range =
	        ptf_elf_range_before(symbols->ranges, symbols->n_ranges, vaddr);

	return range && vaddr < range->end ? range : NULL;
}
