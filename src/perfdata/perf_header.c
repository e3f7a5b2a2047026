/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/perf_event.h>
#include <string.h>

#include "perfdata/perf_header.h"

enum {
	ATTR_SIZE_MIN = 64,   /* PERF_ATTR_SIZE_VER0 */
	ATTR_SIZE_MAX = 4096, /* the kernel's own limit: a page */
	FEATURE_BITS = 256,
	MISC_BUILD_ID_SIZE = 1 << 15,
	EVENT_UPDATE_NAME = 2, /* PERF_EVENT_UPDATE__NAME */
};

void ptf_perf_header_release(struct ptf_perf_header *header)
{
	ptf_vec_release(&header->attrs);
	ptf_vec_release(&header->build_ids);
	ptf_hash_map_release(&header->attr_of_id);
	ptf_arena_release(&header->arena);
	*header = (struct ptf_perf_header){0};
}

static void publish(struct ptf_perf_header *header)
{
	header->info.attrs = header->attrs.v;
	header->info.n_attrs = header->attrs.n;
	header->info.build_ids = header->build_ids.v;
	header->info.n_build_ids = header->build_ids.n;
}

/* ---- attributes ---- */

/* The fields that decoding needs; r covers attr.size bytes. */
static void parse_attr(struct ptf_reader *r, struct ptf_perf_attr *attr)
{
	uint64_t flags;

	attr->type = ptf_reader_u32(r);
	ptf_reader_u32(r); /* size */
	attr->config = ptf_reader_u64(r);
	ptf_reader_u64(r); /* sample_period */
	attr->sample_type = ptf_reader_u64(r);
	attr->read_format = ptf_reader_u64(r);
	flags = ptf_reader_u64(r);
	attr->exclude_user = flags >> 4 & 1;
	attr->exclude_kernel = flags >> 5 & 1;
	attr->sample_id_all = flags >> 18 & 1;
	attr->use_clockid = flags >> 25 & 1;
	attr->context_switch = flags >> 26 & 1;
	/* offset 92: behind wakeup, bp_type, config1, config2, branch_sample_type, regs_user,
	 * sample_stack_user; attributes before version 3 end earlier */
	if (r->size >= 96) {
		struct ptf_reader at = *r;

		at.pos = 92;
		attr->clockid = (int32_t)ptf_reader_u32(&at);
	}
}

static int add_attr(
        struct ptf_perf_header *header, struct ptf_perf_attr attr, struct ptf_reader *ids)
{
	size_t n = ptf_reader_left(ids) / sizeof(uint64_t);
	uint64_t *copy = ptf_arena_alloc(&header->arena, n * sizeof(*copy) + 1);

	if (!copy)
		return -PTF_ENOMEM;
	header->n_ids += n;
	for (size_t i = 0; i < n; i++) {
		uint64_t *at;

		copy[i] = ptf_reader_u64(ids);
		at = ptf_hash_map_at(&header->attr_of_id, copy[i], NULL);
		if (!at)
			return -PTF_ENOMEM;
		*at = header->attrs.n;
	}
	attr.ids = copy;
	attr.n_ids = n;
	if (!ptf_vec_push(&header->attrs, attr))
		return -PTF_ENOMEM;
	publish(header);
	return 0;
}

const struct ptf_perf_attr *ptf_perf_header_attr(const struct ptf_perf_header *header, uint64_t id)
{
	uint64_t *at = ptf_hash_map_find(&header->attr_of_id, id);

	if (at)
		return &header->attrs.v[*at];
	return header->attrs.n ? &header->attrs.v[0] : NULL;
}

int ptf_perf_header_attr_record(struct ptf_perf_header *header, struct ptf_reader *body)
{
	struct ptf_reader peek = *body, r, ids;
	struct ptf_perf_attr attr = {0};
	uint32_t size;

	ptf_reader_u32(&peek);
	size = ptf_reader_u32(&peek);
	if (size < ATTR_SIZE_MIN)
		size = ATTR_SIZE_MIN;
	if (peek.failed || size > ptf_reader_left(body))
		return -PTF_EFORMAT;
	r = ptf_reader_make(ptf_reader_bytes(body, size), size);
	parse_attr(&r, &attr);
	ids = ptf_reader_make(body->bytes + body->pos, ptf_reader_left(body));
	return r.failed ? -PTF_EFORMAT : add_attr(header, attr, &ids);
}

