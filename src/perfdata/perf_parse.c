/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/perf_event.h>
#include <string.h>

#include "perfdata/perf_parse.h"

enum { BUILD_ID_SIZE = 20, PROT_READ_BIT = 1, PROT_EXEC_BIT = 4 };

/* ---- sample ids ---- */

#define NO_TIME UINT64_MAX /* as perf takes it */

static unsigned sample_id_size(uint64_t sample_type)
{
	uint64_t fields = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID |
	                  PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER;

	return 8u * (unsigned)__builtin_popcountll(sample_type & fields);
}

static void take_time(struct ptf_reader *r, struct ptf_sample_id *sid)
{
	uint64_t time_ns = ptf_reader_u64(r);

	sid->has_time = time_ns != NO_TIME;
	sid->time_ns = sid->has_time ? time_ns : 0;
}

/* Fields of the sample_id at the end of a record (perf_event.h, struct sample_id). */
static void take_sample_id(struct ptf_reader *r, uint64_t sample_type, struct ptf_sample_id *sid)
{
	if (sample_type & PERF_SAMPLE_TID) {
		sid->pid = (int32_t)ptf_reader_u32(r);
		sid->tid = (int32_t)ptf_reader_u32(r);
	}
	if (sample_type & PERF_SAMPLE_TIME)
		take_time(r, sid);
	if (sample_type & PERF_SAMPLE_ID)
		sid->id = ptf_reader_u64(r);
	if (sample_type & PERF_SAMPLE_STREAM_ID)
		ptf_reader_u64(r);
	if (sample_type & PERF_SAMPLE_CPU) {
		sid->cpu = (int32_t)ptf_reader_u32(r);
		ptf_reader_u32(r);
	}
	if (sample_type & PERF_SAMPLE_IDENTIFIER)
		sid->id = ptf_reader_u64(r);
}

static uint64_t u64_at(const uint8_t *bytes, size_t size, size_t offset)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);

	r.pos = offset <= size ? offset : size;
	return ptf_reader_u64(&r);
}

/* The event of a record: by the id in it, whose place all events share, else the first. */
static const struct ptf_perf_attr *attr_of_record(
        const struct ptf_perf_header *header, const uint8_t *bytes, size_t size)
{
	const struct ptf_perf_attr *first = header->attrs.n ? &header->attrs.v[0] : NULL;
	size_t from_end = 8;

	if (!first || header->attrs.n == 1 || !first->sample_id_all)
		return first;
	if (!(first->sample_type & PERF_SAMPLE_IDENTIFIER)) {
		if (!(first->sample_type & PERF_SAMPLE_ID))
			return first;
		from_end += first->sample_type & PERF_SAMPLE_CPU ? 8 : 0;
		from_end += first->sample_type & PERF_SAMPLE_STREAM_ID ? 8 : 0;
	}
	if (size < PTF_RECORD_HEADER_SIZE + from_end)
		return first;
	return ptf_perf_header_attr(header, u64_at(bytes, size, size - from_end));
}

/* The same for a SAMPLE, where the id stands near the beginning. */
static const struct ptf_perf_attr *attr_of_sample(
        const struct ptf_perf_header *header, const uint8_t *bytes, size_t size)
{
	const struct ptf_perf_attr *first = header->attrs.n ? &header->attrs.v[0] : NULL;
	size_t offset = PTF_RECORD_HEADER_SIZE;

	if (!first || header->attrs.n == 1)
		return first;
	if (!(first->sample_type & PERF_SAMPLE_IDENTIFIER)) {
		if (!(first->sample_type & PERF_SAMPLE_ID))
			return first;
		offset += first->sample_type & PERF_SAMPLE_IP ? 8 : 0;
		offset += first->sample_type & PERF_SAMPLE_TID ? 8 : 0;
		offset += first->sample_type & PERF_SAMPLE_TIME ? 8 : 0;
		offset += first->sample_type & PERF_SAMPLE_ADDR ? 8 : 0;
	}
	return ptf_perf_header_attr(header, u64_at(bytes, size, offset));
}

/* ---- bodies ---- */

/* The rest of the body as a terminated string. */
static const char *take_text(struct ptf_reader *r, char *spare)
{
	size_t field = ptf_reader_left(r), len;
	const char *text = ptf_reader_string(r, field, &len);

	if (!text || len < field)
		return text ? text : "";
	if (len >= PTF_PERF_SPARE_SIZE)
		len = PTF_PERF_SPARE_SIZE - 1;
	memcpy(spare, text, len);
	spare[len] = '\0';
	return spare;
}

