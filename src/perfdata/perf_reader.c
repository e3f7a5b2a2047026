/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All records are found once, when the file is opened: an index entry of 24 bytes for each, sorted by
 * time. That orders better than perf's rounds do (a record that comes a round late is still put
 * right) and costs memory only for the sideband; AUX data is never copied.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file_map.h"
#include "perfdata/perf_parse.h"

enum {
	MAX_DATA_FILES = 4096,           /* of a directory */
	DECOMPRESS_STEP = 1 << 16,       /* bytes */
	SPOOL_STEP = 1 << 16,            /* bytes */
	MAX_EXPANSION = 256,             /* zstd on event records does a tenth of this */
};

/* Where records lie: a mapped file or a decompressed stream. */
struct region {
	struct ptf_file_map map;  /* of a file */
	uint8_t *unpacked;        /* owned: decompressed records of that file */
	size_t unpacked_size, unpacked_cap;
	size_t unpacked_scanned;  /* bytes of whole records that are in the index */
	ZSTD_DCtx *zstd;
};

struct entry {
	uint64_t time_ns;
	uint64_t file_offset;  /* of the record or its container */
	uint32_t offset_high;  /* offset in the region's bytes: 40 bits */
	uint32_t offset_low;
	uint16_t region;
	uint16_t size;
	bool unpacked;
};

struct ptf_perf_reader {
	struct ptf_perf_header header;
	char *path;
	PTF_VEC(struct region) regions;
	PTF_VEC(struct entry) entries;
	PTF_VEC(struct ptf_aux_chunk) chunks;
	size_t next; /* entry */
	char spare[PTF_PERF_SPARE_SIZE];
};

static int no_memory(const struct ptf_perf_reader *reader, struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", reader->path);
}

/* ---- scanning ---- */

/* Notes why reading of a region ends; what was found so far counts. Returns 1. */
static int damaged(struct ptf_perf_reader *reader, uint64_t offset, const char *what)
{
	if (!reader->header.info.damage.code)
		ptf_error_set_at(&reader->header.info.damage, PTF_EFORMAT, offset, "%s: %s",
			reader->path, what);
	return 1;
}

static const uint8_t *entry_bytes(const struct ptf_perf_reader *reader, const struct entry *entry)
{
	const struct region *region = &reader->regions.v[entry->region];
	uint64_t offset = (uint64_t)entry->offset_high << 32 | entry->offset_low;

	return (entry->unpacked ? region->unpacked : region->map.bytes) + offset;
}

/* Records that only speak to the reader. */
static int take_own(struct ptf_perf_reader *reader, const uint8_t *bytes, size_t size,
	uint32_t type, uint16_t misc)
{
	struct ptf_reader body =
		ptf_reader_make(bytes + PTF_RECORD_HEADER_SIZE, size - PTF_RECORD_HEADER_SIZE);

	switch (type) {
	case PTF_RECORD_HEADER_ATTR:
		return ptf_perf_header_attr_record(&reader->header, &body);
	case PTF_RECORD_HEADER_FEATURE:
		return ptf_perf_header_feature_record(&reader->header, &body);
	case PTF_RECORD_HEADER_BUILD_ID:
		return ptf_perf_header_build_id(&reader->header, misc, &body);
	default:
		return 0;
	}
}

static int take_chunk(struct ptf_perf_reader *reader, const struct ptf_record *record,
	const uint8_t *data, size_t left, uint64_t file_offset)
{
	struct ptf_aux_chunk chunk = record->auxtrace;

	chunk.bytes = data;
	chunk.file_offset = file_offset;
	if (chunk.size > left)
		chunk.size = left;
	return ptf_vec_push(&reader->chunks, chunk) ? 0 : -PTF_ENOMEM;
}

struct cursor {
	uint16_t region;
	bool unpacked;
	uint64_t base;      /* file offset of bytes[0], or of the container of unpacked records */
	uint64_t *last_ns;  /* time of the record before */
};

