/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/kv_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/kv_alloc.h"

struct zone {
	uint64_t value;
	uint64_t low, high; /* low < high always */
	bool forward;
};

PTF_VEC_TYPEDEF(zone_vec, struct zone);

/* By key, then value, the write first. */
static int compare_ops(const void *left, const void *right)
{
	const struct kv_history_op *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return (int)b->write - (int)a->write;
}

static int compare_zones(const void *left, const void *right)
{
	const struct zone *a = left, *b = right;

	return (a->low > b->low) - (a->low < b->low);
}

static bool complain(char *why, size_t size, const struct kv_history_op *op, const char *what)
{
	snprintf(why, size, "key %" PRIu64 ": value %" PRIu64 " %s", op->key, op->value, what);
	return false;
}

/* Makes the zone of the n operations on one value; *none when nobody saw it. */
static bool make_zone(const struct kv_history_op *ops, size_t n, struct zone *zone, bool *none,
        char *why, size_t size)
{
	uint64_t first_end = KV_HISTORY_NEVER, last_start = 0;

	if (ops->value == 0) { /* written before everything else */
		first_end = 0;
	} else if (!ops->write) {
		return complain(why, size, ops, "was read and never written");
	}
	*none = ops->value && n == 1 && ops->end == KV_HISTORY_NEVER;
	for (size_t i = 0; i < n; i++) {
		if (i && ops[i].write)
			return complain(why, size, ops, "was written twice");
		if (ops->write && ops[i].end < ops->start)
			return complain(why, size, ops, "was read before it was written");
		if (ops[i].end < first_end)
			first_end = ops[i].end;
		if (ops[i].start > last_start)
			last_start = ops[i].start;
	}
	zone->value = ops->value;
	zone->forward = first_end < last_start;
	zone->low = zone->forward ? first_end : last_start;
	zone->high = zone->forward ? last_start : first_end;
	return true;
}

static bool check_zones(uint64_t key, struct zone_vec *zones, char *why, size_t size)
{
	const struct zone *open = NULL; /* the forward zone that reaches furthest */

	if (zones->n)
		qsort(zones->v, zones->n, sizeof(*zones->v), compare_zones);
	ptf_vec_foreach (zone, zones) {
		bool bad =
		        open && (zone->forward ? zone->low < open->high
		                               : zone->low > open->low && zone->high < open->high);

		if (bad) {
			snprintf(why, size,
			        "key %" PRIu64 ": values %" PRIu64 " and %" PRIu64
			        " each hold where the other must",
			        key, open->value, zone->value);
			return false;
		}
		if (zone->forward)
			open = zone;
	}
	return true;
}

/* The operations of one key. */
static bool check_key(
        const struct kv_history_op *ops, size_t n, struct zone_vec *zones, char *why, size_t size)
{
	zones->n = 0;
	for (size_t from = 0, to; from < n; from = to) {
		struct zone zone;
		bool none;

		for (to = from + 1; to < n && ops[to].value == ops[from].value; to++)
			;
		if (!make_zone(ops + from, to - from, &zone, &none, why, size))
			return false;
		if (!none)
			kv_vec_push(zones, zone);
	}
	return check_zones(ops->key, zones, why, size);
}

bool kv_history_check(struct kv_history *history, char *why, size_t size)
{
	struct zone_vec zones = {0};
	bool good = true;

	if (history->n)
		qsort(history->v, history->n, sizeof(*history->v), compare_ops);
	for (size_t from = 0, to; good && from < history->n; from = to) {
		for (to = from + 1; to < history->n && history->v[to].key == history->v[from].key;
		        to++)
			;
		good = check_key(history->v + from, to - from, &zones, why, size);
	}
	ptf_vec_release(&zones);
	return good;
}
