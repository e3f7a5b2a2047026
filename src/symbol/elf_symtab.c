/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_symtab.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"
#include "symbol/demangle.h"

void ptf_elf_symtab_release(struct ptf_elf_symtab *symtab)
{
	ptf_vec_release(&symtab->list);
}

/* Labels of assembly code have no type: perf takes them in sections of code (".text.foo"), if they
 * are not hidden. */
static bool is_code_symbol(const struct ptf_elf_file *file, const GElf_Sym *sym,
        const GElf_Shdr *sh, size_t section_names)
{
	const char *section;

	if (!(sh->sh_flags & SHF_ALLOC) || !(sh->sh_flags & SHF_EXECINSTR))
		return false;
	switch (GELF_ST_TYPE(sym->st_info)) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
	case STT_OBJECT: /* data among the code: ends the symbol before it */
		return true;
	case STT_NOTYPE:
		section = elf_strptr(file->elf, section_names, sh->sh_name);
		return section && strstr(section, "text") &&
		       GELF_ST_VISIBILITY(sym->st_other) != STV_HIDDEN &&
		       GELF_ST_VISIBILITY(sym->st_other) != STV_INTERNAL;
	default:
		return false;
	}
}

static bool add_symbol(struct ptf_elf_symtab *symtab, const struct ptf_elf_file *file,
        const GElf_Sym *sym, size_t strings, size_t section_names)
{
	GElf_Shdr sh;
	const char *name;
	uint64_t end;

	if (sym->st_name == 0 || sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE ||
	        !gelf_getshdr(elf_getscn(file->elf, sym->st_shndx), &sh) ||
	        !is_code_symbol(file, sym, &sh, section_names))
		return true;
	name = elf_strptr(file->elf, strings, sym->st_name);
	if (!name || !name[0] || __builtin_add_overflow(sym->st_value, sym->st_size, &end))
		return true;
	return ptf_vec_push(&symtab->list, (struct ptf_elf_symbol){.start = sym->st_value,
	                                           .end = end,
	                                           .limit = sh.sh_addr + sh.sh_size,
	                                           .name = name,
	                                           .order = (uint32_t)symtab->list.n,
	                                           .unit = symtab->units,
	                                           .bind = GELF_ST_BIND(sym->st_info),
	                                           .type = GELF_ST_TYPE(sym->st_info)});
}

bool ptf_elf_symtab_read(
        struct ptf_elf_symtab *symtab, const struct ptf_elf_file *file, uint32_t section_type)
{
	GElf_Shdr sh;
	Elf_Scn *scn = ptf_elf_file_section_of_type(file, section_type, &sh);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t entry = gelf_fsize(file->elf, ELF_T_SYM, 1, EV_CURRENT), section_names;
	GElf_Sym sym;

	if (!data || !data->d_buf || elf_getshdrstrndx(file->elf, &section_names) != 0)
		return true;
	symtab->units++;
	for (size_t i = 1; i < data->d_size / entry && i < INT32_MAX; i++) {
		if (!gelf_getsym(data, (int)i, &sym))
			break;
		if (GELF_ST_TYPE(sym.st_info) == STT_FILE)
			symtab->units++;
		else if (!add_symbol(symtab, file, &sym, sh.sh_link, section_names))
			return false;
	}
	return true;
}

static size_t underscores(const char *name)
{
	return strspn(name, "_");
}

/* <0: a is the better one by underscores and length of the names that are shown, >0: b is. */
static int compare_shown_names(const struct ptf_elf_symbol *a, const struct ptf_elf_symbol *b)
{
	char *demangled_a = ptf_demangle(a->name), *demangled_b = ptf_demangle(b->name);
	const char *x = demangled_a ? demangled_a : a->name;
	const char *y = demangled_b ? demangled_b : b->name;
	int order = (underscores(x) > underscores(y)) - (underscores(x) < underscores(y));

	if (order == 0)
		order = (strlen(x) < strlen(y)) - (strlen(x) > strlen(y));
	free(demangled_a);
	free(demangled_b);
	return order;
}

/* Of two names for one address, is b better than a, which comes first? The order of the rules is
 * that of perf's choose_best_symbol. */
