/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/stack_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "output/output_text.h"

void ptf_stack_diff_release(struct ptf_stack_diff *diff)
{
	ptf_vec_release(&diff->stacks);
	ptf_hash_map_release(&diff->by_name);
	ptf_arena_release(&diff->arena);
	*diff = (struct ptf_stack_diff){0};
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for the comparison");
}

/* ---- rows ---- */

/* The row called name[0..len), made when absent; NULL: out of memory. */
static struct ptf_diff_row *row_of(struct ptf_arena *arena, struct ptf_diff_rows *rows,
        struct ptf_hash_map *by_name, const char *name, size_t len)
{
	uint64_t *slot = ptf_hash_map_at(by_name, ptf_hash_bytes(name, len), NULL);
	struct ptf_diff_row *row;

	if (!slot)
		return NULL;
	for (row = (struct ptf_diff_row *)(uintptr_t)*slot; row; row = row->next) {
		if (strncmp(row->name, name, len) == 0 && !row->name[len])
			return row;
	}
	row = ptf_arena_alloc(arena, sizeof(*row));
	if (!row || !ptf_vec_push(rows, row))
		return NULL;
	row->name = ptf_arena_strndup(arena, name, len);
	row->next = (struct ptf_diff_row *)(uintptr_t)*slot;
	*slot = (uintptr_t)row;
	return row->name ? row : NULL;
}

/* Takes "stack VALUE" apart; false: it is no such line. */
static bool parse_line(const char *line, size_t len, size_t *stack_len, uint64_t *value)
{
	size_t at = len;
	char *end;

	while (at > 0 && line[at - 1] >= '0' && line[at - 1] <= '9')
		at--;
	if (at == len || at < 2 || line[at - 1] != ' ')
		return false;
	errno = 0;
	*value = strtoull(line + at, &end, 10);
	*stack_len = at - 1;
	return errno == 0 && end == line + len;
}

static int take_line(struct ptf_stack_diff *diff, enum ptf_diff_side side, const char *line,
        size_t len, struct ptf_error *err)
{
	struct ptf_diff_row *row;
	size_t stack_len;
	uint64_t value;

	if (len == 0)
		return 0;
	if (!parse_line(line, len, &stack_len, &value) || diff->totals[side] > UINT64_MAX - value)
		return ptf_error_set(err, PTF_EFORMAT,
		        "'%.60s' is no folded stack with a whole number behind it", line);
	row = row_of(&diff->arena, &diff->stacks, &diff->by_name, line, stack_len);
	if (!row)
		return no_memory(err);
	row->values[side] += value;
	diff->totals[side] += value;
	return 0;
}

int ptf_stack_diff_read(struct ptf_stack_diff *diff, enum ptf_diff_side side, FILE *in,
        const char *path, struct ptf_error *err)
{
	char *line = NULL;
	size_t size = 0;
	uint64_t number = 0;
	ssize_t len;
	int rc = 0;

	while (rc == 0 && (len = getline(&line, &size, in)) >= 0) {
		number++;
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		rc = take_line(diff, side, line, (size_t)len, err);
		if (rc < 0)
			ptf_error_prepend(err, "%s: line %" PRIu64, path, number);
	}
	if (rc == 0 && ferror(in))
		rc = ptf_error_set_errno(err, errno, "%s", path);
	free(line);
	return rc;
}

/* ---- folded ---- */

static int by_name(const void *a, const void *b)
{
	const struct ptf_diff_row *x = *(struct ptf_diff_row *const *)a;
	const struct ptf_diff_row *y = *(struct ptf_diff_row *const *)b;

	return strcmp(x->name, y->name);
}

/* value >= 0 */
static uint64_t nearest(double value)
{
	return (uint64_t)(value + 0.5);
}

/* What a value of A is in as many calls as B has. */
static uint64_t scaled(const struct ptf_stack_diff *diff, uint64_t value)
{
	const uint64_t *calls = diff->calls;

	if (!calls[PTF_DIFF_A] || !calls[PTF_DIFF_B])
		return value;
	return nearest((double)value * (double)calls[PTF_DIFF_B] / (double)calls[PTF_DIFF_A]);
}

