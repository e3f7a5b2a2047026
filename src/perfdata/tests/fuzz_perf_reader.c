/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a perf.data: what is delivered can be touched, times do not go back, and AUX data
 * lies within the file. With PTF_FUZZ_REPLAY a program without libFuzzer, which takes files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "perfdata/perf_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile uint8_t sink;

static void check(bool good)
{
	if (!good)
		abort();
}

static void touch(const void *bytes, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		sink += ((const uint8_t *)bytes)[i];
}

static void touch_text(const char *text)
{
	if (text)
		touch(text, strlen(text));
}

static void touch_record(const struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_MMAP:
	case PTF_RECORD_MMAP2:
		check(record->mmap.build_id_size <= sizeof(record->mmap.build_id));
		touch_text(record->mmap.filename);
		break;
	case PTF_RECORD_COMM:
		touch_text(record->comm.comm);
		break;
	case PTF_RECORD_SAMPLE:
		for (uint64_t i = 0; i < record->sample.callchain_n; i++)
			touch(record->sample.callchain + 8 * i, 8);
		touch(record->sample.raw, record->sample.raw_size);
		break;
	case PTF_RECORD_KSYMBOL:
		touch_text(record->ksymbol.name);
		break;
	case PTF_RECORD_TEXT_POKE:
		touch(record->text_poke.bytes,
		        (uint64_t)record->text_poke.old_len + record->text_poke.new_len);
		break;
	case PTF_RECORD_AUXTRACE_INFO:
		touch_text(record->auxtrace_info.filter);
		break;
	case PTF_RECORD_AUXTRACE:
		touch(record->auxtrace.bytes, record->auxtrace.size);
		break;
	default:
		break;
	}
}

static void touch_info(const struct ptf_perf_info *info)
{
	const char *const texts[] = {info->hostname, info->os_release, info->arch, info->cpuid,
	        info->cpu_desc, info->cmdline, info->version};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		touch_text(texts[i]);
	for (size_t i = 0; i < info->n_attrs; i++) {
		touch(info->attrs[i].ids, info->attrs[i].n_ids * sizeof(uint64_t));
		touch_text(info->attrs[i].name);
	}
	for (size_t i = 0; i < info->n_build_ids; i++) {
		check(info->build_ids[i].size <= sizeof(info->build_ids[i].id));
		touch_text(info->build_ids[i].filename);
	}
	touch(info->ptflame, info->ptflame_size);
}

static void read_all(const char *path, size_t size)
{
	const struct ptf_aux_chunk *chunks;
	struct ptf_perf_reader *reader;
	struct ptf_error err = {0};
	struct ptf_record record;
	bool new_events = false, went_back = false;
	uint64_t last_ns = 0;
	size_t n;
	int rc;

	rc = ptf_perf_reader_create(&reader, path, &err);
	if (rc < 0) {
		check(err.code == (unsigned)-rc && err.msg[0]);
		return;
	}
	while ((rc = ptf_perf_reader_next(reader, &record, &err)) == 0) {
		touch_record(&record);
		check(record.file_offset < size);
		new_events |= record.type == PTF_RECORD_HEADER_ATTR;
		if (record.sid.has_time) {
			went_back |= record.sid.time_ns < last_ns;
			last_ns = record.sid.time_ns;
		}
	}
	/* A new event may change how records are read that came before it, so that time is another.
	 */
	check(rc == 1 && (new_events || !went_back));
	chunks = ptf_perf_reader_aux_chunks(reader, &n);
	for (size_t i = 0; i < n; i++) {
		check(chunks[i].file_offset <= size &&
		        chunks[i].size <= size - chunks[i].file_offset);
		touch(chunks[i].bytes, chunks[i].size);
	}
	touch_info(ptf_perf_reader_info(reader));
	ptf_perf_reader_destroy(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	check(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_all(path, size);
	close(fd);
	return 0;
}

#ifdef PTF_FUZZ_REPLAY
static void replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	size_t n = 0, got = 1;

	check(file != NULL);
	while (got) {
		bytes = realloc(bytes, n + 65536);
		check(bytes != NULL);
		got = fread(bytes + n, 1, 65536, file);
		n += got;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, n);
	free(bytes);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	return 0;
}
#endif
