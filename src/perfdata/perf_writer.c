/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/vec.h"
#include "perfdata/perf_header.h"
#include "perfdata/perf_writer.h"

/* Fields of a SAMPLE that are written. */
#define SAMPLE_FIELDS                                                                              \
	(PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |            \
	        PERF_SAMPLE_ADDR | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU |      \
	        PERF_SAMPLE_PERIOD | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_RAW)

/* Fields of the sample_id behind other records. */
#define SAMPLE_ID_FIELDS                                                                           \
	(PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID |            \
	        PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU)

enum {
	MAX_RECORD = 65528,      /* a record's size has 16 bits; records are multiples of 8 */
	STREAM_BUFFER = 1 << 20, /* bytes */
	COMM_FIELD = 16,         /* of a THREAD_MAP entry */
};

struct event {
	struct perf_event_attr attr;
	char *name;
	uint64_t *ids;
	size_t n_ids;
};

struct index_entry {
	uint64_t file_offset, size;
};

struct ptf_perf_writer {
	char *path, *temporary;
	FILE *file;
	uint64_t offset;      /* bytes written so far */
	uint64_t data_offset; /* 0: the data has not begun */
	PTF_VEC(struct event) events;
	PTF_VEC(struct index_entry) auxtrace;
	PTF_VEC(uint8_t) bytes;     /* the record or section in the making */
	bool out_of_memory;         /* appending to `bytes` failed */
	uint64_t first_ns, last_ns; /* SAMPLE_TIME */
};

/* ---- the file ---- */

static int write_out(
        struct ptf_perf_writer *w, const void *bytes, size_t size, struct ptf_error *err)
{
	if (fwrite(bytes, 1, size, w->file) != size)
		return ptf_error_set_errno(err, errno, "%s", w->temporary);
	w->offset += size;
	return 0;
}

