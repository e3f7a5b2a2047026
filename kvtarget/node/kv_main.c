/* SPDX-License-Identifier: BSD-2-Clause */
/* kvnode: a member of a replicated key-value store. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "node/kv_node.h"

static const char usage[] =
        "usage: kvnode --id N --data DIR --listen HOST:PORT --peers 1=HOST:PORT,2=...\n"
        "  --net-threads N         threads for clients (2)\n"
        "  --election-ms N         without a leader for so long: campaign (1000)\n"
        "  --max-clients N         (10000)\n"
        "  --segment-bytes N       size of a log file (64 MiB)\n"
        "  --snapshot-entries N    a snapshot after so many entries (200000)\n"
        "  --large-value N         bytes from which values go to the value log (4096; 0: never)\n"
        "  --batch-bytes N         messages in one write to a member (1 MiB)\n"
        "  --append-entries N      most entries in one message (1024)\n"
        "  --inflight N            most messages under way to one member (256)\n"
        "  --forward               pass writes on to the leader instead of answering -MOVED\n"
        "  --recover-prefix        at damage in the log go on with what is before it\n"
        "bottlenecks, the slow one first:\n"
        "  --recover entry|block|stream   --wal-sync each|group   --batch-size scan|cached\n"
        "  --row-lock list|hash   --store-lock global|sharded   --value-alloc malloc|pool\n";

enum option_key {
	OPT_ID = 1,
	OPT_DATA,
	OPT_LISTEN,
	OPT_PEERS,
	OPT_NET_THREADS,
	OPT_ELECTION_MS,
	OPT_MAX_CLIENTS,
	OPT_SEGMENT_BYTES,
	OPT_SNAPSHOT_ENTRIES,
	OPT_LARGE_VALUE,
	OPT_BATCH_BYTES,
	OPT_APPEND_ENTRIES,
	OPT_INFLIGHT,
	OPT_FORWARD,
	OPT_RECOVER_PREFIX,
	OPT_RECOVER,
	OPT_WAL_SYNC,
	OPT_BATCH_SIZE,
	OPT_ROW_LOCK,
	OPT_STORE_LOCK,
	OPT_VALUE_ALLOC,
	OPT_HELP
};

static const struct option options[] = {{"id", 1, NULL, OPT_ID}, {"data", 1, NULL, OPT_DATA},
        {"listen", 1, NULL, OPT_LISTEN}, {"peers", 1, NULL, OPT_PEERS},
        {"net-threads", 1, NULL, OPT_NET_THREADS}, {"election-ms", 1, NULL, OPT_ELECTION_MS},
        {"max-clients", 1, NULL, OPT_MAX_CLIENTS}, {"segment-bytes", 1, NULL, OPT_SEGMENT_BYTES},
        {"snapshot-entries", 1, NULL, OPT_SNAPSHOT_ENTRIES},
        {"large-value", 1, NULL, OPT_LARGE_VALUE}, {"batch-bytes", 1, NULL, OPT_BATCH_BYTES},
        {"append-entries", 1, NULL, OPT_APPEND_ENTRIES}, {"inflight", 1, NULL, OPT_INFLIGHT},
        {"forward", 0, NULL, OPT_FORWARD}, {"recover-prefix", 0, NULL, OPT_RECOVER_PREFIX},
        {"recover", 1, NULL, OPT_RECOVER}, {"wal-sync", 1, NULL, OPT_WAL_SYNC},
        {"batch-size", 1, NULL, OPT_BATCH_SIZE}, {"row-lock", 1, NULL, OPT_ROW_LOCK},
        {"store-lock", 1, NULL, OPT_STORE_LOCK}, {"value-alloc", 1, NULL, OPT_VALUE_ALLOC},
        {"help", 0, NULL, OPT_HELP}, {0}};

static _Noreturn void misused(const char *what, const char *value)
{
	fprintf(stderr, "kvnode: %s: %s\n%s", what, value, usage);
	exit(2);
}

static uint64_t number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < low || value > high)
		misused("not a number that fits", text);
	return value;
}

/* Which of the words it is. */
static int choose(const char *text, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	misused("unknown choice", text);
}

static struct kv_address address(const char *text, size_t size)
{
	struct kv_address address = {0};
	const char *colon = memrchr(text, ':', size);
	size_t host = colon ? (size_t)(colon - text) : 0;
	char port[8] = "";

