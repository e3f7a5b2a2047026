/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One x86 ELF file in memory: where its segments lie, its build-id and its sections.
 *
 * Everything works without section headers too, as far as program headers can tell. Source of
 * the layouts: System V ABI, "ELF"; libelf reads them.
 */
#ifndef PTF_ELF_FILE_H
#define PTF_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gelf.h>

#include <ptflame/error.h>

#define PTF_BUILD_ID_MAX 64u /* bytes; longer ones are taken for damage */

struct ptf_elf_segment { /* a PT_LOAD */
	uint64_t offset; /* in the file, bytes */
	uint64_t vaddr;  /* ELF virtual address of `offset` */
	uint64_t filesz; /* bytes in the file */
	bool exec;       /* PF_X */
};

struct ptf_elf_file {
	const uint8_t *bytes; /* borrowed */
	size_t size;          /* bytes */
	Elf *elf;             /* owned; libelf keeps state in it, so one thread at a time */
	bool is_64;           /* ELFCLASS64, else ELFCLASS32 */
	struct ptf_elf_segment *segments; /* owned, in the order of the program headers */
	size_t n_segments;
	uint8_t build_id[PTF_BUILD_ID_MAX];
	size_t build_id_size; /* bytes, 0: none */
};

/* bytes must outlive the file and be aligned to 8. Errors: PTF_EFORMAT when it is no ELF file,
 * PTF_EUNSUPPORTED when it is not for x86, PTF_ENOMEM. */
int ptf_elf_file_init(
        struct ptf_elf_file *file, const uint8_t *bytes, size_t size, struct ptf_error *err);
void ptf_elf_file_release(struct ptf_elf_file *file);

/* Has the file this build-id, which may be padded with zeros as perf does it to 20 bytes? */
bool ptf_elf_file_has_build_id(const struct ptf_elf_file *file, const uint8_t *id, size_t size);

/* The ELF virtual address of a file offset, and back. Where segments share a page of the file,
 * executable ones go first; a segment is taken to begin and end with a page, as it is mapped.
 * false: no segment has it, *out is untouched. */
bool ptf_elf_file_vaddr(const struct ptf_elf_file *file, uint64_t offset, uint64_t *out);
bool ptf_elf_file_offset(const struct ptf_elf_file *file, uint64_t vaddr, uint64_t *out);

/* The file's bytes from vaddr to the end of its segment, *size of them; NULL when it has none. */
const uint8_t *ptf_elf_file_bytes(const struct ptf_elf_file *file, uint64_t vaddr, size_t *size);

/* The first section of that name, or NULL; *header is filled in. */
Elf_Scn *ptf_elf_file_section(const struct ptf_elf_file *file, const char *name, GElf_Shdr *header);

/* The first section of that type (SHT_SYMTAB, ...), or NULL. */
Elf_Scn *ptf_elf_file_section_of_type(
        const struct ptf_elf_file *file, uint32_t type, GElf_Shdr *header);

/* The content of a section as it lies in the file, *size bytes; NULL when it has none there
 * (SHT_NOBITS, beyond the end of the file). */
const uint8_t *ptf_elf_file_content(
        const struct ptf_elf_file *file, const GElf_Shdr *header, size_t *size);

#endif
