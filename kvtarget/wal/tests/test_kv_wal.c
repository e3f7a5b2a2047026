/* SPDX-License-Identifier: BSD-2-Clause */
/* The write-ahead log: what was acknowledged is read again, in every mode, whatever befell the
 * end of the last file; damage elsewhere is told with file and offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/kv_wal.h"

struct fixture {
	char directory[64];
	struct kv_wal *wal;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	uint64_t done;
	bool failed;
	uint64_t segment_bytes;
};

static void on_done(void *context, uint64_t seq)
{
	struct fixture *f = context;

	pthread_mutex_lock(&f->mutex);
	f->done = seq;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->mutex);
}

static void on_failed(void *context, const char *what)
{
	struct fixture *f = context;

	pthread_mutex_lock(&f->mutex);
	f->failed = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->mutex);
}

static struct kv_wal *open_wal(
        struct fixture *f, enum kv_recover how, bool prefix, struct ptf_error *err)
{
	struct kv_wal_options options = {.directory = f->directory,
	        .recover = how,
	        .segment_bytes = f->segment_bytes,
	        .intact_prefix = prefix,
	        .done = on_done,
	        .failed = on_failed,
	        .context = f};

	return kv_wal_create(&options, err);
}

static void setup(struct fixture *f, uint64_t segment_bytes)
{
	*f = (struct fixture){.directory = "/tmp/kv-wal-XXXXXX", .segment_bytes = segment_bytes};
	pthread_mutex_init(&f->mutex, NULL);
	pthread_cond_init(&f->wake, NULL);
	assert_non_null(mkdtemp(f->directory));
}

static void teardown(struct fixture *f)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", f->directory);
	assert_int_equal(system(command), 0);
}

static struct raft_entry make_entry(uint64_t index, size_t value_size)
{
	uint8_t *value = kv_alloc(value_size + 1);
	char key[32];
	struct kv_command command = {.op = KV_OP_SET, .bucket = {(const uint8_t *)"kv", 2}};
	struct raft_entry entry = {.index = index, .term = 3, .type = RAFT_ENTRY_DATA};

	memset(value, 'a' + index % 26, value_size);
	command.key =
	        (struct kv_slice){(const uint8_t *)key, sprintf(key, "key%u", (unsigned)index)};
	command.value = (struct kv_slice){value, value_size};
	entry.payload = kv_command_payload(&command);
	free(value);
	return entry;
}

/* Writes entries from..to, one batch each, and waits until they are durable. */
static void write_entries(struct fixture *f, uint64_t from, uint64_t to, size_t value_size)
{
	for (uint64_t i = from; i <= to; i++) {
		struct raft_ready ready = {.seq = i,
		        .write_hard_state = true,
		        .hard_state = {.term = 3, .vote = 2, .commit = i - 1}};

		kv_vec_push(&ready.entries, make_entry(i, value_size));
		kv_wal_write(f->wal, &ready);
		raft_ready_release(&ready);
		pthread_mutex_lock(&f->mutex);
		while (f->done < i && !f->failed)
			pthread_cond_wait(&f->wake, &f->mutex);
		pthread_mutex_unlock(&f->mutex);
	}
}

static void start_empty(struct fixture *f)
{
	struct raft_hard_state none = {0};
	struct kv_record record;

	f->wal = open_wal(f, KV_RECOVER_STREAM, false, NULL);
	assert_int_equal(kv_wal_next(f->wal, &record, NULL), 1);
	assert_int_equal(kv_wal_start(f->wal, &none, NULL), 0);
}

/* Reads the log; the number of entries, all of them checked, or the error. */
static int count_entries(struct fixture *f, enum kv_recover how, bool prefix, size_t value_size,
        struct ptf_error *err)
{
	struct kv_wal *wal = open_wal(f, how, prefix, err);
	struct kv_record record;
	int status, n = 0;

	assert_non_null(wal);
	while (!(status = kv_wal_next(wal, &record, err))) {
		if (record.type != KV_RECORD_ENTRY)
			continue;
		n++;
		assert_int_equal(record.index, n);
		assert_int_equal(record.command.value.size, value_size);
		for (size_t i = 0; i < value_size; i++)
			assert_int_equal(record.command.value.bytes[i], 'a' + n % 26);
	}
	kv_wal_destroy(wal);
	return status < 0 ? status : n;
}

static void last_file(struct fixture *f, char *path, unsigned number)
{
	sprintf(path, "%s/wal-%08u", f->directory, number);
}

static void flip(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static const enum kv_recover modes[] = {KV_RECOVER_STREAM, KV_RECOVER_BLOCK, KV_RECOVER_ENTRY};

static void test_reads_back_in_every_mode(void **state)
{
	struct fixture f;

	setup(&f, 20000); /* several files */
	start_empty(&f);
	write_entries(&f, 1, 100, 1000);
	kv_wal_destroy(f.wal);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count_entries(&f, modes[i], false, 1000, NULL), 100);
	teardown(&f);
}

static void test_large_values(void **state)
{
	struct fixture f;

	setup(&f, 1 << 20);
	start_empty(&f);
	write_entries(&f, 1, 5, 600000); /* larger than every buffer */
	kv_wal_destroy(f.wal);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count_entries(&f, modes[i], false, 600000, NULL), 5);
	teardown(&f);
}

