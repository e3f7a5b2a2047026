/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "profile/known_stacks.h"

/* Values from here up in a callchain are markers: whose addresses follow. */
#define FIRST_MARKER ((uint64_t)PERF_CONTEXT_MAX)

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for stacks");
}

void ptf_known_stacks_release(struct ptf_known_stacks *known)
{
	for (size_t i = 0; known->stacks && i < known->notes.n; i++)
		ptf_known_stack_release(&known->stacks[i]);
	for (size_t i = 0; known->marks && i < known->n_lives; i++)
		ptf_vec_release(&known->marks[i]);
	free(known->stacks);
	free(known->parents);
	free(known->marks);
	ptf_vec_release(&known->notes);
	ptf_vec_release(&known->ips);
	*known = (struct ptf_known_stacks){0};
}

/* ---- records ---- */

/* Events that measure something guess at stacks by frame pointers; only the dummy event's samples
 * were made by somebody who knew. */
static bool is_of_dummy(const struct ptf_perf_info *info, uint64_t id)
{
	for (size_t i = 0; i < info->n_attrs; i++) {
		const struct ptf_perf_attr *attr = &info->attrs[i];

		if (attr->type != PERF_TYPE_SOFTWARE || attr->config != PERF_COUNT_SW_DUMMY)
			continue;
		for (size_t k = 0; k < attr->n_ids; k++) {
			if (attr->ids[k] == id)
				return true;
		}
	}
	return false;
}

/* Adds the user part of a callchain to the chain of the last note. */
static bool take_chain(struct ptf_known_stacks *known, const struct ptf_record_sample *sample)
{
	struct ptf_reader r = ptf_reader_make(sample->callchain, (size_t)sample->callchain_n * 8);
	struct ptf_stack_note *note = &known->notes.v[known->notes.n - 1];
	bool user = true;

	while (ptf_reader_left(&r)) {
		uint64_t ip = ptf_reader_u64(&r);

		if (ip >= FIRST_MARKER) {
			user = ip == (uint64_t)PERF_CONTEXT_USER;
			continue;
		}
		if (!user)
			continue;
		if (!ptf_vec_push(&known->ips, ip))
			return false;
		note->n_ips++;
	}
	return true;
}

static int take_sample(
        struct ptf_known_stacks *known, const struct ptf_record *record, struct ptf_error *err)
{
	struct ptf_stack_note note = {.time_ns = record->sid.time_ns,
	        .pid = record->sid.pid,
	        .tid = record->sid.tid,
	        .parent_tid = -1,
	        .first = known->ips.n};
	const struct ptf_stack_note *last =
	        known->notes.n ? &known->notes.v[known->notes.n - 1] : NULL;
	bool more = last && last->parent_tid < 0 && !last->execs && last->tid == note.tid &&
	            last->time_ns == note.time_ns;

	if (!more && !ptf_vec_push(&known->notes, note))
		return no_memory(err);
	return take_chain(known, &record->sample) ? 0 : no_memory(err);
}

static int take_fork(
        struct ptf_known_stacks *known, const struct ptf_record *record, struct ptf_error *err)
{
	const struct ptf_record_task *task = &record->task;
	struct ptf_stack_note note = {.time_ns = record->sid.time_ns,
	        .pid = task->pid,
	        .tid = task->tid,
	        .parent_tid = task->ptid};

	/* A thread begins on an empty stack; time 0: perf tells of what was there before. */
	if (task->pid == task->ppid || task->ptid <= 0 || !note.time_ns)
		return 0;
	return ptf_vec_push(&known->notes, note) ? 0 : no_memory(err);
}

static int take_exec(
        struct ptf_known_stacks *known, const struct ptf_record *record, struct ptf_error *err)
{
	struct ptf_stack_note note = {.time_ns = record->sid.time_ns,
	        .pid = record->comm.pid,
	        .tid = record->comm.tid,
	        .parent_tid = -1,
	        .execs = true};

	return ptf_vec_push(&known->notes, note) ? 0 : no_memory(err);
}

int ptf_known_stacks_add(struct ptf_known_stacks *known, const struct ptf_perf_info *info,
        const struct ptf_record *record, struct ptf_error *err)
{
	if (!record->sid.has_time || record->sid.tid == 0)
		return 0;
	if (record->type == PTF_RECORD_FORK)
		return take_fork(known, record, err);
	if (record->type == PTF_RECORD_COMM && record->misc & PTF_MISC_COMM_EXEC)
		return take_exec(known, record, err);
	if (record->type == PTF_RECORD_SAMPLE && record->sample.callchain &&
	        is_of_dummy(info, record->sid.id))
		return take_sample(known, record, err);
	return 0;
}

/* ---- from addresses to frames ---- */

/* A system call instruction ends at ip. */
static bool behind_syscall(const struct ptf_code_epoch *epoch, uint64_t ip)
{
	uint8_t code[2];

	return ip > 2 && ptf_code_epoch_read(epoch, ip - 2, code, sizeof(code)) == sizeof(code) &&
	       ((code[0] == 0x0f && (code[1] == 0x05 || code[1] == 0x34)) ||
	               (code[0] == 0xcd && code[1] == 0x80));
}

/* libc's code behind a signal handler: mov $15,%rax; syscall. Unwinders know it by its bytes, too.
 */
