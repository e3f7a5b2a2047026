/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "pt/tests/random_program.h"

enum { CODE_OFFSET = 0x1000, MAX_SYMBOLS = 24 };

uint64_t ptf_random_next(struct ptf_random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* ---- instructions ---- */

struct shape {
	unsigned weight;
	uint8_t size, bytes[9];
	enum ptf_insn_class insn_class;
	bool direct, narrow, is_syscall;
};

static const struct shape shapes[] = {
        {14, 1, {0x90}, PTF_INSN_OTHER, false, false, false},
        {10, 3, {0x48, 0x89, 0xc3}, PTF_INSN_OTHER, false, false, false},
        {5, 5, {0xb8, 1, 2, 3, 4}, PTF_INSN_OTHER, false, false, false},
        {3, 9, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, PTF_INSN_OTHER, false, false, false},
        {2, 2, {0xf3, 0xa4}, PTF_INSN_OTHER, false, false, false},
        {12, 2, {0x74}, PTF_INSN_COND_JUMP, true, true, false},
        {10, 6, {0x0f, 0x85}, PTF_INSN_COND_JUMP, true, false, false},
        {2, 2, {0xe2}, PTF_INSN_COND_JUMP, true, true, false},
        {3, 2, {0xeb}, PTF_INSN_JUMP, true, true, false},
        {4, 5, {0xe9}, PTF_INSN_JUMP, true, false, false},
        {9, 5, {0xe8}, PTF_INSN_CALL, true, false, false},
        {4, 2, {0xff, 0xd0}, PTF_INSN_CALL, false, false, false},
        {2, 6, {0xff, 0x15, 0, 0, 0, 0}, PTF_INSN_CALL, false, false, false},
        {4, 2, {0xff, 0xe0}, PTF_INSN_JUMP, false, false, false},
        {9, 1, {0xc3}, PTF_INSN_RETURN, false, false, false},
        {2, 3, {0xc2, 8, 0}, PTF_INSN_RETURN, false, false, false},
        {2, 2, {0xf3, 0xc3}, PTF_INSN_RETURN, false, false, false},
        {3, 2, {0x0f, 0x05}, PTF_INSN_FAR_CALL, false, false, true},
        {1, 1, {0xcc}, PTF_INSN_FAR_CALL, false, false, false},
        {1, 2, {0x48, 0xcf}, PTF_INSN_FAR_RETURN, false, false, false},
        {3, 4, {0xf3, 0x0f, 0xae, 0xe0}, PTF_INSN_PTWRITE, false, false, false},
};

static const struct shape *random_shape(struct ptf_random *random)
{
	unsigned total = 0;
	size_t at;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		total += shapes[i].weight;
	at = ptf_random_below(random, total);
	for (size_t i = 0;; i++) {
		if (at < shapes[i].weight)
			return &shapes[i];
		at -= shapes[i].weight;
	}
}

/* An instruction that a narrow displacement from insn reaches, any for a wide one. */
static size_t random_target(
        const struct ptf_random_program *program, size_t from, struct ptf_random *random)
{
	const struct ptf_random_insn *insn = &program->insns[from];

	for (;;) {
		size_t to = ptf_random_below(random, program->n);
		int64_t distance =
		        (int64_t)(program->insns[to].ip - insn->ip) - (int64_t)insn->size;

		if (!insn->narrow || (distance >= -128 && distance <= 127))
			return to;
	}
}

static void set_displacement(const struct ptf_random_program *program, struct ptf_random_insn *insn)
{
	unsigned width = insn->narrow ? 1 : 4;
	int32_t distance = (int32_t)(program->insns[insn->target].ip - insn->ip - insn->size);

	memcpy(insn->bytes + insn->size - width, &distance, width);
}

static void make_insns(struct ptf_random_program *program, struct ptf_random *random)
{
	uint64_t ip = PTF_RANDOM_BASE + CODE_OFFSET;

	program->n = 40 + ptf_random_below(random, PTF_RANDOM_MAX_INSNS - 40);
	for (size_t i = 0; i < program->n; i++) {
		struct ptf_random_insn *insn = &program->insns[i];
		const struct shape *shape = random_shape(random);

		/* The last one leads back: nothing runs out of the code. */
		if (i + 1 == program->n)
			shape = &shapes[9];
		*insn = (struct ptf_random_insn){.ip = ip,
		        .size = shape->size,
		        .insn_class = shape->insn_class,
		        .direct = shape->direct,
		        .narrow = shape->narrow,
		        .is_syscall = shape->is_syscall};
		memcpy(insn->bytes, shape->bytes, shape->size);
		ip += insn->size;
	}
	for (size_t i = 0; i < program->n; i++) {
		struct ptf_random_insn *insn = &program->insns[i];

		if (!insn->direct)
			continue;
		/* A call of the next instruction is no call to the hardware. */
		insn->target = insn->insn_class == PTF_INSN_CALL && ptf_random_one_in(random, 12) &&
		                               i + 1 < program->n
		                       ? i + 1
		                       : random_target(program, i, random);
		set_displacement(program, insn);
	}
}

/* ---- the ELF file ---- */

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	Elf64_Shdr sections[5]; /* null, .text, .symtab, .strtab, .shstrtab */
	Elf64_Sym symbols[MAX_SYMBOLS];
	char names[MAX_SYMBOLS * 8];
	char section_names[64];
};