	if (!host || host >= sizeof(address.host) || size - host - 1 >= sizeof(port))
		misused("not HOST:PORT", text);
	memcpy(address.host, text, host);
	memcpy(port, colon + 1, size - host - 1);
	address.port = number(port, 1, 65535);
	return address;
}

static void parse_peers(struct kv_options *o, const char *text)
{
	while (*text) {
		const char *equals = strchr(text, '='), *end = strchrnul(text, ',');
		char id[24] = "";

		if (!equals || equals > end || equals - text >= (ptrdiff_t)sizeof(id) ||
		        o->n_members == RAFT_MAX_MEMBERS)
			misused("--peers", text);
		memcpy(id, text, equals - text);
		o->members[o->n_members] = number(id, 1, INT64_MAX);
		o->addresses[o->n_members++] = address(equals + 1, end - equals - 1);
		text = *end ? end + 1 : end;
	}
}

static void parse_bottleneck(struct kv_options *o, int key, const char *text)
{
	static const char *const recover[] = {"stream", "block", "entry", NULL};
	static const char *const sync[] = {"group", "each", NULL};
	static const char *const batch[] = {"cached", "scan", NULL};
	static const char *const row[] = {"hash", "list", NULL};
	static const char *const store[] = {"sharded", "global", NULL};
	static const char *const alloc[] = {"pool", "malloc", NULL};

	if (key == OPT_RECOVER)
		o->recover = choose(text, recover);
	else if (key == OPT_WAL_SYNC)
		o->sync_each = choose(text, sync);
	else if (key == OPT_BATCH_SIZE)
		o->scan_batch = choose(text, batch);
	else if (key == OPT_ROW_LOCK)
		o->list_locks = choose(text, row);
	else if (key == OPT_STORE_LOCK)
		o->global_lock = choose(text, store);
	else
		o->malloc_reads = choose(text, alloc);
}

static void parse_option(struct kv_options *o, int key, const char *text)
{
	switch (key) {
	case OPT_ID:
		o->id = number(text, 1, INT64_MAX);
		break;
	case OPT_DATA:
		o->data = text;
		break;
	case OPT_LISTEN:
		o->listen = address(text, strlen(text));
		break;
	case OPT_PEERS:
		parse_peers(o, text);
		break;
	case OPT_NET_THREADS:
		o->net_threads = number(text, 1, KV_MAX_NET_THREADS);
		break;
	case OPT_ELECTION_MS:
		o->election_ms = number(text, 10, 1000000);
		break;
	case OPT_MAX_CLIENTS:
		o->max_clients = number(text, 1, 1000000);
		break;
	case OPT_SEGMENT_BYTES:
		o->segment_bytes = number(text, 4096, 1ull << 40);
		break;
	case OPT_SNAPSHOT_ENTRIES:
		o->snapshot_entries = number(text, 1, 1ull << 40);
		break;
	case OPT_LARGE_VALUE:
		o->large_value = number(text, 0, KV_MAX_VALUE);
		break;
	case OPT_BATCH_BYTES:
		o->batch_bytes = number(text, 1, 64 << 20);
		break;
	case OPT_APPEND_ENTRIES:
		o->append_entries = number(text, 1, 65536);
		break;
	case OPT_INFLIGHT:
		o->inflight = number(text, 1, 65536);
		break;
	case OPT_FORWARD:
		o->forward = true;
		break;
	case OPT_RECOVER_PREFIX:
		o->intact_prefix = true;
		break;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	case '?':
		fputs(usage, stderr);
		exit(2);
	default:
		parse_bottleneck(o, key, text);
	}
}

static void parse_options(struct kv_options *o, int argc, char **argv)
{
	int key;

	*o = (struct kv_options){.net_threads = 2,
	        .election_ms = 1000,
	        .max_clients = 10000,
	        .segment_bytes = 64 << 20,
	        .snapshot_entries = 200000,
	        .large_value = 4096,
	        .batch_bytes = 1 << 20,
	        .append_entries = 1024,
	        .inflight = 256};
	while ((key = getopt_long(argc, argv, "", options, NULL)) >= 0)
		parse_option(o, key, optarg);
	if (optind < argc)
		misused("not an option", argv[optind]);
	if (!o->id || !o->data || !o->listen.port || !o->n_members)
		misused("--id, --data, --listen and --peers are needed", "");
	for (size_t i = 0; i < o->n_members; i++)
		if (o->members[i] == o->id)
			return;
	misused("--peers does not name this node", "");
}

