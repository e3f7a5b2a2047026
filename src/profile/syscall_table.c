/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"
#include "base/vec.h"
#include "profile/syscall_name.h"
#include "profile/syscall_table.h"

static const char INTERRUPT[] = "[interrupt]", NAMELESS[] = "[kernel]";

struct builder {
	struct ptf_syscall_table *table;
	PTF_VEC(struct ptf_syscall_row) rows; /* callers are not filled in */
	PTF_VEC(struct ptf_hash_map)
	callers; /* by row: function (address of it) -> index + 1 in
	          * `costs` */
	PTF_VEC(struct ptf_syscall_caller) costs;
	struct ptf_hash_map names; /* function id -> row's name, an address */
	bool with_callers;
};

/* ---- names ---- */

/* The row of a name, made when absent; -1: no memory. */
static int64_t row_at(struct builder *b, const char *name)
{
	struct ptf_syscall_row row = {.name = name};

	for (size_t i = 0; i < b->rows.n; i++) {
		if (strcmp(b->rows.v[i].name, name) == 0)
			return (int64_t)i;
	}
	if (name != INTERRUPT && name != NAMELESS)
		row.name = ptf_arena_strdup(&b->table->arena, name);
	if (!row.name || !ptf_vec_push(&b->rows, row) ||
	        !ptf_vec_push(&b->callers, (struct ptf_hash_map){0}))
		return -1;
	return (int64_t)b->rows.n - 1;
}

/* The row of the system call that `function` makes; -1: no memory. */
static int64_t syscall_row(struct builder *b, const struct ptf_function *function)
{
	char name[PTF_SYSCALL_NAME_SIZE];
	uint64_t *known;
	bool made;
	int64_t row;

	if (!function)
		return row_at(b, NAMELESS);
	known = ptf_hash_map_at(&b->names, function->id, &made);
	if (!known)
		return -1;
	if (!made)
		return (int64_t)*known;
	row = row_at(b, ptf_syscall_name(function, name) ? name : NAMELESS);
	if (row >= 0)
		*known = (uint64_t)row;
	return row;
}

/* Who called the wrapper: not the PLT stub on the way, nor another wrapper of that system call. */
static const struct ptf_function *caller_of(
        struct builder *b, const struct ptf_call_node *node, const char *name)
{
	char other[PTF_SYSCALL_NAME_SIZE];

	if (name == INTERRUPT || name == NAMELESS)
		return node->function;
	for (node = node->parent; node && node->function; node = node->parent) {
		const char *at = strchr(node->function->name, '@');

		if ((!at || strcmp(at, "@plt") != 0) &&
		        !(ptf_syscall_name(node->function, other) && strcmp(other, name) == 0))
			return node->function;
	}
	return NULL;
}

/* ---- sums ---- */

struct share {
	uint64_t kernel_ns, off_ns;
	const struct ptf_visits *visits; /* NULL: none */
};

static bool add_share(
        struct ptf_syscall_cost *cost, struct ptf_arena *arena, const struct share *share)
{
	cost->kernel_ns += share->kernel_ns;
	cost->off_ns += share->off_ns;
	if (!share->visits)
		return true;
	cost->calls += share->visits->calls;
	cost->partial_calls += share->visits->partial;
	return !share->visits->times.total.count ||
	       ptf_call_times_merge(&cost->times, arena, &share->visits->times);
}

static bool add_caller(
        struct builder *b, size_t row, const struct ptf_function *caller, const struct share *share)
{
	uint64_t *index = ptf_hash_map_at(&b->callers.v[row], (uintptr_t)caller, NULL);

	if (!index)
		return false;
	if (!*index) {
		struct ptf_syscall_caller cost = {.function = caller};

		if (!ptf_vec_push(&b->costs, cost))
			return false;
		*index = b->costs.n;
	}
	return add_share(&b->costs.v[*index - 1].cost, &b->table->arena, share);
}

static bool add(
        struct builder *b, const struct ptf_call_node *node, int64_t row, const struct share *share)
{
	bool any = share->kernel_ns || share->off_ns ||
	           (share->visits && (share->visits->calls || share->visits->partial));

	if (!any)
		return true;
	if (row < 0 || !add_share(&b->rows.v[row].cost, &b->table->arena, share))
		return false;
	return !b->with_callers ||
	       add_caller(b, (size_t)row, caller_of(b, node, b->rows.v[row].name), share);
}

/* What a node spent in a place. */
static struct share share_of(
        const struct ptf_call_node *node, enum ptf_place place, const struct ptf_visits *visits)
{
	struct share share = {.kernel_ns = ptf_call_node_time(node, ptf_time_class_running(place)),
	        .visits = visits};

	for (unsigned i = 0; i < PTF_OFF_REASONS; i++)
		share.off_ns +=
		        ptf_call_node_time(node, ptf_time_class_off(place, (enum ptf_off_reason)i));
	return share;
}

/* Where the kernel's code is traced, being in it is no visit of its own. */
static void add_kernel_code(struct share *share, const struct ptf_call_node *node)
{
	struct share code = share_of(node, PTF_PLACE_USER, NULL);

	share->kernel_ns += ptf_call_node_time(node, PTF_TIME_KERNEL_CODE);
	share->off_ns += code.off_ns;
}

