/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_file.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void read_segments(struct ptf_elf_file *file)
{
	size_t n, i;
	GElf_Phdr ph;

	/* libelf has checked that so many headers fit into the file, which bounds the array. */
	if (elf_getphdrnum(file->elf, &n) != 0 || n > file->size / sizeof(Elf32_Phdr))
		return;
	file->segments = calloc(n ? n : 1, sizeof(*file->segments));
	for (i = 0; file->segments && i < n; i++) {
		if (!gelf_getphdr(file->elf, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		if (ph.p_offset > file->size || ph.p_vaddr + ph.p_filesz < ph.p_vaddr)
			continue;
		file->segments[file->n_segments++] = (struct ptf_elf_segment){
		        .offset = ph.p_offset,
		        .vaddr = ph.p_vaddr,
		        .filesz = ph.p_filesz < file->size - ph.p_offset ? ph.p_filesz
		                                                         : file->size - ph.p_offset,
		        .exec = ph.p_flags & PF_X,
		};
	}
}

/* Looks for the GNU build-id among notes; true when found. */
static bool find_build_id(struct ptf_elf_file *file, Elf_Data *data)
{
	size_t at = 0, name, desc;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name, &desc)) > 0) {
		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof("GNU") ||
		        memcmp((char *)data->d_buf + name, "GNU", sizeof("GNU")) != 0)
			continue;
		if (note.n_descsz == 0 || note.n_descsz > PTF_BUILD_ID_MAX)
			continue;
		memcpy(file->build_id, (char *)data->d_buf + desc, note.n_descsz);
		file->build_id_size = note.n_descsz;
		return true;
	}
	return false;
}

/* Program headers survive stripping, but debug files have their notes in sections only. */
static void read_build_id(struct ptf_elf_file *file)
{
	Elf_Scn *scn = NULL;
	GElf_Phdr ph;
	GElf_Shdr sh;
	size_t n = 0;

	elf_getphdrnum(file->elf, &n);
	for (size_t i = 0; i < n && gelf_getphdr(file->elf, (int)i, &ph); i++) {
		if (ph.p_type != PT_NOTE || ph.p_offset > file->size ||
		        ph.p_filesz > file->size - ph.p_offset)
			continue;
		if (find_build_id(
		            file, elf_getdata_rawchunk(file->elf, (int64_t)ph.p_offset, ph.p_filesz,
		                          ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR)))
			return;
	}
	while ((scn = elf_nextscn(file->elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_NOTE &&
		        find_build_id(file, elf_getdata(scn, NULL)))
			return;
}

int ptf_elf_file_init(
        struct ptf_elf_file *file, const uint8_t *bytes, size_t size, struct ptf_error *err)
{
	GElf_Ehdr eh;

	*file = (struct ptf_elf_file){.bytes = bytes, .size = size};
	elf_version(EV_CURRENT);
	if (size < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return ptf_error_set(err, PTF_EFORMAT, "not an ELF file");
	/* The image is never written to: elf_memory reads it as ELF_C_READ does. */
	file->elf = elf_memory((char *)(uintptr_t)bytes, size);
	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF || !gelf_getehdr(file->elf, &eh)) {
		ptf_elf_file_release(file);
		return ptf_error_set(err, PTF_EFORMAT, "broken ELF header");
	}
	if (eh.e_machine != EM_X86_64 && eh.e_machine != EM_386) {
		ptf_elf_file_release(file);
		return ptf_error_set(err, PTF_EUNSUPPORTED, "ELF file of machine %u, not x86",
		        (unsigned)eh.e_machine);
	}
	file->is_64 = gelf_getclass(file->elf) == ELFCLASS64;
	read_segments(file);
	if (!file->segments) {
		ptf_elf_file_release(file);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	read_build_id(file);
	return 0;
}

void ptf_elf_file_release(struct ptf_elf_file *file)
{
	free(file->segments);
	elf_end(file->elf);
	*file = (struct ptf_elf_file){0};
}

/* Does the segment, grown by `slack` bytes to whole pages at both ends, have the file offset? */
static bool has_offset(const struct ptf_elf_segment *segment, uint64_t offset, bool pages)
{
	uint64_t start = segment->offset, end = segment->offset + segment->filesz;

	if (pages) {
		start -= start % PAGE;
		end += (PAGE - end % PAGE) % PAGE;
	}
	return offset >= start && offset < end;
}

bool ptf_elf_file_has_build_id(const struct ptf_elf_file *file, const uint8_t *id, size_t size)
{
	if (file->build_id_size == 0 || file->build_id_size > size ||
	        memcmp(id, file->build_id, file->build_id_size) != 0)
		return false;
	for (size_t i = file->build_id_size; i < size; i++)
		if (id[i])
			return false;
	return true;
}

bool ptf_elf_file_vaddr(const struct ptf_elf_file *file, uint64_t offset, uint64_t *out)
{
	/* exactly and executable, in its page and executable, exactly, in its page */
	for (int pass = 0; pass < 4; pass++)
		for (size_t i = 0; i < file->n_segments; i++) {
			const struct ptf_elf_segment *segment = &file->segments[i];

			if (pass < 2 && !segment->exec)
				continue;
			if (!has_offset(segment, offset, pass & 1))
				continue;
			*out = segment->vaddr + (offset - segment->offset);
			return true;
		}
	return false;
}

bool ptf_elf_file_offset(const struct ptf_elf_file *file, uint64_t vaddr, uint64_t *out)
{
	for (size_t i = 0; i < file->n_segments; i++) {
		const struct ptf_elf_segment *segment = &file->segments[i];

		if (vaddr < segment->vaddr || vaddr - segment->vaddr >= segment->filesz)
			continue;
		*out = segment->offset + (vaddr - segment->vaddr);
		return true;
	}
	return false;
}

const uint8_t *ptf_elf_file_bytes(const struct ptf_elf_file *file, uint64_t vaddr, size_t *size)
{
	for (size_t i = 0; i < file->n_segments; i++) {
		const struct ptf_elf_segment *segment = &file->segments[i];
		uint64_t at = vaddr - segment->vaddr;

		if (vaddr < segment->vaddr || at >= segment->filesz)
			continue;
		*size = segment->filesz - at;
		return file->bytes + segment->offset + at;
	}
	return NULL;
}

Elf_Scn *ptf_elf_file_section(const struct ptf_elf_file *file, const char *name, GElf_Shdr *header)
{
	Elf_Scn *scn = NULL;
	const char *its_name;
	size_t names;

	if (elf_getshdrstrndx(file->elf, &names) != 0)
		return NULL;
	while ((scn = elf_nextscn(file->elf, scn))) {
		if (!gelf_getshdr(scn, header))
			continue;
		its_name = elf_strptr(file->elf, names, header->sh_name);
		if (its_name && strcmp(its_name, name) == 0)
			return scn;
	}
	return NULL;
}

Elf_Scn *ptf_elf_file_section_of_type(
        const struct ptf_elf_file *file, uint32_t type, GElf_Shdr *header)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(file->elf, scn)))
		if (gelf_getshdr(scn, header) && header->sh_type == type)
			return scn;
	return NULL;
}

const uint8_t *ptf_elf_file_content(
        const struct ptf_elf_file *file, const GElf_Shdr *header, size_t *size)
{
	if (header->sh_type == SHT_NOBITS || header->sh_offset > file->size ||
	        header->sh_size > file->size - header->sh_offset)
		return NULL;
	*size = header->sh_size;
	return file->bytes + header->sh_offset;
}
