/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * At any time pieces do not overlap, over time they do, and a JIT compiler makes and replaces a
 * hundred thousand of them. They are sorted by start; a complete binary tree over the distinct
 * starts ("slots") holds the furthest end below each node. While the history is gone through in
 * order of time, that end is of the living pieces only, so that those which a new one lies over
 * are found without looking at dead ones; afterwards it is of all pieces.
 */
#include "image/jit_code.h"

#include <string.h>

#include "base/vec.h"

#define NEVER UINT64_MAX
#define NO_PIECE SIZE_MAX

struct piece {
	struct ptf_code_map map;
	uint64_t from_ns, to_ns;
	size_t order; /* in which it was added */
};

struct clearing {
	uint64_t time_ns;
	size_t before; /* order of the first piece behind it */
};

struct slot {
	size_t first; /* its pieces: up to that of the next slot, in order of time */
	size_t alive; /* while freezing: its living piece, or NO_PIECE */
};

struct ptf_jit_code {
	PTF_VEC(struct piece) pieces; /* frozen: by start, then order */
	PTF_VEC(struct clearing) clearings;
	PTF_VEC(uint64_t) changes;
	PTF_VEC(struct slot) slots; /* and one behind the last */
	uint64_t *ends;             /* tree of 2 * leaves nodes, the root is 1 */
	size_t leaves;              /* a power of two >= slots */
	uint64_t last_ns;
	size_t ended;
};

struct ptf_jit_code *ptf_jit_code_create(void)
{
	return calloc(1, sizeof(struct ptf_jit_code));
}

void ptf_jit_code_destroy(struct ptf_jit_code *code)
{
	if (!code)
		return;
	ptf_vec_release(&code->pieces);
	ptf_vec_release(&code->clearings);
	ptf_vec_release(&code->changes);
	ptf_vec_release(&code->slots);
	free(code->ends);
	free(code);
}

static uint64_t in_order(struct ptf_jit_code *code, uint64_t time_ns)
{
	if (time_ns > code->last_ns)
		code->last_ns = time_ns;
	return code->last_ns;
}

bool ptf_jit_code_add(struct ptf_jit_code *code, const struct ptf_code_map *map, uint64_t time_ns)
{
	struct piece piece = {.map = *map,
	        .from_ns = in_order(code, time_ns),
	        .to_ns = NEVER,
	        .order = code->pieces.n};

	return ptf_vec_push(&code->pieces, piece);
}

bool ptf_jit_code_clear(struct ptf_jit_code *code, uint64_t time_ns)
{
	struct clearing clearing = {in_order(code, time_ns), code->pieces.n};

	return ptf_vec_push(&code->clearings, clearing);
}

/* ---- the tree ---- */

static void set_end(struct ptf_jit_code *code, size_t slot, uint64_t end)
{
	size_t node = code->leaves + slot;

	code->ends[node] = end;
	for (node /= 2; node > 0; node /= 2) {
		uint64_t left = code->ends[2 * node], right = code->ends[2 * node + 1];

		code->ends[node] = left > right ? left : right;
	}
}

static uint64_t slot_start(const struct ptf_jit_code *code, size_t slot)
{
	return code->pieces.v[code->slots.v[slot].first].map.start;
}

/* The last slot before `limit` whose end lies behind ip, or NO_PIECE: up from the limit to the
 * first subtree on the left that reaches so far, then down its right side. */
static size_t reaching_slot(const struct ptf_jit_code *code, size_t limit, uint64_t ip)
{
	size_t node = code->leaves + limit;

	for (;; node /= 2) {
		if (node <= 1)
			return NO_PIECE;
		if (node % 2 == 1 && code->ends[node - 1] > ip)
			break;
	}
	node--;
	while (node < code->leaves)
		node = 2 * node + (code->ends[2 * node + 1] > ip);
	return node - code->leaves;
}

/* The number of slots that start before `start`. */
static size_t slots_before(const struct ptf_jit_code *code, uint64_t start)
{
	size_t low = 0, high = code->slots.n - 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slot_start(code, middle) < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- the history ---- */

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->map.start != y->map.start)
		return x->map.start < y->map.start ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static bool make_slots(struct ptf_jit_code *code)
{
	size_t n = code->pieces.n;

	if (n)
		qsort(code->pieces.v, n, sizeof(*code->pieces.v), compare_pieces);
	for (size_t i = 0; i < n; i++) {
		if (i && code->pieces.v[i].map.start == code->pieces.v[i - 1].map.start)
			continue;
		if (!ptf_vec_push(&code->slots, (struct slot){i, NO_PIECE}))
			return false;
	}
	if (!ptf_vec_push(&code->slots, (struct slot){n, NO_PIECE}))
		return false;
	/* One leaf more than slots: a search begins at the leaf behind the last. */
	for (code->leaves = 1; code->leaves < code->slots.n; code->leaves *= 2)
		;
	code->ends = calloc(2 * code->leaves, sizeof(*code->ends));
	return code->ends;
}

