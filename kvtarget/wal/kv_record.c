/* SPDX-License-Identifier: BSD-2-Clause */
#include "wal/kv_record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/reader.h"

#define STREAM_BUFFER (256u << 10)
#define BLOCK_SIZE (32u << 10)

struct kv_record_reader {
	int fd;
	enum kv_recover how;
	uint64_t size, offset; /* of the file; of the next record, bytes */
	uint64_t calls;
	struct kv_buffer buffer; /* file content from buffer_offset on */
	uint64_t buffer_offset;
	PTF_VEC(struct kv_record) records; /* KV_RECOVER_BLOCK: all of them */
	struct kv_buffer kept;             /* and their bytes */
	size_t next;
	int end; /* what the reader ends with */
	struct ptf_error err;
};

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

void kv_record_encode(const struct kv_record *record, struct kv_buffer *out)
{
	const struct kv_command *command = &record->command;
	size_t from = out->n, size;
	uint16_t bucket_size = command->bucket.size;
	uint8_t kind[2] = {record->type, command->op};
	uint32_t crc;

	kv_buffer_add_u32(out, 0);
	kv_buffer_add(out, kind, sizeof(kind));
	kv_buffer_add(out, &bucket_size, sizeof(bucket_size));
	kv_buffer_add_u32(out, command->key.size);
	kv_buffer_add_u32(out, command->value.size);
	kv_buffer_add_u64(out, record->index);
	kv_buffer_add_u64(out, record->term);
	kv_buffer_add_u64(out, record->batch);
	kv_buffer_add(out, command->bucket.bytes, command->bucket.size);
	kv_buffer_add(out, command->key.bytes, command->key.size);
	kv_buffer_add(out, command->value.bytes, command->value.size);
	size = out->n - from;
	crc = crc32(0, out->v + from + 4, size - 4);
	memcpy(out->v + from, &crc, sizeof(crc));
	memset(kv_buffer_extend(out, padded(size) - size), 0, padded(size) - size);
}

/* Fills all but the slices; *body is the size of what follows. 0, 1 at zeros, or -PTF_EFORMAT. */
static int decode_head(const uint8_t *bytes, struct kv_record *record, uint32_t *crc, size_t *body)
{
	struct ptf_reader in = ptf_reader_make(bytes, KV_RECORD_HEAD);
	struct kv_command *command = &record->command;
	static const uint8_t zeros[KV_RECORD_HEAD];

	if (!memcmp(bytes, zeros, KV_RECORD_HEAD))
		return 1;
	*crc = ptf_reader_u32(&in);
	record->type = ptf_reader_u8(&in);
	command->op = ptf_reader_u8(&in);
	command->bucket.size = ptf_reader_u16(&in);
	command->key.size = ptf_reader_u32(&in);
	command->value.size = ptf_reader_u32(&in);
	record->index = ptf_reader_u64(&in);
	record->term = ptf_reader_u64(&in);
	record->batch = ptf_reader_u64(&in);
	if (record->type == KV_RECORD_END || record->type >= KV_RECORD_TYPES ||
	        command->bucket.size > KV_MAX_BUCKET || command->key.size > KV_MAX_KEY ||
	        command->value.size > 64 * KV_MAX_VALUE)
		return -PTF_EFORMAT;
	*body = (size_t)command->bucket.size + command->key.size + command->value.size;
	return 0;
}

static void set_slices(struct kv_record *record, const uint8_t *body)
{
	struct kv_command *command = &record->command;

	command->bucket.bytes = body;
	command->key.bytes = command->bucket.bytes + command->bucket.size;
	command->value.bytes = command->key.bytes + command->key.size;
}