/* Functions of random sizes, some code between them without any. */
static size_t make_symbols(
        struct image *image, const struct ptf_random_program *program, struct ptf_random *random)
{
	size_t n = 1, at = 0;

	while (at < program->n && n < MAX_SYMBOLS) {
		size_t length = 1 + ptf_random_below(random, 14), end = at + length;
		Elf64_Sym *symbol = &image->symbols[n];

		if (end > program->n)
			end = program->n;
		if (!ptf_random_one_in(random, 5)) {
			const struct ptf_random_insn *last = &program->insns[end - 1];

			snprintf(image->names + n * 8, 8, "f%zu", n);
			symbol->st_name = (Elf64_Word)(n * 8);
			symbol->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
			symbol->st_shndx = 1;
			symbol->st_value = program->insns[at].ip;
			symbol->st_size = last->ip + last->size - program->insns[at].ip;
			n++;
		}
		at = end;
	}
	return n;
}

static void fill_image(struct image *image, const struct ptf_random_program *program, size_t n)
{
	static const char names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
	const struct ptf_random_insn *last = &program->insns[program->n - 1];
	uint64_t code_size = last->ip + last->size - program->insns[0].ip;

	memcpy(image->section_names, names, sizeof(names));
	image->ehdr = (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
	                                   ELFDATA2LSB, EV_CURRENT},
	        .e_type = ET_EXEC,
	        .e_machine = EM_X86_64,
	        .e_version = EV_CURRENT,
	        .e_phoff = offsetof(struct image, phdr),
	        .e_shoff = offsetof(struct image, sections),
	        .e_ehsize = sizeof(Elf64_Ehdr),
	        .e_phentsize = sizeof(Elf64_Phdr),
	        .e_phnum = 1,
	        .e_shentsize = sizeof(Elf64_Shdr),
	        .e_shnum = 5,
	        .e_shstrndx = 4};
	image->phdr = (Elf64_Phdr){.p_type = PT_LOAD,
	        .p_flags = PF_R | PF_X,
	        .p_vaddr = PTF_RANDOM_BASE,
	        .p_filesz = program->file_size,
	        .p_memsz = program->file_size,
	        .p_align = 0x1000};
	image->sections[1] = (Elf64_Shdr){.sh_name = 1,
	        .sh_type = SHT_PROGBITS,
	        .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
	        .sh_addr = program->insns[0].ip,
	        .sh_offset = CODE_OFFSET,
	        .sh_size = code_size};
	image->sections[2] = (Elf64_Shdr){.sh_name = 7,
	        .sh_type = SHT_SYMTAB,
	        .sh_offset = offsetof(struct image, symbols),
	        .sh_size = n * sizeof(Elf64_Sym),
	        .sh_link = 3,
	        .sh_info = 1,
	        .sh_entsize = sizeof(Elf64_Sym)};
	image->sections[3] = (Elf64_Shdr){.sh_name = 15,
	        .sh_type = SHT_STRTAB,
	        .sh_offset = offsetof(struct image, names),
	        .sh_size = sizeof(image->names)};
	image->sections[4] = (Elf64_Shdr){.sh_name = 23,
	        .sh_type = SHT_STRTAB,
	        .sh_offset = offsetof(struct image, section_names),
	        .sh_size = sizeof(image->section_names)};
}

static bool write_file(
        const struct ptf_random_program *program, const struct image *image, const char *path)
{
	static const char zeros[CODE_OFFSET];
	FILE *file = fopen(path, "wb");
	bool ok;

	if (!file)
		return false;
	ok = fwrite(image, sizeof(*image), 1, file) == 1 &&
	     fwrite(zeros, CODE_OFFSET - sizeof(*image), 1, file) == 1;
	for (size_t i = 0; i < program->n && ok; i++)
		ok = fwrite(program->insns[i].bytes, program->insns[i].size, 1, file) == 1;
	return fclose(file) == 0 && ok;
}

bool ptf_random_program_make(
        struct ptf_random_program *program, struct ptf_random *random, const char *path)
{
	struct image image = {0};
	const struct ptf_random_insn *last;
	size_t n;

	_Static_assert(sizeof(image) < CODE_OFFSET, "the headers fit before the code");
	*program = (struct ptf_random_program){0};
	make_insns(program, random);
	last = &program->insns[program->n - 1];
	program->file_size = last->ip + last->size - PTF_RANDOM_BASE;
	n = make_symbols(&image, program, random);
	fill_image(&image, program, n);
	return write_file(program, &image, path);
}
