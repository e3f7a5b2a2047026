/* SPDX-License-Identifier: BSD-2-Clause */
/* What clients can ask for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/kv_node.h"

#define MAX_CURSORS 1024
#define MAX_SCAN_COUNT 10000

struct kv_command_entry {
	const char *name;
	int min_args, max_args; /* the name included; max 0: any number */
	enum kv_request_kind kind;
	/* LOCAL and WRITE: when the command is parsed; READ and LOCK: when it may be served.
	 * False: the reply comes later. */
	bool (*run)(struct kv_node *node, struct kv_request *request);
};

static const struct kv_slice data_bucket = {(const uint8_t *)"data", 4};

static struct kv_slice arg(const struct kv_request *request, size_t i)
{
	return request->args.v[i];
}

static bool reply_error(struct kv_request *request, const char *message)
{
	kv_resp_error(&request->reply, "ERR", message);
	request->done = true;
	return true;
}

const struct kv_address *kv_member_address(const struct kv_node *node, uint64_t id)
{
	for (size_t i = 0; i < node->options.n_members; i++)
		if (node->options.members[i] == id)
			return &node->options.addresses[i];
	return NULL;
}

void kv_reply_not_leader(struct kv_node *node, struct kv_buffer *reply, uint64_t leader)
{
	const struct kv_address *address = kv_member_address(node, leader);
	char text[320];

	if (!leader || leader == node->options.id || !address) {
		kv_resp_error(reply, "CLUSTERDOWN", "no leader is known");
		return;
	}
	snprintf(text, sizeof(text), "0 %s:%u", address->host, address->port);
	kv_resp_error(reply, "MOVED", text);
}

static void get_status(struct kv_node *node, struct raft_status *status)
{
	pthread_mutex_lock(&node->status_mutex);
	*status = node->status;
	pthread_mutex_unlock(&node->status_mutex);
}

/* --- answered at once --- */

static bool run_ping(struct kv_node *node, struct kv_request *request)
{
	if (request->args.n > 1)
		kv_resp_bulk(&request->reply, arg(request, 1).bytes, arg(request, 1).size);
	else
		kv_resp_simple(&request->reply, "PONG");
	return true;
}

static bool run_echo(struct kv_node *node, struct kv_request *request)
{
	kv_resp_bulk(&request->reply, arg(request, 1).bytes, arg(request, 1).size);
	return true;
}

static bool run_ok(struct kv_node *node, struct kv_request *request)
{
	kv_resp_simple(&request->reply, "OK");
	return true;
}

/* redis-benchmark asks for `save` and `appendonly`. */
static bool run_config(struct kv_node *node, struct kv_request *request)
{
	if (!kv_slice_is(arg(request, 1), "get"))
		return reply_error(request, "only CONFIG GET is there");
	if (!kv_slice_is(arg(request, 2), "save") && !kv_slice_is(arg(request, 2), "appendonly")) {
		kv_resp_array(&request->reply, 0);
		return true;
	}
	kv_resp_array(&request->reply, 2);
	kv_resp_bulk(&request->reply, arg(request, 2).bytes, arg(request, 2).size);
	if (kv_slice_is(arg(request, 2), "save"))
		kv_resp_bulk(&request->reply, "", 0);
	else
		kv_resp_bulk(&request->reply, "yes", 3);
	return true;
}

/* redis-cli asks what commands there are; it does without. */
static bool run_command(struct kv_node *node, struct kv_request *request)
{
	kv_resp_array(&request->reply, 0);
	return true;
}

static const char *const role_names[] = {"follower", "pre-candidate", "candidate", "leader"};

