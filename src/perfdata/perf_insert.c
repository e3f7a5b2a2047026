/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_map.h"
#include "perfdata/perf_header.h"
#include "perfdata/perf_insert.h"
#include "perfdata/perf_writer.h"

/* Offsets in the file header and in an attribute (tools/perf/util/header.h, perf_event.h). */
enum {
	AT_ATTR_SIZE = 16,
	AT_ATTRS = 24,
	AT_DATA_SIZE = 48,
	AT_FEATURES = 72,
	ATTR_SAMPLE_TYPE = 24,
	IDS_SECTION = 16, /* behind each attribute: offset and size of its ids */
	FEATURE_BITS = 256,
};

/* A sample on its way into the file. */
struct insertion {
	uint64_t pos;  /* offset in the old file that it goes in front of */
	uint64_t size; /* bytes */
};

/* A number that changes. */
struct patch {
	uint64_t at, value; /* offset in the old file */
};

struct insert {
	const char *path; /* of the file itself */
	struct ptf_file_map map;
	struct ptf_perf_header header;
	const struct ptf_record *samples;
	struct insertion *insertions; /* n, by pos */
	size_t n;
	struct ptf_perf_bytes bytes; /* all samples, one behind the other */
	PTF_VEC(struct patch) patches;
	struct perf_event_attr dummy;
	size_t dummy_index; /* of the event */
};

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for samples");
}

static int damaged(const struct insert *in, struct ptf_error *err)
{
	return ptf_error_set(err, PTF_EFORMAT, "%s: damaged", in->path);
}

/* ---- what is there ---- */

/* An u64 of the old file; 0 outside of it. */
static uint64_t get(const struct insert *in, uint64_t at)
{
	uint64_t value = 0;

	if (in->map.size >= sizeof(value) && at <= in->map.size - sizeof(value))
		memcpy(&value, in->map.bytes + at, sizeof(value));
	return value;
}

static uint64_t data_end(const struct insert *in)
{
	return in->header.data_offset + in->header.data_size;
}

static int find_dummy(struct insert *in, struct ptf_error *err)
{
	uint64_t size = get(in, AT_ATTR_SIZE), at = get(in, AT_ATTRS);
	size_t n = size - IDS_SECTION < sizeof(in->dummy) ? size - IDS_SECTION : sizeof(in->dummy);

	for (size_t i = 0; i < in->header.attrs.n; i++) {
		const struct ptf_perf_attr *attr = &in->header.attrs.v[i];

		if (attr->type != PERF_TYPE_SOFTWARE || attr->config != PERF_COUNT_SW_DUMMY ||
		        !attr->n_ids || !attr->sample_id_all ||
		        !(attr->sample_type & PERF_SAMPLE_IDENTIFIER))
			continue;
		in->dummy_index = i;
		memcpy(&in->dummy, in->map.bytes + at + i * size, n);
		in->dummy.sample_type |= PERF_SAMPLE_CALLCHAIN;
		return 0;
	}
	return ptf_error_set(
	        err, PTF_EUNSUPPORTED, "%s: no dummy event that could have samples", in->path);
}

/* ---- where samples go ---- */

/* Number of samples that are not newer than time_ns. */
static size_t count_until(const struct insert *in, uint64_t time_ns)
{
	size_t low = 0, high = in->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (in->samples[middle].sid.time_ns <= time_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int find_positions(struct insert *in, struct ptf_error *err)
{
	struct ptf_perf_reader *reader;
	struct ptf_record record;
	int rc;

	for (size_t i = 0; i < in->n; i++)
		in->insertions[i].pos = data_end(in);
	rc = ptf_perf_reader_create(&reader, in->path, err);
	if (rc < 0)
		return rc;
	while ((rc = ptf_perf_reader_next(reader, &record, err)) == 0) {
		size_t k = record.sid.has_time ? count_until(in, record.sid.time_ns) : 0;

		if (k && record.file_offset < in->insertions[k - 1].pos)
			in->insertions[k - 1].pos = record.file_offset;
	}
	if (rc > 0 && ptf_perf_reader_info(reader)->damage.code)
		rc = damaged(in, err);
	ptf_perf_reader_destroy(reader);
	/* What goes in front of a record that is newer than a later sample, too. */
	for (size_t i = in->n; i-- > 1;) {
		if (in->insertions[i].pos < in->insertions[i - 1].pos)
			in->insertions[i - 1].pos = in->insertions[i].pos;
	}
	return rc < 0 ? rc : 0;
}

static int encode(struct insert *in, struct ptf_error *err)
{
	for (size_t i = 0; i < in->n; i++) {
		size_t before = in->bytes.n;
		int rc = ptf_perf_record_encode(&in->bytes, &in->dummy,
		        in->header.attrs.v[in->dummy_index].ids[0], &in->samples[i], err);

		if (rc < 0)
			return rc;
		in->insertions[i].size = in->bytes.n - before;
	}
	return 0;
}

/* How far what was at this offset moves. */
static uint64_t shift(const struct insert *in, uint64_t at)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < in->n && in->insertions[i].pos <= at; i++)
		sum += in->insertions[i].size;
	return sum;
}

/* ---- numbers that change ---- */

static bool patch(struct insert *in, uint64_t at, uint64_t value)
{
	struct patch new = {at, value};

	return ptf_vec_push(&in->patches, new);
}

/* u64 number of entries, then offset and size of each AUXTRACE record. */
static bool patch_auxtrace_index(struct insert *in, uint64_t at, uint64_t size)
{
	uint64_t n = get(in, at);

	for (uint64_t i = 0; i < n && 8 + (i + 1) * 16 <= size; i++) {
		uint64_t offset = get(in, at + 8 + i * 16);

		if (!patch(in, at + 8 + i * 16, offset + shift(in, offset)))
			return false;
	}
	return true;
}

