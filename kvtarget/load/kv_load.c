/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvload: loads a cluster and measures it, or checks it. Each connection is a client of its own
 * that follows the leader. With --verify every write has a value of its own, the history of each
 * key is checked for linearizability, and at the end every key is read once more.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/hash_map.h"
#include "common/kv_buffer.h"
#include "common/kv_history.h"

#define MAX_NODES 16
#define TIMEOUT_MS 2000
#define HISTOGRAM_SIZE 1024 /* 16 steps for each power of two of microseconds */

enum mix { MIX_PUT, MIX_MIXED, MIX_READ, MIX_HOTKEY };

static const char *const mixes[] = {"put", "mixed", "read", "hotkey", NULL};

static struct {
	char *nodes[MAX_NODES]; /* HOST:PORT */
	unsigned n_nodes, threads, pipeline;
	uint64_t ops, duration, value_size, keys, seed, interval_us;
	enum mix mix;
	bool verify, quiet;
} o = {.threads = 16, .pipeline = 1, .value_size = 100, .keys = 100000, .seed = 1};

static atomic_uint_fast64_t n_done, n_failed, n_started;
static uint64_t began, ends; /* ns */

struct op {
	uint64_t key, value, start;
	bool write;
};

struct client {
	pthread_t thread;
	unsigned number;
	unsigned node; /* index of the one it talks to */
	int fd;
	uint64_t random, last_value;
	struct kv_buffer out, in;
	size_t in_at; /* parsed bytes of `in` */
	uint64_t histogram[HISTOGRAM_SIZE];
	struct kv_history history;
	struct op *ops; /* of a pipeline */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t draw(struct client *c, uint64_t below)
{
	c->random += 0x9e3779b97f4a7c15;
	return ptf_hash_u64(c->random) % below;
}

/* --- latency --- */

static unsigned slot_of(uint64_t us)
{
	unsigned power = us < 16 ? 0 : 60 - __builtin_clzll(us);
	unsigned slot = us < 16 ? us : power * 16 + (us >> power);

	return slot < HISTOGRAM_SIZE ? slot : HISTOGRAM_SIZE - 1;
}

/* The upper end of a slot, us. */
static uint64_t slot_end(unsigned slot)
{
	return slot < 32 ? slot + 1 : ((slot % 16 + 17ull) << (slot / 16 - 1));
}

static double percentile(const uint64_t *histogram, uint64_t total, double p)
{
	uint64_t want = total * p, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += histogram[i];
		if (seen > want)
			return slot_end(i) / 1e3;
	}
	return 0;
}

/* --- the connection --- */

static void disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->in.n = c->in_at = c->out.n = 0;
}

static void release_client(struct client *c)
{
	disconnect(c);
	ptf_vec_release(&c->in);
	ptf_vec_release(&c->out);
	ptf_vec_release(&c->history);
}

static bool wait_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof(error);

	return poll(&p, 1, TIMEOUT_MS) == 1 &&
	       !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) && !error;
}

static bool connect_to(struct client *c, const char *node)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	const char *colon = strrchr(node, ':');
	char host[256];
	int one = 1;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - node), node);
	if (getaddrinfo(host, colon + 1, &hints, &found))
		return false;
	c->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(c->fd, found->ai_addr, found->ai_addrlen) && errno != EINPROGRESS)
		disconnect(c);
	freeaddrinfo(found);
	if (c->fd >= 0 && !wait_connected(c->fd))
		disconnect(c);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return true;
}

static bool send_all(struct client *c)
{
	size_t done = 0;

	while (done < c->out.n) {
		struct pollfd p = {.fd = c->fd, .events = POLLOUT};
		ssize_t n = send(c->fd, c->out.v + done, c->out.n - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && poll(&p, 1, TIMEOUT_MS) == 1)
			continue;
		if (n <= 0)
			return false;
		done += n;
	}
	c->out.n = 0;
	return true;
}

/* More input within the time; false: it is broken. */
static bool receive(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	ssize_t n;

	if (c->in_at == c->in.n)
		c->in_at = c->in.n = 0;
	kv_vec_reserve(&c->in, 65536);
	if (poll(&p, 1, TIMEOUT_MS) != 1)
		return false;
	n = recv(c->fd, c->in.v + c->in.n, c->in.cap - c->in.n, 0);
	if (n > 0)
		c->in.n += n;
	return n > 0;
}

/* The next line of the replies, without its line break; valid until more is received. False: the
 * connection is broken. */