static void add_info(struct kv_node *node, char *text, size_t size)
{
	struct kv_value_log_stats values = {0};
	struct raft_status s;
	struct kv_value_log *log = kv_store_value_log(node->store);

	get_status(node, &s);
	if (log)
		kv_value_log_stats(log, &values);
	snprintf(text, size,
	        "# Server\r\nkvnode_id:%" PRIu64 "\r\ntcp_port:%u\r\nprocess_id:%d\r\n"
	        "# Clients\r\nconnected_clients:%u\r\n"
	        "# Stats\r\ntotal_commands_processed:%" PRIuFAST64 "\r\n"
	        "# Replication\r\nrole:%s\r\nraft_leader:%" PRIu64 "\r\nraft_term:%" PRIu64
	        "\r\nraft_commit:%" PRIu64 "\r\nraft_last:%" PRIu64 "\r\nraft_applied:%" PRIuFAST64
	        "\r\nraft_log_base:%" PRIu64 "\r\n"
	        "# Values\r\nvalue_files:%" PRIu64 "\r\nvalue_bytes:%" PRIu64
	        "\r\nvalue_live_bytes:%" PRIu64 "\r\n"
	        "# Keyspace\r\ndb0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n",
	        node->options.id, node->options.listen.port, (int)getpid(),
	        atomic_load(&node->n_clients), atomic_load(&node->commands), role_names[s.role],
	        s.leader, s.term, s.commit, s.last, atomic_load(&node->applied), s.base,
	        values.files, values.bytes, values.live_bytes, kv_store_count(node->store));
}

static bool run_info(struct kv_node *node, struct kv_request *request)
{
	char text[2048];

	add_info(node, text, sizeof(text));
	kv_resp_bulk(&request->reply, text, strlen(text));
	return true;
}

static void add_bulk_text(struct kv_buffer *reply, const char *text)
{
	kv_resp_bulk(reply, text, strlen(text));
}

static void add_followers(
        struct kv_node *node, const struct raft_status *status, struct kv_buffer *reply)
{
	char text[32];

	kv_resp_array(reply, status->n_followers);
	for (size_t i = 0; i < status->n_followers; i++) {
		const struct kv_address *a = kv_member_address(node, status->followers[i].id);

		kv_resp_array(reply, 3);
		add_bulk_text(reply, a->host);
		snprintf(text, sizeof(text), "%u", a->port);
		add_bulk_text(reply, text);
		snprintf(text, sizeof(text), "%" PRIu64, status->followers[i].match);
		add_bulk_text(reply, text);
	}
}

/* As Redis: master, offset, replicas; or slave, master's host, port, state, offset. */
static bool run_role(struct kv_node *node, struct kv_request *request)
{
	const struct kv_address *leader;
	struct raft_status status;

	get_status(node, &status);
	leader = kv_member_address(node, status.leader);
	if (status.role == RAFT_LEADER) {
		kv_resp_array(&request->reply, 3);
		add_bulk_text(&request->reply, "master");
		kv_resp_integer(&request->reply, status.commit);
		add_followers(node, &status, &request->reply);
		return true;
	}
	kv_resp_array(&request->reply, 5);
	add_bulk_text(&request->reply, "slave");
	add_bulk_text(&request->reply, leader ? leader->host : "");
	kv_resp_integer(&request->reply, leader ? leader->port : 0);
	add_bulk_text(&request->reply, leader ? "connected" : "connect");
	kv_resp_integer(&request->reply, status.commit);
	return true;
}

static bool run_quit(struct kv_node *node, struct kv_request *request)
{
	kv_resp_simple(&request->reply, "OK");
	kv_connection_quit(request->connection);
	return true;
}

static bool run_raft(struct kv_node *node, struct kv_request *request)
{
	int64_t id;

	if (!kv_slice_number(arg(request, 1), &id) || id == (int64_t)node->options.id ||
	        !kv_member_address(node, id))
		return reply_error(request, "not a member");
	kv_connection_becomes_member(request->connection, id);
	return true;
}

static bool run_unlock(struct kv_node *node, struct kv_request *request)
{
	uint64_t owner = kv_connection_owner(request->connection);

	if (!kv_lock_table_unlock(node->locks, arg(request, 1), owner))
		return reply_error(request, "the lock is not held by this connection");
	kv_resp_simple(&request->reply, "OK");
	return true;
}

