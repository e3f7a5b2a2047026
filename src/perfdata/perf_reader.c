/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All records are found once, when the file is opened, and sorted by time. That orders better than
 * perf's rounds do (a record that comes a round late is still put right) and costs memory only for
 * the sideband; AUX data is never copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_map.h"
#include "perfdata/perf_index.h"
#include "perfdata/perf_parse.h"
#include "perfdata/perf_unpack.h"

enum { SPOOL_STEP = 1 << 16 }; /* bytes */

/* A COMPRESSED record: the records that end in it. */
struct container {
	uint64_t unpacked_offset; /* of the first of them */
	uint64_t file_offset;     /* of the container */
};

/* A file with records in it. */
struct region {
	char *name; /* as messages call it */
	struct ptf_file_map map;
	size_t end; /* of its records, bytes */
	struct ptf_perf_unpack unpack;
	size_t unpack_scanned; /* bytes of whole unpacked records that are in the index */
	PTF_VEC(struct container) containers;
};

struct ptf_perf_reader {
	struct ptf_perf_header header;
	PTF_VEC(struct region) regions;
	struct ptf_perf_index index;
	PTF_VEC(struct ptf_aux_chunk) chunks;
	size_t next; /* entry of the index */
	char spare[PTF_PERF_SPARE_SIZE];
};

static int no_memory(const char *path, struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "%s: out of memory", path);
}

/* ---- finding records ---- */

/* Where the search is: a record of a region. */
struct place {
	uint16_t region;
	bool unpacked;
	uint64_t file_offset; /* of the record or of its container */
	uint64_t *last_ns;    /* the latest time of the records before */
};

/* Notes why reading of a region ends; what was found so far counts. Returns 1. */
static int damaged(struct ptf_perf_reader *reader, const struct place *place, const char *what)
{
	if (!reader->header.info.damage.code)
		ptf_error_set_at(&reader->header.info.damage, PTF_EFORMAT, place->file_offset,
		        "%s: %s", reader->regions.v[place->region].name, what);
	return 1;
}

/* Records that only speak to the reader. */
static int take_own(struct ptf_perf_reader *reader, const uint8_t *bytes, size_t size,
        const struct ptf_record *record)
{
	struct ptf_reader body =
	        ptf_reader_make(bytes + PTF_RECORD_HEADER_SIZE, size - PTF_RECORD_HEADER_SIZE);

	switch (record->type) {
	case PTF_RECORD_HEADER_ATTR:
		return ptf_perf_header_attr_record(&reader->header, &body);
	case PTF_RECORD_HEADER_FEATURE:
		return ptf_perf_header_feature_record(&reader->header, &body);
	case PTF_RECORD_HEADER_BUILD_ID:
		return ptf_perf_header_build_id(&reader->header, record->misc, &body);
	case PTF_RECORD_EVENT_UPDATE:
		return ptf_perf_header_event_update(&reader->header, &body);
	default:
		return 0;
	}
}

static int too_short(struct ptf_perf_reader *reader, const struct place *place, uint32_t type)
{
	char what[64];

	snprintf(what, sizeof(what), "a record is too short for its type, %u", type);
	return damaged(reader, place, what);
}

