/* SPDX-License-Identifier: BSD-2-Clause */
#include "pt/perf_script_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "pt/perf_script_line.h"

/* Lines that are longer are unreadable; the longest names of C++ are some kilobytes. */
enum { BUFFER_SIZE = 256 * 1024 };
/* How much of a file the probe looks at, and how long a name it takes without an allocation. */
enum { PROBE_SIZE = 32 * 1024, PROBE_LINES = 100 };
/* perf's intel-pt-decoder.h */
enum { PERF_ERROR_OVERFLOW = 7, PERF_ERROR_LOST = 8 };

#define KERNEL_ADDRESSES (1ull << 63) /* and above */

struct thread {
	int32_t pid, tid, cpu;
	const char *comm;
	uint64_t last_ns; /* of its last line, PTF_NO_TIME: untimed */
	uint32_t insns;   /* counted, but in no item yet */
	bool ended;       /* its last line was an item, or it has its END */
	bool placed;      /* an item told where it is, and no error came since */
};

struct ptf_perf_script_reader {
	int fd;
	char *buffer;                         /* owned, BUFFER_SIZE */
	size_t begin, end;                    /* unread bytes of the buffer */
	bool at_end;                          /* of the file */
	bool below_sample;                    /* the line before was a sample, or belonged to one */
	struct ptf_function_table *functions; /* borrowed */
	struct ptf_arena arena;               /* comms */
	struct ptf_hash_map by_address;       /* hash of an entry -> last function made there */
	struct ptf_hash_map by_name; /* hash of dso and name -> last function of that name */
	struct ptf_hash_map by_tid;  /* tid -> index of threads */
	PTF_VEC(struct thread) threads;
	size_t next_end;                     /* threads before this one have their END */
	struct ptf_perf_script_item pending; /* the item behind a SYNC, when has_pending */
	bool has_pending;
	char *name;      /* owned, terminated copies of slices for the function table */
	size_t name_cap; /* bytes */
	struct ptf_perf_script_counts counts;
};

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory");
}

/* ---- lines ---- */

