/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/kv_lock_table.h"

#include <pthread.h>

#include "base/hash_map.h"

/* A request in the queue of its row; the first one of a row holds the lock. */
struct claim {
	uint64_t owner;
	void *request;
	struct row *row;
	struct claim *next;
};

struct row {
	struct kv_buffer key;
	struct claim *first, **last;
	struct row *chain, *next, **link; /* of the hash slot; of all rows */
	uint64_t hash;
};

/* What an owner has to do with locks; gone with its last claim. */
struct owner {
	size_t claims;
	struct claim *waits; /* NULL: for nothing */
};

struct kv_lock_table {
	bool list;
	void (*granted)(void *context, uint64_t owner, void *request);
	void *context;
	pthread_mutex_t mutex;
	struct row *slots[1024];
	struct row *rows;           /* all of them */
	struct ptf_hash_map owners; /* id -> struct owner, 0: none any more */
	size_t n_owners;
};

struct kv_lock_table *kv_lock_table_create(
        bool list, void (*granted)(void *context, uint64_t owner, void *request), void *context)
{
	struct kv_lock_table *table = kv_alloc(sizeof(*table));

	table->list = list;
	table->granted = granted;
	table->context = context;
	pthread_mutex_init(&table->mutex, NULL);
	return table;
}

static struct row **find_row(struct kv_lock_table *table, struct kv_slice key, uint64_t hash)
{
	struct row **at = &table->slots[hash % 1024];

	while (*at && ((*at)->hash != hash || (*at)->key.n != key.size ||
	                      memcmp((*at)->key.v, key.bytes, key.size) != 0))
		at = &(*at)->chain;
	return at;
}

static struct row *make_row(struct kv_lock_table *table, struct kv_slice key)
{
	uint64_t hash = ptf_hash_bytes(key.bytes, key.size);
	struct row **slot = find_row(table, key, hash), *row = *slot;

	if (row)
		return row;
	row = *slot = kv_alloc(sizeof(*row));
	kv_buffer_add(&row->key, key.bytes, key.size);
	row->hash = hash;
	row->last = &row->first;
	row->next = table->rows;
	row->link = &table->rows;
	if (row->next)
		row->next->link = &row->next;
	table->rows = row;
	return row;
}

static void free_row(struct kv_lock_table *table, struct row *row)
{
	struct row **slot = find_row(table, (struct kv_slice){row->key.v, row->key.n}, row->hash);

	*slot = row->chain;
	*row->link = row->next;
	if (row->next)
		row->next->link = row->link;
	ptf_vec_release(&row->key);
	free(row);
}

void kv_lock_table_destroy(struct kv_lock_table *table)
{
	if (!table)
		return;
	while (table->rows) {
		struct row *row = table->rows;

		while (row->first) {
			struct claim *claim = row->first;

			row->first = claim->next;
			free(claim);
		}
		free_row(table, row);
	}
	for (size_t i = 0; i < table->owners.cap; i++)
		if (table->owners.slots[i].used)
			free((void *)(uintptr_t)table->owners.slots[i].value);
	ptf_hash_map_release(&table->owners);
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* What the owner waits for, by a walk over every claim on every row. */
__attribute__((noinline)) /* profiles show it by name */
static struct claim *
walk_for_waiting(const struct kv_lock_table *table, uint64_t owner)
{
	struct claim *found = NULL;

	for (struct row *row = table->rows; row; row = row->next)
		for (struct claim *claim = row->first ? row->first->next : NULL; claim;
		        claim = claim->next)
			if (claim->owner == owner)
				found = claim;
	return found;
}

static struct owner *find_owner(const struct kv_lock_table *table, uint64_t id)
{
	uint64_t *owner = ptf_hash_map_find(&table->owners, id);

	return owner ? (struct owner *)(uintptr_t)*owner : NULL;
}

static struct claim *look_up_waiting(const struct kv_lock_table *table, uint64_t id)
{
	struct owner *owner = find_owner(table, id);

	return owner ? owner->waits : NULL;
}

static struct claim *waiting_of(const struct kv_lock_table *table, uint64_t owner)
{
	return table->list ? walk_for_waiting(table, owner) : look_up_waiting(table, owner);
}

static bool is_new(struct ptf_hash_map *seen, uint64_t owner)
{
	bool made;

	ptf_hash_map_at(seen, owner, &made);
	return made;
}

/* Would the owner wait for itself if it queued on the row? Everybody who is before it in a queue
 * is waited for, and may wait for others. */
static bool closes_circle(const struct kv_lock_table *table, const struct row *row, uint64_t owner)
{
	PTF_VEC(const struct claim *) open = {0};
	struct ptf_hash_map seen = {0};
	bool found = false;

	/* Nobody waits for an owner without claims. */
	if (!table->list && !find_owner(table, owner))
		return false;
	for (const struct claim *claim = row->first; claim; claim = claim->next)
		if (is_new(&seen, claim->owner))
			kv_vec_push(&open, claim);
	while (open.n && !found) {
		const struct claim *ahead = open.v[--open.n];
		const struct claim *waits = waiting_of(table, ahead->owner);

		/* On the row itself it waits for those who are on the list already. */
		if (!waits || waits->row == row)
			continue;
		for (const struct claim *c = waits->row->first; c != waits && !found; c = c->next) {
			found = c->owner == owner;
			if (is_new(&seen, c->owner))
				kv_vec_push(&open, c);
		}
	}
	ptf_vec_release(&open);
	ptf_hash_map_release(&seen);
	return found;
}

/* Drops the ids of owners that are gone when they are most of the map. */
static void tidy_owners(struct kv_lock_table *table)
{
	struct ptf_hash_map old = table->owners;

	if (old.n < 1024 || old.n < 2 * table->n_owners)
		return;
	table->owners = (struct ptf_hash_map){0};
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].used && old.slots[i].value)
			*ptf_hash_map_at(&table->owners, old.slots[i].key, NULL) =
			        old.slots[i].value;
	ptf_hash_map_release(&old);
}

