/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "profile/recording.h"

enum { AUXTRACE_INTEL_PT = 1 };

#define NS_PER_DAY (86400 * 1000000000ull)
#define MAX_WINDOW_NS (1ull << 50) /* 13 days: the times of all threads still have a sum */

void ptf_recording_release(struct ptf_recording *recording)
{
	for (size_t i = 0; recording->spans && i < recording->streams.streams.n; i++)
		ptf_vec_release(&recording->spans[i]);
	free(recording->spans);
	ptf_aux_streams_release(&recording->streams);
	ptf_known_stacks_release(&recording->known_stacks);
	ptf_timelines_destroy(recording->timelines);
	ptf_tracepoints_destroy(recording->tracepoints);
	ptf_code_images_destroy(recording->images);
	ptf_perf_reader_destroy(recording->reader);
	ptf_attached_files_release(&recording->attached);
	*recording = (struct ptf_recording){0};
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory");
}

/* ---- records ---- */

struct aux_break {
	int32_t tid, cpu;
	uint64_t aux_offset;
};

PTF_VEC_TYPEDEF(aux_breaks, struct aux_break);

static int take_record(struct ptf_recording *recording, const struct ptf_record *record,
        struct aux_breaks *breaks, struct ptf_error *err)
{
	struct aux_break lost;
	int rc = ptf_code_images_add(recording->images, record, err);

	if (rc == 0)
		rc = ptf_timelines_add(recording->timelines, record, err);
	if (rc == 0)
		rc = ptf_known_stacks_add(&recording->known_stacks,
		        ptf_perf_reader_info(recording->reader), record, err);
	if (rc < 0)
		return rc;
	switch (record->type) {
	case PTF_RECORD_AUXTRACE_INFO:
		recording->pt = record->auxtrace_info;
		recording->filtered = recording->pt.filter && *recording->pt.filter;
		recording->pt.filter = NULL;
		break;
	case PTF_RECORD_LOST:
	case PTF_RECORD_LOST_SAMPLES:
		recording->lost_records += record->lost.count;
		break;
	case PTF_RECORD_AUXTRACE_ERROR:
		recording->itrace_errors++;
		break;
	case PTF_RECORD_AUX:
		if (!(record->aux.flags & PTF_AUX_FLAG_TRUNCATED))
			break;
		recording->truncated++;
		lost = (struct aux_break){record->sid.tid, record->sid.cpu,
		        record->aux.aux_offset + record->aux.aux_size};
		if (!ptf_vec_push(breaks, lost))
			return no_memory(err);
		break;
	default:
		break;
	}
	return 0;
}

static int read_records(
        struct ptf_recording *recording, struct aux_breaks *breaks, struct ptf_error *err)
{
	struct ptf_record record;
	int rc;

	while ((rc = ptf_perf_reader_next(recording->reader, &record, err)) == 0) {
		rc = take_record(recording, &record, breaks, err);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : 0;
}

static int expect_build_ids(
        struct ptf_recording *recording, const struct ptf_perf_info *info, struct ptf_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < info->n_build_ids && rc == 0; i++)
		rc = ptf_code_images_expect_build_id(recording->images, info->build_ids[i].filename,
		        info->build_ids[i].id, info->build_ids[i].size, err);
	return rc;
}

/* ---- header ---- */

/* The event of the trace, NULL when the file has none. */
static const struct ptf_perf_attr *pt_event(
        const struct ptf_recording *recording, const struct ptf_perf_info *info)
{
	for (size_t i = 0; i < info->n_attrs; i++) {
		if (info->attrs[i].type == recording->pt.pmu_type)
			return &info->attrs[i];
	}
	return NULL;
}

static void take_header(struct ptf_recording *recording, const struct ptf_perf_info *info)
{
	const struct ptf_perf_attr *event = pt_event(recording, info);
	unsigned family, model, stepping;

	recording->user_only = event && event->exclude_kernel;
	ptf_clock_params_from_info(
	        &recording->engine.clock, &recording->pt, event ? event->config : 0);
	if (info->cpuid &&
	        sscanf(info->cpuid, "GenuineIntel,%u,%u,%u", &family, &model, &stepping) == 3) {
		recording->engine.cpu_family = (uint16_t)family;
		recording->engine.cpu_model = (uint8_t)model;
		recording->engine.cpu_stepping = (uint8_t)stepping;
	}
	recording->has_info = info->ptflame && ptf_record_info_decode(&recording->info,
	                                               info->ptflame, info->ptflame_size) == 0;
	if (info->damage.code)
		ptf_log(PTF_LOG_WARN, "%s: what follows is not read", info->damage.msg);
}