static bool add_node(struct builder *b, const struct ptf_call_node *node)
{
	const struct ptf_visits *visits = node->visits;
	struct share syscall =
	        share_of(node, PTF_PLACE_SYSCALL, visits ? &visits[PTF_VISIT_SYSCALL] : NULL);
	struct share interrupt =
	        share_of(node, PTF_PLACE_INTERRUPT, visits ? &visits[PTF_VISIT_INTERRUPT] : NULL);
	struct share kernel = share_of(node, PTF_PLACE_KERNEL, NULL);

	if (node->function && node->function->kernel)
		add_kernel_code(&kernel, node);
	if (!visits && !node->other_ns)
		return true;
	return add(b, node, syscall_row(b, node->function), &syscall) &&
	       add(b, node, row_at(b, INTERRUPT), &interrupt) &&
	       add(b, node, row_at(b, NAMELESS), &kernel);
}

static bool add_threads(struct builder *b, const struct ptf_profile *profile)
{
	for (size_t i = 0; i < profile->n_threads; i++) {
		const struct ptf_call_node *root = &profile->threads[i].tree.root, *node = root;
		unsigned up;

		for (; node; node = ptf_call_node_next(root, node, &up)) {
			if (!add_node(b, node))
				return false;
		}
		for (unsigned s = 0; s < PTF_STATES; s++)
			b->table->wall_ns += profile->threads[i].states[s];
	}
	return true;
}

/* ---- order ---- */

static int compare_cost(const struct ptf_syscall_cost *x, const struct ptf_syscall_cost *y,
        enum ptf_syscall_order order)
{
	uint64_t a = ptf_syscall_cost_ns(x), b = ptf_syscall_cost_ns(y);

	if (order == PTF_SYSCALLS_BY_AVERAGE) {
		a = ptf_latency_mean(&x->times.total);
		b = ptf_latency_mean(&y->times.total);
	}
	if (order == PTF_SYSCALLS_BY_CALLS || a == b) {
		a = x->calls;
		b = y->calls;
	}
	return a > b ? -1 : a < b;
}

static int compare_rows(const void *a, const void *b, void *order)
{
	const struct ptf_syscall_row *x = a, *y = b;
	int result = 0;

	if (*(enum ptf_syscall_order *)order != PTF_SYSCALLS_BY_NAME)
		result = compare_cost(&x->cost, &y->cost, *(enum ptf_syscall_order *)order);
	return result ? result : strcmp(x->name, y->name);
}

static const char *name_of(const struct ptf_syscall_caller *caller)
{
	return caller->function ? caller->function->name : "";
}

static int compare_callers(const void *a, const void *b, void *order)
{
	const struct ptf_syscall_caller *x = a, *y = b;
	int result = 0;

	if (*(enum ptf_syscall_order *)order != PTF_SYSCALLS_BY_NAME)
		result = compare_cost(&x->cost, &y->cost, *(enum ptf_syscall_order *)order);
	if (!result)
		result = strcmp(name_of(x), name_of(y));
	/* Static functions of one name. */
	if (!result && x->function && y->function)
		result = x->function->id < y->function->id ? -1 : 1;
	return result;
}

static bool take_callers(
        struct builder *b, struct ptf_syscall_row *row, const struct ptf_hash_map *callers)
{
	row->callers = ptf_arena_alloc(&b->table->arena, (callers->n + 1) * sizeof(*row->callers));
	if (!row->callers)
		return false;
	for (size_t i = 0; i < callers->cap; i++) {
		if (callers->slots[i].used)
			row->callers[row->n_callers++] = b->costs.v[callers->slots[i].value - 1];
	}
	return true;
}

static bool take_rows(struct builder *b, enum ptf_syscall_order order)
{
	struct ptf_syscall_table *table = b->table;

	table->rows = ptf_arena_alloc(&table->arena, (b->rows.n + 1) * sizeof(*table->rows));
	if (!table->rows)
		return false;
	for (size_t i = 0; i < b->rows.n; i++) {
		struct ptf_syscall_row *row = &table->rows[table->n];
		const struct ptf_syscall_cost *cost = &b->rows.v[i].cost;

		*row = b->rows.v[i];
		/* Names are looked up before it is known whether anything belongs to them. */
		if (!cost->calls && !cost->partial_calls && !ptf_syscall_cost_ns(cost))
			continue;
		if (!take_callers(b, row, &b->callers.v[i]))
			return false;
		qsort_r(row->callers, row->n_callers, sizeof(*row->callers), compare_callers,
		        &order);
		table->sum.calls += cost->calls;
		table->sum.partial_calls += cost->partial_calls;
		table->sum.kernel_ns += cost->kernel_ns;
		table->sum.off_ns += cost->off_ns;
		table->n++;
	}
	qsort_r(table->rows, table->n, sizeof(*table->rows), compare_rows, &order);
	return true;
}

int ptf_syscall_table_init(struct ptf_syscall_table *table, const struct ptf_profile *profile,
        bool callers, enum ptf_syscall_order order, struct ptf_error *err)
{
	struct builder b = {.table = table, .with_callers = callers};
	bool ok;

	*table = (struct ptf_syscall_table){0};
	ok = add_threads(&b, profile) && take_rows(&b, order);
	ptf_vec_foreach (map, &b.callers)
		ptf_hash_map_release(map);
	ptf_vec_release(&b.callers);
	ptf_vec_release(&b.costs);
	ptf_vec_release(&b.rows);
	ptf_hash_map_release(&b.names);
	if (ok)
		return 0;
	ptf_syscall_table_release(table);
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for the table of system calls");
}

void ptf_syscall_table_release(struct ptf_syscall_table *table)
{
	ptf_arena_release(&table->arena);
	*table = (struct ptf_syscall_table){0};
}