/* Puts the record at bytes + offset into the index. 0, 1: stop here, -PTF_ENOMEM. */
static int index_record(struct ptf_perf_reader *reader, const struct place *place,
        const uint8_t *bytes, size_t offset, uint16_t size)
{
	struct ptf_perf_index_entry entry = {
	        .region = place->region, .unpacked = place->unpacked, .offset = offset};
	struct ptf_record record;
	int rc = ptf_perf_parse(&reader->header, bytes + offset, size, reader->spare, &record);

	if (rc < 0)
		return too_short(reader, place, record.type);
	if (rc == 1) {
		reader->header.info.skipped++;
		return 0;
	}
	if (record.type == PTF_RECORD_AUXTRACE && place->unpacked)
		return damaged(reader, place, "trace data inside of compressed data");
	rc = take_own(reader, bytes + offset, size, &record);
	if (rc == -PTF_EFORMAT)
		return too_short(reader, place, record.type);
	if (rc < 0)
		return rc;
	if (record.sid.time_ns > *place->last_ns)
		*place->last_ns = record.sid.time_ns;
	entry.time_ns = record.sid.has_time ? record.sid.time_ns : *place->last_ns;
	return ptf_vec_push(&reader->index.entries, entry) ? 0 : -PTF_ENOMEM;
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

/* Indexes the whole records at the end of what was unpacked; a cut one waits for more. */
static int scan_unpacked(struct ptf_perf_reader *reader, struct place place)
{
	struct region *region = &reader->regions.v[place.region];
	struct container container = {region->unpack_scanned, place.file_offset};
	int rc = ptf_vec_push(&region->containers, container) ? 0 : -PTF_ENOMEM;

	place.unpacked = true;
	while (rc == 0) {
		size_t at = region->unpack_scanned, left = region->unpack.size - at;
		uint32_t type;
		uint16_t size;

		if (left < PTF_RECORD_HEADER_SIZE)
			return 0;
		if (!peek(region->unpack.bytes + at, left, &type, &size))
			return damaged(reader, &place, "a record without size in compressed data");
		if (size > left)
			return 0;
		region->unpack_scanned += size;
		rc = index_record(reader, &place, region->unpack.bytes, at, size);
	}
	return rc;
}

static int scan_compressed(struct ptf_perf_reader *reader, const struct place *place,
        const uint8_t *bytes, uint16_t size, uint32_t type)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	const char *why;
	uint64_t length;
	int rc;

	reader->header.info.compressed = true;
	ptf_reader_skip(&r, PTF_RECORD_HEADER_SIZE);
	length = type == PTF_RECORD_COMPRESSED2 ? ptf_reader_u64(&r) : ptf_reader_left(&r);
	if (r.failed || length > ptf_reader_left(&r))
		return too_short(reader, place, type);
	rc = ptf_perf_unpack_add(
	        &reader->regions.v[place->region].unpack, r.bytes + r.pos, (size_t)length, &why);
	if (rc == -PTF_EFORMAT)
		return damaged(reader, place, why);
	return rc < 0 ? rc : scan_unpacked(reader, *place);
}

/* ---- data behind records ---- */

/* The data of an AUXTRACE record, which begins at bytes, as far as the file has it. */
static void fill_chunk(
        struct ptf_aux_chunk *chunk, const uint8_t *bytes, size_t left, uint64_t file_offset)
{
	chunk->bytes = bytes;
	chunk->file_offset = file_offset;
	if (chunk->size > left)
		chunk->size = left;
}

static int take_tracing_data(struct ptf_perf_reader *reader, const struct place *place,
        const uint8_t *bytes, uint16_t size, size_t left, uint64_t *trailer)
{
	struct ptf_reader r = ptf_reader_make(bytes, size), data;
	uint64_t length;

	ptf_reader_skip(&r, PTF_RECORD_HEADER_SIZE);
	length = ptf_reader_u32(&r);
	if (r.failed)
		return too_short(reader, place, PTF_RECORD_HEADER_TRACING_DATA);
	*trailer = (length + 7) & ~7ull;
	data = ptf_reader_make(bytes + size, length < left - size ? length : left - size);
	return ptf_perf_header_tracing_data(&reader->header, &data);
}

/* Bytes that follow the record at bytes without belonging to its size. */
static int take_trailer(struct ptf_perf_reader *reader, const struct place *place,
        const uint8_t *bytes, uint16_t size, size_t left, uint64_t *trailer)
{
	struct ptf_record record;

	*trailer = 0;
	if (ptf_perf_parse(&reader->header, bytes, size, reader->spare, &record) != 0)
		return 0;
	if (record.type == PTF_RECORD_HEADER_TRACING_DATA)
		return take_tracing_data(reader, place, bytes, size, left, trailer);
	if (record.type != PTF_RECORD_AUXTRACE)
		return 0;
	*trailer = record.auxtrace.size;
	fill_chunk(&record.auxtrace, bytes + size, left - size, place->file_offset + size);
	return ptf_vec_push(&reader->chunks, record.auxtrace) ? 0 : -PTF_ENOMEM;
}

