/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as the only file of a write-ahead log: all three readers must agree on what is in it,
 * and the log must open or say why not. The first byte tells whether checksums are put right, so
 * that what is behind them is reached too. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "wal/kv_wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void repair(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + KV_RECORD_HEAD <= size;) {
		uint32_t key, value, crc;
		uint16_t bucket;
		size_t body;

		memcpy(&bucket, bytes + at + 6, 2);
		memcpy(&key, bytes + at + 8, 4);
		memcpy(&value, bytes + at + 12, 4);
		body = (size_t)bucket + key + value;
		if (body > size - at - KV_RECORD_HEAD)
			return;
		crc = crc32(0, bytes + at + 4, KV_RECORD_HEAD + body - 4);
		memcpy(bytes + at, &crc, 4);
		at += (KV_RECORD_HEAD + body + 7) & ~(size_t)7;
	}
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	close(fd);
}

static uint64_t read_with(const char *path, enum kv_recover how, int *status)
{
	struct kv_record_reader *reader = kv_record_reader_create(path, how, NULL);
	struct kv_record record;
	uint64_t sum = 0;

	while (!(*status = kv_record_reader_next(reader, &record, NULL)))
		sum = sum * 31 + record.offset + record.index + record.command.value.size;
	kv_record_reader_destroy(reader);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static char directory[64];
	struct kv_wal_options options = {.directory = directory, .segment_bytes = 1 << 20};
	uint8_t *copy = malloc(size + 1);
	int stream, block, entry;
	struct kv_record record;
	struct ptf_error err;
	struct kv_wal *wal;
	uint64_t sum;
	char path[96];

	snprintf(directory, sizeof(directory), "/tmp/fuzz-kv-wal-%d", (int)getpid());
	snprintf(path, sizeof(path), "mkdir -p %s", directory);
	if (access(directory, F_OK) && system(path))
		abort();
	snprintf(path, sizeof(path), "%s/wal-00000001", directory);
	memcpy(copy, bytes, size);
	if (size && bytes[0] & 1)
		repair(copy, size);
	write_file(path, copy, size);
	free(copy);
	sum = read_with(path, KV_RECOVER_STREAM, &stream);
	if (sum != read_with(path, KV_RECOVER_BLOCK, &block) ||
	        sum != read_with(path, KV_RECOVER_ENTRY, &entry) || stream != block ||
	        stream != entry)
		abort();
	wal = kv_wal_create(&options, &err);
	while (wal && !kv_wal_next(wal, &record, &err))
		;
	kv_wal_destroy(wal);
	return 0;
}
