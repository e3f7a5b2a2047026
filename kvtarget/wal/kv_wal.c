/* SPDX-License-Identifier: BSD-2-Clause */
#include "wal/kv_wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct segment {
	uint64_t number;
	uint64_t last_index; /* highest index of an entry in it */
};

/* What one raft_ready asked to be written. */
struct batch {
	uint64_t seq;
	bool has_hard_state, install;
	struct raft_hard_state hard_state;
	uint64_t install_index, install_term;
	struct raft_entry_vec entries;
};

struct kv_wal {
	struct kv_wal_options options;
	PTF_VEC(struct segment) segments; /* oldest first; guarded by mutex once it runs */

	/* recovery */
	size_t reading;                  /* segment */
	struct kv_record_reader *reader; /* of it, NULL: to be opened */
	uint64_t good_end;               /* offset behind the last whole record of the segment */
	uint64_t last_batch;
	struct kv_wal_stats stats;

	/* the log's thread */
	pthread_t thread;
	bool running;
	int fd;
	uint64_t offset; /* in the last segment, bytes */
	struct raft_hard_state hard_state;
	struct kv_buffer buffer;

	pthread_mutex_t mutex;
	pthread_cond_t wake;
	PTF_VEC(struct batch) queue; /* guarded by mutex */
	bool stop;
};

static void segment_path(const struct kv_wal *wal, uint64_t number, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/wal-%08" PRIu64, wal->options.directory, number);
}

static int compare_segments(const void *left, const void *right)
{
	const struct segment *a = left, *b = right;

	return (a->number > b->number) - (a->number < b->number);
}

static int list_segments(struct kv_wal *wal, struct ptf_error *err)
{
	DIR *dir = opendir(wal->options.directory);
	struct dirent *entry;

	if (!dir)
		return ptf_error_set_errno(err, errno, "%s", wal->options.directory);
	while ((entry = readdir(dir))) {
		uint64_t number;
		int end = 0;

		if (sscanf(entry->d_name, "wal-%" SCNu64 "%n", &number, &end) == 1 &&
		        !entry->d_name[end])
			kv_vec_push(&wal->segments, (struct segment){.number = number});
	}
	closedir(dir);
	if (wal->segments.n)
		qsort(wal->segments.v, wal->segments.n, sizeof(*wal->segments.v), compare_segments);
	for (size_t i = 1; i < wal->segments.n; i++)
		if (wal->segments.v[i].number != wal->segments.v[i - 1].number + 1)
			return ptf_error_set(err, PTF_EFORMAT,
			        "%s: log file wal-%08" PRIu64 " is missing", wal->options.directory,
			        wal->segments.v[i - 1].number + 1);
	return 0;
}

struct kv_wal *kv_wal_create(const struct kv_wal_options *options, struct ptf_error *err)
{
	struct kv_wal *wal = kv_alloc(sizeof(*wal));

	wal->options = *options;
	wal->fd = -1;
	pthread_mutex_init(&wal->mutex, NULL);
	pthread_cond_init(&wal->wake, NULL);
	if (list_segments(wal, err)) {
		kv_wal_destroy(wal);
		return NULL;
	}
	return wal;
}

void kv_wal_destroy(struct kv_wal *wal)
{
	if (!wal)
		return;
	if (wal->running) {
		pthread_mutex_lock(&wal->mutex);
		wal->stop = true;
		pthread_cond_signal(&wal->wake);
		pthread_mutex_unlock(&wal->mutex);
		pthread_join(wal->thread, NULL);
	}
	ptf_vec_foreach (batch, &wal->queue)
		raft_entry_vec_release(&batch->entries);
	ptf_vec_release(&wal->queue);
	ptf_vec_release(&wal->segments);
	ptf_vec_release(&wal->buffer);
	kv_record_reader_destroy(wal->reader);
	if (wal->fd >= 0)
		close(wal->fd);
	pthread_mutex_destroy(&wal->mutex);
	pthread_cond_destroy(&wal->wake);
	free(wal);
}

/* --- recovery --- */

