/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/function_table.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "symbol/demangle.h"

struct entry {
	struct ptf_function function;
	struct entry *next; /* with the same hash, or NULL */
};

struct string {
	const char *text;
	struct string *next; /* with the same hash, or NULL */
};

struct ptf_function_table {
	pthread_mutex_t lock; /* guards everything below; the structs themselves are constant */
	struct ptf_arena arena;
	struct ptf_hash_map by_key;  /* hash of the key -> struct entry */
	struct ptf_hash_map modules; /* hash of a path -> struct string */
	PTF_VEC(struct entry *) entries;
	const char *watched; /* name as it was given, or NULL */
	size_t watched_len;  /* of it without arguments */
};

/* The start of a path's last part, and its length in *len. What stands in brackets ("[vdso]",
 * "[kernel.kallsyms]_text") is taken without them. */
static const char *base_name(const char *path, size_t *len)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (base[0] == '[')
		base++;
	*len = strcspn(base, "]");
	if (*len > 0)
		return base;
	*len = strlen("unknown");
	return "unknown";
}

static const char *make_name(struct ptf_function_table *table, const struct ptf_function *f)
{
	size_t len;
	const char *base = base_name(f->module, &len);
	size_t size = len + sizeof("[+0x]") + 16;
	char *name = ptf_arena_alloc(&table->arena, size);

	if (!name)
		return NULL;
	if (f->kind == PTF_FUNCTION_MODULE)
		snprintf(name, size, "[%.*s]", (int)len, base);
	else
		snprintf(name, size, "[%.*s+0x%" PRIx64 "]", (int)len, base, f->address);
	return name;
}

/* Debug files have names with versions ("clock_gettime@@GLIBC_2.17") where .dynsym has plain ones:
 * what a function is called must not depend on the debug files that are installed. */
static size_t plain_length(const struct ptf_function *f)
{
	return f->kind == PTF_FUNCTION_SYMBOL ? strcspn(f->raw_name, "@") : strlen(f->raw_name);
}

static const char *demangled_name(struct ptf_function_table *table, const struct ptf_function *f)
{
	size_t len = plain_length(f);
	const char *plain = f->raw_name, *name;
	char *demangled;

	if (plain[len]) {
		plain = ptf_arena_strndup(&table->arena, plain, len);
		if (!plain)
			return NULL;
	}
	demangled = ptf_demangle(plain);
	if (!demangled)
		return plain;
	name = ptf_arena_strdup(&table->arena, demangled);
	free(demangled);
	return name;
}

static const char *intern_module(struct ptf_function_table *table, const char *path)
{
	uint64_t *first =
	        ptf_hash_map_at(&table->modules, ptf_hash_bytes(path, strlen(path)), NULL);
	struct string *string;

	if (!first)
		return NULL;
	for (string = (struct string *)(uintptr_t)*first; string; string = string->next)
		if (strcmp(string->text, path) == 0)
			return string->text;
	string = ptf_arena_alloc(&table->arena, sizeof(*string));
	if (!string)
		return NULL;
	string->text = ptf_arena_strdup(&table->arena, path);
	if (!string->text)
		return NULL;
	string->next = (struct string *)(uintptr_t)*first;
	*first = (uintptr_t)string;
	return string->text;
}

static uint64_t key_hash(
        const char *module, uint64_t address, enum ptf_function_kind kind, const char *raw_name)
{
	uint64_t hash = ptf_hash_bytes(module, strlen(module)) ^ ptf_hash_u64(address + kind);

	if (raw_name)
		hash ^= ptf_hash_u64(ptf_hash_bytes(raw_name, strlen(raw_name)));
	return hash;
}

static bool key_equal(const struct ptf_function *f, const char *module, uint64_t address,
        enum ptf_function_kind kind, const char *raw_name)
{
	if (f->address != address || f->kind != kind || strcmp(f->module, module) != 0)
		return false;
	if (!raw_name || !f->raw_name)
		return raw_name == f->raw_name;
	return strcmp(f->raw_name, raw_name) == 0;
}

/* Fills in the strings of f, which has everything else; false when out of memory. */
static bool own_strings(struct ptf_function_table *table, struct ptf_function *f,
        const char *module, const char *raw_name, bool demangle)
{
	f->module = intern_module(table, module);
	if (!f->module)
		return false;
	if (raw_name) {
		f->raw_name = ptf_arena_strdup(&table->arena, raw_name);
		if (!f->raw_name)
			return false;
		f->name = demangle ? demangled_name(table, f) : f->raw_name;
	}
	if (!f->name || !f->name[0])
		f->name = make_name(table, f);
	return f->name;
}

/* raw_name: perhaps with a version or "@plt"; NULL is possible. */
static enum ptf_function_role role_of(const char *raw_name)
{
	static const struct {
		const char *name;
		enum ptf_function_role role;
	} roles[] = {
	        {"setjmp", PTF_ROLE_RETURNS_TWICE},
	        {"_setjmp", PTF_ROLE_RETURNS_TWICE},
	        {"sigsetjmp", PTF_ROLE_RETURNS_TWICE},
	        {"__sigsetjmp", PTF_ROLE_RETURNS_TWICE},
	        {"getcontext", PTF_ROLE_RETURNS_TWICE},
	        {"__getcontext", PTF_ROLE_RETURNS_TWICE},
	        {"_Unwind_Resume", PTF_ROLE_UNWINDS_ON},
	};
	size_t len = raw_name ? strcspn(raw_name, "@") : 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (len == strlen(roles[i].name) && strncmp(raw_name, roles[i].name, len) == 0)
			return roles[i].role;
	}
	return PTF_ROLE_NONE;
}