/* What waited for more compressed data in vain is lost. */
static int end_unpacked(struct ptf_perf_reader *reader, uint16_t index)
{
	const struct region *region = &reader->regions.v[index];
	struct place place = {.region = index, .unpacked = true};

	if (region->unpack_scanned == region->unpack.size || !region->containers.n)
		return 0;
	place.file_offset = region->containers.v[region->containers.n - 1].file_offset;
	return damaged(reader, &place, "compressed data ends inside a record");
}

/* Indexes the records in bytes [from, to) of a region's file. 0 or 1: done, -PTF_ENOMEM. */
static int scan(struct ptf_perf_reader *reader, uint16_t index, size_t from, size_t to)
{
	struct region *region = &reader->regions.v[index];
	const uint8_t *bytes = region->map.bytes;
	uint64_t last_ns = 0, trailer = 0;
	int rc = 0;

	region->end = to;
	for (; from < to && rc == 0; from += (size_t)trailer) {
		struct place place = {.region = index, .file_offset = from, .last_ns = &last_ns};
		uint32_t type;
		uint16_t size;

		if (!peek(bytes + from, to - from, &type, &size))
			return damaged(reader, &place, "a record without a proper header");
		if (size > to - from)
			return damaged(reader, &place, "the file ends inside a record");
		if (type == PTF_RECORD_COMPRESSED || type == PTF_RECORD_COMPRESSED2)
			rc = scan_compressed(reader, &place, bytes + from, size, type);
		else
			rc = index_record(reader, &place, bytes, from, size);
		if (rc == 0)
			rc = take_trailer(reader, &place, bytes + from, size, to - from, &trailer);
		from += size;
		if (rc == 0 && trailer > to - from)
			return damaged(reader, &place, "the file ends inside trace data");
	}
	return rc ? rc : end_unpacked(reader, index);
}

/* ---- opening ---- */

/* Maps path; messages call it name. */
static int add_region(
        struct ptf_perf_reader *reader, const char *path, const char *name, struct ptf_error *err)
{
	struct region region = {.name = strdup(name)};
	int rc;

	if (!region.name)
		return no_memory(name, err);
	rc = ptf_file_map_init(&region.map, path, err);
	if (rc == 0 && ptf_vec_push(&reader->regions, region))
		return 0;
	ptf_file_map_release(&region.map);
	free(region.name);
	return rc < 0 ? rc : no_memory(name, err);
}

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

/* A stream cannot be mapped: it goes to an unlinked temporary file first. */
static int add_stream(
        struct ptf_perf_reader *reader, int from, const char *name, struct ptf_error *err)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/ptflame-XXXXXX", dir && *dir ? dir : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	unlink(path);
	if (spool(from, fd) < 0) {
		rc = ptf_error_set_errno(err, errno, "%s: cannot be copied to %s", name, path);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		rc = add_region(reader, path, name, err);
	}
	close(fd);
	return rc;
}

static int add_fifo(struct ptf_perf_reader *reader, const char *path, struct ptf_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	rc = add_stream(reader, fd, path, err);
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
	rc = add_region(reader, name, name, err);
	for (unsigned i = 0; rc == 0 && i < PTF_PERF_INDEX_MAX_REGION; i++) {
		snprintf(name, sizeof(name), "%s/data.%u", path, i);
		if (access(name, F_OK) != 0)
			break;
		rc = add_region(reader, name, name, err);
	}
	return rc;
}

static int add_files(struct ptf_perf_reader *reader, const char *path, struct ptf_error *err)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return add_stream(reader, STDIN_FILENO, "standard input", err);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_directory(reader, path, err);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return add_fifo(reader, path, err);
	return add_region(reader, path, path, err);
}