/* The file is cut at any place within the last record, or zero from the start of a sector on. */
static void test_torn_tail(void **state)
{
	struct fixture f;
	char path[96];
	struct stat st;
	struct ptf_error err = {0};

	setup(&f, 100000);
	start_empty(&f);
	write_entries(&f, 1, 3, 5000);
	kv_wal_destroy(f.wal);
	last_file(&f, path, 1);
	for (size_t cut = 16000; cut > 10240; cut -= 128) {
		int fd = open(path, O_RDWR), n;

		assert_int_equal(ftruncate(fd, cut), 0);
		if (cut % 512 == 0) /* as preallocated */
			assert_int_equal(ftruncate(fd, 100000), 0);
		close(fd);
		n = count_entries(&f, modes[cut / 128 % 3], false, 5000, &err);
		assert_in_range(n, 2, 3);
		assert_int_equal(stat(path, &st), 0);
	}
	/* And the log goes on behind it. */
	f.wal = open_wal(&f, KV_RECOVER_STREAM, false, &err);
	{
		struct kv_record record;
		struct raft_hard_state none = {0};

		while (!kv_wal_next(f.wal, &record, &err))
			;
		assert_int_equal(kv_wal_start(f.wal, &none, &err), 0);
	}
	f.done = 0;
	write_entries(&f, 3, 6, 5000);
	kv_wal_destroy(f.wal);
	assert_int_equal(count_entries(&f, KV_RECOVER_STREAM, false, 5000, &err), 6);
	teardown(&f);
}

static void test_damage_is_told(void **state)
{
	struct fixture f;
	char path[96];

	setup(&f, 1 << 20);
	start_empty(&f);
	write_entries(&f, 1, 50, 300);
	kv_wal_destroy(f.wal);
	last_file(&f, path, 1);
	for (off_t at = 1000; at < 17000; at += 1117) {
		struct ptf_error err = {0};

		flip(path, at);
		for (size_t i = 0; i < 3; i++) {
			int status = count_entries(&f, modes[i], false, 300, &err);

			/* A flipped byte of padding is nobody's. */
			if (status == 50)
				continue;
			assert_int_equal(status, -PTF_EFORMAT);
			assert_non_null(strstr(err.msg, path));
			assert_in_range(err.file_offset, at - 400, at);
		}
		flip(path, at);
	}
	flip(path, 9000);
	assert_in_range(count_entries(&f, KV_RECOVER_STREAM, true, 300, NULL), 20, 30);
	teardown(&f);
}

static void test_missing_file_is_told(void **state)
{
	struct fixture f;
	struct ptf_error err = {0};
	char path[96];

	setup(&f, 20000);
	start_empty(&f);
	write_entries(&f, 1, 100, 1000);
	kv_wal_destroy(f.wal);
	last_file(&f, path, 2);
	unlink(path);
	assert_null(open_wal(&f, KV_RECOVER_STREAM, false, &err));
	assert_non_null(strstr(err.msg, "wal-00000002 is missing"));
	teardown(&f);
}

static void test_drops_old_files(void **state)
{
	struct fixture f;
	struct kv_wal *wal;
	struct kv_record record;

	setup(&f, 20000);
	start_empty(&f);
	write_entries(&f, 1, 100, 1000);
	kv_wal_drop_before(f.wal, 50);
	kv_wal_destroy(f.wal);
	wal = open_wal(&f, KV_RECOVER_STREAM, false, NULL);
	do
		assert_int_equal(kv_wal_next(wal, &record, NULL), 0);
	while (record.type != KV_RECORD_ENTRY);
	assert_in_range(record.index, 20, 50); /* 50 itself is kept */
	kv_wal_destroy(wal);
	teardown(&f);
}

/* The planted bottleneck: calls for each entry, against calls for each buffer. */
static void test_modes_cost_what_they_should(void **state)
{
	struct fixture f;
	struct kv_wal_stats stats[3];

	setup(&f, 1 << 20);
	start_empty(&f);
	write_entries(&f, 1, 200, 100);
	kv_wal_destroy(f.wal);
	for (size_t i = 0; i < 3; i++) {
		struct kv_wal *wal = open_wal(&f, modes[i], false, NULL);
		struct kv_record record;

		while (!kv_wal_next(wal, &record, NULL))
			;
		kv_wal_stats(wal, &stats[i]);
		kv_wal_destroy(wal);
	}
	assert_true(stats[0].calls <= 10);
	assert_true(stats[1].calls <= 40);
	assert_true(stats[2].calls >= 4 * 200); /* header, bucket, key, value */
	teardown(&f);
}

static void test_full_disk_is_an_error(void **state)
{
	struct fixture f;

	setup(&f, 1ull << 60); /* room that no disk has */
	{
		struct raft_hard_state none = {0};
		struct kv_record record;
		struct ptf_error err = {0};

		f.wal = open_wal(&f, KV_RECOVER_STREAM, false, NULL);
		assert_int_equal(kv_wal_next(f.wal, &record, NULL), 1);
		assert_true(kv_wal_start(f.wal, &none, &err) < 0);
		kv_wal_destroy(f.wal);
	}
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_reads_back_in_every_mode),
	        cmocka_unit_test(test_large_values),
	        cmocka_unit_test(test_torn_tail),
	        cmocka_unit_test(test_damage_is_told),
	        cmocka_unit_test(test_missing_file_is_told),
	        cmocka_unit_test(test_drops_old_files),
	        cmocka_unit_test(test_modes_cost_what_they_should),
	        cmocka_unit_test(test_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