/* Length of a C++ name without the arguments at its end. */
static size_t length_without_arguments(const char *name)
{
	size_t len = strlen(name), at = len;
	unsigned depth = 0;

	if (!len || name[len - 1] != ')')
		return len;
	while (at-- > 0) {
		depth += name[at] == ')';
		depth -= name[at] == '(';
		if (!depth)
			return at ? at : len; /* "(anonymous namespace)" alone is no name */
	}
	return len;
}

static bool is_watched(const struct ptf_function_table *table, const struct ptf_function *f)
{
	if (!table->watched)
		return false;
	if (strcmp(f->name, table->watched) == 0 ||
	        (f->raw_name && strcmp(f->raw_name, table->watched) == 0))
		return true;
	return length_without_arguments(f->name) == table->watched_len &&
	       strncmp(f->name, table->watched, table->watched_len) == 0;
}

bool ptf_function_table_watch(struct ptf_function_table *table, const char *name)
{
	pthread_mutex_lock(&table->lock);
	table->watched = ptf_arena_strdup(&table->arena, name);
	table->watched_len = length_without_arguments(name);
	pthread_mutex_unlock(&table->lock);
	return table->watched;
}

static enum ptf_function_role kernel_role_of(const char *raw_name)
{
	return raw_name && strcmp(raw_name, "__switch_to") == 0 ? PTF_ROLE_SWITCHES_TASK
	                                                        : PTF_ROLE_NONE;
}

static const struct ptf_function *intern_locked(struct ptf_function_table *table,
        const char *module, uint64_t address, uint64_t size, enum ptf_function_kind kind,
        const char *raw_name, unsigned flags)
{
	uint64_t hash = key_hash(module, address, kind, raw_name);
	uint64_t *first = ptf_hash_map_at(&table->by_key, hash, NULL);
	struct entry *entry;

	if (!first)
		return NULL;
	for (entry = (struct entry *)(uintptr_t)*first; entry; entry = entry->next)
		if (key_equal(&entry->function, module, address, kind, raw_name))
			return &entry->function;
	entry = ptf_arena_alloc(&table->arena, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->function.address = address;
	entry->function.size = size;
	entry->function.kind = kind;
	entry->function.kernel = flags & PTF_INTERN_KERNEL;
	entry->function.role =
	        entry->function.kernel ? kernel_role_of(raw_name) : role_of(raw_name);
	entry->function.id = (uint32_t)table->entries.n;
	if (!own_strings(table, &entry->function, module, raw_name, flags & PTF_INTERN_DEMANGLE))
		return NULL;
	entry->function.watched = is_watched(table, &entry->function);
	if (!ptf_vec_push(&table->entries, entry))
		return NULL;
	entry->next = (struct entry *)(uintptr_t)*first;
	*first = (uintptr_t)entry;
	return &entry->function;
}

const struct ptf_function *ptf_function_table_intern(struct ptf_function_table *table,
        const char *module, uint64_t address, uint64_t size, enum ptf_function_kind kind,
        const char *raw_name, unsigned flags)
{
	const struct ptf_function *function;

	pthread_mutex_lock(&table->lock);
	function = intern_locked(table, module, address, size, kind, raw_name, flags);
	pthread_mutex_unlock(&table->lock);
	return function;
}

struct ptf_function_table *ptf_function_table_create(void)
{
	struct ptf_function_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	if (!ptf_function_table_intern(table, "", 0, 0, PTF_FUNCTION_UNKNOWN, "[unknown]", false)) {
		ptf_function_table_destroy(table);
		return NULL;
	}
	return table;
}

void ptf_function_table_destroy(struct ptf_function_table *table)
{
	if (!table)
		return;
	ptf_vec_release(&table->entries);
	ptf_hash_map_release(&table->by_key);
	ptf_hash_map_release(&table->modules);
	ptf_arena_release(&table->arena);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* A caller's const promises that the functions do not change; the lock must. */
static pthread_mutex_t *lock_of(const struct ptf_function_table *table)
{
	return (pthread_mutex_t *)&table->lock;
}

uint32_t ptf_function_table_count(const struct ptf_function_table *table)
{
	uint32_t count;

	pthread_mutex_lock(lock_of(table));
	count = (uint32_t)table->entries.n;
	pthread_mutex_unlock(lock_of(table));
	return count;
}

const struct ptf_function *ptf_function_table_get(
        const struct ptf_function_table *table, uint32_t id)
{
	const struct ptf_function *function = NULL;

	pthread_mutex_lock(lock_of(table));
	if (id < table->entries.n)
		function = &table->entries.v[id]->function;
	pthread_mutex_unlock(lock_of(table));
	return function;
}

const struct ptf_function *ptf_function_table_unknown(const struct ptf_function_table *table)
{
	return ptf_function_table_get(table, 0);
}