/* Reads a file from offset to its end. */
static int read_rest(
        const char *path, uint64_t offset, struct kv_buffer *rest, struct ptf_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got = 1;

	if (fd < 0 || fstat(fd, &st) < 0) {
		ptf_error_set_errno(err, errno, "%s", path);
		if (fd >= 0)
			close(fd);
		return -PTF_EIO;
	}
	kv_vec_reserve(rest, st.st_size > (off_t)offset ? st.st_size - offset : 1);
	while (got > 0 && rest->n < rest->cap) {
		got = pread(fd, rest->v + rest->n, rest->cap - rest->n, offset + rest->n);
		if (got > 0)
			rest->n += got;
	}
	close(fd);
	return 0;
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Is what stands at the end of the log the remains of a write that did not complete? Files are
 * preallocated with zeros, so a write that was cut off left a sector of zeros or the file's end
 * within it. And nothing of a later write can be there: a write begins when the one before it is
 * durable. */
static bool is_torn(const struct kv_buffer *rest, uint64_t offset, uint64_t last_batch)
{
	struct kv_record record;
	size_t used, extent, sector;

	for (size_t at = 8; at + KV_RECORD_HEAD <= rest->n; at += 8)
		if (!kv_record_decode(rest->v + at, rest->n - at, &record, &used) &&
		        record.batch > last_batch + 1)
			return false;
	/* How far the damaged record reaches, as far as its header can be believed. */
	if (kv_record_decode(rest->v, rest->n, &record, &used) == -PTF_ETRUNC)
		return true;
	extent = used < rest->n ? used : rest->n;
	sector = (SECTOR - offset % SECTOR) % SECTOR;
	if (sector && all_zero(rest->v, sector < extent ? sector : extent))
		return true;
	for (; sector < extent; sector += SECTOR)
		if (all_zero(rest->v + sector,
		            rest->n - sector < SECTOR ? rest->n - sector : SECTOR))
			return true;
	return false;
}

static int cut_off(struct kv_wal *wal, const char *path, struct ptf_error *err)
{
	if (truncate(path, wal->good_end))
		return ptf_error_set_errno(err, errno, "cutting the torn end off %s", path);
	return 0;
}

/* Forgets the segments behind the one that is being read. */
static int drop_following(struct kv_wal *wal, struct ptf_error *err)
{
	char path[PATH_MAX];

	while (wal->segments.n > wal->reading + 1) {
		segment_path(wal, wal->segments.v[wal->segments.n - 1].number, path);
		if (unlink(path))
			return ptf_error_set_errno(err, errno, "removing %s", path);
		wal->segments.n--;
	}
	return 0;
}

/* The record at good_end is damaged. 1: the log ends here. */
static int handle_damage(struct kv_wal *wal, const char *path, struct ptf_error *err)
{
	struct kv_buffer rest = {0};
	bool last = wal->reading + 1 == wal->segments.n, torn = false;
	int status = read_rest(path, wal->good_end, &rest, err);

	if (!status) {
		torn = last && is_torn(&rest, wal->good_end, wal->last_batch);
		wal->stats.damaged_bytes += rest.n;
	}
	ptf_vec_release(&rest);
	if (status)
		return status;
	if (!torn && !wal->options.intact_prefix)
		return ptf_error_set_at(err, PTF_EFORMAT, wal->good_end,
		        "%s: damaged record; --recover-prefix goes on with what is before it",
		        path);
	status = cut_off(wal, path, err);
	if (!status)
		status = drop_following(wal, err);
	return status ? status : 1;
}

/* A segment has ended; everything after it but the last one must have something behind it. */
static void leave_segment(struct kv_wal *wal)
{
	wal->stats.calls += kv_record_reader_calls(wal->reader);
	kv_record_reader_destroy(wal->reader);
	wal->reader = NULL;
	wal->offset = wal->good_end;
	wal->reading++;
}

static bool is_entry(const struct kv_record *record)
{
	return record->type == KV_RECORD_ENTRY || record->type == KV_RECORD_NOOP;
}

static void note_record(struct kv_wal *wal, const struct kv_record *record, uint64_t end)
{
	struct segment *segment = &wal->segments.v[wal->reading];

	wal->stats.records++;
	wal->stats.bytes += end - wal->good_end;
	wal->good_end = end;
	wal->last_batch = record->batch;
	if (is_entry(record) && record->index > segment->last_index)
		segment->last_index = record->index;
}

static uint64_t record_end(const struct kv_record *record)
{
	uint64_t size = KV_RECORD_HEAD + (uint64_t)record->command.bucket.size +
	                record->command.key.size + record->command.value.size;

	return record->offset + ((size + 7) & ~7ull);
}

static bool is_misplaced(const struct kv_wal *wal, const struct kv_record *record)
{
	bool first = record->offset == 0;

	if (first != (record->type == KV_RECORD_SEGMENT))
		return true;
	return first && record->index != wal->segments.v[wal->reading].number;
}

int kv_wal_next(struct kv_wal *wal, struct kv_record *record, struct ptf_error *err)
{
	char path[PATH_MAX];
	int status;

	while (wal->reading < wal->segments.n) {
		segment_path(wal, wal->segments.v[wal->reading].number, path);
		if (!wal->reader) {
			wal->good_end = 0;
			wal->reader = kv_record_reader_create(path, wal->options.recover, err);
			if (!wal->reader)
				return -PTF_EIO;
		}
		status = kv_record_reader_next(wal->reader, record, err);
		if (!status && is_misplaced(wal, record))
			status = -PTF_EFORMAT;
		if (!status) {
			note_record(wal, record, record_end(record));
			if (record->type != KV_RECORD_SEGMENT)
				return 0;
			continue;
		}
		if (status == -PTF_EFORMAT)
			status = handle_damage(wal, path, err);
		if (status < 0)
			return status;
		leave_segment(wal);
	}
	return 1;
}

void kv_wal_stats(const struct kv_wal *wal, struct kv_wal_stats *stats)
{
	*stats = wal->stats;
}

/* --- writing, on the log's thread --- */

static int write_all(struct kv_wal *wal, struct ptf_error *err)
{
	size_t done = 0;

	while (done < wal->buffer.n) {
		ssize_t n = pwrite(
		        wal->fd, wal->buffer.v + done, wal->buffer.n - done, wal->offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ptf_error_set_errno(err, n ? errno : ENOSPC, "writing the log");
		done += n;
	}
	wal->offset += done;
	wal->buffer.n = 0;
	return 0;
}

static int sync_file(struct kv_wal *wal, struct ptf_error *err)
{
	return fdatasync(wal->fd) ? ptf_error_set_errno(err, errno, "syncing the log") : 0;
}

static int sync_directory(const char *path, struct ptf_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;

	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	status = fsync(fd) ? ptf_error_set_errno(err, errno, "syncing %s", path) : 0;
	close(fd);
	return status;
}

static void add_hard_state(struct kv_wal *wal)
{
	struct kv_record record = {.type = KV_RECORD_HARD_STATE,
	        .index = wal->hard_state.commit,
	        .term = wal->hard_state.term,
	        .batch = wal->last_batch,
	        .command.value = {(const uint8_t *)&wal->hard_state.vote, 8}};

	kv_record_encode(&record, &wal->buffer);
}

/* Begins the file behind the last one. What is in the buffer goes to its start. */
static int begin_segment(struct kv_wal *wal, struct ptf_error *err)
{
	uint64_t number = wal->segments.n ? wal->segments.v[wal->segments.n - 1].number + 1 : 1;
	struct kv_record head = {
	        .type = KV_RECORD_SEGMENT, .index = number, .batch = wal->last_batch};
	char path[PATH_MAX];

	segment_path(wal, number, path);
	if (wal->fd >= 0)
		close(wal->fd);
	wal->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (wal->fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	if (fallocate(wal->fd, 0, 0, wal->options.segment_bytes) && errno != EOPNOTSUPP)
		return ptf_error_set_errno(err, errno, "room for %s", path);
	pthread_mutex_lock(&wal->mutex);
	kv_vec_push(&wal->segments, (struct segment){.number = number});
	pthread_mutex_unlock(&wal->mutex);
	wal->offset = 0;
	kv_record_encode(&head, &wal->buffer);
	add_hard_state(wal);
	if (write_all(wal, err) || fsync(wal->fd))
		return ptf_error_set_errno(err, errno, "writing %s", path);
	return sync_directory(wal->options.directory, err);
}

static int flush(struct kv_wal *wal, struct ptf_error *err)
{
	int status;

	if (!wal->buffer.n)
		return 0;
	status = write_all(wal, err);
	return status ? status : sync_file(wal, err);
}

static void add_entry(struct kv_wal *wal, const struct raft_entry *entry)
{
	struct kv_record record = {
	        .type = entry->type == RAFT_ENTRY_NOOP ? KV_RECORD_NOOP : KV_RECORD_ENTRY,
	        .index = entry->index,
	        .term = entry->term,
	        .batch = wal->last_batch};
	size_t used;

	if (entry->payload)
		kv_command_decode(
		        entry->payload->bytes, entry->payload->size, &record.command, &used);
	kv_record_encode(&record, &wal->buffer);
	pthread_mutex_lock(&wal->mutex);
	wal->segments.v[wal->segments.n - 1].last_index = entry->index;
	pthread_mutex_unlock(&wal->mutex);
}

/* Entries first, then the hard state: its commit index never names an entry that is not there. */
static int add_batch(struct kv_wal *wal, const struct batch *batch, struct ptf_error *err)
{
	struct kv_record install = {.type = KV_RECORD_INSTALL,
	        .index = batch->install_index,
	        .term = batch->install_term,
	        .batch = wal->last_batch};

	if (batch->install)
		kv_record_encode(&install, &wal->buffer);
	ptf_vec_foreach (entry, &batch->entries) {
		add_entry(wal, entry);
		if (wal->options.sync_each && flush(wal, err))
			return -err->code;
	}
	if (batch->has_hard_state) {
		wal->hard_state = batch->hard_state;
		add_hard_state(wal);
	}
	return 0;
}

/* Everything that waits, in one write and one sync. */
static int write_group(
        struct kv_wal *wal, const struct batch *batches, size_t n, struct ptf_error *err)
{
	int status = 0;

	if (wal->offset >= wal->options.segment_bytes)
		status = begin_segment(wal, err);
	wal->last_batch++;
	for (size_t i = 0; i < n && !status; i++)
		status = add_batch(wal, &batches[i], err);
	if (!status)
		status = flush(wal, err);
	if (!status)
		wal->options.done(wal->options.context, batches[n - 1].seq);
	return status;
}

static void *run(void *context)
{
	struct kv_wal *wal = context;
	struct ptf_error err = {0};
	int status = 0;

	pthread_setname_np(pthread_self(), "kv-wal");
	pthread_mutex_lock(&wal->mutex);
	while (!wal->stop || wal->queue.n) {
		__typeof__(wal->queue) group = wal->queue;

		if (!group.n) {
			pthread_cond_wait(&wal->wake, &wal->mutex);
			continue;
		}
		wal->queue = (__typeof__(wal->queue)){0};
		pthread_mutex_unlock(&wal->mutex);
		if (!status)
			status = write_group(wal, group.v, group.n, &err);
		ptf_vec_foreach (batch, &group)
			raft_entry_vec_release(&batch->entries);
		ptf_vec_release(&group);
		if (status && err.code) {
			wal->options.failed(wal->options.context, err.msg);
			err.code = 0;
		}
		pthread_mutex_lock(&wal->mutex);
	}
	pthread_mutex_unlock(&wal->mutex);
	return NULL;
}

int kv_wal_start(
        struct kv_wal *wal, const struct raft_hard_state *hard_state, struct ptf_error *err)
{
	char path[PATH_MAX];
	int status = 0;

	wal->hard_state = *hard_state;
	if (wal->segments.n) {
		segment_path(wal, wal->segments.v[wal->segments.n - 1].number, path);
		wal->fd = open(path, O_RDWR | O_CLOEXEC);
		if (wal->fd < 0)
			return ptf_error_set_errno(err, errno, "%s", path);
	}
	/* A file whose first record was torn is of no use. */
	if (!wal->segments.n || !wal->offset) {
		if (wal->segments.n)
			unlink(path), wal->segments.n--;
		status = begin_segment(wal, err);
	}
	if (status)
		return status;
	if (pthread_create(&wal->thread, NULL, run, wal))
		return ptf_error_set(err, PTF_ENOMEM, "no thread for the log");
	wal->running = true;
	return 0;
}

void kv_wal_write(struct kv_wal *wal, const struct raft_ready *ready)
{
	struct batch batch = {.seq = ready->seq,
	        .has_hard_state = ready->write_hard_state,
	        .hard_state = ready->hard_state,
	        .install = ready->has_snapshot,
	        .install_index = ready->snapshot_index,
	        .install_term = ready->snapshot_term};

	raft_entry_vec_append(&batch.entries, ready->entries.v, ready->entries.n);
	pthread_mutex_lock(&wal->mutex);
	kv_vec_push(&wal->queue, batch);
	pthread_cond_signal(&wal->wake);
	pthread_mutex_unlock(&wal->mutex);
}

void kv_wal_drop_before(struct kv_wal *wal, uint64_t index)
{
	char path[PATH_MAX];
	size_t gone = 0;

	pthread_mutex_lock(&wal->mutex);
	while (gone + 1 < wal->segments.n && wal->segments.v[gone].last_index < index) {
		segment_path(wal, wal->segments.v[gone].number, path);
		if (unlink(path))
			break;
		gone++;
	}
	wal->segments.n -= gone;
	memmove(wal->segments.v, wal->segments.v + gone,
	        wal->segments.n * sizeof(*wal->segments.v));
	pthread_mutex_unlock(&wal->mutex);
}
