/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kv-net-N: client connections. Replies go out in the order of the commands. A connection's
 * pipelined commands run together only as long as they are of one kind; a read behind a write
 * waits for it, so that a client sees its own writes in order.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "node/kv_node.h"

#define MAX_PIPELINE 4096
#define MAX_OUTPUT (256u << 20)

struct kv_connection {
	struct kv_net *net;
	uv_tcp_t tcp;
	struct kv_buffer in;
	size_t parsed;                    /* bytes at the start of `in` that are done */
	struct kv_request *first, **last; /* not yet replied to, in order */
	unsigned n_requests, n_away;      /* in the list; of these not in this thread's hands */
	enum kv_request_kind away_kind;   /* what kind those are */
	uint64_t owner;                   /* of locks, 0: never asked for any */
	bool reading, closing, closed, quit, in_flush;
	struct kv_connection *next, **link, *next_flush;
};

struct output {
	uv_write_t write;
	struct kv_buffer bytes;
	struct kv_connection *connection;
};

void kv_request_free(struct kv_request *request)
{
	raft_payload_unref(request->payload);
	ptf_vec_release(&request->bytes);
	ptf_vec_release(&request->args);
	ptf_vec_release(&request->reply);
	free(request);
}

void kv_request_finish(struct kv_node *node, struct kv_request *request)
{
	request->answered = true;
	kv_mailbox_push(
	        request->net ? &request->net->mailbox : &node->raft_mailbox, &request->event);
}

static void free_if_unused(struct kv_connection *c)
{
	struct kv_request *request;

	if (!c->closed || c->n_away)
		return;
	while ((request = c->first)) {
		c->first = request->next;
		kv_request_free(request);
	}
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	ptf_vec_release(&c->in);
	atomic_fetch_sub(&c->net->node->n_clients, 1);
	free(c);
}

static void on_closed(uv_handle_t *handle)
{
	struct kv_connection *c = handle->data;

	c->closed = true;
	if (!c->in_flush)
		free_if_unused(c);
}

static void close_connection(struct kv_connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	/* A request that waited for a lock does not come back any more. */
	if (c->owner && kv_lock_table_release_owner(c->net->node->locks, c->owner))
		c->n_away--;
	uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_output_written(uv_write_t *write, int status)
{
	struct output *output = write->data;

	if (status)
		close_connection(output->connection);
	ptf_vec_release(&output->bytes);
	free(output);
}

static void want_flush(struct kv_connection *c)
{
	if (c->in_flush)
		return;
	c->in_flush = true;
	c->next_flush = c->net->flush;
	c->net->flush = c;
}

/* Collects the replies that are next in order. */
static void take_replies(struct kv_connection *c, struct kv_buffer *out)
{
	while (c->first && c->first->done) {
		struct kv_request *request = c->first;

		kv_buffer_add(out, request->reply.v, request->reply.n);
		c->first = request->next;
		if (!c->first)
			c->last = &c->first;
		c->n_requests--;
		kv_request_free(request);
	}
}

static void write_replies(struct kv_connection *c)
{
	struct output *output = kv_alloc(sizeof(*output));
	uv_buf_t buf;

	take_replies(c, &output->bytes);
	output->write.data = output;
	output->connection = c;
	buf = uv_buf_init((char *)output->bytes.v, output->bytes.n);
	if (!output->bytes.n || c->closing ||
	        uv_write(&output->write, (uv_stream_t *)&c->tcp, &buf, 1, on_output_written)) {
		ptf_vec_release(&output->bytes);
		free(output);
	}
	if (c->quit && !c->first)
		close_connection(c);
	else if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > MAX_OUTPUT)
		close_connection(c); /* it does not read what it asks for */
}

static void send_away(struct kv_connection *c, struct kv_request *request)
{
	c->n_away++;
	c->away_kind = request->kind;
	kv_vec_push(&c->net->outbox, request);
}

/* Makes a request of the parsed command. */
static void begin_request(struct kv_connection *c, const struct kv_args *args)
{
	struct kv_request *request = kv_alloc(sizeof(*request));

	request->event.type = KV_EVENT_REQUEST;
	request->connection = c;
	request->net = c->net;
	kv_vec_reserve(&request->args, args->n);
	ptf_vec_foreach (arg, args)
		kv_vec_push(&request->args, *arg);
	*c->last = request;
	c->last = &request->next;
	c->n_requests++;
	atomic_fetch_add_explicit(&c->net->node->commands, 1, memory_order_relaxed);
	kv_command_begin(c->net->node, request);
}

/* Is this command of another kind than those under way? Then it has to wait. */
static bool must_wait(const struct kv_connection *c, const struct kv_request *request)
{
	return c->n_away && (request->kind != c->away_kind || request->kind == KV_REQUEST_LOCK);
}

/* The last request of the list turned out to have to wait: it is parsed again later. */
static void take_back(struct kv_connection *c, struct kv_request *request)
{
	struct kv_request **at = &c->first;

	while (*at != request)
		at = &(*at)->next;
	*at = NULL;
	c->last = at;
	c->n_requests--;
	kv_request_free(request);
}

