/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket. One helper thread accepts a client and does what it asks, another one sends
 * what the guest's threads hand to it, one message at a time, while they wait. Both have all
 * signals blocked, and a table of file descriptors of their own: the guest cannot see, use up or
 * close them, and they keep none of the guest's open.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SEND_BUFFER (4 << 20) /* wanted; the kernel gives what it allows */
#define LOSSY_BUFFERS 4       /* of a thread, that the socket holds in lossy mode */
#define WAIT_STEP_US 200
#define WAIT_EAGER_US 200000 /* a recorder comes soon, or a person starts it */
#define WAIT_LAZY_US 5000
#define END_WAIT_US 2000000 /* for a thread that makes no step */

static _Atomic int listen_fd = -1, client_fd = -1;
static pthread_mutex_t send_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_helper;

/* A message on its way to the sender. */
#define MESSAGE_PARTS 3
struct message {
	struct iovec parts[MESSAGE_PARTS];
	bool droppable; /* rather than wait for the client */
};

/* Where a guest's thread, which holds send_lock, leaves a message and waits. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t posted, done;
	struct message *message;
	bool sent;
} desk = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, false};

/* What the first helper reports when it has begun. */
static _Atomic int begun;
enum { BEGUN_NOT, BEGUN_WELL, BEGUN_BADLY };

static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];

/* The directory is ours alone, or there is no socket. */
static bool make_directory(void)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), PTF_SIM_SOCKET_DIR_FORMAT, getuid());
	(void)mkdir(path, 0700);
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid() &&
	       (st.st_mode & 077) == 0;
}

static int make_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(socket_path, sizeof(socket_path), PTF_SIM_SOCKET_FORMAT, getuid(), getpid());
	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	(void)unlink(socket_path);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	        chmod(socket_path, 0600) < 0 || listen(fd, 4) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Sends a message whole; false when it was dropped because it would have had to wait. */
static bool transmit(struct message *m)
{
	struct pollfd poller = {.fd = client_fd, .events = POLLOUT};
	struct msghdr message = {.msg_iov = m->parts, .msg_iovlen = MESSAGE_PARTS};

	/* Writable means that at most a quarter of the socket's buffer is in use. */
	if (m->droppable && poll(&poller, 1, 0) == 0)
		return false;
	while (message.msg_iovlen) {
		ssize_t n = sendmsg(client_fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) { /* the other helper sees it, too */
			shutdown(client_fd, SHUT_RDWR);
			break;
		}
		while (message.msg_iovlen && (size_t)n >= message.msg_iov->iov_len) {
			n -= (ssize_t)message.msg_iov->iov_len;
			message.msg_iov++;
			message.msg_iovlen--;
		}
		if (message.msg_iovlen) {
			message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + n;
			message.msg_iov->iov_len -= (size_t)n;
		}
	}
	return true;
}

static void *run_sender(void *unused)
{
	pthread_mutex_lock(&desk.lock);
	for (;;) {
		while (!desk.message)
			pthread_cond_wait(&desk.posted, &desk.lock);
		desk.sent = transmit(desk.message);
		desk.message = NULL;
		pthread_cond_signal(&desk.done);
	}
	return NULL;
}

static bool hand_over(struct message *m)
{
	bool sent;

	pthread_mutex_lock(&desk.lock);
	desk.message = m;
	pthread_cond_signal(&desk.posted);
	while (desk.message)
		pthread_cond_wait(&desk.done, &desk.lock);
	sent = desk.sent;
	pthread_mutex_unlock(&desk.lock);
	return sent;
}

static bool send_parts(enum ptf_sim_message type, const void *fixed, size_t fixed_size,
        const void *tail, size_t tail_size, bool droppable)
{
	struct ptf_sim_header header = {type, (uint32_t)(fixed_size + tail_size)};
	struct message m = {.parts = {{&header, sizeof(header)}, {(void *)fixed, fixed_size},
	                            {(void *)tail, tail_size}},
	        .droppable = droppable};
	bool sent = true;

	pthread_mutex_lock(&send_lock);
	if (client_fd >= 0)
		sent = is_helper ? transmit(&m) : hand_over(&m);
	pthread_mutex_unlock(&send_lock);
	return sent;
}

void sim_server_send(enum ptf_sim_message type, const void *fixed, size_t fixed_size,
        const void *tail, size_t tail_size)
{
	(void)send_parts(type, fixed, fixed_size, tail, tail_size, false);
}