static void take_mmap(
        struct ptf_reader *r, uint16_t misc, bool second, char *spare, struct ptf_record_mmap *mmap)
{
	mmap->pid = (int32_t)ptf_reader_u32(r);
	mmap->tid = (int32_t)ptf_reader_u32(r);
	mmap->addr = ptf_reader_u64(r);
	mmap->len = ptf_reader_u64(r);
	mmap->pgoff = ptf_reader_u64(r);
	mmap->prot = misc & PERF_RECORD_MISC_MMAP_DATA ? PROT_READ_BIT : PROT_EXEC_BIT;
	if (second && misc & PTF_MISC_MMAP_BUILD_ID) {
		const uint8_t *id;

		mmap->build_id_size = ptf_reader_u8(r);
		ptf_reader_skip(r, 3);
		id = ptf_reader_bytes(r, BUILD_ID_SIZE);
		if (mmap->build_id_size > BUILD_ID_SIZE)
			mmap->build_id_size = BUILD_ID_SIZE;
		if (id)
			memcpy(mmap->build_id, id, BUILD_ID_SIZE);
	} else if (second) {
		mmap->has_inode = true;
		mmap->maj = ptf_reader_u32(r);
		mmap->min = ptf_reader_u32(r);
		mmap->ino = ptf_reader_u64(r);
		mmap->ino_gen = ptf_reader_u64(r);
	}
	if (second) {
		mmap->prot = ptf_reader_u32(r);
		mmap->flags = ptf_reader_u32(r);
	}
	mmap->filename = take_text(r, spare);
}

static void take_task(struct ptf_reader *r, struct ptf_record_task *task)
{
	task->pid = (int32_t)ptf_reader_u32(r);
	task->ppid = (int32_t)ptf_reader_u32(r);
	task->tid = (int32_t)ptf_reader_u32(r);
	task->ptid = (int32_t)ptf_reader_u32(r);
	task->time_ns = ptf_reader_u64(r);
}

static void take_ksymbol(struct ptf_reader *r, char *spare, struct ptf_record_ksymbol *ksymbol)
{
	ksymbol->addr = ptf_reader_u64(r);
	ksymbol->len = ptf_reader_u32(r);
	ksymbol->ksym_type = ptf_reader_u16(r);
	ksymbol->flags = ptf_reader_u16(r);
	ksymbol->name = take_text(r, spare);
}

static void take_text_poke(struct ptf_reader *r, struct ptf_record_text_poke *poke)
{
	poke->addr = ptf_reader_u64(r);
	poke->old_len = ptf_reader_u16(r);
	poke->new_len = ptf_reader_u16(r);
	poke->bytes = ptf_reader_bytes(r, (size_t)poke->old_len + poke->new_len);
}

/* tools/perf/util/intel-pt.h: the order of the private fields. */
static void take_auxtrace_info(
        struct ptf_reader *r, char *spare, struct ptf_record_auxtrace_info *info)
{
	uint64_t filter_len = 0, *const fields[] = {&info->pmu_type, &info->time_shift,
	                                 &info->time_mult, &info->time_zero, NULL, &info->tsc_bit,
	                                 &info->noretcomp_bit, &info->have_sched_switch,
	                                 &info->snapshot_mode, &info->per_cpu_mmaps, &info->mtc_bit,
	                                 &info->mtc_freq_bits, &info->tsc_ctc_ratio_n,
	                                 &info->tsc_ctc_ratio_d, &info->cyc_bit,
	                                 &info->max_nonturbo_ratio, &filter_len};

	info->type = ptf_reader_u32(r);
	ptf_reader_u32(r);
	if (info->type != 1)
		return;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint64_t value = ptf_reader_left(r) >= 8 ? ptf_reader_u64(r) : 0;

		if (fields[i])
			*fields[i] = value;
		else
			info->cap_user_time_zero = value != 0;
	}
	if (filter_len && filter_len <= ptf_reader_left(r))
		info->filter = take_text(r, spare);
}

static void take_auxtrace(struct ptf_reader *r, struct ptf_aux_chunk *chunk)
{
	chunk->size = ptf_reader_u64(r);
	chunk->aux_offset = ptf_reader_u64(r);
	chunk->reference = ptf_reader_u64(r);
	chunk->idx = ptf_reader_u32(r);
	chunk->tid = (int32_t)ptf_reader_u32(r);
	chunk->cpu = (int32_t)ptf_reader_u32(r);
	chunk->file_offset = PTF_NO_OFFSET;
}