/* --- writes --- */

static bool bad_key(struct kv_request *request, struct kv_slice key)
{
	if (key.size <= KV_MAX_KEY)
		return false;
	reply_error(request, "the key is too long");
	return true;
}

static bool write_one(
        struct kv_request *request, enum kv_op op, struct kv_slice key, struct kv_slice value)
{
	struct kv_command command = {.op = op, .bucket = data_bucket, .key = key, .value = value};

	if (bad_key(request, key))
		return true;
	request->number_reply = op != KV_OP_SET;
	request->payload = kv_command_payload(&command);
	return false;
}

/* Several commands in one entry: op for every `step` arguments. */
static bool write_many(struct kv_request *request, enum kv_op op, size_t step)
{
	struct kv_command many = {.op = KV_OP_MANY, .bucket = data_bucket};
	struct kv_buffer body = {0};

	for (size_t i = 1; i < request->args.n; i += step) {
		struct kv_command one = {.op = op, .bucket = data_bucket, .key = arg(request, i)};

		if (bad_key(request, one.key)) {
			ptf_vec_release(&body);
			return true;
		}
		if (step == 2)
			one.value = arg(request, i + 1);
		kv_command_encode(&one, kv_buffer_extend(&body, kv_command_size(&one)));
	}
	many.value = (struct kv_slice){body.v, body.n};
	request->number_reply = op == KV_OP_DEL;
	request->payload = kv_command_payload(&many);
	ptf_vec_release(&body);
	return false;
}

static bool run_set(struct kv_node *node, struct kv_request *request)
{
	return write_one(request, KV_OP_SET, arg(request, 1), arg(request, 2));
}

static bool run_incr(struct kv_node *node, struct kv_request *request)
{
	return write_one(request, KV_OP_INCR, arg(request, 1), (struct kv_slice){0});
}

static bool run_del(struct kv_node *node, struct kv_request *request)
{
	return write_many(request, KV_OP_DEL, 1);
}

static bool run_mset(struct kv_node *node, struct kv_request *request)
{
	if (request->args.n % 2 == 0)
		return reply_error(request, "wrong number of arguments for 'mset' command");
	return write_many(request, KV_OP_SET, 2);
}

/* --- reads --- */

/* A copy of what a read found, as a server makes it that passes objects between its layers: key,
 * value and reply header are allocated for each read and freed after it. */
struct read_copy {
	char *key, *value, *header;
};

static void copy_read(struct read_copy *copy, struct kv_slice key, const void *value, uint32_t size)
{
	copy->key = kv_alloc(key.size + 1);
	copy->value = kv_alloc(size + 1);
	copy->header = kv_alloc(32);
	memcpy(copy->key, key.bytes, key.size);
	if (size)
		memcpy(copy->value, value, size);
	snprintf(copy->header, 32, "$%u\r\n", size);
}

__attribute__((noinline)) /* profiles show it by name */
static void
add_copied(struct kv_buffer *reply, struct kv_slice key, const void *value, uint32_t size)
{
	struct read_copy copy;

	copy_read(&copy, key, value, size);
	kv_buffer_add(reply, copy.header, strlen(copy.header));
	kv_buffer_add(reply, copy.value, size);
	kv_buffer_add(reply, "\r\n", 2);
	free(copy.header);
	free(copy.value);
	free(copy.key);
}

static void add_value(struct kv_node *node, struct kv_request *request, struct kv_slice key)
{
	struct kv_buffer *pool = &request->net->pool, *reply = &request->reply;
	int status;

	pool->n = 0;
	kv_vec_reserve(pool, 1);
	status = kv_store_read(node->store, data_bucket, key, pool);
	if (status == 1)
		kv_resp_null(reply);
	else if (status)
		kv_resp_error(reply, "ERR", "the value cannot be read");
	else if (node->options.malloc_reads)
		add_copied(reply, key, pool->v, pool->n);
	else
		kv_resp_bulk(reply, pool->v, pool->n);
}

