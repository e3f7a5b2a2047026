/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_symbols.h"

#include <stdlib.h>

#include "symbol/debug_file.h"
#include "symbol/elf_cold.h"
#include "symbol/elf_fde.h"
#include "symbol/elf_plt.h"
#include "symbol/elf_ranges.h"
#include "symbol/elf_symtab.h"
#include "symbol/kallsyms.h"

/* What lies behind a struct ptf_elf_symbols. */
struct owned {
	struct ptf_elf_symbols symbols; /* first: the pointer that callers have */
	struct ptf_elf_ranges ranges;
	struct ptf_debug_file debug;  /* names point into these two */
	struct ptf_debug_file packed; /* .gnu_debugdata */
	struct ptf_arena names;       /* of PLT stubs, or of kallsyms */
};

/* .gnu_debugdata has only what .dynsym lacks. */
static bool read_dynamic_symbols(
        struct owned *o, struct ptf_elf_symtab *symtab, const struct ptf_elf_file *file)
{
	if (!ptf_elf_symtab_read(symtab, file, SHT_DYNSYM))
		return false;
	ptf_debug_file_unpack(&o->packed, file);
	return !o->packed.found || ptf_elf_symtab_read(symtab, &o->packed.elf, SHT_SYMTAB);
}

static bool read_symbols(
        struct owned *o, const struct ptf_elf_file *file, const struct ptf_elf_debug_search *search)
{
	struct ptf_elf_symtab symtab = {0};
	bool ok = ptf_elf_symtab_read(&symtab, file, SHT_SYMTAB);

	if (ok && symtab.list.n == 0) {
		ptf_debug_file_find(&o->debug, file, search);
		if (o->debug.found)
			ok = ptf_elf_symtab_read(&symtab, &o->debug.elf, SHT_SYMTAB);
	}
	if (ok && symtab.list.n == 0)
		ok = read_dynamic_symbols(o, &symtab, file);
	ok = ok && ptf_elf_symtab_ranges(&symtab, &o->ranges);
	ptf_elf_symtab_release(&symtab);
	return ok;
}

static bool read_plt(struct owned *o, const struct ptf_elf_file *file)
{
	struct ptf_elf_pieces stubs = {0}, rest = {0};
	bool ok = ptf_elf_plt_read(&stubs, &rest, file, &o->ranges) &&
	          ptf_elf_ranges_fill(&o->ranges, &stubs, PTF_FUNCTION_PLT) &&
	          ptf_elf_ranges_fill(&o->ranges, &rest, PTF_FUNCTION_PLT);

	o->names = stubs.names; /* now owned there */
	stubs.names = (struct ptf_arena){0};
	ptf_elf_pieces_release(&stubs);
	ptf_elf_pieces_release(&rest);
	return ok;
}

static bool read_fdes(struct owned *o, const struct ptf_elf_file *file)
{
	struct ptf_elf_pieces fdes = {0};
	bool ok = ptf_elf_fde_read(&fdes, file) &&
	          ptf_elf_ranges_fill(&o->ranges, &fdes, PTF_FUNCTION_FDE) &&
	          ptf_elf_cold_join(&o->ranges, file);

	ptf_elf_pieces_release(&fdes);
	return ok;
}

static struct ptf_elf_symbols *publish(struct owned *o)
{
	o->symbols.debug_path = o->debug.path;
	o->symbols.ranges = o->ranges.list.v;
	o->symbols.n_ranges = o->ranges.list.n;
	o->symbols.functions = o->ranges.functions.v;
	o->symbols.n_functions = o->ranges.functions.n;
	return &o->symbols;
}

int ptf_elf_symbols_create(struct ptf_elf_symbols **symbols, const struct ptf_elf_file *file,
        const struct ptf_elf_debug_search *search, struct ptf_error *err)
{
	struct owned *o = calloc(1, sizeof(*o));

	if (!o || !read_symbols(o, file, search) || !read_plt(o, file) || !read_fdes(o, file)) {
		ptf_elf_symbols_destroy(o ? &o->symbols : NULL);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	*symbols = publish(o);
	return 0;
}

int ptf_elf_symbols_from_kallsyms(
        struct ptf_elf_symbols **symbols, const uint8_t *text, size_t size, struct ptf_error *err)
{
	struct owned *o = calloc(1, sizeof(*o));
	struct ptf_elf_symtab symtab = {0};
	bool ok = o && ptf_kallsyms_read(&symtab, &o->names, text, size) &&
	          ptf_elf_symtab_ranges(&symtab, &o->ranges);

	ptf_elf_symtab_release(&symtab);
	if (!ok) {
		ptf_elf_symbols_destroy(o ? &o->symbols : NULL);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	*symbols = publish(o);
	return 0;
}

void ptf_elf_symbols_destroy(struct ptf_elf_symbols *symbols)
{
	struct owned *o = (struct owned *)symbols;

	if (!o)
		return;
	ptf_elf_ranges_release(&o->ranges);
	ptf_debug_file_release(&o->debug);
	ptf_debug_file_release(&o->packed);
	ptf_arena_release(&o->names);
	free(o);
}

const struct ptf_elf_range *ptf_elf_symbols_find(
        const struct ptf_elf_symbols *symbols, uint64_t vaddr)
{
	const struct ptf_elf_range *range =
	        ptf_elf_range_before(symbols->ranges, symbols->n_ranges, vaddr);

	return range && vaddr < range->end ? range : NULL;
}