/* [offset, offset + size) of the file, or false when it lies outside. */
static bool section(
        const uint8_t *bytes, size_t size, uint64_t offset, uint64_t length, struct ptf_reader *out)
{
	if (offset > size || length > size - offset)
		return false;
	*out = ptf_reader_make(bytes + offset, (size_t)length);
	return true;
}

static int parse_attrs(struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        uint64_t attr_size, struct ptf_reader *attrs, uint64_t offset, const char *path,
        struct ptf_error *err)
{
	if (attr_size < ATTR_SIZE_MIN + 16 || attr_size > ATTR_SIZE_MAX)
		return ptf_error_set_at(err, PTF_EFORMAT, 16,
		        "%s: attributes of %llu bytes cannot be", path,
		        (unsigned long long)attr_size);
	while (ptf_reader_left(attrs) >= attr_size) {
		struct ptf_reader r =
		        ptf_reader_make(attrs->bytes + attrs->pos, (size_t)attr_size - 16);
		struct ptf_perf_attr attr = {0};
		uint64_t ids_offset, ids_size;
		struct ptf_reader ids;

		parse_attr(&r, &attr);
		ptf_reader_skip(attrs, (size_t)attr_size - 16);
		ids_offset = ptf_reader_u64(attrs);
		ids_size = ptf_reader_u64(attrs);
		if (!section(bytes, size, ids_offset, ids_size, &ids))
			return ptf_error_set_at(err, PTF_EFORMAT, offset + attrs->pos - 16,
			        "%s: the ids of an event lie outside of the file", path);
		/* Overlapping lists, one for each event, would multiply a small file. */
		if (ids_size / sizeof(uint64_t) > size / sizeof(uint64_t) - header->n_ids)
			return ptf_error_set_at(err, PTF_EFORMAT, offset + attrs->pos - 16,
			        "%s: more event ids than the file has room for", path);
		if (add_attr(header, attr, &ids) < 0)
			return ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", path);
	}
	return 0;
}

/* ---- features ---- */

static const char *take_string(struct ptf_perf_header *header, struct ptf_reader *r)
{
	uint32_t field = ptf_reader_u32(r);
	size_t len;
	const char *text = ptf_reader_string(r, field, &len);

	return text ? ptf_arena_strndup(&header->arena, text, len) : NULL;
}

/* argc strings, joined by blanks. */
static const char *take_cmdline(struct ptf_perf_header *header, struct ptf_reader *r)
{
	uint32_t argc = ptf_reader_u32(r);
	size_t size = ptf_reader_left(r) + argc / 4 + 1, used = 0;
	char *line;

	if (argc > ptf_reader_left(r) / 4)
		return NULL;
	line = ptf_arena_alloc(&header->arena, size + argc);
	for (uint32_t i = 0; line && i < argc; i++) {
		uint32_t field = ptf_reader_u32(r);
		size_t len;
		const char *arg = ptf_reader_string(r, field, &len);

		if (!arg)
			break;
		if (i)
			line[used++] = ' ';
		memcpy(line + used, arg, len);
		used += len;
	}
	return line;
}

static void name_event(struct ptf_perf_attr *attr, const char *name)
{
	if (!attr->name)
		attr->name = name;
}

/* Names for the attributes, matched by their ids; events without ids stand in the same order. A
 * pipe may have them before the attributes. */
void ptf_perf_header_finish(struct ptf_perf_header *header)
{
	struct ptf_reader r = ptf_reader_make(header->event_desc, header->event_desc_size);
	uint32_t n, size;

	if (!header->event_desc)
		return;
	n = ptf_reader_u32(&r);
	size = ptf_reader_u32(&r);
	for (uint32_t i = 0; i < n && !r.failed; i++) {
		uint32_t n_ids;
		const char *name;

		ptf_reader_skip(&r, size);
		n_ids = ptf_reader_u32(&r);
		name = take_string(header, &r);
		if (!n_ids && n == header->attrs.n)
			name_event(&header->attrs.v[i], name);
		for (uint32_t k = 0; k < n_ids && !r.failed; k++) {
			uint64_t *at = ptf_hash_map_find(&header->attr_of_id, ptf_reader_u64(&r));

			if (at)
				name_event(&header->attrs.v[*at], name);
		}
	}
}