/* Two nodes on one directory would destroy it. */
static void take_directory(const char *path)
{
	char lock[PATH_MAX];
	int fd;

	if (mkdir(path, 0700) && errno != EEXIST)
		misused(path, strerror(errno));
	snprintf(lock, sizeof(lock), "%s/lock", path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		fprintf(stderr, "kvnode: %s: in use, or %s\n", path, strerror(errno));
		exit(1);
	}
}

/* Clients need descriptors. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void start(pthread_t *thread, void *(*run)(void *), void *context)
{
	if (pthread_create(thread, NULL, run, context))
		kv_out_of_memory();
}

static int start_node(struct kv_node *node, struct ptf_error *err)
{
	pthread_mutex_init(&node->status_mutex, NULL);
	node->locks = kv_lock_table_create(node->options.list_locks, kv_net_granted, node);
	kv_mailbox_init(&node->apply_mailbox, NULL);
	kv_mailbox_init(&node->compact_mailbox, NULL);
	kv_mailbox_init(&node->raft_mailbox, &node->raft_async);
	if (uv_loop_init(&node->raft_loop) || pipe2(node->stop_pipe, O_CLOEXEC))
		return ptf_error_set_errno(err, errno, "starting");
	for (unsigned i = 0; i < node->options.net_threads; i++)
		if (kv_net_init(&node->nets[i], node, i + 1))
			return ptf_error_set(err, PTF_EIO, "starting an event loop");
	if (kv_recover_node(node, err) || kv_net_listen(&node->nets[0], err))
		return -err->code;
	start(&node->apply_thread, kv_apply_run, node);
	start(&node->compact_thread, kv_compact_run, node);
	start(&node->raft_thread, kv_raft_run, node);
	for (unsigned i = 0; i < node->options.net_threads; i++)
		start(&node->nets[i].thread, kv_net_run, &node->nets[i]);
	return 0;
}

/* Waits for a signal or a failure; the status to exit with. */
static int wait_for_end(struct kv_node *node, int signals)
{
	struct pollfd fds[] = {
	        {.fd = signals, .events = POLLIN}, {.fd = node->stop_pipe[0], .events = POLLIN}};
	uint8_t failure = 0;

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (fds[1].revents && read(node->stop_pipe[0], &failure, 1) != 1)
		failure = 1;
	return failure;
}

/* In the order in which work flows, so that each thread finds the next one still there. */
static void stop_node(struct kv_node *node)
{
	for (unsigned i = 0; i < node->options.net_threads; i++)
		kv_mailbox_note(&node->nets[i].mailbox, KV_EVENT_STOP, 0, -1);
	for (unsigned i = 0; i < node->options.net_threads; i++)
		pthread_join(node->nets[i].thread, NULL);
	kv_mailbox_note(&node->raft_mailbox, KV_EVENT_STOP, 0, -1);
	pthread_join(node->raft_thread, NULL);
	kv_mailbox_note(&node->apply_mailbox, KV_EVENT_STOP, 0, -1);
	pthread_join(node->apply_thread, NULL);
	kv_mailbox_note(&node->compact_mailbox, KV_EVENT_STOP, 0, -1);
	pthread_join(node->compact_thread, NULL);
	kv_wal_destroy(node->wal); /* writes what is queued */
}

int main(int argc, char **argv)
{
	static struct kv_node node; /* zeroed, and too large for a stack */
	struct ptf_error err = {0};
	sigset_t set;
	int signals, failure;

	parse_options(&node.options, argc, argv);
	take_directory(node.options.data);
	raise_limits();
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (start_node(&node, &err)) {
		fprintf(stderr, "kvnode: %s\n", err.msg);
		return 1;
	}
	fprintf(stderr, "kvnode: node %" PRIu64 " on %s:%u, process %d\n", node.options.id,
	        node.options.listen.host, node.options.listen.port, (int)getpid());
	failure = wait_for_end(&node, signals);
	if (failure)
		_exit(1); /* as in a crash: what is not durable was not acknowledged */
	stop_node(&node);
	return 0;
}
