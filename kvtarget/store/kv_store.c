/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/kv_store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "base/hash_map.h"

#define N_SHARDS 64
#define MAX_LEVELS 20

/* A key. Names are bucket size (1 byte), bucket, key. */
struct item {
	struct kv_value *name, *value;
	struct item *chain; /* the next one of the hash slot */
	uint64_t hash;
	uint8_t levels;
	struct item *next[]; /* of the skip list, `levels` of them */
};

struct shard {
	pthread_mutex_t mutex;
	struct item **slots;
	size_t n_slots, n; /* n_slots is a power of two */
	struct item *first[MAX_LEVELS];
	uint64_t random;
} __attribute__((aligned(64)));

struct kv_store {
	struct kv_store_options options;
	struct kv_value_log *log; /* NULL: none */
	struct shard shards[N_SHARDS];
	atomic_uint_fast64_t count;
};

/* A name to look up, not copied. */
struct name {
	struct kv_slice bucket, key;
	uint64_t hash;
};

static struct name make_name(struct kv_slice bucket, struct kv_slice key)
{
	return (struct name){.bucket = bucket,
	        .key = key,
	        .hash = ptf_hash_u64(ptf_hash_bytes(key.bytes, key.size) +
	                             ptf_hash_bytes(bucket.bytes, bucket.size))};
}

static struct shard *shard_of(struct kv_store *store, uint64_t hash)
{
	return &store->shards[hash >> 32 & (N_SHARDS - 1)];
}

/* With one lock for all it is the first shard's. */
static pthread_mutex_t *lock_shard(struct kv_store *store, struct shard *shard)
{
	pthread_mutex_t *mutex =
	        store->options.global_lock ? &store->shards[0].mutex : &shard->mutex;

	pthread_mutex_lock(mutex);
	return mutex;
}

static int compare_slices(struct kv_slice a, struct kv_slice b)
{
	uint32_t n = a.size < b.size ? a.size : b.size;
	int order = n ? memcmp(a.bytes, b.bytes, n) : 0;

	return order ? order : (a.size > b.size) - (a.size < b.size);
}

static struct kv_slice item_bucket(const struct item *item)
{
	return (struct kv_slice){item->name->bytes + 1, item->name->bytes[0]};
}

static struct kv_slice item_key(const struct item *item)
{
	uint32_t head = 1 + item->name->bytes[0];

	return (struct kv_slice){item->name->bytes + head, item->name->size - head};
}

static int compare_item(const struct item *item, const struct name *name)
{
	int order = compare_slices(item_bucket(item), name->bucket);

	return order ? order : compare_slices(item_key(item), name->key);
}

static struct item **find_slot(struct shard *shard, const struct name *name)
{
	struct item **at = &shard->slots[name->hash & (shard->n_slots - 1)];

	while (*at && ((*at)->hash != name->hash || compare_item(*at, name)))
		at = &(*at)->chain;
	return at;
}

static void grow(struct shard *shard)
{
	size_t n = shard->n_slots * 2;
	struct item **slots = kv_alloc(n * sizeof(*slots));

	for (size_t i = 0; i < shard->n_slots; i++) {
		struct item *item = shard->slots[i], *chain;

		for (; item; item = chain) {
			chain = item->chain;
			item->chain = slots[item->hash & (n - 1)];
			slots[item->hash & (n - 1)] = item;
		}
	}
	free(shard->slots);
	shard->slots = slots;
	shard->n_slots = n;
}

/* The links that lead to the first item not before the name. */
static void find_links(struct shard *shard, const struct name *name, struct item **links[])
{
	struct item **row = shard->first;

	for (int level = MAX_LEVELS - 1; level >= 0; level--) {
		while (row[level] && compare_item(row[level], name) < 0)
			row = row[level]->next;
		links[level] = &row[level];
	}
}

static int draw_levels(struct shard *shard)
{
	int levels = 1;

	shard->random = ptf_hash_u64(shard->random + 1);
	while (levels < MAX_LEVELS && (shard->random >> (2 * levels) & 3) == 0)
		levels++;
	return levels;
}

static struct item *insert(struct shard *shard, const struct name *name)
{
	int levels = draw_levels(shard);
	struct item *item = kv_alloc(sizeof(*item) + levels * sizeof(*item->next));
	struct item **links[MAX_LEVELS];
	uint8_t *at;