/* Puts one record into the index. 0, 1: stop here, -PTF_ENOMEM. */
static int index_record(struct ptf_perf_reader *reader, const struct cursor *cursor,
	const uint8_t *bytes, size_t offset, uint16_t size, uint64_t file_offset)
{
	struct entry entry = {.file_offset = file_offset, .offset_high = (uint32_t)(offset >> 32),
		.offset_low = (uint32_t)offset, .region = cursor->region, .size = size,
		.unpacked = cursor->unpacked};
	struct ptf_record record;
	int rc = ptf_perf_parse(&reader->header, bytes + offset, size, reader->spare, &record);

	if (rc < 0)
		return damaged(reader, file_offset, "a record is too short for its kind");
	if (rc == 1) {
		reader->header.info.skipped++;
		return 0;
	}
	rc = take_own(reader, bytes + offset, size, record.type, record.misc);
	if (rc < 0)
		return rc == -PTF_ENOMEM ? rc : damaged(reader, file_offset, "a broken header record");
	if (record.sid.has_time)
		*cursor->last_ns = record.sid.time_ns;
	entry.time_ns = *cursor->last_ns;
	return ptf_vec_push(&reader->entries, entry) ? 0 : -PTF_ENOMEM;
}

/* Type and size of the record at the reader's position; false when its header is broken. */
static bool peek(const uint8_t *bytes, size_t left, uint32_t *type, uint16_t *size)
{
	struct ptf_reader r = ptf_reader_make(bytes, left);

	*type = ptf_reader_u32(&r);
	ptf_reader_u16(&r);
	*size = ptf_reader_u16(&r);
	return !r.failed && *size >= PTF_RECORD_HEADER_SIZE;
}

static bool grow_unpacked(const struct ptf_perf_reader *reader, struct region *region)
{
	size_t cap = region->unpacked_cap ? region->unpacked_cap * 2 : 4 * DECOMPRESS_STEP;
	size_t limit = MAX_EXPANSION * (region->map.size + DECOMPRESS_STEP);
	uint8_t *grown;

	(void)reader;
	if (region->unpacked_size + DECOMPRESS_STEP <= region->unpacked_cap)
		return true;
	if (cap > limit)
		return false;
	grown = realloc(region->unpacked, cap);
	if (!grown)
		return false;
	region->unpacked = grown;
	region->unpacked_cap = cap;
	return true;
}

/* Indexes the whole records at the end of the decompressed stream; a cut one waits for more. */
static int scan_unpacked(struct ptf_perf_reader *reader, struct cursor cursor)
{
	int rc = 0;

	cursor.unpacked = true;
	while (rc == 0) {
		struct region *region = &reader->regions.v[cursor.region];
		size_t at = region->unpacked_scanned, left = region->unpacked_size - at;
		uint32_t type;
		uint16_t size;

		if (left < PTF_RECORD_HEADER_SIZE)
			return 0;
		if (!peek(region->unpacked + at, left, &type, &size))
			return damaged(reader, cursor.base, "a broken record in compressed data");
		if (size > left)
			return 0;
		region->unpacked_scanned += size;
		rc = index_record(reader, &cursor, region->unpacked, at, size, cursor.base);
	}
	return rc;
}

/* One frame sequence runs through all compressed records of a file. */
static int unpack(struct ptf_perf_reader *reader, struct cursor cursor, const uint8_t *bytes,
	size_t size)
{
	struct region *region = &reader->regions.v[cursor.region];
	ZSTD_inBuffer in = {bytes, size, 0};

	if (!region->zstd)
		region->zstd = ZSTD_createDCtx();
	if (!region->zstd)
		return -PTF_ENOMEM;
	for (;;) {
		ZSTD_outBuffer out;
		size_t rc;

		if (!grow_unpacked(reader, region))
			return damaged(reader, cursor.base, "compressed data expands without end");
		out = (ZSTD_outBuffer){region->unpacked, region->unpacked_cap,
			region->unpacked_size};
		rc = ZSTD_decompressStream(region->zstd, &out, &in);
		if (ZSTD_isError(rc))
			return damaged(reader, cursor.base, "compressed data is broken");
		region->unpacked_size = out.pos;
		if (in.pos == in.size && out.pos < out.size)
			break;
	}
	return scan_unpacked(reader, cursor);
}