/* The rows in another order; the array is the caller's to free. */
static struct ptf_diff_row **sorted(
        const struct ptf_diff_rows *rows, int (*order)(const void *a, const void *b))
{
	struct ptf_diff_row **copy = malloc((rows->n + 1) * sizeof(*copy));

	if (copy && rows->n) {
		memcpy(copy, rows->v, rows->n * sizeof(*copy));
		qsort(copy, rows->n, sizeof(*copy), order);
	}
	return copy;
}

int ptf_stack_diff_write_folded(const struct ptf_stack_diff *diff, FILE *out, struct ptf_error *err)
{
	struct ptf_diff_row **rows = sorted(&diff->stacks, by_name);

	for (size_t i = 0; rows && i < diff->stacks.n; i++) {
		uint64_t a = scaled(diff, rows[i]->values[PTF_DIFF_A]);

		if (a || rows[i]->values[PTF_DIFF_B])
			fprintf(out, "%s %" PRIu64 " %" PRIu64 "\n", rows[i]->name, a,
			        rows[i]->values[PTF_DIFF_B]);
	}
	free(rows);
	return ptf_output_finish(out, rows != NULL, err);
}

/* ---- table ---- */

/* A row of the table: ns per call, or the plain values. */
struct cells {
	const char *name;
	double values[PTF_DIFF_SIDES];
};

static double change(const struct cells *cells)
{
	return cells->values[PTF_DIFF_B] - cells->values[PTF_DIFF_A];
}

static int by_change(const void *a, const void *b)
{
	double x = fabs(change(a)), y = fabs(change(b));

	if (x != y)
		return x > y ? -1 : 1;
	return strcmp(((const struct cells *)a)->name, ((const struct cells *)b)->name);
}

/* Where the last frame of a stack begins; a reason for waiting stands with its system call. */
static const char *leaf_of(const char *stack)
{
	const char *leaf = strrchr(stack, ';'), *before;
	static const char kernel[] = "_[k]";

	if (!leaf)
		return stack;
	for (before = leaf; before > stack && before[-1] != ';'; before--)
		;
	if (leaf[1] == '[' && leaf - before > (ptrdiff_t)strlen(kernel) &&
	        strncmp(leaf - strlen(kernel), kernel, strlen(kernel)) == 0)
		return before;
	return leaf + 1;
}

/* Sums up stacks by their last frame. */
static bool sum_functions(
        const struct ptf_stack_diff *diff, struct ptf_arena *arena, struct ptf_diff_rows *functions)
{
	struct ptf_hash_map by_leaf = {0};
	bool ok = true;

	for (size_t i = 0; i < diff->stacks.n && ok; i++) {
		const struct ptf_diff_row *stack = diff->stacks.v[i];
		const char *leaf = leaf_of(stack->name);
		struct ptf_diff_row *row = row_of(arena, functions, &by_leaf, leaf, strlen(leaf));

		ok = row;
		for (unsigned side = 0; row && side < PTF_DIFF_SIDES; side++)
			row->values[side] += stack->values[side];
	}
	ptf_hash_map_release(&by_leaf);
	return ok;
}

static bool per_call(const struct ptf_stack_diff *diff)
{
	return diff->calls[PTF_DIFF_A] && diff->calls[PTF_DIFF_B];
}

static struct cells make_cells(
        const struct ptf_stack_diff *diff, const char *name, const uint64_t values[PTF_DIFF_SIDES])
{
	struct cells cells = {.name = name};

	for (unsigned side = 0; side < PTF_DIFF_SIDES; side++)
		cells.values[side] =
		        (double)values[side] / (per_call(diff) ? (double)diff->calls[side] : 1.0);
	return cells;
}

static void put_value(FILE *out, struct ptf_text *cell, double value, const char *sign)
{
	ptf_text_printf(cell, "%s", sign);
	ptf_text_append_duration(cell, nearest(fabs(value)));
	fprintf(out, "%11s", ptf_text_string(cell));
	ptf_text_clear(cell);
}