static int take_waits(
        struct ptf_recording *recording, const struct ptf_perf_info *info, struct ptf_error *err)
{
	struct ptf_record_wait wait;
	int rc = 0;

	for (size_t i = 0; recording->has_info && rc == 0 &&
	                   ptf_record_wait_decode(&wait, info->ptflame, info->ptflame_size, i);
	        i++)
		rc = ptf_timelines_add_wait(recording->timelines, &wait, err);
	return rc;
}

static int check_header(const struct ptf_recording *recording, const char *path,
        const struct ptf_perf_info *info, size_t n_chunks, struct ptf_error *err)
{
	if (info->arch && strcmp(info->arch, "x86_64") != 0 && strncmp(info->arch, "i", 1) != 0)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "%s: recorded on %s: only x86 traces can be decoded", path, info->arch);
	if (recording->pt.type != AUXTRACE_INTEL_PT)
		return ptf_error_set(err, PTF_ENODATA,
		        "%s: no Intel PT in this recording: record with `ptflame record` or "
		        "`perf record -e intel_pt//u`%s%s",
		        path, info->damage.code ? "; " : "",
		        info->damage.code ? info->damage.msg : "");
	if (!n_chunks)
		return ptf_error_set(err, PTF_ENODATA,
		        "%s: the recording has no AUX data: nothing was traced (did the process "
		        "run "
		        "while it was recorded?)%s%s",
		        path, info->damage.code ? "; " : "",
		        info->damage.code ? info->damage.msg : "");
	return 0;
}

/* ---- window ---- */

/* Time at the end of a segment: its packets, all of them. */
static uint64_t last_time(const struct ptf_recording *recording,
        const struct ptf_aux_segment *segment, struct ptf_scratch *scratch)
{
	const uint8_t *bytes = ptf_aux_segment_bytes(&recording->streams, segment, scratch);
	struct ptf_packet packet;
	struct ptf_clock clock;
	uint64_t at = 0;

	ptf_clock_init(&clock, &recording->engine.clock);
	while (bytes && at < segment->size) {
		int n = ptf_packet_decode(bytes + at, segment->size - at, &packet);

		if (n <= 0)
			break;
		ptf_clock_packet(&clock, &packet);
		at += (uint64_t)n;
	}
	return ptf_clock_ns(&clock);
}

/* Widens [start, end] by the times of the segments; true when they have times. */
static bool widen_by_segments(const struct ptf_recording *recording, uint64_t *start, uint64_t *end)
{
	const struct ptf_aux_streams *streams = &recording->streams;
	struct ptf_scratch scratch = {0};
	bool timed = false;

	for (size_t i = 0; i < streams->segments.n; i++) {
		const struct ptf_aux_segment *segment = &streams->segments.v[i];
		bool last = i + 1 == streams->segments.n || segment[1].stream != segment->stream;
		uint64_t ns = segment->start_ns;

		if (ns == PTF_NO_TIME)
			continue;
		timed = true;
		if (ns < *start || !*start)
			*start = ns;
		if (last)
			ns = last_time(recording, segment, &scratch);
		if (ns > *end)
			*end = ns;
	}
	free(scratch.bytes);
	return timed;
}

/* A window that no trace can have, because some time in the file is damaged: that of the packets
 * alone, or a part of it. */
static void mend_window(struct ptf_recording *recording)
{
	uint64_t start = 0, end = 0;

	ptf_log(PTF_LOG_WARN, "the times in the recording are %llu days apart: some are wrong",
	        (unsigned long long)((recording->end_ns - recording->start_ns) / NS_PER_DAY));
	if (widen_by_segments(recording, &start, &end)) {
		recording->start_ns = start;
		recording->end_ns = end;
	}
	if (recording->end_ns - recording->start_ns > MAX_WINDOW_NS)
		recording->end_ns = recording->start_ns + MAX_WINDOW_NS;
}