static int scan_all(struct ptf_perf_reader *reader, struct ptf_error *err)
{
	struct ptf_perf_header *header = &reader->header;
	const struct region *first = &reader->regions.v[0];
	int rc = ptf_perf_header_parse(header, first->map.bytes, first->map.size, first->name, err);

	if (rc < 0)
		return rc;
	rc = scan(reader, 0, (size_t)header->data_offset,
	        (size_t)(header->data_offset + header->data_size));
	for (uint16_t i = 1; i < reader->regions.n && rc >= 0; i++)
		rc = scan(reader, i, 0, reader->regions.v[i].map.size);
	if (rc < 0 || !ptf_perf_index_sort(&reader->index))
		return no_memory(first->name, err);
	ptf_perf_header_finish(header);
	return 0;
}

int ptf_perf_reader_create(struct ptf_perf_reader **out, const char *path, struct ptf_error *err)
{
	struct ptf_perf_reader *reader = calloc(1, sizeof(*reader));
	int rc;

	if (!reader)
		return no_memory(path, err);
	rc = add_files(reader, path, err);
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
	ptf_vec_foreach (region, &reader->regions) {
		ptf_file_map_release(&region->map);
		ptf_perf_unpack_release(&region->unpack);
		ptf_vec_release(&region->containers);
		free(region->name);
	}
	ptf_vec_release(&reader->regions);
	ptf_perf_index_release(&reader->index);
	ptf_vec_release(&reader->chunks);
	ptf_perf_header_release(&reader->header);
	free(reader);
}

int ptf_perf_reader_probe(const char *path, struct ptf_error *err)
{
	uint64_t magic = 0;
	char data[4096];
	struct stat st;
	FILE *file;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(data, sizeof(data), "%s/data", path);
		path = data;
	}
	file = fopen(path, "re");
	if (!file)
		return ptf_error_set_errno(err, errno, "%s", path);
	if (fread(&magic, 1, sizeof(magic), file) < sizeof(magic))
		magic = 0;
	fclose(file);
	return magic == PTF_PERF_MAGIC;
}

/* ---- reading ---- */

const struct ptf_perf_info *ptf_perf_reader_info(const struct ptf_perf_reader *reader)
{
	return &reader->header.info;
}

const struct ptf_aux_chunk *ptf_perf_reader_aux_chunks(
        const struct ptf_perf_reader *reader, size_t *n)
{
	*n = reader->chunks.n;
	return reader->chunks.v;
}

/* The file offset of the container in which the record at an unpacked offset ends. */
static uint64_t container_of(const struct region *region, uint64_t offset)
{
	size_t low = 0, high = region->containers.n;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (region->containers.v[middle].unpacked_offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return region->containers.v[low].file_offset;
}

/* Parses the record of an entry: as ptf_perf_parse. */
static int read_entry(struct ptf_perf_reader *reader, const struct ptf_perf_index_entry *entry,
        struct ptf_record *out)
{
	const struct region *region = &reader->regions.v[entry->region];
	const uint8_t *bytes = entry->unpacked ? region->unpack.bytes : region->map.bytes;
	size_t left = (entry->unpacked ? region->unpack.size : region->end) - entry->offset;
	uint32_t type;
	uint16_t size;
	int rc;

	bytes += entry->offset;
	peek(bytes, left, &type, &size);
	rc = ptf_perf_parse(&reader->header, bytes, size, reader->spare, out);
	out->file_offset = entry->unpacked ? container_of(region, entry->offset) : entry->offset;
	if (rc == 0 && type == PTF_RECORD_AUXTRACE)
		fill_chunk(&out->auxtrace, bytes + size, left - size, out->file_offset + size);
	return rc;
}

int ptf_perf_reader_next(
        struct ptf_perf_reader *reader, struct ptf_record *out, struct ptf_error *err)
{
	(void)err;
	while (reader->next < reader->index.entries.n) {
		const struct ptf_perf_index_entry *entry = &reader->index.entries.v[reader->next++];

		/* It could be read when the file was opened, but an event that a pipe named later
		 * may say otherwise. */
		if (read_entry(reader, entry, out) != 0) {
			reader->header.info.skipped++;
			continue;
		}
		reader->header.info.records++;
		return 0;
	}
	return 1;
}