static int scan_compressed(struct ptf_perf_reader *reader, struct cursor cursor,
	const uint8_t *bytes, uint16_t size, uint32_t type)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	uint64_t length;

	reader->header.info.compressed = true;
	ptf_reader_skip(&r, PTF_RECORD_HEADER_SIZE);
	length = type == PTF_RECORD_COMPRESSED2 ? ptf_reader_u64(&r) : ptf_reader_left(&r);
	if (r.failed || length > ptf_reader_left(&r))
		return damaged(reader, cursor.base, "a compressed record is longer than itself");
	return unpack(reader, cursor, r.bytes + r.pos, (size_t)length);
}

/* Bytes that follow a record without belonging to its size. */
static int skip_trailer(struct ptf_perf_reader *reader, const uint8_t *bytes, size_t left,
	uint16_t size, uint32_t type, uint64_t file_offset, uint64_t *trailer)
{
	struct ptf_record record;

	*trailer = 0;
	if (type == PTF_RECORD_HEADER_TRACING_DATA && size >= 12) {
		struct ptf_reader r = ptf_reader_make(bytes + 8, 4);

		*trailer = ((uint64_t)ptf_reader_u32(&r) + 7) & ~7ull;
		return 0;
	}
	if (type != PTF_RECORD_AUXTRACE ||
		ptf_perf_parse(&reader->header, bytes, size, reader->spare, &record) != 0)
		return 0;
	*trailer = record.auxtrace.size;
	return take_chunk(reader, &record, bytes + size, left - size, file_offset + size);
}

/* Indexes the records in bytes [from, to) of a region's file. */
static int scan(struct ptf_perf_reader *reader, uint16_t index, size_t from, size_t to)
{
	uint64_t last_ns = 0;
	int rc = 0;

	while (from < to && rc == 0) {
		const uint8_t *bytes = reader->regions.v[index].map.bytes;
		struct cursor cursor = {.region = index, .base = from, .last_ns = &last_ns};
		uint64_t trailer;
		uint32_t type;
		uint16_t size;

		if (!peek(bytes + from, to - from, &type, &size))
			return damaged(reader, from, "a record without a proper header");
		if (size > to - from)
			return damaged(reader, from, "the file ends inside a record");
		if (type == PTF_RECORD_COMPRESSED || type == PTF_RECORD_COMPRESSED2)
			rc = scan_compressed(reader, cursor, bytes + from, size, type);
		else
			rc = index_record(reader, &cursor, bytes, from, size, from);
		if (rc == 0)
			rc = skip_trailer(
				reader, bytes + from, to - from, size, type, from, &trailer);
		if (rc)
			return rc;
		if (trailer > to - from - size)
			return damaged(reader, from, "the file ends inside trace data");
		from += size + (size_t)trailer;
	}
	return rc;
}

/* ---- opening ---- */

static int add_region(struct ptf_perf_reader *reader, const char *path, struct ptf_error *err)
{
	struct region region = {0};
	int rc = ptf_file_map_init(&region.map, path, err);

	if (rc < 0)
		return rc;
	if (ptf_vec_push(&reader->regions, region))
		return 0;
	ptf_file_map_release(&region.map);
	return no_memory(reader, err);
}

/* A stream has no offsets to map: it goes to an unlinked temporary file first. */
static int spool(int from, int to)
{
	static _Thread_local char buffer[SPOOL_STEP];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(to, buffer + done, (size_t)(n - done));

			if (w < 0 && errno != EINTR)
				return -1;
			done += w > 0 ? w : 0;
		}
	}
	return 0;
}

static int add_stream(struct ptf_perf_reader *reader, struct ptf_error *err)
{
	const char *dir = getenv("TMPDIR");
	char name[4096], link[64];
	int fd, rc;

	snprintf(name, sizeof(name), "%s/ptflame-XXXXXX", dir && *dir ? dir : "/tmp");
	fd = mkostemp(name, 0);
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", name);
	unlink(name);
	if (spool(STDIN_FILENO, fd) < 0) {
		rc = ptf_error_set_errno(err, errno, "standard input");
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		rc = add_region(reader, link, err);
	}
	close(fd);
	return rc;
}