static void find_window(struct ptf_recording *recording)
{
	uint64_t start, end;

	ptf_timelines_range(recording->timelines, &start, &end);
	recording->timed = widen_by_segments(recording, &start, &end);
	if (recording->has_info && recording->info.end_ns > recording->info.start_ns) {
		start = recording->info.start_ns;
		end = recording->info.end_ns;
	}
	recording->start_ns = start;
	recording->end_ns = end > start ? end : start;
	if (recording->end_ns - recording->start_ns > MAX_WINDOW_NS)
		mend_window(recording);
}

/* ---- who ran where ---- */

static int add_span(struct ptf_run_spans *spans, struct ptf_run_span span, struct ptf_error *err)
{
	return ptf_vec_push(spans, span) ? 0 : no_memory(err);
}

/* The spans of the thread `who`, that ran from who.from_ns up to `to_ns`: one for each epoch of its
 * code. */
static int add_thread_spans(struct ptf_recording *recording, struct ptf_run_spans *spans,
        struct ptf_run_span who, uint64_t to_ns, struct ptf_error *err)
{
	const struct ptf_code_epoch *const *epochs;
	size_t n, i = 0;
	int rc;

	epochs = ptf_code_images_epochs(recording->images, who.pid, &n);
	for (size_t high = n; high - i > 1;) {
		size_t middle = i + (high - i) / 2;

		if (epochs[middle]->from_ns <= who.from_ns)
			i = middle;
		else
			high = middle;
	}
	who.code = n ? epochs[i] : ptf_code_images_kernel(recording->images);
	rc = add_span(spans, who, err);
	for (i++; i < n && epochs[i]->from_ns < to_ns && rc == 0; i++) {
		who.code = epochs[i];
		who.from_ns = who.code->from_ns;
		rc = add_span(spans, who, err);
	}
	return rc;
}

/* Who ran on a CPU since then. A thread that nothing names is not recorded: what is traced while
 * records say that it runs is the rest of another's way through the scheduler. */
static struct ptf_run_span who_ran(
        const struct ptf_recording *recording, const struct ptf_cpu_span *cpu)
{
	struct ptf_run_span who = {.from_ns = cpu->from_ns, .pid = cpu->pid, .tid = cpu->tid};
	const struct ptf_thread_timeline *life, *all;
	size_t n;

	all = ptf_timelines_all(recording->timelines, &n);
	life = ptf_timelines_find(recording->timelines, cpu->tid, cpu->from_ns);
	who.life = life ? (uint32_t)(life - all) : UINT32_MAX;
	if (life && !life->named)
		who.pid = who.tid = -1;
	return who;
}

static int switches_are_missing(size_t n_threads, struct ptf_error *err)
{
	return ptf_error_set(err, PTF_EUNSUPPORTED,
	        "the trace has one buffer for each CPU, %zu threads and no context switches: whose "
	        "code it is cannot be told; record with `perf record --switch-events` (ptflame "
	        "record does)",
	        n_threads);
}

static int add_cpu_spans(struct ptf_recording *recording, struct ptf_run_spans *spans,
        const struct ptf_aux_stream *stream, struct ptf_error *err)
{
	const struct ptf_thread_timeline *threads;
	const struct ptf_cpu_span *cpu;
	size_t n, n_threads;
	int rc = 0;

	cpu = ptf_timelines_cpu(recording->timelines, stream->cpu, &n);
	threads = ptf_timelines_all(recording->timelines, &n_threads);
	if (!n && n_threads == 1) {
		struct ptf_run_span only = {.pid = threads[0].pid, .tid = threads[0].tid};

		return add_thread_spans(recording, spans, only, UINT64_MAX, err);
	}
	if (!n && !ptf_timelines_switches(recording->timelines) && n_threads > 1)
		return switches_are_missing(n_threads, err);
	if (!n || cpu[0].from_ns)
		rc = add_span(spans,
		        (struct ptf_run_span){.pid = -1,
		                .tid = -1,
		                .code = ptf_code_images_kernel(recording->images)},
		        err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = add_thread_spans(recording, spans, who_ran(recording, &cpu[i]),
		        i + 1 < n ? cpu[i + 1].from_ns : UINT64_MAX, err);
	}
	return rc;
}

