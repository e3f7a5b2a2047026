/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_fde.h"

#include <string.h>

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "base/hash_map.h"
#include "base/reader.h"

#define ENCODING_UNKNOWN DW_EH_PE_omit

/* What FDEs need to know of their CIE. */
#define CIE_ENCODING 0xffu   /* DW_EH_PE_* of addresses */
#define CIE_SIZED (1u << 8)  /* FDEs tell the size of their augmentation data */
#define CIE_SIGNAL (1u << 9) /* of signal handlers' callers */

struct eh_frame {
	const struct ptf_elf_file *file;
	const uint8_t *bytes;     /* of the section */
	size_t size;              /* bytes */
	uint64_t vaddr;           /* of bytes[0] */
	struct ptf_hash_map cies; /* offset of a CIE -> what FDEs need of it, as bits below */
};

/* A number in format `encoding` (its low four bits), sign-extended where it has a sign. */
static uint64_t read_number(struct ptf_reader *r, uint8_t encoding, bool is_64)
{
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
		return is_64 ? ptf_reader_u64(r) : ptf_reader_u32(r);
	case DW_EH_PE_udata2:
		return ptf_reader_u16(r);
	case DW_EH_PE_udata4:
		return ptf_reader_u32(r);
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return ptf_reader_u64(r);
	case DW_EH_PE_sdata2:
		return (uint64_t)(int64_t)(int16_t)ptf_reader_u16(r);
	case DW_EH_PE_sdata4:
		return (uint64_t)(int64_t)(int32_t)ptf_reader_u32(r);
	default: /* LEB128: no compiler writes addresses so */
		r->failed = true;
		return 0;
	}
}

/* An encoded pointer, whose first byte has address `vaddr`. */
static uint64_t read_pointer(struct ptf_reader *r, uint8_t encoding, bool is_64, uint64_t vaddr)
{
	uint64_t at = vaddr + r->pos, value = read_number(r, encoding, is_64);

	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		break;
	case DW_EH_PE_pcrel:
		value += at;
		break;
	default: /* relative to a base that a plain file does not have */
		r->failed = true;
	}
	if (encoding & DW_EH_PE_indirect)
		r->failed = true;
	return is_64 ? value : (uint32_t)value;
}

/* The 'R' of a CIE's augmentation, in the data that its string describes. */
static uint8_t cie_encoding(const struct eh_frame *eh, const Dwarf_CIE *cie)
{
	const uint8_t *data = cie->augmentation_data;
	const char *letter = cie->augmentation;
	struct ptf_reader r;

	if (*letter++ != 'z')
		return DW_EH_PE_absptr;
	/* libdw does not promise the size to be right for strings that it does not know. */
	if (!data || cie->augmentation_data_size > (size_t)(eh->bytes + eh->size - data))
		return ENCODING_UNKNOWN;
	r = ptf_reader_make(data, cie->augmentation_data_size);
	for (; *letter && !r.failed; letter++) {
		uint8_t encoding;

		switch (*letter) {
		case 'R':
			encoding = ptf_reader_u8(&r);
			return r.failed ? ENCODING_UNKNOWN : encoding;
		case 'L':
			ptf_reader_u8(&r);
			break;
		case 'P':
			encoding = ptf_reader_u8(&r);
			read_number(&r, encoding, eh->file->is_64);
			break;
		case 'S':
		case 'B':
			break;
		default:
			return ENCODING_UNKNOWN;
		}
	}
	return r.failed ? ENCODING_UNKNOWN : DW_EH_PE_absptr;
}

static uint64_t describe_cie(const struct eh_frame *eh, const Dwarf_CIE *cie)
{
	uint64_t bits = cie_encoding(eh, cie);

	if (cie->augmentation[0] == 'z')
		bits |= CIE_SIZED;
	if (strchr(cie->augmentation, 'S'))
		bits |= CIE_SIGNAL;
	return bits;
}

static uint64_t read_uleb128(struct ptf_reader *r)
{
	uint64_t value = 0;
	uint8_t byte = 0x80;

	for (unsigned shift = 0; (byte & 0x80) && shift < 63 && !r->failed; shift += 7) {
		byte = ptf_reader_u8(r);
		value |= (uint64_t)(byte & 0x7f) << shift;
	}
	return value;
}

/* Do the instructions, before the first that moves on in the code, give the frame another address
 * than it has where a function is entered? */