static bool next_line(struct client *c, struct kv_slice *line)
{
	uint8_t *end = NULL;

	for (;;) {
		if (c->in.n > c->in_at)
			end = memchr(c->in.v + c->in_at, '\n', c->in.n - c->in_at);
		if (end)
			break;
		if (!receive(c))
			return false;
	}
	line->bytes = c->in.v + c->in_at;
	line->size = end - line->bytes;
	if (line->size && line->bytes[line->size - 1] == '\r')
		line->size--;
	c->in_at = end + 1 - c->in.v;
	return true;
}

struct reply {
	char type;      /* first byte; 0: the connection is broken */
	char text[256]; /* of an error or status */
	uint64_t value; /* the number at the start of a bulk string, 0: there is none */
};

static void read_reply(struct client *c, struct reply *reply)
{
	struct kv_slice line;
	int64_t size;

	*reply = (struct reply){0};
	if (!next_line(c, &line) || !line.size)
		return;
	snprintf(reply->text, sizeof(reply->text), "%.*s", (int)line.size - 1, line.bytes + 1);
	reply->type = line.bytes[0];
	if (reply->type != '$')
		return;
	size = strtoll(reply->text, NULL, 10);
	while (size >= 0 && c->in.n - c->in_at < (size_t)size + 2)
		if (!receive(c)) {
			reply->type = 0;
			return;
		}
	if (size < 0)
		return;
	reply->value = strtoull((const char *)c->in.v + c->in_at, NULL, 10);
	c->in_at += size + 2;
}

/* --- commands --- */

static void add_bulk(struct kv_buffer *out, const void *bytes, size_t size)
{
	char head[32];

	kv_buffer_add(out, head, snprintf(head, sizeof(head), "$%zu\r\n", size));
	kv_buffer_add(out, bytes, size);
	kv_buffer_add(out, "\r\n", 2);
}

static int key_name(char name[64], uint64_t key)
{
	return snprintf(name, 64, "k%" PRIu64 ":%012" PRIu64, o.verify ? o.seed : 0, key);
}

static void add_command(struct client *c, const char *command, uint64_t key, uint64_t value)
{
	size_t size = o.value_size < 20 ? 20 : o.value_size;
	char name[64], head[32];
	uint8_t *at;

	kv_buffer_add(&c->out, head, snprintf(head, sizeof(head), "*%d\r\n", value ? 3 : 2));
	add_bulk(&c->out, command, strlen(command));
	add_bulk(&c->out, name, key_name(name, key));
	if (!value)
		return;
	kv_buffer_add(&c->out, head, snprintf(head, sizeof(head), "$%zu\r\n", size));
	at = kv_buffer_extend(&c->out, size + 2);
	memset(at, 'x', size);
	snprintf(head, sizeof(head), "%020" PRIu64, value);
	memcpy(at, head, 20);
	memcpy(at + size, "\r\n", 2);
}

static void record(struct client *c, const struct op *op, uint64_t value, uint64_t end)
{
	if (o.verify)
		kv_vec_push(&c->history, (struct kv_history_op){.key = op->key,
		                                 .value = value,
		                                 .start = op->start,
		                                 .end = end,
		                                 .write = op->write});
}

/* Talks to another node from now on: the one that the error names, or the next. */
static void follow(struct client *c, const char *moved)
{
	c->node = (c->node + 1) % o.n_nodes;
	for (unsigned i = 0; moved && i < o.n_nodes; i++)
		if (!strcmp(strrchr(moved, ' ') + 1, o.nodes[i]))
			c->node = i;
	disconnect(c);
}

/* What an error says: was the command not done for sure? */
static bool was_refused(const struct reply *reply)
{
	return !strncmp(reply->text, "MOVED ", 6) || !strncmp(reply->text, "CLUSTERDOWN", 11);
}

static void take_reply(
        struct client *c, const struct op *op, bool *broken, const char **moved, char text[256])
{
	struct reply reply = {0};
	uint64_t end;

	if (!*broken)
		read_reply(c, &reply);
	end = now_ns();
	if (!reply.type || reply.type == '-') {
		atomic_fetch_add(&n_failed, 1);
		if (op->write && !(reply.type && was_refused(&reply)))
			record(c, op, op->value, KV_HISTORY_NEVER);
		if (reply.type && !strncmp(reply.text, "MOVED ", 6))
			*moved = strcpy(text, reply.text);
		*broken = true; /* what is behind it has an unknown outcome */
		return;
	}
	record(c, op, op->write ? op->value : reply.value, end);
	c->histogram[slot_of((end - op->start) / 1000)]++;
	atomic_fetch_add(&n_done, 1);
}

static struct op make_op(struct client *c)
{
	struct op op = {.key = draw(c, o.keys),
	        .write = o.mix == MIX_PUT || (o.mix == MIX_MIXED && draw(c, 2))};