static int add_stream_spans(struct ptf_recording *recording, size_t index, struct ptf_error *err)
{
	const struct ptf_aux_stream *stream = &recording->streams.streams.v[index];
	struct ptf_run_spans *spans = &recording->spans[index];
	struct ptf_run_span who = {.pid = stream->tid, .tid = stream->tid};
	const struct ptf_thread_timeline *thread;

	if (stream->cpu >= 0)
		return add_cpu_spans(recording, spans, stream, err);
	thread = ptf_timelines_find(recording->timelines, stream->tid, PTF_NO_TIME);
	if (thread)
		who.pid = thread->pid;
	return add_thread_spans(recording, spans, who, UINT64_MAX, err);
}

/* Code whose thread is not known (before the first switch, or because a record was lost) has to be
 * walked all the same to get to what follows: it is most likely a neighbour's. kernel: what those
 * have that have no code of their own. */
static void guess_code(struct ptf_run_spans *spans, const struct ptf_code_epoch *kernel)
{
	const struct ptf_code_epoch *code = NULL;

	for (size_t i = 0; i < spans->n && !code; i++)
		code = spans->v[i].code == kernel ? NULL : spans->v[i].code;
	ptf_vec_foreach (span, spans) {
		if (span->code && span->code != kernel)
			code = span->code;
		else if (code)
			span->code = code;
	}
}

static int find_spans(struct ptf_recording *recording, struct ptf_error *err)
{
	size_t n = recording->streams.streams.n;
	int rc = 0;

	recording->spans = calloc(n ? n : 1, sizeof(*recording->spans));
	if (!recording->spans)
		return no_memory(err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = add_stream_spans(recording, i, err);
		guess_code(&recording->spans[i], ptf_code_images_kernel(recording->images));
	}
	return rc;
}

/* ---- code ---- */

static uint64_t tsc_ns(const void *context, uint64_t tsc)
{
	return ptf_clock_params_ns(context, tsc);
}

/* How the times of jitdumps relate to the recording's clock. The simulator counts nanoseconds where
 * the machine has a TSC, so that a simulated program's own TSC readings say nothing. */
static void set_jit_clock(struct ptf_recording *recording, const struct ptf_perf_info *info)
{
	bool simulated = recording->has_info && recording->info.simulated;
	struct ptf_jit_clock clock = {.context = &recording->engine.clock};

	clock.unrelated = simulated && recording->info.clock == PTF_SIM_CLOCK_INSN;
	if (!simulated && recording->engine.clock.time_mult)
		clock.tsc_ns = tsc_ns;
	for (size_t i = 0; i < info->n_attrs; i++)
		clock.monotonic |=
		        info->attrs[i].use_clockid && info->attrs[i].clockid == CLOCK_MONOTONIC;
	ptf_code_images_set_jit_clock(recording->images, &clock);
}

static void set_kernel(
        struct ptf_recording *recording, const struct ptf_perf_info *info, const char *vmlinux)
{
	struct ptf_kernel_options kernel = {.release = info->os_release, .vmlinux = vmlinux};

	for (size_t i = 0; i < info->n_attrs; i++)
		kernel.traced |= info->attrs[i].type == recording->pt.pmu_type &&
		                 !info->attrs[i].exclude_kernel;
	ptf_code_images_set_kernel(recording->images, &kernel);
}

/* What came with the recording: of a file its attachments, of a directory what lies in it. */
static void find_attached(
        struct ptf_recording *recording, const char *path, struct ptf_code_images_options *options)
{
	struct ptf_error err = {0};
	struct stat st;

	if (strcmp(path, "-") == 0 || stat(path, &st) < 0)
		return;
	options->recorded_s = st.st_mtim.tv_sec;
	if (S_ISDIR(st.st_mode)) {
		options->search_dir = path;
		return;
	}
	if (!S_ISREG(st.st_mode))
		return;
	if (ptf_attached_files_init(&recording->attached, path, &err) < 0)
		ptf_log(PTF_LOG_WARN, "%s: %s", path, err.msg);
	options->attached = &recording->attached;
}

/* ---- all of it ---- */