	item->name = kv_value_create(NULL, 0);
	item->name = kv_realloc(
	        item->name, sizeof(*item->name) + 1 + name->bucket.size + name->key.size);
	item->name->size = 1 + name->bucket.size + name->key.size;
	at = item->name->bytes;
	*at++ = name->bucket.size;
	if (name->bucket.size)
		memcpy(at, name->bucket.bytes, name->bucket.size);
	if (name->key.size)
		memcpy(at + name->bucket.size, name->key.bytes, name->key.size);
	item->hash = name->hash;
	item->levels = levels;
	find_links(shard, name, links);
	for (int i = 0; i < levels; i++) {
		item->next[i] = *links[i];
		*links[i] = item;
	}
	if (++shard->n > shard->n_slots)
		grow(shard);
	item->chain = shard->slots[item->hash & (shard->n_slots - 1)];
	shard->slots[item->hash & (shard->n_slots - 1)] = item;
	return item;
}

static void free_item(struct item *item)
{
	kv_value_unref(item->name);
	kv_value_unref(item->value);
	free(item);
}

static void erase(struct shard *shard, const struct name *name, struct item **slot)
{
	struct item *item = *slot, **links[MAX_LEVELS];

	find_links(shard, name, links);
	for (int i = 0; i < item->levels; i++)
		*links[i] = item->next[i];
	*slot = item->chain;
	shard->n--;
	free_item(item);
}

struct kv_store *kv_store_create(const struct kv_store_options *options, struct ptf_error *err)
{
	struct kv_store *store = aligned_alloc(64, sizeof(*store));

	if (!store)
		kv_out_of_memory();
	memset(store, 0, sizeof(*store));
	store->options = *options;
	for (size_t i = 0; i < N_SHARDS; i++) {
		struct shard *shard = &store->shards[i];

		pthread_mutex_init(&shard->mutex, NULL);
		shard->n_slots = 16;
		shard->slots = kv_alloc(shard->n_slots * sizeof(*shard->slots));
		shard->random = i;
	}
	if (options->directory) {
		store->log = kv_value_log_create(options->directory, err);
		if (!store->log) {
			kv_store_destroy(store);
			return NULL;
		}
	}
	return store;
}

void kv_store_clear(struct kv_store *store)
{
	for (size_t i = 0; i < N_SHARDS; i++) {
		struct shard *shard = &store->shards[i];
		pthread_mutex_t *mutex = lock_shard(store, shard);
		struct item *item = shard->first[0], *next;

		for (; item; item = next) {
			next = item->next[0];
			free_item(item);
		}
		memset(shard->first, 0, sizeof(shard->first));
		memset(shard->slots, 0, shard->n_slots * sizeof(*shard->slots));
		shard->n = 0;
		pthread_mutex_unlock(mutex);
	}
	atomic_store(&store->count, 0);
}

void kv_store_destroy(struct kv_store *store)
{
	if (!store)
		return;
	kv_store_clear(store);
	for (size_t i = 0; i < N_SHARDS; i++) {
		free(store->shards[i].slots);
		pthread_mutex_destroy(&store->shards[i].mutex);
	}
	kv_value_log_destroy(store->log);
	free(store);
}

static struct kv_value *make_value(
        struct kv_store *store, struct kv_slice bytes, struct ptf_error *err)
{
	if (store->log && bytes.size >= store->options.large_value)
		return kv_value_log_add(store->log, bytes.bytes, bytes.size, err);
	return kv_value_create(bytes.bytes, bytes.size);
}

/* Gives the key a value (its reference is taken over). */
static void put_value(struct kv_store *store, const struct name *name, struct kv_value *value)
{
	struct shard *shard = shard_of(store, name->hash);
	pthread_mutex_t *mutex = lock_shard(store, shard);
	struct item *item = *find_slot(shard, name);
	struct kv_value *old;

	if (!item) {
		item = insert(shard, name);
		atomic_fetch_add(&store->count, 1);
	}
	old = item->value;
	item->value = value;
	pthread_mutex_unlock(mutex);
	kv_value_unref(old);
}

static void delete_key(struct kv_store *store, const struct name *name, struct kv_result *result)
{
	struct shard *shard = shard_of(store, name->hash);
	pthread_mutex_t *mutex = lock_shard(store, shard);
	struct item **slot = find_slot(shard, name);

	if (*slot) {
		erase(shard, name, slot);
		atomic_fetch_sub(&store->count, 1);
		result->number = 1;
	}
	pthread_mutex_unlock(mutex);
}