static void write_cells(const struct cells *cells, FILE *out, struct ptf_text *cell)
{
	double a = cells->values[PTF_DIFF_A], b = cells->values[PTF_DIFF_B];

	put_value(out, cell, b - a, b > a ? "+" : b < a ? "-" : "");
	put_value(out, cell, a, "");
	put_value(out, cell, b, "");
	if (a > 0 && b > 0)
		fprintf(out, "%10.2f", b / a);
	else
		fprintf(out, "%10s", a > 0 ? "only A" : b > 0 ? "only B" : "-");
	ptf_text_append_clean(cell, cells->name);
	fprintf(out, "  %s\n", ptf_text_string(cell));
	ptf_text_clear(cell);
}

static void write_head(const struct ptf_stack_diff *diff, FILE *out, struct ptf_text *cell)
{
	static const char letters[PTF_DIFF_SIDES] = {'A', 'B'};

	for (unsigned side = 0; side < PTF_DIFF_SIDES; side++) {
		fprintf(out, "%c: %s", letters[side], diff->names[side]);
		ptf_text_append_duration(cell, diff->totals[side]);
		if (per_call(diff)) {
			fprintf(out, ", ");
			ptf_text_clear(cell);
			ptf_text_append_grouped(cell, diff->calls[side]);
			fprintf(out, "%s calls", ptf_text_string(cell));
		} else {
			fprintf(out, ", %s", ptf_text_string(cell));
		}
		ptf_text_clear(cell);
		fputc('\n', out);
	}
	fprintf(out, "change is B - A%s: with + there is more in B, with - less\n\n",
	        per_call(diff) ? " for each call" : "");
	fprintf(out, "%11s%11s%11s%10s\n", "change", "A", "B", "B/A");
}

/* Names that one side alone has, among the rows behind `shown`. */
static void write_lonely(const struct cells *cells, size_t n, size_t shown, enum ptf_diff_side side,
        FILE *out, struct ptf_text *cell)
{
	enum ptf_diff_side other = side == PTF_DIFF_A ? PTF_DIFF_B : PTF_DIFF_A;
	size_t count = 0;

	for (size_t i = shown; i < n; i++) {
		if (!(cells[i].values[side] > 0) || cells[i].values[other] > 0)
			continue;
		if (!count++)
			fprintf(out, "\nalso only in %c:\n", side == PTF_DIFF_A ? 'A' : 'B');
		ptf_text_append_clean(cell, cells[i].name);
		fprintf(out, "  %s\n", ptf_text_string(cell));
		ptf_text_clear(cell);
	}
}

static void write_rows(const struct ptf_stack_diff *diff, struct cells *cells, size_t n, size_t top,
        FILE *out, struct ptf_text *cell)
{
	struct cells all = make_cells(diff, "(all)", diff->totals);
	size_t shown = n < top ? n : top;

	qsort(cells, n, sizeof(*cells), by_change);
	write_head(diff, out, cell);
	write_cells(&all, out, cell);
	for (size_t i = 0; i < shown; i++)
		write_cells(&cells[i], out, cell);
	if (n > shown)
		fprintf(out, "(%zu more with smaller changes)\n", n - shown);
	write_lonely(cells, n, shown, PTF_DIFF_A, out, cell);
	write_lonely(cells, n, shown, PTF_DIFF_B, out, cell);
}

int ptf_stack_diff_write_table(const struct ptf_stack_diff *diff, bool stacks, size_t top,
        FILE *out, struct ptf_error *err)
{
	struct ptf_arena arena = {0};
	struct ptf_diff_rows functions = {0};
	const struct ptf_diff_rows *rows = stacks ? &diff->stacks : &functions;
	struct ptf_text cell = {0};
	struct cells *cells = NULL;
	bool ok = stacks || sum_functions(diff, &arena, &functions);

	if (ok)
		cells = calloc(rows->n + 1, sizeof(*cells));
	for (size_t i = 0; cells && i < rows->n; i++)
		cells[i] = make_cells(diff, rows->v[i]->name, rows->v[i]->values);
	if (cells)
		write_rows(diff, cells, rows->n, top, out, &cell);
	ok = cells && !cell.failed;
	free(cells);
	ptf_text_release(&cell);
	ptf_vec_release(&functions);
	ptf_arena_release(&arena);
	return ptf_output_finish(out, ok, err);
}