static bool run_get(struct kv_node *node, struct kv_request *request)
{
	add_value(node, request, arg(request, 1));
	return true;
}

static bool run_mget(struct kv_node *node, struct kv_request *request)
{
	kv_resp_array(&request->reply, request->args.n - 1);
	for (size_t i = 1; i < request->args.n; i++)
		add_value(node, request, arg(request, i));
	return true;
}

static bool run_exists(struct kv_node *node, struct kv_request *request)
{
	int64_t n = 0;

	for (size_t i = 1; i < request->args.n; i++)
		n += kv_store_exists(node->store, data_bucket, arg(request, i));
	kv_resp_integer(&request->reply, n);
	return true;
}

static bool run_dbsize(struct kv_node *node, struct kv_request *request)
{
	kv_resp_integer(&request->reply, kv_store_count(node->store));
	return true;
}

/* Where scans stopped: a cursor stands for the last key. The oldest ones are forgotten. */
static struct {
	pthread_mutex_t mutex;
	uint64_t last;
	struct {
		uint64_t cursor;
		struct kv_value *key;
	} slots[MAX_CURSORS];
} cursors = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t keep_cursor(struct kv_value *key)
{
	uint64_t cursor;
	struct kv_value *old;

	pthread_mutex_lock(&cursors.mutex);
	cursor = ++cursors.last;
	old = cursors.slots[cursor % MAX_CURSORS].key;
	cursors.slots[cursor % MAX_CURSORS].key = kv_value_ref(key);
	cursors.slots[cursor % MAX_CURSORS].cursor = cursor;
	pthread_mutex_unlock(&cursors.mutex);
	kv_value_unref(old);
	return cursor;
}

static struct kv_value *find_cursor(uint64_t cursor)
{
	struct kv_value *key = NULL;

	pthread_mutex_lock(&cursors.mutex);
	if (cursors.slots[cursor % MAX_CURSORS].cursor == cursor)
		key = kv_value_ref(cursors.slots[cursor % MAX_CURSORS].key);
	pthread_mutex_unlock(&cursors.mutex);
	return key;
}

static bool parse_scan(struct kv_request *request, int64_t *cursor, int64_t *count)
{
	*count = 10;
	if (!kv_slice_number(arg(request, 1), cursor) || *cursor < 0)
		return false;
	for (size_t i = 2; i < request->args.n; i += 2) {
		if (!kv_slice_is(arg(request, i), "count") || i + 1 == request->args.n ||
		        !kv_slice_number(arg(request, i + 1), count) || *count < 1)
			return false;
	}
	if (*count > MAX_SCAN_COUNT)
		*count = MAX_SCAN_COUNT;
	return true;
}

/* SCAN cursor [COUNT n]: keys in the order of their bytes. */
static bool run_scan(struct kv_node *node, struct kv_request *request)
{
	struct kv_value_vec keys = {0};
	struct kv_value *after = NULL;
	int64_t cursor, count;
	char text[32];
	bool more;

	if (!parse_scan(request, &cursor, &count))
		return reply_error(request, "syntax error");
	if (cursor && !(after = find_cursor(cursor)))
		return reply_error(request, "the cursor is too old, begin again");
	more = kv_store_scan(node->store, data_bucket,
	        after ? (struct kv_slice){after->bytes, after->size} : (struct kv_slice){0}, count,
	        &keys);
	kv_value_unref(after);
	snprintf(text, sizeof(text), "%" PRIu64, more ? keep_cursor(keys.v[keys.n - 1]) : 0);
	kv_resp_array(&request->reply, 2);
	add_bulk_text(&request->reply, text);
	kv_resp_array(&request->reply, keys.n);
	ptf_vec_foreach (key, &keys)
		kv_resp_bulk(&request->reply, (*key)->bytes, (*key)->size);
	kv_value_vec_release(&keys);
	return true;
}