int ptf_perf_header_build_id(struct ptf_perf_header *header, uint16_t misc, struct ptf_reader *body)
{
	struct ptf_build_id entry = {.size = 20};
	const uint8_t *id;
	const char *name;
	size_t len;

	ptf_reader_u32(body); /* pid */
	id = ptf_reader_bytes(body, 24);
	name = ptf_reader_string(body, ptf_reader_left(body), &len);
	if (!id || !name)
		return -PTF_EFORMAT;
	if (misc & MISC_BUILD_ID_SIZE && id[20] <= 20)
		entry.size = id[20];
	memcpy(entry.id, id, 20);
	entry.filename = ptf_arena_strndup(&header->arena, name, len);
	if (!entry.filename || !ptf_vec_push(&header->build_ids, entry))
		return -PTF_ENOMEM;
	publish(header);
	return 0;
}

static int take_build_ids(struct ptf_perf_header *header, struct ptf_reader *r)
{
	while (ptf_reader_left(r) >= 8) {
		struct ptf_reader body;
		uint16_t misc, size;
		int rc;

		ptf_reader_u32(r);
		misc = ptf_reader_u16(r);
		size = ptf_reader_u16(r);
		if (size < 8 || size - 8u > ptf_reader_left(r))
			return 0;
		body = ptf_reader_make(ptf_reader_bytes(r, size - 8u), size - 8u);
		rc = ptf_perf_header_build_id(header, misc, &body);
		if (rc == -PTF_ENOMEM)
			return rc;
	}
	return 0;
}

/* A copy of the rest: the bytes may be those of a decompressed record. */
static int take_bytes(
        struct ptf_perf_header *header, struct ptf_reader *r, const uint8_t **bytes, size_t *n)
{
	size_t size = ptf_reader_left(r);
	uint8_t *copy = ptf_arena_alloc(&header->arena, size + 1);

	if (!copy)
		return -PTF_ENOMEM;
	if (size)
		memcpy(copy, ptf_reader_bytes(r, size), size);
	*bytes = copy;
	*n = size;
	return 0;
}

int ptf_perf_header_tracing_data(struct ptf_perf_header *header, struct ptf_reader *data)
{
	return take_bytes(
	        header, data, &header->info.tracing_data, &header->info.tracing_data_size);
}

static int take_feature(struct ptf_perf_header *header, uint64_t feature, struct ptf_reader *r)
{
	struct ptf_perf_info *info = &header->info;

	switch (feature) {
	case PTF_FEATURE_TRACING_DATA:
		return ptf_perf_header_tracing_data(header, r);
	case PTF_FEATURE_BUILD_ID:
		return take_build_ids(header, r);
	case PTF_FEATURE_HOSTNAME:
		info->hostname = take_string(header, r);
		break;
	case PTF_FEATURE_OSRELEASE:
		info->os_release = take_string(header, r);
		break;
	case PTF_FEATURE_VERSION:
		info->version = take_string(header, r);
		break;
	case PTF_FEATURE_ARCH:
		info->arch = take_string(header, r);
		break;
	case PTF_FEATURE_NRCPUS:
		info->nr_cpus = ptf_reader_u32(r);
		break;
	case PTF_FEATURE_CPUDESC:
		info->cpu_desc = take_string(header, r);
		break;
	case PTF_FEATURE_CPUID:
		info->cpuid = take_string(header, r);
		break;
	case PTF_FEATURE_CMDLINE:
		info->cmdline = take_cmdline(header, r);
		break;
	case PTF_FEATURE_EVENT_DESC:
		return take_bytes(header, r, &header->event_desc, &header->event_desc_size);
	case PTF_FEATURE_PTFLAME:
		return take_bytes(header, r, &info->ptflame, &info->ptflame_size);
	default:
		break;
	}
	return 0;
}

int ptf_perf_header_feature_record(struct ptf_perf_header *header, struct ptf_reader *body)
{
	uint64_t feature = ptf_reader_u64(body);
	struct ptf_reader r = ptf_reader_make(body->bytes + body->pos, ptf_reader_left(body));

	return body->failed ? -PTF_EFORMAT : take_feature(header, feature, &r);
}

int ptf_perf_header_event_update(struct ptf_perf_header *header, struct ptf_reader *body)
{
	uint64_t kind = ptf_reader_u64(body), id = ptf_reader_u64(body), *at;
	size_t len;
	const char *text = ptf_reader_string(body, ptf_reader_left(body), &len);

	if (body->failed)
		return -PTF_EFORMAT;
	at = ptf_hash_map_find(&header->attr_of_id, id);
	if (!at || kind != EVENT_UPDATE_NAME)
		return 0;
	header->attrs.v[*at].name = ptf_arena_strndup(&header->arena, text, len);
	return header->attrs.v[*at].name ? 0 : -PTF_ENOMEM;
}