int kv_record_decode(const uint8_t *bytes, size_t size, struct kv_record *record, size_t *used)
{
	uint32_t crc;
	size_t body;
	int status;

	*used = KV_RECORD_HEAD;
	if (size < KV_RECORD_HEAD)
		return -PTF_ETRUNC;
	status = decode_head(bytes, record, &crc, &body);
	if (status)
		return status;
	*used = padded(KV_RECORD_HEAD + body);
	if (size < *used)
		return -PTF_ETRUNC;
	if (crc32(0, bytes + 4, KV_RECORD_HEAD + body - 4) != crc)
		return -PTF_EFORMAT;
	set_slices(record, bytes + KV_RECORD_HEAD);
	return 0;
}

/* Reads n bytes at offset, fewer only at the end of the file: the number, or -1. */
static ssize_t read_at(struct kv_record_reader *reader, uint8_t *to, size_t n, uint64_t offset)
{
	size_t done = 0;
	ssize_t got = 1;

	while (done < n && got) {
		got = pread(reader->fd, to + done, n - done, offset + done);
		reader->calls++;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		done += got;
	}
	return done;
}

static int end_with(struct kv_record_reader *reader, int status, uint64_t offset)
{
	reader->end = status;
	if (status == -PTF_EFORMAT)
		ptf_error_set_at(&reader->err, PTF_EFORMAT, offset, "damaged record");
	else if (status < 0)
		ptf_error_set_errno(
		        &reader->err, errno, "reading at offset %llu", (unsigned long long)offset);
	return status;
}

/* Header, bucket, key and value, each by a system call of its own. */
static int next_by_entry(struct kv_record_reader *reader, struct kv_record *record)
{
	struct kv_buffer *buffer = &reader->buffer;
	uint64_t at = reader->offset + KV_RECORD_HEAD;
	size_t used, body;
	uint32_t crc, parts[3];
	int status;

	buffer->n = 0;
	if (read_at(reader, kv_buffer_extend(buffer, KV_RECORD_HEAD), KV_RECORD_HEAD,
	            reader->offset) < KV_RECORD_HEAD)
		return end_with(reader, 1, reader->offset);
	status = decode_head(buffer->v, record, &crc, &body);
	if (status)
		return end_with(reader, status, reader->offset);
	if (padded(KV_RECORD_HEAD + body) > reader->size - reader->offset)
		return end_with(reader, -PTF_EFORMAT, reader->offset);
	parts[0] = record->command.bucket.size;
	parts[1] = record->command.key.size;
	parts[2] = record->command.value.size;
	for (int i = 0; i < 3; i++) {
		if (parts[i] && read_at(reader, kv_buffer_extend(buffer, parts[i]), parts[i], at) <
		                        (ssize_t)parts[i])
			return end_with(reader, -PTF_EFORMAT, reader->offset);
		at += parts[i];
	}
	used = padded(buffer->n);
	memset(kv_buffer_extend(buffer, used - buffer->n), 0, used - buffer->n);
	status = kv_record_decode(buffer->v, buffer->n, record, &used);
	if (status)
		return end_with(reader, status, reader->offset);
	record->offset = reader->offset;
	reader->offset += used;
	return 0;
}

/* Has at least n bytes from reader->offset in the buffer if the file has them. */
static bool fill_stream(struct kv_record_reader *reader, size_t n)
{
	struct kv_buffer *buffer = &reader->buffer;
	size_t skip = reader->offset - reader->buffer_offset, want;
	ssize_t got;

	if (buffer->n - skip >= n)
		return true;
	buffer->n -= skip;
	if (buffer->n)
		memmove(buffer->v, buffer->v + skip, buffer->n);
	reader->buffer_offset = reader->offset;
	want = n > STREAM_BUFFER ? n : STREAM_BUFFER;
	kv_vec_reserve(buffer, want - buffer->n);
	got = read_at(
	        reader, buffer->v + buffer->n, want - buffer->n, reader->buffer_offset + buffer->n);
	if (got < 0)
		return false;
	buffer->n += got;
	return true;
}