static bool run_lock(struct kv_node *node, struct kv_request *request)
{
	uint64_t owner = kv_connection_owner(request->connection);

	switch (kv_lock_table_lock(node->locks, arg(request, 1), owner, request)) {
	case KV_LOCK_GRANTED:
		kv_resp_simple(&request->reply, "OK");
		return true;
	case KV_LOCK_DEADLOCK:
		kv_resp_error(&request->reply, "DEADLOCK", "others wait for locks held here");
		return true;
	case KV_LOCK_HELD:
		kv_resp_error(&request->reply, "ERR", "the lock is held by this connection");
		return true;
	default:
		return false;
	}
}

static const struct kv_command_entry commands[] = {
        {"PING", 1, 2, KV_REQUEST_LOCAL, run_ping},
        {"ECHO", 2, 2, KV_REQUEST_LOCAL, run_echo},
        {"SELECT", 2, 2, KV_REQUEST_LOCAL, run_ok},
        {"ASKING", 1, 1, KV_REQUEST_LOCAL, run_ok},
        {"CONFIG", 3, 3, KV_REQUEST_LOCAL, run_config},
        {"COMMAND", 1, 0, KV_REQUEST_LOCAL, run_command},
        {"INFO", 1, 0, KV_REQUEST_LOCAL, run_info},
        {"ROLE", 1, 1, KV_REQUEST_LOCAL, run_role},
        {"QUIT", 1, 1, KV_REQUEST_LOCAL, run_quit},
        {"RAFT", 2, 2, KV_REQUEST_LOCAL, run_raft},
        {"SET", 3, 3, KV_REQUEST_WRITE, run_set},
        {"DEL", 2, 0, KV_REQUEST_WRITE, run_del},
        {"INCR", 2, 2, KV_REQUEST_WRITE, run_incr},
        {"MSET", 3, 0, KV_REQUEST_WRITE, run_mset},
        {"GET", 2, 2, KV_REQUEST_READ, run_get},
        {"MGET", 2, 0, KV_REQUEST_READ, run_mget},
        {"EXISTS", 2, 0, KV_REQUEST_READ, run_exists},
        {"DBSIZE", 1, 1, KV_REQUEST_READ, run_dbsize},
        {"SCAN", 2, 0, KV_REQUEST_READ, run_scan},
        {"LOCK", 2, 2, KV_REQUEST_LOCK, run_lock},
        {"UNLOCK", 2, 2, KV_REQUEST_LOCK, run_unlock},
};

static const struct kv_command_entry *find_command(struct kv_slice name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (kv_slice_is(name, commands[i].name))
			return &commands[i];
	return NULL;
}

void kv_command_begin(struct kv_node *node, struct kv_request *request)
{
	const struct kv_command_entry *command = find_command(arg(request, 0));
	char text[96];
	int n = request->args.n < INT32_MAX ? (int)request->args.n : INT32_MAX;

	request->kind = KV_REQUEST_LOCAL;
	if (!command) {
		snprintf(text, sizeof(text), "unknown command '%.*s'",
		        (int)(arg(request, 0).size < 40 ? arg(request, 0).size : 40),
		        (const char *)arg(request, 0).bytes);
		reply_error(request, text);
		return;
	}
	if (n < command->min_args || (command->max_args && n > command->max_args)) {
		snprintf(text, sizeof(text), "wrong number of arguments for '%s' command",
		        command->name);
		reply_error(request, text);
		return;
	}
	request->command = command;
	request->kind = command->kind;
	if (command->kind == KV_REQUEST_LOCAL || command->kind == KV_REQUEST_WRITE)
		request->done = command->run(node, request);
}

bool kv_command_read(struct kv_node *node, struct kv_request *request)
{
	return request->command->run(node, request);
}