/* The table of sections stands behind the data; one entry for each set bit. */
static int parse_features(
        struct ptf_perf_header *header, const uint8_t *bytes, size_t size, const uint64_t bits[4])
{
	uint64_t table = header->data_offset + header->data_size;
	struct ptf_reader r;
	int rc = 0;

	if (table > size)
		return 0;
	r = ptf_reader_make(bytes + table, size - (size_t)table);
	for (unsigned i = 0; i < FEATURE_BITS && rc == 0; i++) {
		struct ptf_reader content;
		uint64_t offset, length;

		if (!(bits[i / 64] >> (i % 64) & 1))
			continue;
		offset = ptf_reader_u64(&r);
		length = ptf_reader_u64(&r);
		if (r.failed)
			return 0;
		if (section(bytes, size, offset, length, &content))
			rc = take_feature(header, i, &content);
	}
	return rc;
}

/* ---- header ---- */

static int parse_file_header(struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        const char *path, struct ptf_error *err)
{
	struct ptf_reader r = ptf_reader_make(bytes, size), attrs;
	uint64_t attr_size, attrs_offset, attrs_size, bits[4];
	int rc;

	ptf_reader_skip(&r, 16);
	attr_size = ptf_reader_u64(&r);
	attrs_offset = ptf_reader_u64(&r);
	attrs_size = ptf_reader_u64(&r);
	header->data_offset = ptf_reader_u64(&r);
	header->data_size = ptf_reader_u64(&r);
	ptf_reader_skip(&r, 16); /* event_types */
	for (unsigned i = 0; i < 4; i++)
		bits[i] = ptf_reader_u64(&r);
	if (r.failed)
		return ptf_error_set_at(
		        err, PTF_ETRUNC, size, "%s: the file ends inside its header", path);
	if (!section(bytes, size, attrs_offset, attrs_size, &attrs))
		return ptf_error_set_at(err, PTF_EFORMAT, 24,
		        "%s: the event attributes lie outside of the file", path);
	if (header->data_offset > size)
		return ptf_error_set_at(
		        err, PTF_EFORMAT, 40, "%s: the data lies outside of the file", path);
	rc = parse_attrs(header, bytes, size, attr_size, &attrs, attrs_offset, path, err);
	if (rc < 0)
		return rc;
	/* A recording that was cut off (or killed: size 0) is read as far as it goes. */
	if (header->data_size > size - header->data_offset)
		ptf_error_set_at(&header->info.damage, PTF_ETRUNC, size,
		        "%s: the file ends inside its data", path);
	if (!header->data_size || header->data_size > size - header->data_offset)
		header->data_size = size - header->data_offset;
	else if (parse_features(header, bytes, size, bits) < 0)
		return ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", path);
	return 0;
}

int ptf_perf_header_parse(struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        const char *path, struct ptf_error *err)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	uint64_t magic, header_size;

	if (size < PTF_PERF_PIPE_HEADER_SIZE)
		return ptf_error_set_at(err, PTF_ETRUNC, size,
		        "%s: not a perf.data: the file is shorter than its header", path);
	magic = ptf_reader_u64(&r);
	header_size = ptf_reader_u64(&r);
	if (magic == __builtin_bswap64(PTF_PERF_MAGIC))
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "%s: recorded on a big-endian machine: not an x86 trace", path);
	if (magic != PTF_PERF_MAGIC)
		return ptf_error_set_at(err, PTF_EFORMAT, 0,
		        "%s: not a perf.data: it begins with %02x %02x %02x %02x, not PERFILE2",
		        path, bytes[0], bytes[1], bytes[2], bytes[3]);
	if (header_size == PTF_PERF_PIPE_HEADER_SIZE) {
		header->info.pipe_mode = true;
		header->data_offset = PTF_PERF_PIPE_HEADER_SIZE;
		header->data_size = size - PTF_PERF_PIPE_HEADER_SIZE;
		return 0;
	}
	if (header_size < PTF_PERF_FILE_HEADER_SIZE)
		return ptf_error_set_at(err, PTF_EFORMAT, 8, "%s: a header of %llu bytes cannot be",
		        path, (unsigned long long)header_size);
	return parse_file_header(header, bytes, size, path, err);
}