static struct owner *make_owner(struct kv_lock_table *table, uint64_t id)
{
	struct owner *owner = find_owner(table, id);

	if (owner)
		return owner;
	tidy_owners(table);
	owner = kv_alloc(sizeof(*owner));
	*ptf_hash_map_at(&table->owners, id, NULL) = (uintptr_t)owner;
	table->n_owners++;
	return owner;
}

static void drop_claim_of(struct kv_lock_table *table, const struct claim *claim)
{
	struct owner *owner = find_owner(table, claim->owner);

	if (owner->waits == claim)
		owner->waits = NULL;
	if (--owner->claims)
		return;
	*ptf_hash_map_find(&table->owners, claim->owner) = 0;
	table->n_owners--;
	free(owner);
}

enum kv_lock_status kv_lock_table_lock(
        struct kv_lock_table *table, struct kv_slice key, uint64_t owner, void *request)
{
	enum kv_lock_status status = KV_LOCK_WAITING;
	struct claim *claim;
	struct row *row;

	pthread_mutex_lock(&table->mutex);
	row = make_row(table, key);
	if (row->first && row->first->owner == owner) {
		status = KV_LOCK_HELD;
	} else if (row->first && closes_circle(table, row, owner)) {
		status = KV_LOCK_DEADLOCK;
	} else {
		claim = kv_alloc(sizeof(*claim));
		*claim = (struct claim){.owner = owner, .request = request, .row = row};
		make_owner(table, owner)->claims++;
		*row->last = claim;
		row->last = &claim->next;
		if (row->first == claim)
			status = KV_LOCK_GRANTED;
		else
			find_owner(table, owner)->waits = claim;
	}
	pthread_mutex_unlock(&table->mutex);
	return status;
}

/* Takes the claim out; *heir is who has the lock now. The row goes when nobody is left. */
static void remove_claim(struct kv_lock_table *table, struct claim **at, struct claim *heir)
{
	struct claim *claim = *at;
	struct row *row = claim->row;
	bool held = row->first == claim;

	*at = claim->next;
	if (row->last == &claim->next)
		row->last = at;
	drop_claim_of(table, claim);
	free(claim);
	*heir = (struct claim){0};
	if (held && row->first) {
		*heir = *row->first;
		find_owner(table, heir->owner)->waits = NULL;
	}
	if (!row->first)
		free_row(table, row);
}

bool kv_lock_table_unlock(struct kv_lock_table *table, struct kv_slice key, uint64_t owner)
{
	struct claim heir = {0};
	struct row *row;
	bool held;

	pthread_mutex_lock(&table->mutex);
	row = *find_row(table, key, ptf_hash_bytes(key.bytes, key.size));
	held = row && row->first->owner == owner;
	if (held)
		remove_claim(table, &row->first, &heir);
	pthread_mutex_unlock(&table->mutex);
	if (heir.row)
		table->granted(table->context, heir.owner, heir.request);
	return held;
}

/* Removes the owner's first claim that is found; false when there is none. *waited is set when
 * it was one that waited. */
static bool release_one(
        struct kv_lock_table *table, uint64_t owner, struct claim *heir, bool *waited)
{
	for (struct row *row = table->rows; row; row = row->next)
		for (struct claim **at = &row->first; *at; at = &(*at)->next)
			if ((*at)->owner == owner) {
				*waited |= at != &row->first;
				remove_claim(table, at, heir);
				return true;
			}
	return false;
}

bool kv_lock_table_release_owner(struct kv_lock_table *table, uint64_t owner)
{
	bool more = true, waited = false;

	while (more) {
		struct claim heir = {0};

		pthread_mutex_lock(&table->mutex);
		more = find_owner(table, owner) && release_one(table, owner, &heir, &waited);
		pthread_mutex_unlock(&table->mutex);
		if (heir.row)
			table->granted(table->context, heir.owner, heir.request);
	}
	return waited;
}