/* The arguments must outlive the input. */
static void keep_args(struct kv_request *request)
{
	size_t at = 0;

	ptf_vec_foreach (arg, &request->args)
		kv_buffer_add(&request->bytes, arg->bytes, arg->size);
	ptf_vec_foreach (arg, &request->args) {
		arg->bytes = request->bytes.v + at;
		at += arg->size;
	}
}

/* Handles one parsed command; false when it has to wait for earlier ones. */
static bool handle_command(struct kv_connection *c, const struct kv_args *args)
{
	struct kv_request **at = c->last, *request;

	begin_request(c, args);
	request = *at;
	if (request->kind == KV_REQUEST_LOCAL || request->done) {
		request->done = true;
		want_flush(c);
		return true;
	}
	if (must_wait(c, request)) {
		take_back(c, request);
		return false;
	}
	if (request->kind != KV_REQUEST_WRITE)
		keep_args(request);
	send_away(c, request);
	return true;
}

static void stop_for_bad_protocol(struct kv_connection *c, const char *why)
{
	struct kv_request *request = kv_alloc(sizeof(*request));
	char text[128];

	snprintf(text, sizeof(text), "Protocol error: %s", why);
	kv_resp_error(&request->reply, "ERR", text);
	request->done = true;
	*c->last = request;
	c->last = &request->next;
	c->n_requests++;
	c->quit = true;
	want_flush(c);
}

/* Runs what the input holds, as far as order and limits allow. */
static void run_input(struct kv_connection *c)
{
	struct kv_args args = {0};
	const char *why = NULL;
	bool go_on = true;
	size_t used;

	while (go_on && !c->closing && !c->quit && c->n_requests < MAX_PIPELINE) {
		enum kv_resp_status status =
		        kv_resp_parse(c->in.v + c->parsed, c->in.n - c->parsed, &args, &used, &why);

		if (status == KV_RESP_BAD)
			stop_for_bad_protocol(c, why);
		go_on = status == KV_RESP_COMMAND && (!args.n || handle_command(c, &args));
		if (go_on)
			c->parsed += used;
	}
	ptf_vec_release(&args);
	if (c->parsed == c->in.n) {
		c->parsed = c->in.n = 0;
	} else if (c->parsed > 1 << 16 && c->parsed > c->in.n / 2) {
		c->in.n -= c->parsed;
		memmove(c->in.v, c->in.v + c->parsed, c->in.n);
		c->parsed = 0;
	}
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct kv_connection *c = handle->data;

	kv_vec_reserve(&c->in, 16384);
	*buf = uv_buf_init((char *)c->in.v + c->in.n, c->in.cap - c->in.n);
}

static void end_turn(struct kv_net *net);

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct kv_connection *c = stream->data;
	struct kv_net *net = c->net;

	if (n < 0) {
		close_connection(c);
	} else if (n > 0) {
		c->in.n += n;
		run_input(c);
		/* Much input that may not run yet: the client waits. */
		if (c->reading && c->in.n - c->parsed > KV_RESP_MAX_REQUEST * 2) {
			uv_read_stop(stream);
			c->reading = false;
		}
	}
	end_turn(net);
}

/* Sends what was gathered during a turn of the loop. */
static void end_turn(struct kv_net *net)
{
	ptf_vec_foreach (request, &net->outbox)
		kv_mailbox_push(&net->node->raft_mailbox, &(*request)->event);
	net->outbox.n = 0;
	while (net->flush) {
		struct kv_connection *c = net->flush;

		net->flush = c->next_flush;
		c->in_flush = false;
		write_replies(c);
		if (c->closed)
			free_if_unused(c);
	}
}

static void adopt(struct kv_net *net, int fd)
{
	struct kv_connection *c = kv_alloc(sizeof(*c));

	c->net = net;
	c->last = &c->first;
	c->next = net->connections;
	c->link = &net->connections;
	if (c->next)
		c->next->link = &c->next;
	net->connections = c;
	uv_tcp_init(&net->loop, &c->tcp);
	c->tcp.data = c;
	if (uv_tcp_open(&c->tcp, fd)) {
		close(fd);
		close_connection(c);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	c->reading = true;
	uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read);
}

/* A request came back with its reply, or with leave to read. */
static void take_request(struct kv_net *net, struct kv_request *request)
{
	struct kv_connection *c = request->connection;

	if (request->confirmed && !c->closing) {
		request->confirmed = false;
		if (!kv_command_read(net->node, request))
			return; /* it waits for a lock, and is still away */
	}
	request->done = true;
	c->n_away--;
	if (c->closing) {
		if (!c->in_flush)
			free_if_unused(c);
		return;
	}
	want_flush(c);
	run_input(c);
	if (!c->reading && !c->closing) {
		c->reading = true;
		uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read);
	}
}