static void take_time_conv(struct ptf_reader *r, struct ptf_record_time_conv *conv)
{
	conv->time_shift = ptf_reader_u64(r);
	conv->time_mult = ptf_reader_u64(r);
	conv->time_zero = ptf_reader_u64(r);
	conv->cap_user_time_zero = true;
	if (ptf_reader_left(r) < 18)
		return;
	conv->time_cycles = ptf_reader_u64(r);
	conv->time_mask = ptf_reader_u64(r);
	conv->cap_user_time_zero = ptf_reader_u8(r) != 0;
	conv->cap_user_time_short = ptf_reader_u8(r) != 0;
}

/* PERF_SAMPLE_READ's value: skipped. */
static void skip_read(struct ptf_reader *r, uint64_t format)
{
	uint64_t n = 1;
	size_t each = 8 + (format & PERF_FORMAT_ID ? 8 : 0) + (format & (1u << 4) ? 8 : 0);

	if (format & PERF_FORMAT_GROUP)
		n = ptf_reader_u64(r);
	if (format & PERF_FORMAT_TOTAL_TIME_ENABLED)
		ptf_reader_u64(r);
	if (format & PERF_FORMAT_TOTAL_TIME_RUNNING)
		ptf_reader_u64(r);
	if (n > ptf_reader_left(r) / each)
		r->failed = true;
	else
		ptf_reader_skip(r, (size_t)n * each);
}

static void take_sample(
        struct ptf_reader *r, const struct ptf_perf_attr *attr, struct ptf_record *record)
{
	struct ptf_record_sample *sample = &record->sample;
	uint64_t type = attr ? attr->sample_type : 0;
	struct ptf_sample_id *sid = &record->sid;

	sample->attr = attr;
	if (type & PERF_SAMPLE_IDENTIFIER)
		sid->id = ptf_reader_u64(r);
	if (type & PERF_SAMPLE_IP)
		sample->ip = ptf_reader_u64(r);
	if (type & PERF_SAMPLE_TID) {
		sid->pid = (int32_t)ptf_reader_u32(r);
		sid->tid = (int32_t)ptf_reader_u32(r);
	}
	if (type & PERF_SAMPLE_TIME)
		take_time(r, sid);
	if (type & PERF_SAMPLE_ADDR)
		sample->addr = ptf_reader_u64(r);
	if (type & PERF_SAMPLE_ID)
		sid->id = ptf_reader_u64(r);
	if (type & PERF_SAMPLE_STREAM_ID)
		ptf_reader_u64(r);
	if (type & PERF_SAMPLE_CPU) {
		sid->cpu = (int32_t)ptf_reader_u32(r);
		ptf_reader_u32(r);
	}
	if (type & PERF_SAMPLE_PERIOD)
		sample->period = ptf_reader_u64(r);
	if (type & PERF_SAMPLE_READ)
		skip_read(r, attr->read_format);
	if (type & PERF_SAMPLE_CALLCHAIN) {
		sample->callchain_n = ptf_reader_u64(r);
		if (sample->callchain_n > ptf_reader_left(r) / 8)
			r->failed = true;
		else
			sample->callchain = ptf_reader_bytes(r, (size_t)sample->callchain_n * 8);
	}
	if (type & PERF_SAMPLE_RAW) {
		sample->raw_size = ptf_reader_u32(r);
		sample->raw = ptf_reader_bytes(r, sample->raw_size);
	}
}

