/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "node/kv_node.h"

#define NAME "snapshot-%020" PRIu64 "-%020" PRIu64
#define SCAN_NAME "snapshot-%" SCNu64 "-%" SCNu64 "%n"
#define WRITE_BYTES (1u << 20)

void kv_snapshot_path(const char *directory, uint64_t index, uint64_t term, char *path)
{
	snprintf(path, PATH_MAX, "%s/" NAME, directory, index, term);
}

int kv_snapshot_find(const char *directory, uint64_t *index, uint64_t *term, struct ptf_error *err)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	*index = *term = 0;
	if (!dir)
		return ptf_error_set_errno(err, errno, "%s", directory);
	while ((entry = readdir(dir))) {
		uint64_t i, t;
		int end = 0;

		if (sscanf(entry->d_name, SCAN_NAME, &i, &t, &end) == 2 && !entry->d_name[end] &&
		        i > *index) {
			*index = i;
			*term = t;
		}
	}
	closedir(dir);
	return 0;
}

void kv_snapshot_remove_older(const char *directory, uint64_t index)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		uint64_t i, t;
		int end = 0;

		if (sscanf(entry->d_name, SCAN_NAME, &i, &t, &end) == 2 && !entry->d_name[end] &&
		        i < index)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static int write_out(int fd, struct kv_buffer *buffer, struct ptf_error *err)
{
	size_t done = 0;

	while (done < buffer->n) {
		ssize_t n = write(fd, buffer->v + done, buffer->n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ptf_error_set_errno(err, n ? errno : ENOSPC, "writing a snapshot");
		done += n;
	}
	buffer->n = 0;
	return 0;
}

/* Adds the item as a record; large values are fetched from the value log. */
static int add_item(const struct kv_item *item, struct kv_buffer *out, struct ptf_error *err)
{
	uint8_t bucket_size = item->name->bytes[0];
	struct kv_record record = {.type = KV_RECORD_ITEM, .command.op = KV_OP_SET};
	struct kv_command *command = &record.command;
	uint8_t *large = NULL;

	command->bucket = (struct kv_slice){item->name->bytes + 1, bucket_size};
	command->key = (struct kv_slice){
	        item->name->bytes + 1 + bucket_size, item->name->size - 1 - bucket_size};
	command->value = (struct kv_slice){item->value->bytes, item->value->size};
	if (item->value->file) {
		large = kv_alloc(item->value->size);
		if (!kv_value_log_read(item->value, large)) {
			free(large);
			return ptf_error_set(err, PTF_EIO, "reading the value log");
		}
		command->value.bytes = large;
	}
	kv_record_encode(&record, out);
	free(large);
	return 0;
}

static int write_items(int fd, const struct kv_capture *capture, struct ptf_error *err)
{
	struct kv_record head = {
	        .type = KV_RECORD_SNAPSHOT, .index = capture->index, .term = capture->term};
	struct kv_record last = {.type = KV_RECORD_LAST, .index = capture->items.n};
	struct kv_buffer out = {0};
	int status = 0;

	kv_record_encode(&head, &out);
	for (size_t i = 0; i < capture->items.n && !status; i++) {
		status = add_item(&capture->items.v[i], &out, err);
		if (!status && out.n >= WRITE_BYTES)
			status = write_out(fd, &out, err);
	}
	kv_record_encode(&last, &out);
	if (!status)
		status = write_out(fd, &out, err);
	ptf_vec_release(&out);
	return status;
}

static int sync_path(const char *path, int flags, struct ptf_error *err)
{
	int fd = open(path, flags | O_CLOEXEC), status;

	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	status = fsync(fd) ? ptf_error_set_errno(err, errno, "syncing %s", path) : 0;
	close(fd);
	return status;
}

int kv_snapshot_commit(const char *directory, const char *from, uint64_t index, uint64_t term,
        struct ptf_error *err)
{
	char path[PATH_MAX];
	int status = sync_path(from, O_RDONLY, err);

	if (status)
		return status;
	kv_snapshot_path(directory, index, term, path);
	if (rename(from, path))
		return ptf_error_set_errno(err, errno, "%s", path);
	return sync_path(directory, O_RDONLY | O_DIRECTORY, err);
}

int kv_snapshot_write(
        const char *directory, const struct kv_capture *capture, struct ptf_error *err)
{
	char path[PATH_MAX];
	int fd, status;

	snprintf(path, sizeof(path), "%s/new-snapshot", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	status = write_items(fd, capture, err);
	close(fd);
	if (!status)
		status = kv_snapshot_commit(directory, path, capture->index, capture->term, err);
	if (status)
		unlink(path);
	return status;
}

/* Puts one record into the store; `last` is set by the file's last one. */
static int load_record(struct kv_node *node, const struct kv_record *record, uint64_t *items,
        bool *last, struct ptf_error *err)
{
	struct kv_result result;

	if (record->type == KV_RECORD_ITEM) {
		++*items;
		return kv_store_apply(node->store, &record->command, &result, err);
	}
	*last = record->type == KV_RECORD_LAST && record->index == *items;
	if (record->type == KV_RECORD_SNAPSHOT || *last)
		return 0;
	return ptf_error_set_at(err, PTF_EFORMAT, record->offset, "an item is missing");
}

int kv_snapshot_load(
        struct kv_node *node, uint64_t index, uint64_t term, uint64_t *calls, struct ptf_error *err)
{
	struct kv_record_reader *reader;
	struct kv_record record;
	uint64_t items = 0;
	bool last = false;
	char path[PATH_MAX];
	int status;

	kv_snapshot_path(node->options.data, index, term, path);
	reader = kv_record_reader_create(path, node->options.recover, err);
	if (!reader)
		return -PTF_EIO;
	while (!(status = kv_record_reader_next(reader, &record, err)) && !last) {
		status = load_record(node, &record, &items, &last, err);
		if (status)
			break;
	}
	if (status >= 0 && !last)
		status = ptf_error_set(err, PTF_ETRUNC, "it ends too early");
	*calls += kv_record_reader_calls(reader);
	kv_record_reader_destroy(reader);
	return status < 0 ? ptf_error_prepend(err, "%s", path) : 0;
}