/* u32 events, u32 size of an attribute; for each the attribute, u32 ids, u32 size of the name, the
 * name, the ids. Events stand in the order of the attributes. */
static bool patch_event_desc(struct insert *in, uint64_t at, uint64_t size)
{
	struct ptf_reader r = ptf_reader_make(in->map.bytes + at, (size_t)size);
	uint32_t n = ptf_reader_u32(&r), attr_size = ptf_reader_u32(&r);

	for (uint32_t i = 0; i < n && !r.failed; i++) {
		uint32_t ids;

		if (i == in->dummy_index)
			return patch(in, at + r.pos + ATTR_SAMPLE_TYPE, in->dummy.sample_type);
		ptf_reader_skip(&r, attr_size);
		ids = ptf_reader_u32(&r);
		ptf_reader_skip(&r, ptf_reader_u32(&r));
		ptf_reader_skip(&r, (size_t)ids * sizeof(uint64_t));
	}
	return true;
}

/* The table behind the data, one entry for each feature bit that is set. */
static int patch_features(struct insert *in, struct ptf_error *err)
{
	uint64_t at = data_end(in);
	bool ok = true;

	for (unsigned i = 0; i < FEATURE_BITS && ok; i++) {
		uint64_t offset, size;

		if (!(get(in, AT_FEATURES + i / 64 * 8) >> i % 64 & 1))
			continue;
		offset = get(in, at);
		size = get(in, at + 8);
		if (offset > in->map.size || size > in->map.size - offset)
			return damaged(in, err);
		ok = patch(in, at, offset + shift(in, offset));
		if (ok && i == PTF_FEATURE_AUXTRACE)
			ok = patch_auxtrace_index(in, offset, size);
		if (ok && i == PTF_FEATURE_EVENT_DESC)
			ok = patch_event_desc(in, offset, size);
		at += 16;
	}
	return ok ? 0 : no_memory(err);
}

static int find_patches(struct insert *in, struct ptf_error *err)
{
	uint64_t attr = get(in, AT_ATTRS) + in->dummy_index * get(in, AT_ATTR_SIZE);

	if (!patch(in, attr + ATTR_SAMPLE_TYPE, in->dummy.sample_type) ||
	        !patch(in, AT_DATA_SIZE, in->header.data_size + in->bytes.n))
		return no_memory(err);
	return patch_features(in, err);
}

/* ---- the new file ---- */

static bool write_all(int fd, const uint8_t *bytes, uint64_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (uint64_t)n;
	}
	return true;
}

static bool write_file(const struct insert *in, int fd)
{
	const uint8_t *sample = in->bytes.v;
	uint64_t done = 0;

	for (size_t i = 0; i < in->n; i++) {
		const struct insertion *at = &in->insertions[i];

		if (!write_all(fd, in->map.bytes + done, at->pos - done) ||
		        !write_all(fd, sample, at->size))
			return false;
		done = at->pos;
		sample += at->size;
	}
	if (!write_all(fd, in->map.bytes + done, in->map.size - done))
		return false;
	ptf_vec_foreach (p, &in->patches) {
		if (pwrite(fd, &p->value, sizeof(p->value), (off_t)(p->at + shift(in, p->at))) !=
		        sizeof(p->value))
			return false;
	}
	return true;
}

static int replace(const struct insert *in, struct ptf_error *err)
{
	char *temporary;
	struct stat st;
	int rc = 0, fd;

	if (asprintf(&temporary, "%s.tmp.%d", in->path, (int)getpid()) < 0)
		return no_memory(err);
	fd = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || stat(in->path, &st) < 0 || fchmod(fd, st.st_mode & 0777) < 0 ||
	        !write_file(in, fd))
		rc = ptf_error_set_errno(err, errno, "%s", temporary);
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = ptf_error_set_errno(err, errno, "%s", temporary);
	if (rc == 0 && rename(temporary, in->path) < 0)
		rc = ptf_error_set_errno(err, errno, "%s", in->path);
	if (rc < 0 && fd >= 0)
		unlink(temporary);
	free(temporary);
	return rc;
}

static int insert_all(struct insert *in, struct ptf_error *err)
{
	int rc = ptf_file_map_init(&in->map, in->path, err);

	if (rc == 0)
		rc = ptf_perf_header_parse(&in->header, in->map.bytes, in->map.size, in->path, err);
	if (rc == 0 && in->header.info.pipe_mode)
		rc = ptf_error_set(err, PTF_EUNSUPPORTED, "%s: in pipe format", in->path);
	if (rc == 0 && (data_end(in) > in->map.size || data_end(in) < in->header.data_offset))
		rc = damaged(in, err);
	if (rc == 0)
		rc = find_dummy(in, err);
	if (rc == 0)
		rc = encode(in, err);
	if (rc == 0)
		rc = find_positions(in, err);
	if (rc == 0)
		rc = find_patches(in, err);
	return rc < 0 ? rc : replace(in, err);
}

int ptf_perf_insert_samples(
        const char *path, const struct ptf_record *samples, size_t n, struct ptf_error *err)
{
	struct insert in = {.samples = samples, .n = n};
	char *file = NULL;
	struct stat st;
	int rc;

	if (asprintf(&file, "%s%s", path,
	            stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "/data" : "") < 0)
		return no_memory(err);
	in.path = file;
	in.insertions = calloc(n + 1, sizeof(*in.insertions));
	rc = in.insertions ? insert_all(&in, err) : no_memory(err);
	free(in.insertions);
	ptf_vec_release(&in.bytes);
	ptf_vec_release(&in.patches);
	ptf_perf_header_release(&in.header);
	ptf_file_map_release(&in.map);
	free(file);
	return rc;
}
