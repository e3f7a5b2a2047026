/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_plt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash_map.h"

#define STUB_SIZE 16u
#define SMALL_STUB_SIZE 8u /* in .plt.got and static programs, without IBT */
#define JUMP_SIZE 6u

struct target {            /* what a relocation puts into a GOT slot */
	const char *name;  /* of the symbol, or NULL: */
	uint64_t resolver; /* IRELATIVE: virtual address of the function that chooses */
};

struct plt {
	const struct ptf_elf_file *file;
	const struct ptf_elf_ranges *known;
	struct ptf_hash_map slots; /* virtual address of a slot -> index into targets */
	PTF_VEC(struct target) targets;
	uint64_t got; /* what %ebx holds in stubs of i386 shared objects */
};

static bool is_irelative(const struct ptf_elf_file *file, const GElf_Rela *rela)
{
	return GELF_R_TYPE(rela->r_info) ==
	       (file->is_64 ? (uint32_t)R_X86_64_IRELATIVE : (uint32_t)R_386_IRELATIVE);
}

/* SHT_REL keeps the addend in the place that is relocated. */
static uint64_t addend_in_place(const struct ptf_elf_file *file, uint64_t vaddr)
{
	size_t size;
	const uint8_t *bytes = ptf_elf_file_bytes(file, vaddr, &size);
	uint32_t addend = 0;

	if (bytes && size >= sizeof(addend))
		memcpy(&addend, bytes, sizeof(addend));
	return addend;
}

static bool add_target(struct plt *plt, const GElf_Rela *rela, Elf_Data *symbols, size_t strings)
{
	struct target target = {.resolver = (uint64_t)rela->r_addend};
	uint64_t symbol = GELF_R_SYM(rela->r_info), *slot;
	GElf_Sym sym;

	if (symbol > 0 && symbols && symbol < INT32_MAX && gelf_getsym(symbols, (int)symbol, &sym))
		target.name = elf_strptr(plt->file->elf, strings, sym.st_name);
	if (!target.name && !is_irelative(plt->file, rela))
		return true;
	slot = ptf_hash_map_at(&plt->slots, rela->r_offset, NULL);
	if (!slot || !ptf_vec_push(&plt->targets, target))
		return false;
	*slot = plt->targets.n - 1;
	return true;
}

static bool read_relocations(struct plt *plt, Elf_Scn *scn, const GElf_Shdr *sh)
{
	bool with_addend = sh->sh_type == SHT_RELA;
	Elf_Type type = with_addend ? ELF_T_RELA : ELF_T_REL;
	size_t entry = gelf_fsize(plt->file->elf, type, 1, EV_CURRENT);
	Elf_Scn *symbols_scn = sh->sh_link ? elf_getscn(plt->file->elf, sh->sh_link) : NULL;
	Elf_Data *data = elf_getdata(scn, NULL), *symbols = NULL;
	GElf_Shdr symbols_sh = {0};

	if (symbols_scn && gelf_getshdr(symbols_scn, &symbols_sh) &&
	        (symbols_sh.sh_type == SHT_DYNSYM || symbols_sh.sh_type == SHT_SYMTAB))
		symbols = elf_getdata(symbols_scn, NULL);
	for (size_t i = 0; data && i < data->d_size / entry && i < INT32_MAX; i++) {
		GElf_Rela rela = {0};
		GElf_Rel rel;

		if (with_addend) {
			if (!gelf_getrela(data, (int)i, &rela))
				break;
		} else if (gelf_getrel(data, (int)i, &rel)) {
			rela.r_offset = rel.r_offset;
			rela.r_info = rel.r_info;
			rela.r_addend = (int64_t)addend_in_place(plt->file, rel.r_offset);
		} else {
			break;
		}
		if (!add_target(plt, &rela, symbols, symbols_sh.sh_link))
			return false;
	}
	return true;
}

/* Relocations of the running program are in allocated sections only. There cannot be more of them
 * than fit into the file, unless section headers lie over each other. */
static bool read_all_relocations(struct plt *plt)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(plt->file->elf, scn)))
		if (gelf_getshdr(scn, &sh) && (sh.sh_flags & SHF_ALLOC) &&
		        (sh.sh_type == SHT_RELA || sh.sh_type == SHT_REL) &&
		        plt->targets.n <= plt->file->size / sizeof(Elf32_Rel) &&
		        !read_relocations(plt, scn, &sh))
			return false;
	return true;
}

static void find_got(struct plt *plt)
{
	GElf_Shdr sh;

	/* The GOT proper comes first where the linker keeps no .got.plt (-z now). */
	if (ptf_elf_file_section(plt->file, ".got.plt", &sh) ||
	        ptf_elf_file_section(plt->file, ".got", &sh))
		plt->got = sh.sh_addr;
}

/* The slot that the jump at `at` goes through, if it is one: jmp *disp(%rip) of x86-64, jmp *abs
 * or jmp *disp(%ebx) of i386. */