static bool end_slot(struct ptf_jit_code *code, size_t slot, uint64_t time_ns)
{
	size_t n = code->changes.n;

	code->pieces.v[code->slots.v[slot].alive].to_ns = time_ns;
	code->slots.v[slot].alive = NO_PIECE;
	code->ended++;
	set_end(code, slot, 0);
	return (n && code->changes.v[n - 1] == time_ns) || ptf_vec_push(&code->changes, time_ns);
}

/* Ends the living pieces that reach into [start, end). */
static bool end_pieces(struct ptf_jit_code *code, uint64_t start, uint64_t end, uint64_t time_ns)
{
	size_t limit = slots_before(code, end), slot;

	while ((slot = reaching_slot(code, limit, start)) != NO_PIECE) {
		if (!end_slot(code, slot, time_ns))
			return false;
	}
	return true;
}

/* Index of the piece that was added as number `order`, for all of them; NULL: no memory. */
static size_t *order_pieces(const struct ptf_jit_code *code)
{
	size_t *by_order = calloc(code->pieces.n + 1, sizeof(*by_order));

	for (size_t i = 0; by_order && i < code->pieces.n; i++)
		by_order[code->pieces.v[i].order] = i;
	return by_order;
}

static bool live_through(struct ptf_jit_code *code, const size_t *by_order)
{
	size_t c = 0;

	for (size_t i = 0; i <= code->pieces.n; i++) {
		struct piece *piece;
		size_t slot;

		for (; c < code->clearings.n && code->clearings.v[c].before == i; c++) {
			if (!end_pieces(code, 0, UINT64_MAX, code->clearings.v[c].time_ns))
				return false;
		}
		if (i == code->pieces.n)
			break;
		piece = &code->pieces.v[by_order[i]];
		if (!end_pieces(code, piece->map.start, piece->map.end, piece->from_ns))
			return false;
		slot = slots_before(code, piece->map.start);
		code->slots.v[slot].alive = by_order[i];
		set_end(code, slot, piece->map.end);
	}
	return true;
}

/* Now the tree is for searches at any time. */
static void reach_of_all(struct ptf_jit_code *code)
{
	for (size_t slot = 0; slot + 1 < code->slots.n; slot++) {
		uint64_t end = 0;

		for (size_t i = code->slots.v[slot].first; i < code->slots.v[slot + 1].first; i++)
			if (code->pieces.v[i].map.end > end)
				end = code->pieces.v[i].map.end;
		set_end(code, slot, end);
	}
}

bool ptf_jit_code_freeze(struct ptf_jit_code *code)
{
	size_t *by_order;
	bool ok;

	if (!make_slots(code))
		return false;
	by_order = order_pieces(code);
	ok = by_order && live_through(code, by_order);
	free(by_order);
	if (ok)
		reach_of_all(code);
	return ok;
}

/* ---- look-ups ---- */

/* The piece of a slot that was there at a time, or NULL. */
static const struct piece *piece_at(const struct ptf_jit_code *code, size_t slot, uint64_t time_ns)
{
	size_t low = code->slots.v[slot].first, high = code->slots.v[slot + 1].first;
	const struct piece *piece;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (code->pieces.v[middle].from_ns <= time_ns)
			low = middle;
		else
			high = middle;
	}
	piece = &code->pieces.v[low];
	if (piece->from_ns > time_ns || (piece->to_ns <= time_ns && piece->to_ns != NEVER))
		return NULL;
	return piece;
}

const struct ptf_code_map *ptf_jit_code_find(
        const struct ptf_jit_code *code, uint64_t ip, uint64_t time_ns)
{
	size_t slot;

	if (ip == UINT64_MAX)
		return NULL;
	for (slot = slots_before(code, ip + 1);
	        (slot = reaching_slot(code, slot, ip)) != NO_PIECE;) {
		const struct piece *piece = piece_at(code, slot, time_ns);

		if (piece && piece->map.end > ip)
			return &piece->map;
	}
	return NULL;
}

const uint64_t *ptf_jit_code_changes(const struct ptf_jit_code *code, size_t *n)
{
	*n = code->changes.n;
	return code->changes.v;
}

size_t ptf_jit_code_count(const struct ptf_jit_code *code)
{
	return code->pieces.n;
}

size_t ptf_jit_code_ended(const struct ptf_jit_code *code)
{
	return code->ended;
}