/* Moves the unread bytes to the front and reads more. 0, or <0. */
static int fill(struct ptf_perf_script_reader *r, struct ptf_error *err)
{
	ssize_t n;

	memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
	r->end -= r->begin;
	r->begin = 0;
	do {
		n = read(r->fd, r->buffer + r->end, BUFFER_SIZE - r->end);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return ptf_error_set_errno(err, errno, "reading text of perf script");
	r->at_end = n == 0;
	r->end += (size_t)n;
	return 0;
}

/* The next line without its newline: 0, 1 at the end, <0. A line that does not fit into the buffer
 * comes in pieces. */
static int next_line(
        struct ptf_perf_script_reader *r, struct ptf_slice *line, struct ptf_error *err)
{
	for (;;) {
		size_t n = r->end - r->begin;
		char *newline = memchr(r->buffer + r->begin, '\n', n);
		int rc;

		if (newline || n == BUFFER_SIZE || (r->at_end && n)) {
			size_t len = newline ? (size_t)(newline - r->buffer) - r->begin : n;

			*line = (struct ptf_slice){r->buffer + r->begin, len};
			r->begin += len + (newline != NULL);
			return 0;
		}
		if (r->at_end)
			return 1;
		rc = fill(r, err);
		if (rc < 0)
			return rc;
	}
}

/* ---- functions ---- */

static bool slice_is(struct ptf_slice s, const char *text)
{
	return strlen(text) == s.len && (!s.len || memcmp(s.text, text, s.len) == 0);
}

static bool is_unknown(struct ptf_slice s)
{
	return !s.len || slice_is(s, "[unknown]");
}

static uint64_t hash_name(struct ptf_slice dso, struct ptf_slice symbol)
{
	return ptf_hash_bytes(dso.text, dso.len) * 31 + ptf_hash_bytes(symbol.text, symbol.len);
}

/* "dso\0symbol\0" in r->name; NULL when out of memory. */
static const char *terminate(struct ptf_perf_script_reader *r, struct ptf_slice dso,
        struct ptf_slice symbol, const char **symbol_text)
{
	size_t need = dso.len + symbol.len + 2;

	if (need > r->name_cap) {
		char *grown = realloc(r->name, 2 * need);

		if (!grown)
			return NULL;
		r->name = grown;
		r->name_cap = 2 * need;
	}
	if (dso.len)
		memcpy(r->name, dso.text, dso.len);
	r->name[dso.len] = '\0';
	if (symbol.len)
		memcpy(r->name + dso.len + 1, symbol.text, symbol.len);
	r->name[dso.len + 1 + symbol.len] = '\0';
	*symbol_text = r->name + dso.len + 1;
	return r->name;
}

/* The length of the name of the function whose part "name.cold" (".cold.12", " [clone .cold]") is;
 * 0 when it is no such part. */
static size_t cold_parent(struct ptf_slice symbol)
{
	const char *at = symbol.len ? memmem(symbol.text, symbol.len, ".cold", 5) : NULL;
	size_t len;

	if (!at || (at + 5 < symbol.text + symbol.len && at[5] != '.' && at[5] != ']'))
		return 0;
	len = (size_t)(at - symbol.text);
	if (len > 8 && memcmp(at - 8, " [clone ", 8) == 0)
		len -= 8;
	return len;
}

static const struct ptf_function *known_by_name(
        const struct ptf_perf_script_reader *r, struct ptf_slice dso, struct ptf_slice symbol)
{
	const uint64_t *found = ptf_hash_map_find(&r->by_name, hash_name(dso, symbol));
	const struct ptf_function *function =
	        found ? (const struct ptf_function *)(uintptr_t)*found : NULL;

	return function && slice_is(symbol, function->raw_name) && slice_is(dso, function->module)
	               ? function
	               : NULL;
}

/* Makes the function known, or finds it in the table. */
static const struct ptf_function *intern(struct ptf_perf_script_reader *r, struct ptf_slice dso,
        struct ptf_slice symbol, uint64_t address, bool kernel)
{
	unsigned flags = kernel ? PTF_INTERN_KERNEL : 0;
	const char *symbol_text, *dso_text = terminate(r, dso, symbol, &symbol_text);
	uint64_t *by_name = ptf_hash_map_at(&r->by_name, hash_name(dso, symbol), NULL);
	const struct ptf_function *function;

	if (!dso_text || !by_name)
		return NULL;
	function = symbol.len ? ptf_function_table_intern(r->functions, dso_text, address, 0,
	                                PTF_FUNCTION_TEXT, symbol_text, flags | PTF_INTERN_DEMANGLE)
	                      : ptf_function_table_intern(r->functions, dso_text, 0, 0,
	                                PTF_FUNCTION_MODULE, NULL, flags);
	if (function && symbol.len)
		*by_name = (uintptr_t)function;
	return function;
}

static bool same_function(const struct ptf_function *function, struct ptf_slice dso,
        struct ptf_slice symbol, uint64_t address)
{
	if (!function || !slice_is(dso, function->module))
		return false;
	if (!symbol.len)
		return function->kind == PTF_FUNCTION_MODULE;
	return function->address == address && function->raw_name &&
	       slice_is(symbol, function->raw_name);
}

/* The function of a place whose ip is known; *part: it is a cold part of that function. NULL when
 * out of memory. */
static const struct ptf_function *function_at(
        struct ptf_perf_script_reader *r, const struct ptf_script_place *place, bool *part)
{
	struct ptf_slice dso = is_unknown(place->dso) ? (struct ptf_slice){"", 0} : place->dso;
	struct ptf_slice symbol =
	        is_unknown(place->symbol) ? (struct ptf_slice){"", 0} : place->symbol;
	uint64_t address = place->has_offset ? place->ip - place->offset : 0;
	size_t parent = cold_parent(symbol);
	const struct ptf_function *function;
	uint64_t *cached;

	*part = false;
	if (!symbol.len && !dso.len)
		return ptf_function_table_unknown(r->functions);
	if (parent) {
		function = known_by_name(r, dso, (struct ptf_slice){symbol.text, parent});
		*part = function != NULL;
		if (function)
			return function;
	}
	cached = ptf_hash_map_at(&r->by_address,
	        symbol.len ? ptf_hash_u64(address) ^ ptf_hash_bytes(symbol.text, symbol.len)
	                   : ptf_hash_bytes(dso.text, dso.len),
	        NULL);
	if (!cached)
		return NULL;
	function = (const struct ptf_function *)(uintptr_t)*cached;
	if (!same_function(function, dso, symbol, address)) {
		function = intern(r, dso, symbol, address, place->ip >= KERNEL_ADDRESSES);
		*cached = (uintptr_t)function;
	}
	return function;
}

/* ---- threads ---- */

static const char *intern_comm(
        struct ptf_perf_script_reader *r, const char *last, struct ptf_slice comm)
{
	if (last && slice_is(comm, last))
		return last;
	return ptf_arena_strndup(&r->arena, comm.len ? comm.text : "", comm.len);
}

/* The thread of a line, with what the line says about it; NULL when out of memory. */
static struct thread *thread_of(
        struct ptf_perf_script_reader *r, const struct ptf_perf_script_line *line)
{
	bool made;
	uint64_t *index = ptf_hash_map_at(&r->by_tid, (uint32_t)line->tid, &made);
	struct thread *thread;

	if (!index)
		return NULL;
	if (made) {
		struct thread fresh = {.pid = -1, .tid = line->tid, .comm = NULL};

		if (!ptf_vec_push(&r->threads, fresh))
			return NULL;
		*index = r->threads.n - 1;
	}
	thread = &r->threads.v[*index];
	/* Errors are printed without a comm. */
	if (line->kind == PTF_SCRIPT_BRANCH || !thread->comm)
		thread->comm = intern_comm(r, thread->comm, line->comm);
	if (line->pid >= 0)
		thread->pid = line->pid;
	thread->cpu = line->cpu;
	thread->last_ns = line->time_ns;
	thread->ended = false;
	return thread->comm ? thread : NULL;
}

/* ---- items ---- */

static enum ptf_flow_cause off_cause(uint32_t flags)
{
	uint32_t rest = flags & ~(PTF_BRANCH | PTF_BRANCH_END | PTF_BRANCH_IN_TX);

	if (!rest || rest & (PTF_BRANCH_ASYNC | PTF_BRANCH_TX_ABORT))
		return PTF_CAUSE_ASYNC;
	if (rest & PTF_BRANCH_CALL && rest & (PTF_BRANCH_SYSCALL | PTF_BRANCH_INTERRUPT))
		return PTF_CAUSE_SYSCALL;
	return PTF_CAUSE_BRANCH;
}

static enum ptf_flow_cause async_cause(uint32_t flags)
{
	if (flags & PTF_BRANCH_SYSCALL)
		return PTF_CAUSE_SYSCALL;
	if ((flags & PTF_BRANCH_INTERRUPT) && (flags & PTF_BRANCH_CALL) &&
	        !(flags & PTF_BRANCH_ASYNC))
		return PTF_CAUSE_SYSCALL; /* int 0x80 */
	return flags & (PTF_BRANCH_INTERRUPT | PTF_BRANCH_ASYNC) ? PTF_CAUSE_ASYNC : PTF_CAUSE_NONE;
}

static void classify(struct ptf_flow_item *item, uint32_t flags)
{
	static const uint32_t far = PTF_BRANCH_SYSCALL | PTF_BRANCH_ASYNC | PTF_BRANCH_INTERRUPT |
	                            PTF_BRANCH_VMENTRY | PTF_BRANCH_VMEXIT;

	if (flags & PTF_BRANCH_END && !(flags & PTF_BRANCH_BEGIN && item->to != PTF_NO_IP)) {
		item->kind = PTF_FLOW_OFF;
		item->cause = (uint8_t)off_cause(flags);
	} else if (flags & PTF_BRANCH_BEGIN) {
		item->kind = PTF_FLOW_ON;
	} else if (flags & far) {
		item->kind = PTF_FLOW_ASYNC;
		item->cause = (uint8_t)async_cause(flags);
	} else if (flags & PTF_BRANCH_CALL) {
		item->kind = PTF_FLOW_CALL;
	} else if (flags & PTF_BRANCH_RETURN) {
		item->kind = PTF_FLOW_RETURN;
	} else {
		item->kind = PTF_FLOW_JUMP;
	}
}

/* Does the item arrive behind the first instruction of to_function? */
static bool arrives_inside(const struct ptf_flow_item *item, uint32_t flags,
        const struct ptf_script_place *to, bool cold)
{
	if (cold || (item->kind == PTF_FLOW_ASYNC && flags & PTF_BRANCH_RETURN))
		return true;
	if (to->has_offset)
		return to->offset != 0;
	return item->kind == PTF_FLOW_RETURN || item->kind == PTF_FLOW_ON ||
	       (item->kind == PTF_FLOW_JUMP && flags & PTF_BRANCH_CONDITIONAL);
}

/* Makes the item of a branch: 0, 1 when it stays in its function, -PTF_ENOMEM. */
static int branch_item(struct ptf_perf_script_reader *r, const struct ptf_perf_script_line *line,
        struct ptf_flow_item *item)
{
	bool from_cold, to_cold = false;

	*item = (struct ptf_flow_item){.from = PTF_NO_IP,
	        .to = PTF_NO_IP,
	        .time_ns = line->time_ns,
	        .insn_size = line->insn_size};
	if (line->from.ip) {
		item->from = line->from.ip;
		item->from_function = function_at(r, &line->from, &from_cold);
		if (!item->from_function)
			return -PTF_ENOMEM;
	}
	if (line->to.ip) {
		item->to = line->to.ip;
		item->to_function = function_at(r, &line->to, &to_cold);
		if (!item->to_function)
			return -PTF_ENOMEM;
	}
	classify(item, line->flags);
	if (item->kind == PTF_FLOW_JUMP && item->from_function == item->to_function)
		return 1;
	item->mid_entry =
	        item->to_function && arrives_inside(item, line->flags, &line->to, to_cold);
	return 0;
}

static void error_item(const struct ptf_perf_script_line *line, struct ptf_flow_item *item)
{
	*item = (struct ptf_flow_item){.kind = PTF_FLOW_LOST,
	        .from = PTF_NO_IP,
	        .to = PTF_NO_IP,
	        .time_ns = line->time_ns};
	item->cause = line->error == PERF_ERROR_OVERFLOW ? PTF_CAUSE_OVERFLOW
	              : line->error == PERF_ERROR_LOST   ? PTF_CAUSE_DATA
	                                                 : PTF_CAUSE_ERROR;
}

static void name_thread(struct ptf_perf_script_item *out, const struct thread *thread)
{
	out->pid = thread->pid;
	out->tid = thread->tid;
	out->cpu = thread->cpu;
	out->comm = thread->comm;
}

static void hand_out(struct ptf_perf_script_item *out, struct thread *thread)
{
	name_thread(out, thread);
	out->item.insns = thread->insns;
	thread->insns = 0;
	thread->ended = true;
}

/* ---- counts ---- */

static void count_time(struct ptf_perf_script_counts *counts, uint64_t ns)
{
	if (ns == PTF_NO_TIME)
		return;
	if (!counts->has_time || ns < counts->first_ns)
		counts->first_ns = ns;
	if (!counts->has_time || ns > counts->last_ns)
		counts->last_ns = ns;
	counts->has_time = true;
}

static void count_branch(
        struct ptf_perf_script_counts *counts, const struct ptf_perf_script_line *line)
{
	uint32_t flags = line->flags & ~(PTF_BRANCH_END | PTF_BRANCH_BEGIN | PTF_BRANCH_IN_TX);

	counts->branches++;
	counts->calls += flags == (PTF_BRANCH | PTF_BRANCH_CALL);
	counts->returns += flags == (PTF_BRANCH | PTF_BRANCH_RETURN);
	counts->has_insns |= line->insns != 0;
	count_time(counts, line->time_ns);
}

static void count_error(
        struct ptf_perf_script_counts *counts, const struct ptf_perf_script_line *line)
{
	counts->errors++;
	counts->overflows += line->error == PERF_ERROR_OVERFLOW;
	count_time(counts, line->time_ns);
}

/* Counts a line that is neither branch nor error. */
static void count_other(struct ptf_perf_script_reader *r, enum ptf_perf_script_kind kind)
{
	struct ptf_perf_script_counts *counts = &r->counts;

	if (kind == PTF_SCRIPT_INDENTED)
		kind = r->below_sample ? PTF_SCRIPT_EVENT : PTF_SCRIPT_UNREADABLE;
	switch (kind) {
	case PTF_SCRIPT_BLANK:
		counts->blank++;
		break;
	case PTF_SCRIPT_EVENT:
		counts->events++;
		break;
	case PTF_SCRIPT_INCOMPLETE:
		if (!counts->incomplete++)
			counts->first_incomplete = counts->lines;
		break;
	default:
		if (!counts->unreadable++)
			counts->first_unreadable = counts->lines;
		break;
	}
	r->below_sample = kind == PTF_SCRIPT_EVENT || kind == PTF_SCRIPT_INCOMPLETE;
}

/* ---- the reader ---- */

/* Where a thread is when its first branch comes, or the first one after an error, unless that is a
 * trace start, which says so itself. */
static void sync_item(const struct ptf_flow_item *branch, struct ptf_flow_item *item)
{
	*item = (struct ptf_flow_item){.kind = PTF_FLOW_SYNC,
	        .from = PTF_NO_IP,
	        .to = branch->from,
	        .to_function = branch->from_function,
	        .time_ns = branch->time_ns,
	        .mid_entry = true};
}

/* A branch: 0 and *out, 1 when there is no item in it, -PTF_ENOMEM. */
static int take_branch(struct ptf_perf_script_reader *r, const struct ptf_perf_script_line *line,
        struct thread *thread, struct ptf_perf_script_item *out)
{
	struct ptf_perf_script_item branch;
	int rc;

	count_branch(&r->counts, line);
	thread->insns += line->insns;
	rc = branch_item(r, line, &branch.item);
	if (rc < 0)
		return rc;
	if (thread->placed || !branch.item.from_function) {
		thread->placed = true;
		if (rc == 0) {
			hand_out(&branch, thread);
			*out = branch;
		}
		return rc;
	}
	thread->placed = true;
	sync_item(&branch.item, &out->item);
	name_thread(out, thread);
	r->has_pending = rc == 0;
	if (r->has_pending) {
		hand_out(&branch, thread);
		r->pending = branch;
	}
	return 0;
}

static void take_error(struct ptf_perf_script_reader *r, const struct ptf_perf_script_line *line,
        struct thread *thread, struct ptf_perf_script_item *out)
{
	count_error(&r->counts, line);
	error_item(line, &out->item);
	hand_out(out, thread);
	thread->placed = false;
}

/* Takes one line: 0 and *out, 1 when there is no item in it, -PTF_ENOMEM. */
static int take_line(
        struct ptf_perf_script_reader *r, struct ptf_slice text, struct ptf_perf_script_item *out)
{
	struct ptf_perf_script_line line;
	struct thread *thread;

	r->counts.lines++;
	ptf_perf_script_line_parse(&line, text.text, text.len);
	if (line.kind != PTF_SCRIPT_BRANCH && line.kind != PTF_SCRIPT_ERROR) {
		count_other(r, line.kind);
		return 1;
	}
	thread = thread_of(r, &line);
	if (!thread)
		return -PTF_ENOMEM;
	r->below_sample = line.kind == PTF_SCRIPT_BRANCH;
	if (line.kind == PTF_SCRIPT_BRANCH)
		return take_branch(r, &line, thread, out);
	take_error(r, &line, thread, out);
	return 0;
}

/* After the last line: an END for each thread that has lines behind its last item. */
static int next_end(struct ptf_perf_script_reader *r, struct ptf_perf_script_item *out)
{
	for (; r->next_end < r->threads.n; r->next_end++) {
		struct thread *thread = &r->threads.v[r->next_end];

		if (thread->ended)
			continue;
		out->item = (struct ptf_flow_item){.kind = PTF_FLOW_END,
		        .from = PTF_NO_IP,
		        .to = PTF_NO_IP,
		        .time_ns = thread->last_ns};
		hand_out(out, thread);
		return 0;
	}
	return 1;
}

int ptf_perf_script_reader_next(
        struct ptf_perf_script_reader *r, struct ptf_perf_script_item *out, struct ptf_error *err)
{
	struct ptf_slice text;
	int rc;

	if (r->has_pending) {
		*out = r->pending;
		r->has_pending = false;
		return 0;
	}
	while ((rc = next_line(r, &text, err)) == 0) {
		rc = take_line(r, text, out);
		if (rc < 0)
			return no_memory(err);
		if (rc == 0)
			return 0;
	}
	return rc < 0 ? rc : next_end(r, out);
}

const struct ptf_perf_script_counts *ptf_perf_script_reader_counts(
        const struct ptf_perf_script_reader *r)
{
	return &r->counts;
}

int ptf_perf_script_reader_create(struct ptf_perf_script_reader **reader, const char *path,
        struct ptf_function_table *functions, struct ptf_error *err)
{
	struct ptf_perf_script_reader *r = calloc(1, sizeof(*r));

	*reader = NULL;
	if (!r)
		return no_memory(err);
	r->functions = functions;
	r->buffer = malloc(BUFFER_SIZE);
	r->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (!r->buffer || r->fd < 0) {
		int rc = r->buffer ? ptf_error_set_errno(err, errno, "%s", path) : no_memory(err);

		ptf_perf_script_reader_destroy(r);
		return rc;
	}
	*reader = r;
	return 0;
}

void ptf_perf_script_reader_destroy(struct ptf_perf_script_reader *r)
{
	if (!r)
		return;
	if (r->fd > STDIN_FILENO)
		close(r->fd);
	free(r->buffer);
	free(r->name);
	ptf_vec_release(&r->threads);
	ptf_hash_map_release(&r->by_address);
	ptf_hash_map_release(&r->by_name);
	ptf_hash_map_release(&r->by_tid);
	ptf_arena_release(&r->arena);
	free(r);
}

/* ---- probe ---- */

static ssize_t read_start(const char *path, char *bytes, size_t size, struct ptf_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		do {
			n = read(fd, bytes, size);
		} while (n < 0 && errno == EINTR);
	}
	if (n < 0)
		n = ptf_error_set_errno(err, errno, "%s", path);
	if (fd >= 0)
		close(fd);
	return n;
}

/* Text of perf script is mostly samples with a time or a branch, from the first lines on. */
int ptf_perf_script_reader_probe(const char *path, struct ptf_error *err)
{
	char *bytes = malloc(PROBE_SIZE);
	unsigned samples = 0, others = 0;
	ssize_t n;

	if (!bytes)
		return no_memory(err);
	n = read_start(path, bytes, PROBE_SIZE, err);
	for (char *at = bytes; n > 0 && at < bytes + n && samples + others < PROBE_LINES;) {
		struct ptf_perf_script_line line;
		char *newline = memchr(at, '\n', (size_t)(bytes + n - at));
		char *end = newline ? newline : bytes + n;

		ptf_perf_script_line_parse(&line, at, (size_t)(end - at));
		at = end + 1;
		if (line.kind == PTF_SCRIPT_UNREADABLE ||
		        (line.kind == PTF_SCRIPT_EVENT && line.time_ns == PTF_NO_TIME))
			others++;
		else if (line.kind != PTF_SCRIPT_BLANK && line.kind != PTF_SCRIPT_INDENTED)
			samples++;
	}
	if (n > 0 && memchr(bytes, '\0', (size_t)n))
		samples = 0;
	free(bytes);
	return n < 0 ? (int)n : samples > others;
}