static bool is_restorer(const struct ptf_code_epoch *epoch, uint64_t ip)
{
	static const uint8_t restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
	uint8_t code[sizeof(restorer)];

	return ptf_code_epoch_read(epoch, ip, code, sizeof(code)) == sizeof(code) &&
	       memcmp(code, restorer, sizeof(code)) == 0;
}

static struct ptf_ip_range range_of(uint64_t ip)
{
	return (struct ptf_ip_range){ip, ip};
}

/* The frame of chain[i]; exact: chain[i] is where it was interrupted, not a return address. */
static struct ptf_frame frame_of(
        const struct ptf_code_epoch *epoch, const uint64_t *chain, size_t n, size_t i, bool exact)
{
	struct ptf_frame frame = {.ret = PTF_NO_RANGE,
	        .resume = PTF_NO_RANGE,
	        .label = PTF_NO_RANGE,
	        .entry_ns = PTF_NO_TIME};
	bool restorer = i > 0 && is_restorer(epoch, chain[i]);
	/* A call may be the last instruction of its function. */
	uint64_t at = exact || restorer ? chain[i] : chain[i] - 1;

	frame.function = ptf_code_epoch_function(epoch, at, false);
	frame.async = frame.restorer = restorer;
	if (i + 1 < n)
		*(restorer ? &frame.resume : &frame.ret) = range_of(chain[i + 1]);
	return frame;
}

static bool resolve(struct ptf_known_stack *stack, const struct ptf_code_epoch *epoch,
        const uint64_t *chain, size_t n)
{
	bool in_syscall = behind_syscall(epoch, chain[0]), exact = !in_syscall;

	if (!ptf_vec_reserve(&stack->frames, n))
		return false;
	stack->frames.n = n;
	for (size_t i = 0; i < n; i++) {
		struct ptf_frame frame = frame_of(epoch, chain, n, i, exact);

		stack->frames.v[n - 1 - i] = frame;
		exact = frame.restorer;
	}
	/* An interrupted system call may begin anew. */
	stack->place = in_syscall ? PTF_PLACE_SYSCALL : PTF_PLACE_KERNEL;
	stack->resume =
	        in_syscall ? (struct ptf_ip_range){chain[0] - 2, chain[0]} : range_of(chain[0]);
	stack->known = true;
	return true;
}

/* ---- marks ---- */

/* Index of the life of tid at a time; n_lives: there is none. */
static size_t life_at(const struct ptf_known_stacks *known, const struct ptf_timelines *timelines,
        int32_t tid, uint64_t time_ns)
{
	const struct ptf_thread_timeline *life = ptf_timelines_find(timelines, tid, time_ns);
	size_t n;

	return life ? (size_t)(life - ptf_timelines_all(timelines, &n)) : known->n_lives;
}

/* Notes come in the order of time, so marks do. */
static bool put_mark(
        struct ptf_known_stacks *known, size_t life, uint64_t time_ns, size_t note, bool forks)
{
	struct ptf_stack_mark mark = {
	        time_ns, &known->stacks[note], forks, known->notes.v[note].execs};

	return life == known->n_lives || ptf_vec_push(&known->marks[life], mark);
}

static bool put_marks(struct ptf_known_stacks *known, const struct ptf_timelines *timelines,
        const struct ptf_code_images *images, size_t index)
{
	const struct ptf_stack_note *note = &known->notes.v[index];
	size_t life = life_at(known, timelines, note->tid, note->time_ns);
	const struct ptf_code_epoch *epoch;
	size_t parent;

	if (note->parent_tid >= 0) {
		parent = life_at(known, timelines, note->parent_tid, note->time_ns);
		if (parent == known->n_lives || parent == life)
			return true;
		known->parents[index] = parent;
		return put_mark(known, parent, note->time_ns, index, true) &&
		       put_mark(known, life, note->time_ns, index, false);
	}
	if (note->execs)
		return put_mark(known, life, note->time_ns, index, false);
	epoch = ptf_code_images_epoch(images, note->pid, note->time_ns);
	if (!epoch || !note->n_ips)
		return true;
	return resolve(&known->stacks[index], epoch, known->ips.v + note->first, note->n_ips) &&
	       put_mark(known, life, note->time_ns, index, false);
}

int ptf_known_stacks_freeze(struct ptf_known_stacks *known, const struct ptf_timelines *timelines,
        const struct ptf_code_images *images, struct ptf_error *err)
{
	if (!known->notes.n)
		return 0;
	ptf_timelines_all(timelines, &known->n_lives);
	known->stacks = calloc(known->notes.n, sizeof(*known->stacks));
	known->parents = calloc(known->notes.n, sizeof(*known->parents));
	known->marks = calloc(known->n_lives + 1, sizeof(*known->marks));
	if (!known->stacks || !known->parents || !known->marks)
		return no_memory(err);
	for (size_t i = 0; i < known->notes.n; i++) {
		known->parents[i] = known->n_lives;
		if (!put_marks(known, timelines, images, i))
			return no_memory(err);
	}
	return 0;
}

const struct ptf_stack_marks *ptf_known_stacks_marks(
        const struct ptf_known_stacks *known, size_t life)
{
	return known->marks && known->marks[life].n ? &known->marks[life] : NULL;
}

void ptf_known_stacks_bind(struct ptf_known_stacks *known, const struct ptf_stitch *stitches)
{
	for (size_t i = 0; known->stacks && i < known->notes.n; i++) {
		if (known->parents[i] == known->n_lives)
			continue;
		known->stacks[i].parent = &stitches[known->parents[i]].stack;
		known->stacks[i].known = false;
	}
}