/* perf record --threads: DIR/data has the header, DIR/data.N records alone. */
static int add_directory(struct ptf_perf_reader *reader, const char *path, struct ptf_error *err)
{
	char name[4096];
	int rc;

	reader->header.info.directory = true;
	snprintf(name, sizeof(name), "%s/data", path);
	rc = add_region(reader, name, err);
	for (unsigned i = 0; rc == 0 && i < MAX_DATA_FILES; i++) {
		snprintf(name, sizeof(name), "%s/data.%u", path, i);
		if (access(name, F_OK) != 0)
			break;
		rc = add_region(reader, name, err);
	}
	return rc;
}

static int add_files(struct ptf_perf_reader *reader, const char *path, struct ptf_error *err)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return add_stream(reader, err);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_directory(reader, path, err);
	return add_region(reader, path, err);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	if (x->file_offset != y->file_offset)
		return x->file_offset < y->file_offset ? -1 : 1;
	if (x->offset_high != y->offset_high)
		return x->offset_high < y->offset_high ? -1 : 1;
	return x->offset_low < y->offset_low ? -1 : x->offset_low > y->offset_low;
}

static int scan_all(struct ptf_perf_reader *reader, struct ptf_error *err)
{
	struct ptf_perf_header *header = &reader->header;
	const struct ptf_file_map *map = &reader->regions.v[0].map;
	int rc = ptf_perf_header_parse(header, map->bytes, map->size, reader->path, err);

	if (rc < 0)
		return rc;
	rc = scan(reader, 0, (size_t)header->data_offset,
		(size_t)(header->data_offset + header->data_size));
	for (uint16_t i = 1; i < reader->regions.n && rc >= 0; i++)
		rc = scan(reader, i, 0, reader->regions.v[i].map.size);
	if (rc < 0)
		return no_memory(reader, err);
	if (reader->entries.n)
		qsort(reader->entries.v, reader->entries.n, sizeof(*reader->entries.v),
			compare_entries);
	return 0;
}

int ptf_perf_reader_create(struct ptf_perf_reader **out, const char *path, struct ptf_error *err)
{
	struct ptf_perf_reader *reader = calloc(1, sizeof(*reader));
	int rc;

	if (!reader)
		return ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", path);
	reader->path = strdup(strcmp(path, "-") == 0 ? "standard input" : path);
	rc = reader->path ? add_files(reader, path, err)
			  : ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", path);
	if (rc == 0)
		rc = scan_all(reader, err);
	if (rc < 0) {
		ptf_perf_reader_destroy(reader);
		return rc;
	}
	*out = reader;
	return 0;
}

void ptf_perf_reader_destroy(struct ptf_perf_reader *reader)
{
	if (!reader)
		return;
	ptf_vec_foreach(region, &reader->regions) {
		ptf_file_map_release(&region->map);
		ZSTD_freeDCtx(region->zstd);
		free(region->unpacked);
	}
	ptf_vec_release(&reader->regions);
	ptf_vec_release(&reader->entries);
	ptf_vec_release(&reader->chunks);
	ptf_perf_header_release(&reader->header);
	free(reader->path);
	free(reader);
}

int ptf_perf_reader_probe(const char *path, struct ptf_error *err)
{
	uint64_t magic = 0;
	struct stat st;
	FILE *file;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 1;
	file = fopen(path, "re");
	if (!file)
		return ptf_error_set_errno(err, errno, "%s", path);
	if (fread(&magic, 1, sizeof(magic), file) < sizeof(magic))
		magic = 0;
	fclose(file);
	return magic == PTF_PERF_MAGIC;
}

const struct ptf_perf_info *ptf_perf_reader_info(const struct ptf_perf_reader *reader)
{
	return &reader->header.info;
}

const struct ptf_aux_chunk *ptf_perf_reader_aux_chunks(const struct ptf_perf_reader *reader,
	size_t *n)
{
	*n = reader->chunks.n;
	return reader->chunks.v;
}

int ptf_perf_reader_next(struct ptf_perf_reader *reader, struct ptf_record *out,
	struct ptf_error *err)
{
	const struct entry *entry;

	(void)err;
	if (reader->next == reader->entries.n)
		return 1;
	entry = &reader->entries.v[reader->next++];
	/* It was parsed before, so it cannot fail now. */
	ptf_perf_parse(&reader->header, entry_bytes(reader, entry), entry->size, reader->spare, out);
	out->file_offset = entry->file_offset;
	reader->header.info.records++;
	return 0;
}