	if (o.mix == MIX_HOTKEY) {
		op.key = 0;
		op.write = true;
	}
	if (op.write)
		op.value = ((uint64_t)c->number << 40) + ++c->last_value;
	return op;
}

/* Sends a pipeline of operations and takes the replies. Between those of the hot row's mix stand
 * LOCK and UNLOCK, whose replies are looked at only for errors. */
static void run_batch(struct client *c, unsigned n)
{
	bool lock = o.mix == MIX_HOTKEY, broken = false;
	const char *moved = NULL;
	struct reply reply;
	char text[256];
	struct op *ops = c->ops;

	for (unsigned i = 0; i < n; i++) {
		ops[i] = make_op(c);
		if (lock)
			add_command(c, "LOCK", 0, 0);
		add_command(c, ops[i].write ? "SET" : "GET", ops[i].key, ops[i].value);
		if (lock)
			add_command(c, "UNLOCK", 0, 0);
		ops[i].start = now_ns();
	}
	broken = !send_all(c);
	for (unsigned i = 0; i < n; i++) {
		if (lock && !broken) {
			read_reply(c, &reply);
			broken = reply.type != '+';
			if (!strncmp(reply.text, "MOVED ", 6))
				moved = strcpy(text, reply.text);
		}
		take_reply(c, &ops[i], &broken, &moved, text);
		if (lock && !broken) {
			read_reply(c, &reply);
			broken = reply.type != '+';
		}
	}
	if (broken)
		follow(c, moved);
}

static bool finished(void)
{
	return o.ops ? atomic_load(&n_started) >= o.ops : now_ns() >= ends;
}

static void pause_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static void *run_client(void *context)
{
	struct client *c = context;

	while (!finished()) {
		if (c->fd < 0 && !connect_to(c, o.nodes[c->node])) {
			c->node = (c->node + 1) % o.n_nodes;
			pause_ms(50);
			continue;
		}
		atomic_fetch_add(&n_started, o.pipeline);
		run_batch(c, o.pipeline);
		if (c->fd < 0)
			pause_ms(20);
		if (o.interval_us)
			usleep(o.interval_us);
	}
	disconnect(c);
	return NULL;
}

/* --- at the end --- */

/* Reads a key until somebody answers; false after a minute without. */
static bool read_key(struct client *c, uint64_t key)
{
	uint64_t give_up = now_ns() + 60000000000ull;

	while (now_ns() < give_up) {
		struct op op = {.key = key, .start = now_ns()};
		struct reply reply = {0};

		if (c->fd >= 0 || connect_to(c, o.nodes[c->node])) {
			add_command(c, "GET", key, 0);
			if (send_all(c))
				read_reply(c, &reply);
		}
		if (reply.type == '$') {
			record(c, &op, reply.value, now_ns());
			return true;
		}
		follow(c, NULL);
		pause_ms(100);
	}
	return false;
}

static int verify(struct client *clients)
{
	struct client reader = {.fd = -1};
	struct kv_history all = {0};
	uint64_t unknown = 0;
	char why[256];
	bool good = true;

	for (uint64_t key = 0; key < o.keys && good; key++)
		good = read_key(&reader, key);
	if (!good) {
		puts("verify: the cluster does not answer");
		release_client(&reader);
		return 1;
	}
	for (unsigned i = 0; i <= o.threads; i++) {
		struct kv_history *history = i < o.threads ? &clients[i].history : &reader.history;

		ptf_vec_foreach (op, history) {
			kv_vec_push(&all, *op);
			unknown += op->end == KV_HISTORY_NEVER;
		}
	}
	release_client(&reader);
	good = kv_history_check(&all, why, sizeof(why));
	printf("verify: %zu operations (%" PRIu64 " of unknown outcome) on %" PRIu64
	       " keys: %s%s\n",
	        all.n, unknown, o.keys,
	        good ? "linearizable, nothing acknowledged is lost" : "WRONG: ", good ? "" : why);
	ptf_vec_release(&all);
	return !good;
}

static void print_summary(struct client *clients)
{
	uint64_t histogram[HISTOGRAM_SIZE] = {0}, total = 0;
	double seconds = (now_ns() - began) / 1e9;

	for (unsigned i = 0; i < o.threads; i++)
		for (unsigned j = 0; j < HISTOGRAM_SIZE; j++) {
			histogram[j] += clients[i].histogram[j];
			total += clients[i].histogram[j];
		}
	printf("%s: %" PRIu64 " operations in %.2f s: %.0f/s, %" PRIuFAST64 " failed\n",
	        mixes[o.mix], total, seconds, total / seconds, atomic_load(&n_failed));
	printf("latency ms: p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f\n",
	        percentile(histogram, total, .5), percentile(histogram, total, .9),
	        percentile(histogram, total, .99), percentile(histogram, total, .999),
	        percentile(histogram, total, 1 - 1e-12));
	fflush(stdout);
}