static int cut_streams(
        struct ptf_recording *recording, const struct aux_breaks *breaks, struct ptf_error *err)
{
	struct ptf_aux_streams *streams = &recording->streams;
	const struct ptf_aux_chunk *chunks;
	size_t n;
	int rc;

	chunks = ptf_perf_reader_aux_chunks(recording->reader, &n);
	rc = ptf_aux_streams_add(streams, chunks, n, err);
	for (size_t i = 0; i < breaks->n && rc == 0; i++)
		rc = ptf_aux_streams_break(
		        streams, breaks->v[i].tid, breaks->v[i].cpu, breaks->v[i].aux_offset, err);
	if (rc == 0)
		rc = ptf_aux_streams_cut(streams, &recording->engine.clock, err);
	for (size_t i = 0; i < streams->streams.n && rc == 0; i++) {
		if (streams->streams.v[i].cpu < 0)
			rc = ptf_timelines_mention(
			        recording->timelines, -1, streams->streams.v[i].tid, err);
	}
	return rc;
}

/* "4.14.0-5-amd64" is before (4, 17). */
static bool release_before(const char *release, int major, int minor)
{
	int x, y;

	return release && sscanf(release, "%d.%d", &x, &y) == 2 &&
	       (x < major || (x == major && y < minor));
}

static int prepare(struct ptf_recording *recording, const char *path,
        const struct ptf_code_places *places, const struct ptf_time_slice *slice,
        struct aux_breaks *breaks, struct ptf_error *err)
{
	const struct ptf_perf_info *info = ptf_perf_reader_info(recording->reader);
	size_t n_chunks;
	int rc;

	recording->tracepoints =
	        ptf_tracepoints_create(info->tracing_data, info->tracing_data_size);
	if (!recording->tracepoints)
		return no_memory(err);
	ptf_timelines_use_tracepoints(recording->timelines, recording->tracepoints);
	if (release_before(info->os_release, 4, 17))
		ptf_timelines_reasons_unknown(recording->timelines);
	rc = read_records(recording, breaks, err);
	if (rc < 0)
		return rc;
	take_header(recording, info);
	ptf_perf_reader_aux_chunks(recording->reader, &n_chunks);
	rc = check_header(recording, path, info, n_chunks, err);
	if (rc == 0)
		rc = expect_build_ids(recording, info, err);
	if (rc == 0)
		rc = cut_streams(recording, breaks, err);
	if (rc < 0)
		return rc;
	rc = take_waits(recording, info, err);
	if (rc < 0)
		return rc;
	find_window(recording);
	rc = ptf_time_slice_clip(slice, recording->timed, &recording->start_ns, &recording->end_ns,
	        &recording->slice, err);
	if (rc == 0)
		rc = ptf_timelines_freeze(
		        recording->timelines, recording->start_ns, recording->end_ns, err);
	set_jit_clock(recording, info);
	set_kernel(recording, info, places->vmlinux);
	if (rc == 0)
		rc = ptf_code_images_freeze(recording->images, err);
	if (rc == 0 && recording->timed)
		rc = ptf_known_stacks_freeze(
		        &recording->known_stacks, recording->timelines, recording->images, err);
	if (rc == 0)
		rc = find_spans(recording, err);
	recording->engine.images = recording->images;
	return rc;
}

int ptf_recording_init(struct ptf_recording *recording, const char *path,
        const struct ptf_code_places *places, const struct ptf_time_slice *slice,
        struct ptf_function_table *functions, struct ptf_error *err)
{
	struct ptf_code_images_options options = {.symfs = places->symfs};
	struct aux_breaks breaks = {0};
	int rc;

	*recording = (struct ptf_recording){.functions = functions};
	find_attached(recording, path, &options);
	recording->images = ptf_code_images_create(functions, &options);
	recording->timelines = ptf_timelines_create();
	if (!recording->images || !recording->timelines)
		rc = no_memory(err);
	else
		rc = ptf_perf_reader_create(&recording->reader, path, err);
	if (rc == 0)
		rc = prepare(recording, path, places, slice, &breaks, err);
	ptf_vec_release(&breaks);
	if (rc < 0)
		ptf_recording_release(recording);
	return rc;
}