static bool parse_number(const struct kv_value *value, int64_t *number)
{
	char text[32], *end;

	if (!value) {
		*number = 0;
		return true;
	}
	if (value->file || !value->size || value->size >= sizeof(text) ||
	        (value->bytes[0] != '-' && (value->bytes[0] < '0' || value->bytes[0] > '9')))
		return false;
	memcpy(text, value->bytes, value->size);
	text[value->size] = '\0';
	errno = 0;
	*number = strtoll(text, &end, 10);
	return !errno && end == text + value->size;
}

static void increment(struct kv_store *store, const struct kv_command *command,
        const struct name *name, struct kv_result *result)
{
	struct kv_value *old = kv_store_get(store, command->bucket, command->key);
	char text[32];
	int size;

	if (!parse_number(old, &result->number) || result->number == INT64_MAX) {
		result->error = true;
		result->message = "value is not an integer or out of range";
	} else {
		size = snprintf(text, sizeof(text), "%" PRId64, ++result->number);
		put_value(store, name, kv_value_create(text, size));
	}
	kv_value_unref(old);
}

/* Several commands as one: their numbers add up. */
static int apply_many(struct kv_store *store, struct kv_slice commands, struct kv_result *result,
        struct ptf_error *err)
{
	int status = 0;
	size_t used;

	for (size_t at = 0; at < commands.size && !status; at += used) {
		struct kv_command command;
		struct kv_result one;

		if (!kv_command_decode(commands.bytes + at, commands.size - at, &command, &used) ||
		        command.op == KV_OP_MANY)
			return 0; /* never proposed like that; the same on every node */
		status = kv_store_apply(store, &command, &one, err);
		result->number += one.number;
	}
	return status;
}

int kv_store_apply(struct kv_store *store, const struct kv_command *command,
        struct kv_result *result, struct ptf_error *err)
{
	struct name name = make_name(command->bucket, command->key);
	struct kv_value *value;

	*result = (struct kv_result){0};
	switch (command->op) {
	case KV_OP_SET:
		value = make_value(store, command->value, err);
		if (!value)
			return -PTF_EIO;
		put_value(store, &name, value);
		break;
	case KV_OP_DEL:
		delete_key(store, &name, result);
		break;
	case KV_OP_INCR:
		increment(store, command, &name, result);
		break;
	case KV_OP_MANY:
		return apply_many(store, command->value, result, err);
	default:
		break;
	}
	return 0;
}

struct kv_value *kv_store_get(struct kv_store *store, struct kv_slice bucket, struct kv_slice key)
{
	struct name name = make_name(bucket, key);
	struct shard *shard = shard_of(store, name.hash);
	pthread_mutex_t *mutex = lock_shard(store, shard);
	struct item *item = *find_slot(shard, &name);
	struct kv_value *value = item ? kv_value_ref(item->value) : NULL;

	pthread_mutex_unlock(mutex);
	return value;
}

static int copy_value(const struct kv_value *value, struct kv_buffer *out)
{
	uint8_t *at = kv_buffer_extend(out, value->size);

	if (value->file)
		return kv_value_log_read(value, at) ? 0 : -PTF_EIO;
	if (value->size)
		memcpy(at, value->bytes, value->size);
	return 0;
}

int kv_store_read(
        struct kv_store *store, struct kv_slice bucket, struct kv_slice key, struct kv_buffer *out)
{
	struct name name = make_name(bucket, key);
	struct shard *shard = shard_of(store, name.hash);
	pthread_mutex_t *mutex = lock_shard(store, shard);
	struct item *item = *find_slot(shard, &name);
	int status = item ? copy_value(item->value, out) : 1;

	pthread_mutex_unlock(mutex);
	return status;
}

bool kv_store_exists(struct kv_store *store, struct kv_slice bucket, struct kv_slice key)
{
	struct kv_value *value = kv_store_get(store, bucket, key);

	kv_value_unref(value);
	return value != NULL;
}

/* Appends the shard's next keys behind the name, up to n of them. */
static void scan_shard(struct kv_store *store, struct shard *shard, const struct name *after,
        size_t n, struct kv_value_vec *names)
{
	pthread_mutex_t *mutex = lock_shard(store, shard);
	struct item **links[MAX_LEVELS], *item;

	find_links(shard, after, links);
	item = *links[0];
	if (item && after->key.size && !compare_item(item, after))
		item = item->next[0];
	for (; item && n && !compare_slices(item_bucket(item), after->bucket);
	        item = item->next[0], n--)
		kv_vec_push(names, kv_value_ref(item->name));
	pthread_mutex_unlock(mutex);
}

