/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/jit_dump.h"

#include <elf.h>
#include <string.h>

#define MAGIC 0x4a695444u         /* "JiTD" in the byte order of the machine */
#define MAGIC_SWAPPED 0x4454694au /* of a machine of the other byte order */
#define FLAG_ARCH_TIMESTAMP 1u
#define HEADER_SIZE 40u
#define RECORD_HEADER_SIZE 16u

enum record_id { CODE_LOAD = 0, CODE_MOVE = 1, CODE_CLOSE = 3 };

bool ptf_jit_dump_is_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t digits;

	if (strncmp(base, "jit-", 4) != 0)
		return false;
	digits = strspn(base + 4, "0123456789");
	return digits > 0 && strcmp(base + 4 + digits, ".dump") == 0;
}

int ptf_jit_dump_init(
        struct ptf_jit_dump *dump, const uint8_t *bytes, size_t size, struct ptf_error *err)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	uint32_t magic = ptf_reader_u32(&r), version = ptf_reader_u32(&r);
	uint32_t header_size = ptf_reader_u32(&r), machine = ptf_reader_u32(&r);

	*dump = (struct ptf_jit_dump){0};
	ptf_reader_skip(&r, 4);
	dump->pid = ptf_reader_u32(&r);
	dump->made = ptf_reader_u64(&r);
	dump->tsc = ptf_reader_u64(&r) & FLAG_ARCH_TIMESTAMP;
	if (magic == MAGIC_SWAPPED)
		return ptf_error_set(err, PTF_EUNSUPPORTED, "written on a big-endian machine");
	if (r.failed || magic != MAGIC || header_size < HEADER_SIZE || header_size > size)
		return ptf_error_set_at(err, PTF_EFORMAT, 0, "not a jitdump");
	if (version != 1)
		return ptf_error_set(err, PTF_EUNSUPPORTED, "jitdump version %u", version);
	if (machine != EM_X86_64 && machine != EM_386)
		return ptf_error_set(err, PTF_EUNSUPPORTED, "code for another machine");
	r.pos = header_size;
	dump->reader = r;
	return 0;
}

/* size bytes at start do not reach beyond the end of the address space. */
static bool fits(uint64_t start, uint64_t size)
{
	return size <= UINT64_MAX - start;
}

/* Both take the body of a record; false when it is damaged. */
static bool read_load(struct ptf_reader *r, uint64_t body_offset, struct ptf_jit_event *event)
{
	const char *name;
	size_t len;

	event->kind = PTF_JIT_LOAD;
	ptf_reader_skip(r, 4 + 4 + 8); /* pid, tid, vma */
	event->start = ptf_reader_u64(r);
	event->size = ptf_reader_u64(r);
	ptf_reader_skip(r, 8); /* code index */
	name = (const char *)r->bytes + r->pos;
	len = strnlen(name, ptf_reader_left(r));
	ptf_reader_skip(r, len + 1);
	if (r->failed || event->size > ptf_reader_left(r))
		return false;
	event->name = name;
	event->file_offset = body_offset + r->pos;
	return fits(event->start, event->size);
}

static bool read_move(struct ptf_reader *r, struct ptf_jit_event *event)
{
	event->kind = PTF_JIT_MOVE;
	ptf_reader_skip(r, 4 + 4 + 8); /* pid, tid, vma */
	event->old_start = ptf_reader_u64(r);
	event->start = ptf_reader_u64(r);
	event->size = ptf_reader_u64(r);
	ptf_reader_skip(r, 8); /* code index */
	return !r->failed && fits(event->start, event->size);
}

int ptf_jit_dump_next(struct ptf_jit_dump *dump, struct ptf_jit_event *event, struct ptf_error *err)
{
	struct ptf_reader *r = &dump->reader;

	while (ptf_reader_left(r) > 0) {
		uint64_t offset = r->pos;
		uint32_t id = ptf_reader_u32(r), size = ptf_reader_u32(r);
		uint64_t time = ptf_reader_u64(r), body_offset = r->pos;
		struct ptf_reader body;
		bool good = true;

		if (r->failed || size < RECORD_HEADER_SIZE ||
		        size - RECORD_HEADER_SIZE > ptf_reader_left(r))
			return ptf_error_set_at(err, PTF_EFORMAT, offset, "a record is cut off");
		body = ptf_reader_make(r->bytes + r->pos, size - RECORD_HEADER_SIZE);
		r->pos += body.size;
		*event = (struct ptf_jit_event){.time = time};
		if (id == CODE_LOAD)
			good = read_load(&body, body_offset, event);
		else if (id == CODE_MOVE)
			good = read_move(&body, event);
		if (!good)
			return ptf_error_set_at(err, PTF_EFORMAT, offset, "a record is damaged");
		if (id == CODE_CLOSE)
			return 1;
		if (event->size > 0)
			return 0;
	}
	return 1;
}