static void drop_lock_users(struct kv_net *net)
{
	for (struct kv_connection *c = net->connections; c; c = c->next)
		if (c->owner)
			close_connection(c);
}

static void close_all(struct kv_net *net)
{
	for (struct kv_connection *c = net->connections; c; c = c->next)
		close_connection(c);
	uv_stop(&net->loop);
}

static void on_mailbox(uv_async_t *async)
{
	struct kv_net *net = async->data;
	struct kv_events events = kv_mailbox_take(&net->mailbox);

	ptf_vec_foreach (event, &events) {
		struct kv_note *note = (struct kv_note *)*event;

		if ((*event)->type == KV_EVENT_REQUEST) {
			take_request(net, (struct kv_request *)*event);
			continue;
		}
		if ((*event)->type == KV_EVENT_SOCKET)
			adopt(net, note->fd);
		else if ((*event)->type == KV_EVENT_DROP_LOCKS)
			drop_lock_users(net);
		else
			close_all(net);
		free(note);
	}
	ptf_vec_release(&events);
	end_turn(net);
}

/* --- locks --- */

uint64_t kv_connection_owner(struct kv_connection *connection)
{
	struct kv_net *net = connection->net;

	if (!connection->owner)
		connection->owner = ++net->last_owner * KV_MAX_NET_THREADS + net->number - 1;
	return connection->owner;
}

void kv_net_granted(void *node, uint64_t owner, void *context)
{
	struct kv_request *request = context;

	kv_resp_simple(&request->reply, "OK");
	request->answered = true;
	kv_mailbox_push(&request->net->mailbox, &request->event);
}

void kv_connection_quit(struct kv_connection *connection)
{
	connection->quit = true;
}

/* --- members --- */

void kv_connection_becomes_member(struct kv_connection *c, uint64_t id)
{
	static const char greeting[] = "+OK\r\n";
	uv_os_fd_t fd;
	int copy = -1;

	if (!uv_fileno((uv_handle_t *)&c->tcp, &fd))
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* The member sends nothing before it has this. */
	uv_read_stop((uv_stream_t *)&c->tcp);
	if (copy >= 0 && write(copy, greeting, sizeof(greeting) - 1) == sizeof(greeting) - 1)
		kv_mailbox_note(&c->net->node->raft_mailbox, KV_EVENT_SOCKET, id, copy);
	else if (copy >= 0)
		close(copy);
	close_connection(c);
}

/* --- the thread --- */

static void on_connection(uv_stream_t *server, int status)
{
	struct kv_net *net = server->data;
	struct kv_node *node = net->node;
	static unsigned next;
	uv_tcp_t *tcp;
	uv_os_fd_t fd;
	int copy = -1;

	if (status)
		return;
	/* Accepted here, then given to the threads in turn. */
	tcp = kv_alloc(sizeof(*tcp));
	uv_tcp_init(&net->loop, tcp);
	if (!uv_accept(server, (uv_stream_t *)tcp) && !uv_fileno((uv_handle_t *)tcp, &fd) &&
	        atomic_load(&node->n_clients) < node->options.max_clients)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
	if (copy < 0)
		return;
	atomic_fetch_add(&node->n_clients, 1);
	kv_mailbox_note(
	        &node->nets[next++ % node->options.net_threads].mailbox, KV_EVENT_SOCKET, 0, copy);
}

int kv_net_init(struct kv_net *net, struct kv_node *node, unsigned number)
{
	net->node = node;
	net->number = number;
	if (uv_loop_init(&net->loop) || uv_async_init(&net->loop, &net->async, on_mailbox))
		return -1;
	net->async.data = net;
	kv_mailbox_init(&net->mailbox, &net->async);
	return 0;
}

static uv_tcp_t listener;

int kv_net_listen(struct kv_net *net, struct ptf_error *err)
{
	const struct kv_address *address = &net->node->options.listen;
	struct sockaddr_storage at;
	int status;

	if (uv_ip4_addr(address->host, address->port, (struct sockaddr_in *)&at) &&
	        uv_ip6_addr(address->host, address->port, (struct sockaddr_in6 *)&at))
		return ptf_error_set(
		        err, PTF_EINVAL, "--listen %s: not an IP address", address->host);
	uv_tcp_init(&net->loop, &listener);
	listener.data = net;
	status = uv_tcp_bind(&listener, (struct sockaddr *)&at, 0);
	if (!status)
		status = uv_listen((uv_stream_t *)&listener, 1024, on_connection);
	if (status)
		return ptf_error_set(err, PTF_EIO, "listening on %s:%u: %s", address->host,
		        address->port, uv_strerror(status));
	return 0;
}

void *kv_net_run(void *context)
{
	struct kv_net *net = context;
	char name[16];

	snprintf(name, sizeof(name), "kv-net-%u", net->number);
	pthread_setname_np(pthread_self(), name);
	uv_async_send(&net->async); /* for what came before */
	uv_run(&net->loop, UV_RUN_DEFAULT);
	ptf_vec_release(&net->pool);
	return NULL;
}