static int compare_names(const void *left, const void *right)
{
	const struct kv_value *a = *(struct kv_value *const *)left;
	const struct kv_value *b = *(struct kv_value *const *)right;

	return compare_slices(
	        (struct kv_slice){a->bytes, a->size}, (struct kv_slice){b->bytes, b->size});
}

bool kv_store_scan(struct kv_store *store, struct kv_slice bucket, struct kv_slice after, size_t n,
        struct kv_value_vec *keys)
{
	struct name name = make_name(bucket, after);
	struct kv_value_vec found = {0};
	uint32_t head = 1 + bucket.size;
	bool more;

	for (size_t i = 0; i < N_SHARDS; i++)
		scan_shard(store, &store->shards[i], &name, n + 1, &found);
	if (found.n)
		qsort(found.v, found.n, sizeof(*found.v), compare_names);
	more = found.n > n;
	for (size_t i = 0; i < found.n && i < n; i++)
		kv_vec_push(
		        keys, kv_value_create(found.v[i]->bytes + head, found.v[i]->size - head));
	kv_value_vec_release(&found);
	return more;
}

uint64_t kv_store_count(const struct kv_store *store)
{
	return atomic_load(&store->count);
}

static void capture_shard(struct kv_store *store, struct shard *shard, struct kv_item_vec *items)
{
	pthread_mutex_t *mutex = lock_shard(store, shard);

	kv_vec_reserve(items, shard->n);
	for (struct item *item = shard->first[0]; item; item = item->next[0])
		items->v[items->n++] = (struct kv_item){
		        .name = kv_value_ref(item->name), .value = kv_value_ref(item->value)};
	pthread_mutex_unlock(mutex);
}

void kv_store_capture(struct kv_store *store, struct kv_item_vec *items)
{
	for (size_t i = 0; i < N_SHARDS; i++)
		capture_shard(store, &store->shards[i], items);
}

void kv_item_vec_release(struct kv_item_vec *items)
{
	ptf_vec_foreach (item, items) {
		kv_value_unref(item->name);
		kv_value_unref(item->value);
	}
	ptf_vec_release(items);
}

/* Writes the value anew; the key takes the new place unless it has changed meanwhile. */
static int move_value(struct kv_store *store, const struct kv_item *moved, struct ptf_error *err)
{
	uint8_t *bytes = kv_alloc(moved->value->size), bucket_size = moved->name->bytes[0];
	struct kv_slice bucket = {moved->name->bytes + 1, bucket_size};
	struct kv_slice key = {bucket.bytes + bucket_size, moved->name->size - 1 - bucket_size};
	struct name name = make_name(bucket, key);
	struct shard *shard = shard_of(store, name.hash);
	struct kv_value *copy = NULL, *old = NULL;
	pthread_mutex_t *mutex;
	struct item *item;

	if (kv_value_log_read(moved->value, bytes))
		copy = kv_value_log_add(store->log, bytes, moved->value->size, err);
	else
		ptf_error_set(err, PTF_EIO, "reading the value log");
	free(bytes);
	if (!copy)
		return -PTF_EIO;
	mutex = lock_shard(store, shard);
	item = *find_slot(shard, &name);
	if (item && item->value == moved->value) {
		old = item->value;
		item->value = copy;
		copy = NULL;
	}
	pthread_mutex_unlock(mutex);
	kv_value_unref(old);
	kv_value_unref(copy);
	return 0;
}

static void keep_sparse(struct kv_item_vec *items)
{
	size_t kept = 0;

	ptf_vec_foreach (item, items) {
		if (kv_value_log_is_sparse(item->value)) {
			items->v[kept++] = *item;
		} else {
			kv_value_unref(item->name);
			kv_value_unref(item->value);
		}
	}
	items->n = kept;
}

uint64_t kv_store_compact(struct kv_store *store, struct ptf_error *err)
{
	struct kv_value_log_stats before, after;
	int status = 0;

	if (!store->log)
		return 0;
	kv_value_log_stats(store->log, &before);
	for (size_t i = 0; i < N_SHARDS && !status; i++) {
		struct kv_item_vec items = {0};

		capture_shard(store, &store->shards[i], &items);
		keep_sparse(&items);
		for (size_t j = 0; j < items.n && !status; j++)
			status = move_value(store, &items.v[j], err);
		kv_item_vec_release(&items);
	}
	kv_value_log_stats(store->log, &after);
	return before.bytes > after.bytes ? before.bytes - after.bytes : 0;
}

struct kv_value_log *kv_store_value_log(struct kv_store *store)
{
	return store->log;
}