static void show_progress(void)
{
	uint64_t before = 0;

	while (!finished()) {
		uint64_t done;

		for (int i = 0; i < 20 && !finished(); i++)
			pause_ms(50);
		done = atomic_load(&n_done);
		if (!o.quiet)
			fprintf(stderr, "%4.0f s  %8" PRIu64 " op/s  %" PRIuFAST64 " failed\n",
			        (now_ns() - began) / 1e9, done - before, atomic_load(&n_failed));
		before = done;
	}
}

/* --- options --- */

static const char usage[] =
        "usage: kvload [options] HOST:PORT...\n"
        "  --threads N      connections (16)      --ops N | --duration SECONDS (10)\n"
        "  --mix put|mixed|read|hotkey (put)      --value-size N (100, at least 20)\n"
        "  --keys N (100000)  --pipeline N (1)    --interval-us N   pause between requests\n"
        "  --verify         check that what clients saw is linearizable and nothing is lost\n"
        "  --seed N         of the choices        --quiet           no progress lines\n";

static _Noreturn void misused(const char *what)
{
	fprintf(stderr, "kvload: %s\n%s", what, usage);
	exit(2);
}

static uint64_t number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < low || value > high)
		misused(text);
	return value;
}

static enum mix choose_mix(const char *text)
{
	for (int i = 0; mixes[i]; i++)
		if (!strcmp(text, mixes[i]))
			return i;
	misused(text);
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {{"threads", 1, NULL, 't'}, {"ops", 1, NULL, 'n'},
	        {"duration", 1, NULL, 'd'}, {"mix", 1, NULL, 'm'}, {"value-size", 1, NULL, 'v'},
	        {"keys", 1, NULL, 'k'}, {"pipeline", 1, NULL, 'p'}, {"verify", 0, NULL, 'c'},
	        {"seed", 1, NULL, 's'}, {"quiet", 0, NULL, 'q'}, {"interval-us", 1, NULL, 'i'},
	        {"help", 0, NULL, 'h'}, {0}};
	int key;

	while ((key = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (key) {
		case 't':
			o.threads = number(optarg, 1, 10000);
			break;
		case 'n':
			o.ops = number(optarg, 1, INT64_MAX);
			break;
		case 'd':
			o.duration = number(optarg, 1, 1000000);
			break;
		case 'm':
			o.mix = choose_mix(optarg);
			break;
		case 'v':
			o.value_size = number(optarg, 20, 16 << 20);
			break;
		case 'k':
			o.keys = number(optarg, 1, 1ull << 40);
			break;
		case 'p':
			o.pipeline = number(optarg, 1, 4096);
			break;
		case 'c':
			o.verify = true;
			break;
		case 's':
			o.seed = number(optarg, 0, INT64_MAX);
			break;
		case 'q':
			o.quiet = true;
			break;
		case 'i':
			o.interval_us = number(optarg, 0, 10000000);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			misused("");
		}
	}
	while (optind < argc && o.n_nodes < MAX_NODES) {
		if (!strchr(argv[optind], ':'))
			misused(argv[optind]);
		o.nodes[o.n_nodes++] = argv[optind++];
	}
	if (!o.n_nodes)
		misused("no node is named");
	if (!o.ops && !o.duration)
		o.duration = 10;
}

int main(int argc, char **argv)
{
	struct client *clients;
	int status = 0;

	parse_options(argc, argv);
	clients = kv_alloc(o.threads * sizeof(*clients));
	began = now_ns();
	ends = began + o.duration * 1000000000ull;
	for (unsigned i = 0; i < o.threads; i++) {
		clients[i].number = i + 1;
		clients[i].node = i % o.n_nodes;
		clients[i].fd = -1;
		clients[i].ops = kv_alloc(o.pipeline * sizeof(*clients[i].ops));
		clients[i].random = ptf_hash_u64(o.seed * 100003 + i);
		if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]))
			kv_out_of_memory();
	}
	show_progress();
	for (unsigned i = 0; i < o.threads; i++)
		pthread_join(clients[i].thread, NULL);
	print_summary(clients);
	if (o.verify)
		status = verify(clients);
	for (unsigned i = 0; i < o.threads; i++) {
		free(clients[i].ops);
		release_client(&clients[i]);
	}
	free(clients);
	return status;
}