static bool has_frame_at_start(struct ptf_reader *r)
{
	while (!r->failed && ptf_reader_left(r) > 0) {
		uint8_t opcode = ptf_reader_u8(r);

		switch (opcode) {
		case DW_CFA_def_cfa:
		case DW_CFA_def_cfa_register:
		case DW_CFA_def_cfa_offset:
		case DW_CFA_def_cfa_expression:
			return true;
		case DW_CFA_nop:
		case DW_CFA_remember_state:
			break;
		default:
			if ((opcode & 0xc0) != DW_CFA_offset)
				return false;
			read_uleb128(r);
		}
	}
	return false;
}

/* Appends the range of an FDE; false when out of memory. */
static bool add_fde(struct ptf_elf_pieces *pieces, const struct eh_frame *eh, const Dwarf_FDE *fde)
{
	const uint64_t *cie = ptf_hash_map_find(&eh->cies, fde->CIE_pointer);
	struct ptf_reader r = ptf_reader_make(eh->bytes, (size_t)(fde->end - eh->bytes));
	struct ptf_elf_piece piece = {0};
	uint8_t encoding = cie ? *cie & CIE_ENCODING : ENCODING_UNKNOWN;
	uint64_t offset;

	if (encoding == ENCODING_UNKNOWN)
		return true;
	r.pos = (size_t)(fde->start - eh->bytes);
	piece.start = read_pointer(&r, encoding, eh->file->is_64, eh->vaddr);
	/* The length has the format of the pointer, without its base. */
	piece.end = piece.start + read_number(&r, encoding & 0x07, eh->file->is_64);
	if (r.failed || piece.start >= piece.end ||
	        !ptf_elf_file_offset(eh->file, piece.start, &offset))
		return true;
	if (*cie & CIE_SIZED)
		ptf_reader_skip(&r, read_uleb128(&r));
	piece.part = !(*cie & CIE_SIGNAL) && has_frame_at_start(&r);
	return ptf_vec_push(&pieces->list, piece);
}

/* The section as program headers describe it: .eh_frame_hdr points to its beginning. */
static bool find_by_segment(struct eh_frame *eh)
{
	size_t n = 0, size;
	const uint8_t *bytes = NULL;
	GElf_Phdr ph = {0};
	struct ptf_reader r;
	uint8_t encoding;

	elf_getphdrnum(eh->file->elf, &n);
	for (size_t i = 0; !bytes && i < n && gelf_getphdr(eh->file->elf, (int)i, &ph); i++)
		if (ph.p_type == PT_GNU_EH_FRAME)
			bytes = ptf_elf_file_bytes(eh->file, ph.p_vaddr, &size);
	if (!bytes)
		return false;
	r = ptf_reader_make(bytes, size);
	ptf_reader_skip(&r, 1); /* version */
	encoding = ptf_reader_u8(&r);
	ptf_reader_skip(&r, 2); /* encodings of the table */
	eh->vaddr = read_pointer(&r, encoding, eh->file->is_64, ph.p_vaddr);
	eh->bytes = r.failed ? NULL : ptf_elf_file_bytes(eh->file, eh->vaddr, &eh->size);
	return eh->bytes;
}

static bool find_section(struct eh_frame *eh)
{
	GElf_Shdr sh;

	if (!ptf_elf_file_section(eh->file, ".eh_frame", &sh))
		return find_by_segment(eh);
	eh->vaddr = sh.sh_addr;
	eh->bytes = ptf_elf_file_content(eh->file, &sh, &eh->size);
	return eh->bytes;
}

bool ptf_elf_fde_read(struct ptf_elf_pieces *pieces, const struct ptf_elf_file *file)
{
	struct eh_frame eh = {.file = file};
	Dwarf_Off at = 0, next;
	Dwarf_CFI_Entry entry;
	Elf_Data data = {0};
	bool ok = true;
	int rc;

	if (!find_section(&eh))
		return true;
	data.d_buf = (void *)(uintptr_t)eh.bytes; /* only read */
	data.d_size = eh.size;
	data.d_version = EV_CURRENT;
	while (ok) {
		rc = dwarf_next_cfi(file->bytes, &data, true, at, &next, &entry);
		/* After a damaged entry (-1) libdw goes on behind it if it can tell where that is.
		 */
		if (rc > 0 || (rc < 0 && next <= at) || next == (Dwarf_Off)-1)
			break;
		if (rc == 0 && dwarf_cfi_cie_p(&entry)) {
			uint64_t *slot = ptf_hash_map_at(&eh.cies, at, NULL);

			ok = slot;
			if (slot)
				*slot = describe_cie(&eh, &entry.cie);
		} else if (rc == 0) {
			ok = add_fde(pieces, &eh, &entry.fde);
		}
		at = next;
	}
	ptf_hash_map_release(&eh.cies);
	return ok;
}