bool sim_server_try_send(enum ptf_sim_message type, const void *fixed, size_t fixed_size,
        const void *tail, size_t tail_size)
{
	return send_parts(type, fixed, fixed_size, tail, tail_size, true);
}

static bool receive(int fd, void *out, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = recv(fd, (char *)out + done, size - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void send_hello(void)
{
	struct ptf_sim_hello hello = {.version = PTF_SIM_PROTOCOL_VERSION,
	        .clock = sim.clock,
	        .real_pid = sim.real_pid,
	        .pid = sim.pid,
	        .dilation = sim.dilation,
	        .waiting = sim.waiting};

	sim_server_send(PTF_SIM_HELLO, &hello, sizeof(hello), NULL, 0);
}

static void send_state(void)
{
	struct ptf_sim_task task = {.pid = sim.pid,
	        .tid = sim.pid,
	        .ppid = sim.ppid,
	        .ptid = sim.ppid,
	        .real_pid = sim.real_pid,
	        .real_tid = sim.real_pid};
	struct sim_thread *t;

	sim_server_send(PTF_SIM_PROCESS, &task, sizeof(task), NULL, 0);
	sim_maps_send_all();
	for (t = sim.threads; t; t = t->next) {
		t->acked = false;
		sim_thread_task(t, 0, &task);
		sim_server_send(PTF_SIM_THREAD, &task, sizeof(task), t->comm, strlen(t->comm) + 1);
	}
}

/* The socket's buffer is what decouples program and client; when data may be lost, it is as small
 * as the client wants the buffer to be. */
static void size_socket(const struct ptf_sim_start *how)
{
	int size = SEND_BUFFER;

	if (how->lossy && how->buffer_size && how->buffer_size < SEND_BUFFER / LOSSY_BUFFERS)
		size = (int)how->buffer_size * LOSSY_BUFFERS;
	(void)setsockopt(client_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void start(const struct ptf_sim_start *how)
{
	struct ptf_sim_time time = {0};

	while (!sim.ready) /* QEMU is still loading the program */
		usleep(WAIT_STEP_US);
	pthread_mutex_lock(&sim.threads_lock);
	if (!sim.recording) {
		sim_maps_lock();
		sim.start = *how;
		sim.start.lossy |= sim.lossy;
		size_socket(&sim.start);
		sim.aux_bytes = sim.lost_bytes = 0;
		send_state();
		sim.start_ns = time.time_ns = sim_thread_time(NULL);
		sim_server_send(PTF_SIM_STARTED, &time, sizeof(time), NULL, 0);
		sim.recording = true;
		sim_quiet = false;
		sim.epoch++;
		sim_stack_send_waiting();
		sim_maps_unlock();
	}
	pthread_mutex_unlock(&sim.threads_lock);
}

/* Ends another thread's stream when it is in a system call; else it must do so itself. */
static bool has_ended(struct sim_thread *t)
{
	int expected = SIM_GATE_FREE;

	if (t->epoch == sim.epoch)
		return true;
	if (!atomic_compare_exchange_strong(&t->gate, &expected, SIM_GATE_SERVER))
		return false;
	sim_flow_finish(t);
	t->gate = SIM_GATE_FREE;
	return true;
}

/* Waits until all threads but self have ended their streams; false when one does not. */
static bool end_others(struct sim_thread *self)
{
	struct sim_thread *t;
	bool ended = true;
	int waited = 0;

	for (t = sim.threads; t; t = t->next) {
		if (t == self)
			continue;
		for (; !has_ended(t) && waited < END_WAIT_US; waited += WAIT_STEP_US)
			usleep(WAIT_STEP_US);
		ended &= has_ended(t);
	}
	return ended;
}

void sim_server_settled(void)
{
	sim_quiet = sim.clock == PTF_SIM_CLOCK_REAL && !sim.calibrate;
}

/* Ends the recording; the caller is the guest's thread `self`, or the helper (NULL). */
static void end_recording(struct sim_thread *self)
{
	struct ptf_sim_time time = {0};
	bool settled;

	pthread_mutex_lock(&sim.threads_lock);
	if (sim.recording) {
		sim.recording = false;
		sim.epoch++;
		settled = end_others(self);
		if (self)
			sim_flow_finish(self);
		if (settled)
			sim_server_settled();
		time.time_ns = sim_thread_time(self);
		time.aux_bytes = sim.aux_bytes;
		time.lost_bytes = sim.lost_bytes;
		sim_server_send(PTF_SIM_STOPPED, &time, sizeof(time), NULL, 0);
	}
	pthread_mutex_unlock(&sim.threads_lock);
}

static void acknowledge(const struct ptf_sim_thread_ack *ack)
{
	struct sim_thread *t;

	pthread_mutex_lock(&sim.threads_lock);
	for (t = sim.threads; t; t = t->next)
		if (t->real_tid == ack->real_tid)
			t->acked = true;
	pthread_mutex_unlock(&sim.threads_lock);
}

/* Handles one message; false when the client is gone. */
static bool serve(int fd)
{
	struct ptf_sim_header header;
	union {
		struct ptf_sim_start start;
		struct ptf_sim_thread_ack ack;
		char bytes[256];
	} body = {0};

	if (!receive(fd, &header, sizeof(header)) || header.size > sizeof(body) ||
	        !receive(fd, &body, header.size))
		return false;
	if (header.type == PTF_SIM_START)
		start(&body.start);
	else if (header.type == PTF_SIM_STOP)
		end_recording(NULL);
	else if (header.type == PTF_SIM_THREAD_ACK)
		acknowledge(&body.ack);
	return true;
}

static void welcome(int fd)
{
	if (fd < 0)
		return;
	if (client_fd >= 0) { /* one client at a time */
		close(fd);
		return;
	}
	client_fd = fd;
	send_hello();
}

static void dismiss(void)
{
	int fd = client_fd;

	shutdown(fd, SHUT_RDWR); /* lets a sender go on */
	end_recording(NULL);
	pthread_mutex_lock(&send_lock);
	fd = client_fd;
	client_fd = -1;
	pthread_mutex_unlock(&send_lock);
	close(fd);
}

static void serve_forever(void)
{
	for (;;) {
		struct pollfd fds[2] = {
		        {.fd = listen_fd, .events = POLLIN}, {.fd = client_fd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			usleep(WAIT_STEP_US);
		if (fds[1].revents && !serve(client_fd))
			dismiss();
		if (fds[0].revents & POLLIN)
			welcome(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
	}
}

static bool start_thread(void *(*function)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, NULL) != 0)
		return false;
	pthread_setname_np(thread, "ptflame-sim");
	pthread_detach(thread);
	return true;
}

static void *run(void *unused)
{
	is_helper = true;
	if (unshare(CLONE_FILES) == 0 && close_range(0, ~0u, 0) == 0)
		listen_fd = make_socket();
	if (listen_fd < 0 || !start_thread(run_sender)) { /* which shares our descriptors */
		begun = BEGUN_BADLY;
		return NULL;
	}
	begun = BEGUN_WELL;
	serve_forever();
	return NULL;
}

/* With all signals blocked, which threads inherit. */
static bool start_helpers(void)
{
	sigset_t all, old;
	bool ok;

	begun = BEGUN_NOT;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = start_thread(run);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	while (ok && begun == BEGUN_NOT)
		usleep(WAIT_STEP_US);
	return ok && begun == BEGUN_WELL;
}

static void lock_all(void)
{
	pthread_mutex_lock(&sim.threads_lock);
	sim_maps_lock();
	pthread_mutex_lock(&send_lock);
	pthread_mutex_lock(&desk.lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&desk.lock);
	pthread_mutex_unlock(&send_lock);
	sim_maps_unlock();
	pthread_mutex_unlock(&sim.threads_lock);
}

bool sim_server_start(void)
{
	static bool once;

	if (!once)
		pthread_atfork(lock_all, unlock_all, unlock_all);
	once = true;
	return make_directory() && start_helpers();
}

void sim_server_stop(void)
{
	if (getpid() == sim.real_pid)
		(void)unlink(socket_path);
}

void sim_server_forked(void)
{
	listen_fd = client_fd = -1; /* descriptors of a table that the child has not */
	desk.posted = desk.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}

void sim_server_wait(int milliseconds)
{
	int64_t waited = 0, step = WAIT_STEP_US;

	while (!sim.recording &&
	        (milliseconds == SIM_WAIT_FOREVER || waited < (int64_t)milliseconds * 1000)) {
		usleep((useconds_t)step);
		waited += step;
		if (waited > WAIT_EAGER_US)
			step = WAIT_LAZY_US;
	}
	sim.waiting = false;
}

void sim_server_end(struct sim_thread *t)
{
	end_recording(t);
}