static bool jump_slot(const struct plt *plt, const uint8_t *at, uint64_t vaddr, uint64_t *slot)
{
	int32_t value;

	memcpy(&value, at + 2, sizeof(value));
	if (at[0] != 0xff)
		return false;
	if (plt->file->is_64 && at[1] == 0x25)
		*slot = vaddr + 6 + (uint64_t)(int64_t)value;
	else if (!plt->file->is_64 && at[1] == 0x25)
		*slot = (uint32_t)value;
	else if (!plt->file->is_64 && at[1] == 0xa3)
		*slot = (uint32_t)(plt->got + (uint64_t)(int64_t)value);
	else
		return false;
	return true;
}

/* What the first jump through a known slot in bytes[0..size) goes to, and where it is; or NULL. */
static const struct target *find_jump(
        const struct plt *plt, const uint8_t *bytes, uint64_t vaddr, size_t size, size_t *at)
{
	for (size_t i = 0; i + JUMP_SIZE <= size; i++) {
		uint64_t slot;
		const uint64_t *index;

		if (!jump_slot(plt, bytes + i, vaddr + i, &slot))
			continue;
		index = ptf_hash_map_find(&plt->slots, slot);
		if (!index)
			continue;
		*at = i;
		return &plt->targets.v[*index];
	}
	return NULL;
}

/* Stubs are small where jumps follow each other at that distance: the section's entry size is
 * often not filled in. */
static size_t stub_size(
        const struct plt *plt, const GElf_Shdr *sh, const uint8_t *bytes, size_t size)
{
	size_t first, second, left;

	if (sh->sh_entsize == SMALL_STUB_SIZE || size <= SMALL_STUB_SIZE)
		return SMALL_STUB_SIZE;
	if (!find_jump(plt, bytes, sh->sh_addr, size, &first))
		return STUB_SIZE;
	left = size - first - JUMP_SIZE;
	if (!find_jump(plt, bytes + size - left, sh->sh_addr + size - left, left, &second))
		return STUB_SIZE;
	return second + JUMP_SIZE == SMALL_STUB_SIZE ? SMALL_STUB_SIZE : STUB_SIZE;
}

static const char *stub_name(
        const struct plt *plt, struct ptf_arena *arena, const struct target *target)
{
	const struct ptf_elf_range *range;
	const char *name = target->name;
	char number[32], *text;
	size_t plain, size;

	if (!name) {
		range = ptf_elf_range_before(
		        plt->known->list.v, plt->known->list.n, target->resolver);
		if (range && target->resolver < range->end)
			name = plt->known->functions.v[range->function].name;
	}
	if (!name) { /* as objdump has it */
		snprintf(number, sizeof(number), "*ABS*+0x%" PRIx64, target->resolver);
		name = number;
	}
	plain = strcspn(name, "@"); /* without a version */
	size = plain + sizeof("@plt");
	text = ptf_arena_alloc(arena, size);
	if (text)
		snprintf(text, size, "%.*s@plt", (int)plain, name);
	return text;
}

static bool add_stubs(const struct plt *plt, const GElf_Shdr *sh, struct ptf_elf_pieces *stubs)
{
	size_t size, step, jump;
	const uint8_t *bytes = ptf_elf_file_content(plt->file, sh, &size);
	size_t stub = bytes ? stub_size(plt, sh, bytes, size) : 0;

	for (size_t at = 0; bytes && at < size; at += step) {
		const struct target *target;
		struct ptf_elf_piece piece = {.start = sh->sh_addr + at};

		step = size - at < stub ? size - at : stub;
		target = find_jump(plt, bytes + at, piece.start, step, &jump);
		if (!target)
			continue;
		piece.end = piece.start + step;
		piece.name = stub_name(plt, &stubs->names, target);
		if (!piece.name || !ptf_vec_push(&stubs->list, piece))
			return false;
	}
	return true;
}

static bool read_sections(
        const struct plt *plt, struct ptf_elf_pieces *stubs, struct ptf_elf_pieces *rest)
{
	static const char *const names[] = {".plt", ".plt.sec", ".plt.bnd", ".plt.got", ".iplt"};
	GElf_Shdr sh;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!ptf_elf_file_section(plt->file, names[i], &sh) || !sh.sh_size ||
		        !(sh.sh_flags & SHF_EXECINSTR) || sh.sh_addr + sh.sh_size < sh.sh_addr)
			continue;
		if (!add_stubs(plt, &sh, stubs))
			return false;
		if (i == 0 && !ptf_vec_push(&rest->list, (struct ptf_elf_piece){.start = sh.sh_addr,
		                                                 .end = sh.sh_addr + sh.sh_size,
		                                                 .name = names[0]}))
			return false;
	}
	return true;
}

bool ptf_elf_plt_read(struct ptf_elf_pieces *stubs, struct ptf_elf_pieces *rest,
        const struct ptf_elf_file *file, const struct ptf_elf_ranges *known)
{
	struct plt plt = {.file = file, .known = known};
	bool ok = read_all_relocations(&plt);

	find_got(&plt);
	ok = ok && read_sections(&plt, stubs, rest);
	ptf_hash_map_release(&plt.slots);
	ptf_vec_release(&plt.targets);
	return ok;
}