/* Bodies behind which a sample_id stands: what the kernel writes. */
static int take_kernel_body(struct ptf_reader *r, char *spare, struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_MMAP:
	case PTF_RECORD_MMAP2:
		take_mmap(r, record->misc, record->type == PTF_RECORD_MMAP2, spare, &record->mmap);
		return 0;
	case PTF_RECORD_LOST:
		record->lost.id = ptf_reader_u64(r);
		record->lost.count = ptf_reader_u64(r);
		return 0;
	case PTF_RECORD_LOST_SAMPLES:
		record->lost.count = ptf_reader_u64(r);
		return 0;
	case PTF_RECORD_COMM:
		record->comm.pid = (int32_t)ptf_reader_u32(r);
		record->comm.tid = (int32_t)ptf_reader_u32(r);
		record->comm.comm = take_text(r, spare);
		return 0;
	case PTF_RECORD_FORK:
	case PTF_RECORD_EXIT:
		take_task(r, &record->task);
		return 0;
	case PTF_RECORD_AUX:
		record->aux.aux_offset = ptf_reader_u64(r);
		record->aux.aux_size = ptf_reader_u64(r);
		record->aux.flags = ptf_reader_u64(r);
		return 0;
	case PTF_RECORD_ITRACE_START:
		record->itrace_start.pid = (int32_t)ptf_reader_u32(r);
		record->itrace_start.tid = (int32_t)ptf_reader_u32(r);
		return 0;
	case PTF_RECORD_SWITCH:
	case PTF_RECORD_SWITCH_CPU_WIDE:
		record->sw.next_prev_pid = record->sw.next_prev_tid = -1;
		if (record->type == PTF_RECORD_SWITCH_CPU_WIDE) {
			record->sw.next_prev_pid = (int32_t)ptf_reader_u32(r);
			record->sw.next_prev_tid = (int32_t)ptf_reader_u32(r);
		}
		record->sw.out = record->misc & PTF_MISC_SWITCH_OUT;
		record->sw.preempt = record->misc & PTF_MISC_SWITCH_OUT_PREEMPT;
		return 0;
	case PTF_RECORD_NAMESPACES:
		record->namespaces.pid = (int32_t)ptf_reader_u32(r);
		record->namespaces.tid = (int32_t)ptf_reader_u32(r);
		record->namespaces.count = ptf_reader_u64(r);
		return 0;
	case PTF_RECORD_KSYMBOL:
		take_ksymbol(r, spare, &record->ksymbol);
		return 0;
	case PTF_RECORD_TEXT_POKE:
		take_text_poke(r, &record->text_poke);
		return 0;
	case PTF_RECORD_THROTTLE:
	case PTF_RECORD_UNTHROTTLE:
	case PTF_RECORD_BPF_EVENT:
	case PTF_RECORD_CGROUP:
	case PTF_RECORD_AUX_OUTPUT_HW_ID:
		return 0;
	default:
		return 1;
	}
}

/* Bodies that perf itself writes, without a sample_id. */
static int take_perf_body(struct ptf_reader *r, char *spare, struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_AUXTRACE_INFO:
		take_auxtrace_info(r, spare, &record->auxtrace_info);
		return 0;
	case PTF_RECORD_AUXTRACE:
		take_auxtrace(r, &record->auxtrace);
		return 0;
	case PTF_RECORD_THREAD_MAP:
		record->map.count = ptf_reader_u64(r);
		return 0;
	case PTF_RECORD_TIME_CONV:
		take_time_conv(r, &record->time_conv);
		return 0;
	case PTF_RECORD_CPU_MAP:
	case PTF_RECORD_ID_INDEX:
	case PTF_RECORD_FINISHED_ROUND:
	case PTF_RECORD_FINISHED_INIT:
	case PTF_RECORD_AUXTRACE_ERROR:
	case PTF_RECORD_HEADER_ATTR:
	case PTF_RECORD_HEADER_TRACING_DATA:
	case PTF_RECORD_HEADER_BUILD_ID:
	case PTF_RECORD_EVENT_UPDATE:
	case PTF_RECORD_HEADER_FEATURE:
		return 0;
	default:
		return 1;
	}
}

int ptf_perf_parse(const struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        char *spare, struct ptf_record *record)
{
	struct ptf_reader r = ptf_reader_make(bytes, size), tail;
	const struct ptf_perf_attr *attr;
	size_t tail_size = 0;
	bool too_short;
	int rc;

	*record = (struct ptf_record){.sid = {.pid = -1, .tid = -1, .cpu = -1}};
	record->type = ptf_reader_u32(&r);
	record->misc = ptf_reader_u16(&r);
	ptf_reader_u16(&r);
	if (record->type >= PTF_RECORD_HEADER_ATTR) {
		rc = take_perf_body(&r, spare, record);
		return r.failed ? -PTF_EFORMAT : rc;
	}
	if (record->type == PTF_RECORD_SAMPLE) {
		take_sample(&r, attr_of_sample(header, bytes, size), record);
		return r.failed ? -PTF_EFORMAT : 0;
	}
	attr = attr_of_record(header, bytes, size);
	if (attr && attr->sample_id_all)
		tail_size = sample_id_size(attr->sample_type);
	too_short = tail_size > ptf_reader_left(&r);
	if (too_short)
		tail_size = 0;
	tail = ptf_reader_make(bytes + size - tail_size, tail_size);
	r.size = size - tail_size;
	if (tail_size)
		take_sample_id(&tail, attr->sample_type, &record->sid);
	if (take_kernel_body(&r, spare, record) == 1)
		return 1;
	if ((record->type == PTF_RECORD_FORK || record->type == PTF_RECORD_EXIT) &&
	        !record->sid.has_time) {
		record->sid.time_ns = record->task.time_ns;
		record->sid.has_time = true;
	}
	return r.failed || too_short ? -PTF_EFORMAT : 0;
}