static bool second_is_better(const struct ptf_elf_symbol *a, const struct ptf_elf_symbol *b)
{
	if ((a->start == a->end) != (b->start == b->end))
		return a->start == a->end;
	if (a->type != b->type && (a->type == STT_NOTYPE || b->type == STT_NOTYPE))
		return a->type == STT_NOTYPE;
	if ((a->bind == STB_WEAK) != (b->bind == STB_WEAK))
		return a->bind == STB_WEAK;
	if ((a->bind == STB_GLOBAL) != (b->bind == STB_GLOBAL))
		return b->bind == STB_GLOBAL;
	return compare_shown_names(a, b) > 0;
}

static int by_start(const void *a, const void *b)
{
	const struct ptf_elf_symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* A symbol without a size ends where the next begins, which gives the last of several aliases a
 * size before the best one is chosen: so does perf. */
static void fix_ends(struct ptf_elf_symtab *symtab)
{
	for (size_t i = 0; i < symtab->list.n; i++) {
		struct ptf_elf_symbol *s = &symtab->list.v[i];

		if (s->start != s->end)
			continue;
		s->end = s->limit > s->start ? s->limit : s->start;
		if (i + 1 < symtab->list.n && symtab->list.v[i + 1].start < s->end)
			s->end = symtab->list.v[i + 1].start;
	}
}

static void drop_aliases(struct ptf_elf_symtab *symtab)
{
	size_t kept = 0;

	for (size_t i = 0; i < symtab->list.n; i++) {
		struct ptf_elf_symbol *s = &symtab->list.v[i];
		struct ptf_elf_symbol *last = kept ? &symtab->list.v[kept - 1] : NULL;

		if (!last || last->start != s->start)
			symtab->list.v[kept++] = *s;
		else if (second_is_better(last, s))
			*last = *s;
	}
	symtab->list.n = kept;
}

/* The length of the function's name in the name of its cold part ("foo" in "foo.cold.1"), 0 when
 * it is none. */
static size_t cold_part_of(const char *name)
{
	const char *cold = NULL, *at = name;

	while ((at = strstr(at, ".cold")))
		cold = at++;
	if (!cold || cold == name)
		return 0;
	at = cold + strlen(".cold");
	if (*at == '.' && isdigit((unsigned char)at[1]))
		at += 1 + strspn(at + 1, "0123456789");
	return *at == '\0' ? (size_t)(cold - name) : 0;
}

/* Names of all symbols, aliases too, to find the functions of cold parts by. */
struct name_index {
	struct ptf_hash_map first; /* hash of a name -> index + 1 into names */
	PTF_VEC(struct name) names;
};

struct name {
	const char *text;
	uint64_t start;
	uint32_t unit;
	bool local;
	size_t next; /* index + 1 of the next with the same hash, 0: none */
};

static void name_index_release(struct name_index *index)
{
	ptf_hash_map_release(&index->first);
	ptf_vec_release(&index->names);
}

static bool name_index_fill(struct name_index *index, const struct ptf_elf_symtab *symtab)
{
	bool needed = false;

	for (size_t i = 0; !needed && i < symtab->list.n; i++)
		needed = cold_part_of(symtab->list.v[i].name) > 0;
	for (size_t i = symtab->list.n; needed && i-- > 0;) {
		const struct ptf_elf_symbol *s = &symtab->list.v[i];
		uint64_t *first = ptf_hash_map_at(
		        &index->first, ptf_hash_bytes(s->name, strlen(s->name)), NULL);
		struct name name = {.text = s->name,
		        .start = s->start,
		        .unit = s->unit,
		        .local = s->bind == STB_LOCAL,
		        .next = first ? *first : 0};

		if (!first || !ptf_vec_push(&index->names, name))
			return false;
		*first = index->names.n;
	}
	return true;
}

/* Where the function of a cold part begins; the part's own address when it is not there. Several
 * units may have a function of that name: that of the part's own unit is it, else a global one. */
static uint64_t cold_parent(const struct name_index *index, const struct ptf_elf_symbol *cold)
{
	size_t len = cold_part_of(cold->name);
	const struct name *best = NULL;
	const uint64_t *first =
	        len ? ptf_hash_map_find(&index->first, ptf_hash_bytes(cold->name, len)) : NULL;

	for (size_t i = first ? *first : 0; i; i = index->names.v[i - 1].next) {
		const struct name *name = &index->names.v[i - 1];

		if (strncmp(name->text, cold->name, len) != 0 || name->text[len] != '\0')
			continue;
		if (name->local && name->unit == cold->unit)
			return name->start;
		if (!best || (best->local && !name->local))
			best = name;
	}
	return best ? best->start : cold->start;
}

static const struct ptf_elf_symbol *symbol_at(const struct ptf_elf_symtab *symtab, uint64_t start)
{
	struct ptf_elf_symbol key = {.start = start};
	size_t low = 0, high = symtab->list.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symtab->list.v[middle].start < key.start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < symtab->list.n && symtab->list.v[low].start == start ? &symtab->list.v[low]
	                                                                  : NULL;
}

/* Makes a function of every symbol but cold parts; owner[i] becomes symbol i's function. */
static bool make_functions(const struct ptf_elf_symtab *symtab, const struct name_index *index,
        struct ptf_elf_ranges *ranges, uint32_t *owner)
{
	const struct ptf_elf_symbol *list = symtab->list.v;
	size_t n = symtab->list.n;

	for (size_t i = 0; i < n; i++) {
		struct ptf_elf_function f = {.start = list[i].start,
		        .size = list[i].end - list[i].start,
		        .name = list[i].name,
		        .kind = PTF_FUNCTION_SYMBOL};

		owner[i] = UINT32_MAX;
		if (cold_parent(index, &list[i]) != list[i].start)
			continue;
		owner[i] = ptf_elf_ranges_function(ranges, &f);
		if (owner[i] == UINT32_MAX)
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct ptf_elf_symbol *parent;

		if (owner[i] != UINT32_MAX)
			continue;
		parent = symbol_at(symtab, cold_parent(index, &list[i]));
		if (parent)
			owner[i] = owner[parent - list];
	}
	return true;
}

static bool add_range(struct ptf_elf_ranges *ranges, uint64_t start, uint64_t end, uint32_t owner)
{
	if (start >= end || owner == UINT32_MAX)
		return true;
	return ptf_vec_push(&ranges->list,
	        (struct ptf_elf_range){.start = start, .end = end, .function = owner});
}

/* Cuts overlapping symbols into ranges: where a symbol starts inside others, these go on behind
 * its end. `open` holds the symbols that have begun, innermost last. */
static bool flatten(
        const struct ptf_elf_symtab *symtab, const uint32_t *owner, struct ptf_elf_ranges *ranges)
{
	const struct ptf_elf_symbol *list = symtab->list.v;
	PTF_VEC(size_t) open = {0};
	uint64_t at = 0;
	bool ok = true;

	for (size_t i = 0; ok && i <= symtab->list.n; i++) {
		uint64_t start = i < symtab->list.n ? list[i].start : UINT64_MAX;

		while (ok && open.n && list[open.v[open.n - 1]].end <= start) {
			size_t top = open.v[--open.n];

			ok = add_range(ranges, at, list[top].end, owner[top]);
			at = list[top].end > at ? list[top].end : at;
		}
		if (ok && open.n)
			ok = add_range(ranges, at, start, owner[open.v[open.n - 1]]);
		at = start;
		ok = ok && (i == symtab->list.n || ptf_vec_push(&open, i));
	}
	ptf_vec_release(&open);
	return ok;
}

bool ptf_elf_symtab_ranges(struct ptf_elf_symtab *symtab, struct ptf_elf_ranges *ranges)
{
	struct name_index index = {0};
	uint32_t *owner = malloc((symtab->list.n + 1) * sizeof(*owner));
	bool ok = owner && name_index_fill(&index, symtab);

	if (ok && symtab->list.n) {
		qsort(symtab->list.v, symtab->list.n, sizeof(*symtab->list.v), by_start);
		fix_ends(symtab);
		drop_aliases(symtab);
		ok = make_functions(symtab, &index, ranges, owner) &&
		     flatten(symtab, owner, ranges);
	}
	name_index_release(&index);
	free(owner);
	return ok;
}