static int next_by_stream(struct kv_record_reader *reader, struct kv_record *record)
{
	size_t used = KV_RECORD_HEAD, before = 0;
	int status = -PTF_ETRUNC;

	while (status == -PTF_ETRUNC && used > before) {
		before = used;
		if (used > reader->size - reader->offset)
			break;
		if (!fill_stream(reader, used))
			return end_with(reader, -PTF_EIO, reader->offset);
		status = kv_record_decode(
		        reader->buffer.v + (reader->offset - reader->buffer_offset),
		        reader->buffer.n - (reader->offset - reader->buffer_offset), record, &used);
	}
	if (status == -PTF_ETRUNC)
		status = used > KV_RECORD_HEAD ? -PTF_EFORMAT : 1;
	if (status)
		return end_with(reader, status, reader->offset);
	record->offset = reader->offset;
	reader->offset += used;
	return 0;
}

/* A record is whole: keeps it. Its slices become offsets until all bytes are in place. */
static void keep_record(struct kv_record_reader *reader, struct kv_record *record, size_t used)
{
	size_t at = reader->kept.n + KV_RECORD_HEAD;

	kv_buffer_add(&reader->kept, reader->buffer.v, used);
	record->command.bucket.bytes = (const uint8_t *)(uintptr_t)at;
	record->offset = reader->offset;
	reader->offset += used;
	kv_vec_push(&reader->records, *record);
	reader->buffer.n -= used;
	memmove(reader->buffer.v, reader->buffer.v + used, reader->buffer.n);
}

/* Reads the whole file by blocks; what a block leaves over waits for the next one. */
static void load_blocks(struct kv_record_reader *reader)
{
	struct kv_record record;
	int status = -PTF_ETRUNC;
	uint64_t at = 0;
	size_t used = 0;

	while (status == -PTF_ETRUNC && at < reader->size) {
		ssize_t got = read_at(
		        reader, kv_buffer_extend(&reader->buffer, BLOCK_SIZE), BLOCK_SIZE, at);

		if (got < 0) {
			end_with(reader, -PTF_EIO, at);
			return;
		}
		reader->buffer.n -= BLOCK_SIZE - got;
		at += got;
		while (!(status = kv_record_decode(
		                 reader->buffer.v, reader->buffer.n, &record, &used)))
			keep_record(reader, &record, used);
	}
	if (status == -PTF_ETRUNC)
		status = reader->buffer.n >= KV_RECORD_HEAD ? -PTF_EFORMAT : 1;
	end_with(reader, status, reader->offset);
}

static int next_by_block(struct kv_record_reader *reader, struct kv_record *record)
{
	if (reader->next == reader->records.n)
		return reader->end;
	*record = reader->records.v[reader->next++];
	set_slices(record, reader->kept.v + (uintptr_t)record->command.bucket.bytes);
	return 0;
}

struct kv_record_reader *kv_record_reader_create(
        const char *path, enum kv_recover how, struct ptf_error *err)
{
	struct kv_record_reader *reader = kv_alloc(sizeof(*reader));
	struct stat st;

	reader->how = how;
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0 || fstat(reader->fd, &st) < 0) {
		ptf_error_set_errno(err, errno, "%s", path);
		kv_record_reader_destroy(reader);
		return NULL;
	}
	reader->size = st.st_size;
	if (how == KV_RECOVER_BLOCK)
		load_blocks(reader);
	return reader;
}

void kv_record_reader_destroy(struct kv_record_reader *reader)
{
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	ptf_vec_release(&reader->buffer);
	ptf_vec_release(&reader->records);
	ptf_vec_release(&reader->kept);
	free(reader);
}

int kv_record_reader_next(
        struct kv_record_reader *reader, struct kv_record *record, struct ptf_error *err)
{
	int status = reader->end;

	if (reader->how == KV_RECOVER_BLOCK)
		status = next_by_block(reader, record);
	else if (!status && reader->how == KV_RECOVER_ENTRY)
		status = next_by_entry(reader, record);
	else if (!status)
		status = next_by_stream(reader, record);
	if (status < 0 && err)
		*err = reader->err;
	return status;
}

uint64_t kv_record_reader_calls(const struct kv_record_reader *reader)
{
	return reader->calls;
}