int ptf_perf_writer_create(struct ptf_perf_writer **out, const char *path, struct ptf_error *err)
{
	struct ptf_perf_writer *w = calloc(1, sizeof(*w));
	static const uint8_t blank[PTF_PERF_FILE_HEADER_SIZE];
	int rc;

	if (!w)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	w->path = strdup(path);
	if (!w->path || asprintf(&w->temporary, "%s.tmp.%d", path, (int)getpid()) < 0) {
		w->temporary = NULL;
		ptf_perf_writer_destroy(w);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	w->file = fopen(w->temporary, "wbe");
	if (!w->file) {
		rc = ptf_error_set_errno(err, errno, "%s", path);
	} else {
		setvbuf(w->file, NULL, _IOFBF, STREAM_BUFFER);
		rc = write_out(w, blank, sizeof(blank), err);
	}
	if (rc < 0) {
		ptf_perf_writer_destroy(w);
		return rc;
	}
	*out = w;
	return 0;
}

void ptf_perf_writer_destroy(struct ptf_perf_writer *w)
{
	if (!w)
		return;
	if (w->file) {
		fclose(w->file);
		unlink(w->temporary);
	}
	ptf_vec_foreach (event, &w->events) {
		free(event->name);
		free(event->ids);
	}
	ptf_vec_release(&w->events);
	ptf_vec_release(&w->auxtrace);
	ptf_vec_release(&w->bytes);
	free(w->temporary);
	free(w->path);
	free(w);
}

/* ---- bytes in the making ---- */

static void put_bytes(struct ptf_perf_writer *w, const void *bytes, size_t size)
{
	if (!ptf_vec_reserve(&w->bytes, size)) {
		w->out_of_memory = true;
		return;
	}
	if (size)
		memcpy(w->bytes.v + w->bytes.n, bytes, size);
	w->bytes.n += size;
}

static void put_u16(struct ptf_perf_writer *w, uint16_t value)
{
	put_bytes(w, &value, sizeof(value));
}

static void put_u32(struct ptf_perf_writer *w, uint32_t value)
{
	put_bytes(w, &value, sizeof(value));
}

static void put_u64(struct ptf_perf_writer *w, uint64_t value)
{
	put_bytes(w, &value, sizeof(value));
}

static void pad_to(struct ptf_perf_writer *w, size_t multiple)
{
	static const uint8_t zeros[64];

	if (w->bytes.n % multiple)
		put_bytes(w, zeros, multiple - w->bytes.n % multiple);
}

/* A terminated string, filled up to a multiple of 8 bytes. */
static void put_text(struct ptf_perf_writer *w, const char *text)
{
	put_bytes(w, text, strlen(text) + 1);
	pad_to(w, 8);
}

/* ---- records ---- */

/* Where the id stands, and all of what stands behind other records, is the same in all events. */
static bool same_sample_id(const struct perf_event_attr *a, const struct perf_event_attr *b)
{
	uint64_t differs = a->sample_type ^ b->sample_type;

	if (differs & SAMPLE_ID_FIELDS || a->sample_id_all != b->sample_id_all)
		return false;
	return !differs || a->sample_type & PERF_SAMPLE_IDENTIFIER;
}

int ptf_perf_writer_add_attr(struct ptf_perf_writer *w, const struct perf_event_attr *attr,
        const char *name, const uint64_t *ids, size_t n_ids, struct ptf_error *err)
{
	struct event event = {.attr = *attr, .n_ids = n_ids};

	if (!n_ids || w->data_offset)
		return ptf_error_set(err, PTF_EINVAL, "events need ids and come before records");
	if (w->events.n && !same_sample_id(&w->events.v[0].attr, attr))
		return ptf_error_set(err, PTF_EINVAL, "events of one file share their sample_id");
	event.attr.size = sizeof(event.attr);
	event.name = strdup(name);
	event.ids = malloc(n_ids * sizeof(*ids));
	if (event.ids)
		memcpy(event.ids, ids, n_ids * sizeof(*ids));
	if (!event.name || !event.ids || !ptf_vec_push(&w->events, event)) {
		free(event.name);
		free(event.ids);
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	return 0;
}

/* Ids and attributes stand between the header and the data. */
static int begin_data(struct ptf_perf_writer *w, struct ptf_error *err)
{
	uint64_t offset = w->offset;
	int rc;

	w->bytes.n = 0;
	ptf_vec_foreach (event, &w->events)
		put_bytes(w, event->ids, event->n_ids * sizeof(uint64_t));
	ptf_vec_foreach (event, &w->events) {
		put_bytes(w, &event->attr, sizeof(event->attr));
		put_u64(w, offset);
		put_u64(w, event->n_ids * sizeof(uint64_t));
		offset += event->n_ids * sizeof(uint64_t);
	}
	if (w->out_of_memory)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	rc = write_out(w, w->bytes.v, w->bytes.n, err);
	w->data_offset = w->offset;
	return rc;
}

static void put_sample_id(struct ptf_perf_writer *w, const struct ptf_sample_id *sid)
{
	const struct perf_event_attr *attr = &w->events.v[0].attr;

	if (!attr->sample_id_all)
		return;
	if (attr->sample_type & PERF_SAMPLE_TID) {
		put_u32(w, (uint32_t)sid->pid);
		put_u32(w, (uint32_t)sid->tid);
	}
	if (attr->sample_type & PERF_SAMPLE_TIME)
		put_u64(w, sid->time_ns);
	if (attr->sample_type & PERF_SAMPLE_ID)
		put_u64(w, sid->id);
	if (attr->sample_type & PERF_SAMPLE_STREAM_ID)
		put_u64(w, sid->id);
	if (attr->sample_type & PERF_SAMPLE_CPU) {
		put_u32(w, (uint32_t)sid->cpu);
		put_u32(w, 0);
	}
	if (attr->sample_type & PERF_SAMPLE_IDENTIFIER)
		put_u64(w, sid->id);
}

static void put_mmap2(struct ptf_perf_writer *w, const struct ptf_record_mmap *mmap)
{
	put_u32(w, (uint32_t)mmap->pid);
	put_u32(w, (uint32_t)mmap->tid);
	put_u64(w, mmap->addr);
	put_u64(w, mmap->len);
	put_u64(w, mmap->pgoff);
	if (mmap->build_id_size) {
		put_u32(w, mmap->build_id_size);
		put_bytes(w, mmap->build_id, sizeof(mmap->build_id));
	} else {
		put_u32(w, mmap->maj);
		put_u32(w, mmap->min);
		put_u64(w, mmap->ino);
		put_u64(w, mmap->ino_gen);
	}
	put_u32(w, mmap->prot);
	put_u32(w, mmap->flags);
	put_text(w, mmap->filename);
}

static void put_task(struct ptf_perf_writer *w, const struct ptf_record_task *task)
{
	put_u32(w, (uint32_t)task->pid);
	put_u32(w, (uint32_t)task->ppid);
	put_u32(w, (uint32_t)task->tid);
	put_u32(w, (uint32_t)task->ptid);
	put_u64(w, task->time_ns);
}

/* tools/perf/util/intel-pt.h: the order of the private fields. */
static void put_auxtrace_info(
        struct ptf_perf_writer *w, const struct ptf_record_auxtrace_info *info)
{
	size_t filter = info->filter ? strlen(info->filter) + 1 : 0;

	put_u32(w, info->type);
	put_u32(w, 0);
	put_u64(w, info->pmu_type);
	put_u64(w, info->time_shift);
	put_u64(w, info->time_mult);
	put_u64(w, info->time_zero);
	put_u64(w, info->cap_user_time_zero);
	put_u64(w, info->tsc_bit);
	put_u64(w, info->noretcomp_bit);
	put_u64(w, info->have_sched_switch);
	put_u64(w, info->snapshot_mode);
	put_u64(w, info->per_cpu_mmaps);
	put_u64(w, info->mtc_bit);
	put_u64(w, info->mtc_freq_bits);
	put_u64(w, info->tsc_ctc_ratio_n);
	put_u64(w, info->tsc_ctc_ratio_d);
	put_u64(w, info->cyc_bit);
	put_u64(w, info->max_nonturbo_ratio);
	put_u64(w, (filter + 7) & ~7ull);
	if (filter)
		put_text(w, info->filter);
}

static void put_time_conv(struct ptf_perf_writer *w, const struct ptf_record_time_conv *conv)
{
	put_u64(w, conv->time_shift);
	put_u64(w, conv->time_mult);
	put_u64(w, conv->time_zero);
	put_u64(w, conv->time_cycles);
	put_u64(w, conv->time_mask);
	put_u32(w, conv->cap_user_time_zero | (uint32_t)conv->cap_user_time_short << 8);
	put_u32(w, 0);
}

static void put_thread_map(struct ptf_perf_writer *w, const struct ptf_sample_id *sid)
{
	static const char no_comm[COMM_FIELD];

	put_u64(w, 1);
	put_u64(w, (uint64_t)sid->tid);
	put_bytes(w, no_comm, sizeof(no_comm));
}

/* The size field counts the zeros that fill the record up, as in the kernel's. */
static void put_raw(struct ptf_perf_writer *w, const struct ptf_record_sample *sample)
{
	static const uint8_t zeros[8];
	uint32_t fill = (8 - (sample->raw_size + sizeof(uint32_t)) % 8) % 8;

	put_u32(w, sample->raw_size + fill);
	put_bytes(w, sample->raw, sample->raw_size);
	put_bytes(w, zeros, fill);
}

/* The event of an id, the first one when it is unknown. */
static const struct perf_event_attr *attr_of(const struct ptf_perf_writer *w, uint64_t id)
{
	ptf_vec_foreach (event, &w->events) {
		for (size_t i = 0; i < event->n_ids; i++) {
			if (event->ids[i] == id)
				return &event->attr;
		}
	}
	return &w->events.v[0].attr;
}

/* A SAMPLE: only what the sample_type of its event has. False when that is more than here. */
static bool put_sample(struct ptf_perf_writer *w, const struct ptf_record *record)
{
	uint64_t type = attr_of(w, record->sid.id)->sample_type;
	const struct ptf_record_sample *sample = &record->sample;

	if (type & ~(uint64_t)SAMPLE_FIELDS)
		return false;
	if (type & PERF_SAMPLE_IDENTIFIER)
		put_u64(w, record->sid.id);
	if (type & PERF_SAMPLE_IP)
		put_u64(w, sample->ip);
	if (type & PERF_SAMPLE_TID) {
		put_u32(w, (uint32_t)record->sid.pid);
		put_u32(w, (uint32_t)record->sid.tid);
	}
	if (type & PERF_SAMPLE_TIME)
		put_u64(w, record->sid.time_ns);
	if (type & PERF_SAMPLE_ADDR)
		put_u64(w, sample->addr);
	if (type & PERF_SAMPLE_ID)
		put_u64(w, record->sid.id);
	if (type & PERF_SAMPLE_STREAM_ID)
		put_u64(w, record->sid.id);
	if (type & PERF_SAMPLE_CPU) {
		put_u32(w, (uint32_t)record->sid.cpu);
		put_u32(w, 0);
	}
	if (type & PERF_SAMPLE_PERIOD)
		put_u64(w, sample->period);
	if (type & PERF_SAMPLE_CALLCHAIN) {
		put_u64(w, sample->callchain_n);
		put_bytes(w, sample->callchain, sample->callchain_n * sizeof(uint64_t));
	}
	if (type & PERF_SAMPLE_RAW)
		put_raw(w, sample);
	return true;
}

/* The body of a record; false when its kind is none that is written. */
static bool put_body(struct ptf_perf_writer *w, const struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_MMAP2:
		put_mmap2(w, &record->mmap);
		return true;
	case PTF_RECORD_COMM:
		put_u32(w, (uint32_t)record->comm.pid);
		put_u32(w, (uint32_t)record->comm.tid);
		put_text(w, record->comm.comm);
		return true;
	case PTF_RECORD_FORK:
	case PTF_RECORD_EXIT:
		put_task(w, &record->task);
		return true;
	case PTF_RECORD_SWITCH:
		return true;
	case PTF_RECORD_SWITCH_CPU_WIDE:
		put_u32(w, (uint32_t)record->sw.next_prev_pid);
		put_u32(w, (uint32_t)record->sw.next_prev_tid);
		return true;
	case PTF_RECORD_AUX:
		put_u64(w, record->aux.aux_offset);
		put_u64(w, record->aux.aux_size);
		put_u64(w, record->aux.flags);
		return true;
	case PTF_RECORD_ITRACE_START:
		put_u32(w, (uint32_t)record->itrace_start.pid);
		put_u32(w, (uint32_t)record->itrace_start.tid);
		return true;
	case PTF_RECORD_LOST:
		put_u64(w, record->lost.id);
		put_u64(w, record->lost.count);
		return true;
	case PTF_RECORD_AUXTRACE_INFO:
		put_auxtrace_info(w, &record->auxtrace_info);
		return true;
	case PTF_RECORD_TIME_CONV:
		put_time_conv(w, &record->time_conv);
		return true;
	case PTF_RECORD_THREAD_MAP:
		put_thread_map(w, &record->sid);
		return true;
	case PTF_RECORD_SAMPLE:
		return put_sample(w, record);
	case PTF_RECORD_FINISHED_ROUND:
		return true;
	default:
		return false;
	}
}

static uint16_t misc_of(const struct ptf_record *record)
{
	uint16_t misc = record->misc;

	if (record->type == PTF_RECORD_SWITCH || record->type == PTF_RECORD_SWITCH_CPU_WIDE) {
		misc |= record->sw.out ? PTF_MISC_SWITCH_OUT : 0;
		misc |= record->sw.preempt ? PTF_MISC_SWITCH_OUT_PREEMPT : 0;
	}
	if (record->type == PTF_RECORD_MMAP2 && record->mmap.build_id_size)
		misc |= PTF_MISC_MMAP_BUILD_ID;
	/* Code and samples of user space, as the kernel marks them. */
	if ((record->type == PTF_RECORD_MMAP2 || record->type == PTF_RECORD_SAMPLE) &&
	        !(misc & PTF_MISC_CPUMODE_MASK))
		misc |= 2;
	return misc;
}

static void note_time(struct ptf_perf_writer *w, const struct ptf_sample_id *sid)
{
	if (!sid->has_time || !sid->time_ns)
		return;
	if (!w->first_ns || sid->time_ns < w->first_ns)
		w->first_ns = sid->time_ns;
	if (sid->time_ns > w->last_ns)
		w->last_ns = sid->time_ns;
}

/* Puts the size into the header of the record in the making. */
static int end_record(struct ptf_perf_writer *w, struct ptf_error *err)
{
	uint16_t size = (uint16_t)w->bytes.n;

	if (w->out_of_memory)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	if (w->bytes.n > MAX_RECORD)
		return ptf_error_set(
		        err, PTF_EINVAL, "a record of %zu bytes does not fit", w->bytes.n);
	memcpy(w->bytes.v + 6, &size, sizeof(size));
	return 0;
}

static int write_record(struct ptf_perf_writer *w, struct ptf_error *err)
{
	int rc = end_record(w, err);

	return rc < 0 ? rc : write_out(w, w->bytes.v, w->bytes.n, err);
}

static void begin_record(struct ptf_perf_writer *w, uint32_t type, uint16_t misc)
{
	w->bytes.n = 0;
	put_u32(w, type);
	put_u16(w, misc);
	put_u16(w, 0);
}

static int ready_for_data(struct ptf_perf_writer *w, struct ptf_error *err)
{
	if (!w->events.n)
		return ptf_error_set(err, PTF_EINVAL, "a recording needs an event");
	return w->data_offset ? 0 : begin_data(w, err);
}

/* Makes the record in `bytes`, but for its size. */
static int make_record(
        struct ptf_perf_writer *w, const struct ptf_record *record, struct ptf_error *err)
{
	begin_record(w, record->type, misc_of(record));
	if (!put_body(w, record))
		return ptf_error_set(
		        err, PTF_EINVAL, "records of kind %u are not written", record->type);
	if (record->type < PTF_RECORD_HEADER_ATTR && record->type != PTF_RECORD_SAMPLE)
		put_sample_id(w, &record->sid);
	return 0;
}

int ptf_perf_writer_record(
        struct ptf_perf_writer *w, const struct ptf_record *record, struct ptf_error *err)
{
	int rc = ready_for_data(w, err);

	if (rc == 0)
		rc = make_record(w, record, err);
	if (rc < 0)
		return rc;
	note_time(w, &record->sid);
	return write_record(w, err);
}

int ptf_perf_record_encode(struct ptf_perf_bytes *bytes, const struct perf_event_attr *attr,
        uint64_t id, const struct ptf_record *record, struct ptf_error *err)
{
	struct event event = {.attr = *attr, .ids = &id, .n_ids = 1};
	struct ptf_perf_writer w = {.events = {.v = &event, .n = 1}};
	struct ptf_record ours = *record;
	int rc;

	ours.sid.id = id;
	rc = make_record(&w, &ours, err);
	if (rc == 0)
		rc = end_record(&w, err);
	if (rc == 0 && !ptf_vec_reserve(bytes, w.bytes.n))
		rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	if (rc == 0) {
		memcpy(bytes->v + bytes->n, w.bytes.v, w.bytes.n);
		bytes->n += w.bytes.n;
	}
	ptf_vec_release(&w.bytes);
	return rc;
}

int ptf_perf_writer_raw(
        struct ptf_perf_writer *w, const void *record, size_t size, struct ptf_error *err)
{
	struct perf_event_header header = {0};
	int rc = ready_for_data(w, err);

	if (rc < 0)
		return rc;
	if (size >= sizeof(header))
		memcpy(&header, record, sizeof(header));
	if (size < sizeof(header) || header.size != size)
		return ptf_error_set(err, PTF_EINVAL, "%zu bytes are no record", size);
	return write_out(w, record, size, err);
}

int ptf_perf_writer_auxtrace(
        struct ptf_perf_writer *w, const struct ptf_aux_chunk *chunk, struct ptf_error *err)
{
	static const uint8_t zeros[8];
	/* perf reads trace data in multiples of 8; what fills it up is PAD packets. */
	size_t fill = (8 - chunk->size % 8) % 8;
	struct index_entry entry;
	int rc = ready_for_data(w, err);

	if (rc < 0)
		return rc;
	begin_record(w, PTF_RECORD_AUXTRACE, 0);
	put_u64(w, chunk->size + fill);
	put_u64(w, chunk->aux_offset);
	put_u64(w, chunk->reference);
	put_u32(w, chunk->idx);
	put_u32(w, (uint32_t)chunk->tid);
	put_u32(w, (uint32_t)chunk->cpu);
	put_u32(w, 0);
	entry = (struct index_entry){w->offset, w->bytes.n};
	if (!ptf_vec_push(&w->auxtrace, entry))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	rc = write_record(w, err);
	if (rc == 0)
		rc = write_out(w, chunk->bytes, (size_t)chunk->size, err);
	return rc < 0 ? rc : write_out(w, zeros, fill, err);
}

/* ---- the end ---- */

static void put_feature_string(struct ptf_perf_writer *w, const char *text)
{
	size_t len = strlen(text) + 1, field = (len + 63) & ~(size_t)63;
	static const uint8_t zeros[64];

	put_u32(w, (uint32_t)field);
	put_bytes(w, text, len);
	put_bytes(w, zeros, field - len);
}

static void put_event_desc(struct ptf_perf_writer *w)
{
	put_u32(w, (uint32_t)w->events.n);
	put_u32(w, sizeof(struct perf_event_attr));
	ptf_vec_foreach (event, &w->events) {
		put_bytes(w, &event->attr, sizeof(event->attr));
		put_u32(w, (uint32_t)event->n_ids);
		put_feature_string(w, event->name);
		put_bytes(w, event->ids, event->n_ids * sizeof(uint64_t));
	}
}

static void put_auxtrace_index(struct ptf_perf_writer *w)
{
	put_u64(w, w->auxtrace.n);
	ptf_vec_foreach (entry, &w->auxtrace) {
		put_u64(w, entry->file_offset);
		put_u64(w, entry->size);
	}
}

static void put_cmdline(struct ptf_perf_writer *w, const struct ptf_perf_features *features)
{
	put_u32(w, (uint32_t)features->argc);
	for (int i = 0; i < features->argc; i++)
		put_feature_string(w, features->argv[i]);
}

/* The content of a feature; false when there is none. */
static bool put_feature(
        struct ptf_perf_writer *w, unsigned feature, const struct ptf_perf_features *f)
{
	const char *text = NULL;

	switch (feature) {
	case PTF_FEATURE_TRACING_DATA:
		put_bytes(w, f->tracing_data, f->tracing_data_size);
		return f->tracing_data_size > 0;
	case PTF_FEATURE_HOSTNAME:
		text = f->hostname;
		break;
	case PTF_FEATURE_OSRELEASE:
		text = f->os_release;
		break;
	case PTF_FEATURE_VERSION:
		text = "ptflame " PTF_VERSION;
		break;
	case PTF_FEATURE_ARCH:
		text = f->arch;
		break;
	case PTF_FEATURE_CPUDESC:
		text = f->cpu_desc;
		break;
	case PTF_FEATURE_CPUID:
		text = f->cpuid;
		break;
	case PTF_FEATURE_NRCPUS:
		put_u32(w, f->nr_cpus);
		put_u32(w, f->nr_cpus);
		return f->nr_cpus > 0;
	case PTF_FEATURE_CMDLINE:
		put_cmdline(w, f);
		return f->argc > 0;
	case PTF_FEATURE_EVENT_DESC:
		put_event_desc(w);
		return true;
	case PTF_FEATURE_AUXTRACE:
		put_auxtrace_index(w);
		return w->auxtrace.n > 0;
	case PTF_FEATURE_SAMPLE_TIME:
		put_u64(w, w->first_ns);
		put_u64(w, w->last_ns);
		return w->last_ns > 0;
	case PTF_FEATURE_PTFLAME:
		put_bytes(w, f->ptflame, f->ptflame_size);
		return f->ptflame_size > 0;
	default:
		return false;
	}
	if (text)
		put_feature_string(w, text);
	return text != NULL;
}

/* A table of sections, then their contents; bits gets the features that are there. */
static int write_features(struct ptf_perf_writer *w, const struct ptf_perf_features *features,
        uint64_t bits[4], struct ptf_error *err)
{
	uint64_t table[2 * 256];
	PTF_VEC(uint8_t) contents = {0};
	uint64_t n = 0;
	int rc = 0;

	for (unsigned i = 0; i < 256; i++) {
		w->bytes.n = 0;
		if (!put_feature(w, i, features))
			continue;
		if (w->out_of_memory || !ptf_vec_reserve(&contents, w->bytes.n)) {
			ptf_vec_release(&contents);
			return ptf_error_set(err, PTF_ENOMEM, "out of memory");
		}
		bits[i / 64] |= 1ull << (i % 64);
		table[2 * n] = contents.n;
		table[2 * n++ + 1] = w->bytes.n;
		memcpy(contents.v + contents.n, w->bytes.v, w->bytes.n);
		contents.n += w->bytes.n;
	}
	for (uint64_t i = 0; i < n; i++)
		table[2 * i] += w->offset + n * 16;
	rc = write_out(w, table, n * 16, err);
	if (rc == 0)
		rc = write_out(w, contents.v, contents.n, err);
	ptf_vec_release(&contents);
	return rc;
}

static int write_header(struct ptf_perf_writer *w, uint64_t data_size, const uint64_t bits[4],
        struct ptf_error *err)
{
	uint64_t attrs = w->events.n * (sizeof(struct perf_event_attr) + 16);

	w->bytes.n = 0;
	put_u64(w, PTF_PERF_MAGIC);
	put_u64(w, PTF_PERF_FILE_HEADER_SIZE);
	put_u64(w, sizeof(struct perf_event_attr) + 16);
	put_u64(w, w->data_offset - attrs);
	put_u64(w, attrs);
	put_u64(w, w->data_offset);
	put_u64(w, data_size);
	put_u64(w, 0);
	put_u64(w, 0);
	put_bytes(w, bits, 4 * sizeof(*bits));
	if (fseeko(w->file, 0, SEEK_SET) < 0)
		return ptf_error_set_errno(err, errno, "%s", w->temporary);
	return write_out(w, w->bytes.v, w->bytes.n, err);
}

static int close_file(struct ptf_perf_writer *w, struct ptf_error *err)
{
	FILE *file = w->file;

	w->file = NULL;
	if (fclose(file) != 0)
		return ptf_error_set_errno(err, errno, "%s", w->temporary);
	return 0;
}

/* The finished file takes its name; what had it before becomes NAME.old. */
static int rename_over(struct ptf_perf_writer *w, struct ptf_error *err)
{
	struct stat st;
	char *old;
	int rc = 0;

	if (stat(w->path, &st) == 0 && S_ISREG(st.st_mode)) {
		if (asprintf(&old, "%s.old", w->path) < 0)
			return ptf_error_set(err, PTF_ENOMEM, "out of memory");
		if (rename(w->path, old) < 0)
			rc = ptf_error_set_errno(err, errno, "%s", old);
		free(old);
	}
	if (rc == 0 && rename(w->temporary, w->path) < 0)
		rc = ptf_error_set_errno(err, errno, "%s", w->path);
	return rc;
}

int ptf_perf_writer_finish(struct ptf_perf_writer *w, const struct ptf_perf_features *features,
        uint64_t *bytes, struct ptf_error *err)
{
	uint64_t bits[4] = {0}, data_size, size;
	int rc = ready_for_data(w, err);

	if (rc < 0)
		return rc;
	data_size = w->offset - w->data_offset;
	rc = write_features(w, features, bits, err);
	size = w->offset;
	if (rc == 0)
		rc = write_header(w, data_size, bits, err);
	if (rc < 0)
		return rc;
	rc = close_file(w, err);
	if (rc == 0)
		rc = rename_over(w, err);
	if (rc < 0)
		unlink(w->temporary);
	if (rc == 0 && bytes)
		*bytes = size;
	return rc;
}
