/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/kv_value_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES (64ull << 20)

struct kv_value_file {
	struct kv_value_log *log;
	int fd;
	uint64_t number;
	uint64_t size;             /* bytes written; guarded by the log's mutex */
	atomic_uint_fast64_t live; /* bytes that values refer to */
	atomic_uint refs;          /* values, and the log while it appends here */
	bool full;                 /* nothing is added any more */
};

struct kv_value_log {
	char directory[PATH_MAX];
	pthread_mutex_t mutex;
	struct kv_value_file *current;
	uint64_t last_number;
	atomic_uint_fast64_t files, bytes, live;
};

static void file_path(const struct kv_value_log *log, uint64_t number, char path[PATH_MAX + 32])
{
	snprintf(path, PATH_MAX + 32, "%s/%08llu", log->directory, (unsigned long long)number);
}

static void unref_file(struct kv_value_file *file)
{
	char path[PATH_MAX + 32];

	if (atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	file_path(file->log, file->number, path);
	unlink(path);
	close(file->fd);
	atomic_fetch_sub(&file->log->files, 1);
	atomic_fetch_sub(&file->log->bytes, file->size);
	free(file);
}

void kv_value_file_unref(struct kv_value_file *file, uint32_t size)
{
	atomic_fetch_sub(&file->live, size);
	atomic_fetch_sub(&file->log->live, size);
	unref_file(file);
}

static void remove_old(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

struct kv_value_log *kv_value_log_create(const char *directory, struct ptf_error *err)
{
	struct kv_value_log *log = kv_alloc(sizeof(*log));

	snprintf(log->directory, sizeof(log->directory), "%s/values", directory);
	pthread_mutex_init(&log->mutex, NULL);
	if (mkdir(log->directory, 0700) && errno != EEXIST) {
		ptf_error_set_errno(err, errno, "%s", log->directory);
		kv_value_log_destroy(log);
		return NULL;
	}
	remove_old(log->directory);
	return log;
}

void kv_value_log_destroy(struct kv_value_log *log)
{
	if (!log)
		return;
	if (log->current)
		unref_file(log->current);
	pthread_mutex_destroy(&log->mutex);
	free(log);
}

static int begin_file(struct kv_value_log *log, struct ptf_error *err)
{
	struct kv_value_file *file = kv_alloc(sizeof(*file));
	char path[PATH_MAX + 32];

	if (log->current) {
		log->current->full = true;
		unref_file(log->current);
		log->current = NULL;
	}
	file->log = log;
	file->number = ++log->last_number;
	atomic_init(&file->refs, 1);
	file_path(log, file->number, path);
	file->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file->fd < 0) {
		free(file);
		return ptf_error_set_errno(err, errno, "%s", path);
	}
	atomic_fetch_add(&log->files, 1);
	log->current = file;
	return 0;
}

static int append(struct kv_value_file *file, const uint8_t *bytes, uint32_t size)
{
	uint32_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(file->fd, bytes + done, size - done, file->size + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? errno : ENOSPC;
		done += n;
	}
	return 0;
}

struct kv_value *kv_value_log_add(
        struct kv_value_log *log, const void *bytes, uint32_t size, struct ptf_error *err)
{
	struct kv_value *value = NULL;
	int failed = 0;

	pthread_mutex_lock(&log->mutex);
	if ((log->current && log->current->size < FILE_BYTES) || !begin_file(log, err)) {
		struct kv_value_file *file = log->current;

		failed = append(file, bytes, size);
		if (!failed) {
			value = kv_value_create(NULL, 0);
			value->size = size;
			value->file = file;
			value->offset = file->size;
			file->size += size;
			atomic_fetch_add(&file->refs, 1);
			atomic_fetch_add(&file->live, size);
			atomic_fetch_add(&log->bytes, size);
			atomic_fetch_add(&log->live, size);
		}
	}
	pthread_mutex_unlock(&log->mutex);
	if (failed)
		ptf_error_set_errno(err, failed, "writing the value log");
	return value;
}

bool kv_value_log_read(const struct kv_value *value, void *to)
{
	uint32_t done = 0;

	while (done < value->size) {
		ssize_t n = pread(value->file->fd, (uint8_t *)to + done, value->size - done,
		        value->offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

bool kv_value_log_is_sparse(const struct kv_value *value)
{
	struct kv_value_file *file = value->file;
	bool sparse = false;

	if (!file)
		return false;
	pthread_mutex_lock(&file->log->mutex);
	sparse = file->full && atomic_load(&file->live) < file->size / 2;
	pthread_mutex_unlock(&file->log->mutex);
	return sparse;
}

void kv_value_log_stats(struct kv_value_log *log, struct kv_value_log_stats *stats)
{
	stats->files = atomic_load(&log->files);
	stats->bytes = atomic_load(&log->bytes);
	stats->live_bytes = atomic_load(&log->live);
}
