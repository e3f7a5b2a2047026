/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/vec.h"
#include "record/child_command.h"
#include "record/proc_info.h"
#include "record/record_sim.h"
#include "record/sim_client.h"
#include "record/sim_launch.h"
#include "record/sim_recording.h"
#include "record/switch_watch.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define GREETING_NS (5 * NS_PER_S)   /* a simulator says HELLO at once */
#define LAUNCH_NS (30 * NS_PER_S)    /* qemu starts, calibrates, opens its socket */
#define STOP_NS (10 * NS_PER_S)      /* STOPPED comes when the last data has gone through */
#define RELEASE_NS (500 * NS_PER_MS) /* to let a process go that waits for a recorder */
#define RETRY_MS 3                   /* between looks for a socket that is to appear */
#define IDLE_MS 200                  /* drains rings below their watermark */
#define ROUND_NS NS_PER_S
#define READS_PER_TURN 16 /* of one process before the others have theirs */

enum peer_state {
	PEER_CONNECTING, /* its socket is to appear */
	PEER_GREETING,   /* waits for HELLO */
	PEER_RUNNING,    /* START was sent */
	PEER_STOPPING,   /* STOP was sent */
	PEER_DONE,
};

/* A simulated process. */
struct peer {
	struct ptf_sim_client client;
	enum peer_state state;
	pid_t real_pid;
	int32_t pid; /* the guest's, known after HELLO */
	uid_t uid;
	uint64_t deadline_ns; /* of the states with one */
	uint64_t base_ns;     /* time of the fork or exec that it came from, or 0 */
	uint64_t exec_ns;     /* time of its execve, when `execs` */
	bool required;        /* named by the user: the recording fails without it */
	bool released;        /* not recorded, only started and stopped because it waits for that */
	bool execs;           /* it executes another program in the simulator */
	bool asked, stopped;  /* STOP was sent; STOPPED has come */
	bool drained;         /* its socket was found empty since the last round */
};

struct ptf_sim_session {
	const struct ptf_record_options *options;
	PTF_VEC(struct peer *) peers;        /* owned */
	struct ptf_sim_recording *recording; /* from the first HELLO on */
	struct ptf_switch_watch watch;
	struct ptf_poll_set polled;
	enum ptf_sim_clock clock;
	struct ptf_child command;
	sigset_t old_mask;
	int signal_fd;
	unsigned interrupts;          /* SIGINT, SIGTERM, SIGHUP seen */
	bool interrupted_by_terminal; /* the command has had the same signal */
	bool stopping;
	uint64_t started_ns, stopped_ns; /* host time, 0 not yet */
	uint64_t round_ns;               /* of the last round */
};

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for the recording");
}

/* --- life of a session --- */

int ptf_sim_session_create(struct ptf_sim_session **session,
        const struct ptf_record_options *options, struct ptf_error *err)
{
	struct ptf_sim_session *s = calloc(1, sizeof(*s));
	sigset_t mask;

	if (!s)
		return no_memory(err);
	s->options = options;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0) {
		sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
		free(s);
		return ptf_error_set_errno(err, errno, "signalfd");
	}
	*session = s;
	return 0;
}

static void take_signal(struct ptf_sim_session *s, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGCHLD) {
		ptf_child_reap(&s->command, false);
		return;
	}
	s->interrupts++;
	if (info->ssi_signo == SIGINT && info->ssi_code == SI_KERNEL)
		s->interrupted_by_terminal = true;
}

static void take_signals(struct ptf_sim_session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		take_signal(s, &info);
}

/* The recording is over, the command is not: ask it to end, as perf does. Ctrl-C has reached it
 * already; whoever presses it again means it. */
static void end_command(struct ptf_sim_session *s)
{
	unsigned interrupts = s->interrupts;

	/* One that waits for START has not run yet, and cannot take a signal. */
	if (!s->started_ns)
		ptf_child_signal(&s->command, SIGKILL);
	else if (!s->interrupted_by_terminal || interrupts > 1)
		ptf_child_signal(&s->command, SIGTERM);
	while (!ptf_child_reap(&s->command, false)) {
		struct pollfd wait = {.fd = s->signal_fd, .events = POLLIN};

		poll(&wait, 1, 1000);
		take_signals(s);
		if (s->interrupts > interrupts)
			ptf_child_signal(
			        &s->command, s->interrupts > interrupts + 1 ? SIGKILL : SIGTERM);
	}
}

static void destroy_peer(struct peer *peer)
{
	ptf_sim_client_release(&peer->client);
	free(peer);
}

void ptf_sim_session_destroy(struct ptf_sim_session *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->peers.n; i++)
		destroy_peer(s->peers.v[i]);
	ptf_vec_release(&s->peers);
	end_command(s);
	ptf_sim_recording_destroy(s->recording);
	ptf_switch_watch_release(&s->watch);
	ptf_vec_release(&s->polled.fds);
	close(s->signal_fd);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	free(s);
}

/* --- processes come --- */

static struct peer *add_peer(
        struct ptf_sim_session *s, pid_t real_pid, enum peer_state state, uint64_t patience_ns)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer || !ptf_vec_push(&s->peers, peer)) {
		free(peer);
		return NULL;
	}
	peer->client.fd = -1;
	peer->real_pid = real_pid;
	peer->uid = getuid();
	peer->state = state;
	peer->deadline_ns = host_ns() + patience_ns;
	return peer;
}

int ptf_sim_session_attach_fd(struct ptf_sim_session *s, pid_t pid, int fd, struct ptf_error *err)
{
	struct peer *peer = add_peer(s, pid, PEER_GREETING, GREETING_NS);

	if (!peer)
		return no_memory(err);
	peer->required = true;
	return ptf_sim_client_init(&peer->client, fd, err);
}

int ptf_sim_session_attach(struct ptf_sim_session *s, pid_t pid, struct ptf_error *err)
{
	struct ptf_error why = {0};
	struct peer *peer;
	uid_t uid = 0;
	int rc = ptf_proc_info(pid, NULL, &uid, err);

	if (rc < 0)
		return rc;
	peer = add_peer(s, pid, PEER_GREETING, GREETING_NS);
	if (!peer)
		return no_memory(err);
	peer->required = true;
	peer->uid = uid;
	rc = ptf_sim_client_connect(&peer->client, pid, uid, &why);
	if (rc == -PTF_ENOENT)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "process %d is not simulated: start it with `ptflame sim -- CMD`, "
		        "or record it on a machine with Intel PT",
		        (int)pid);
	if (rc == -PTF_EPERM)
		return ptf_error_set(err, PTF_EPERM,
		        "process %d belongs to user %u: run ptflame as that user or as root",
		        (int)pid, (unsigned)uid);
	if (rc < 0)
		return ptf_error_set(err, why.code, "process %d: %s", (int)pid, why.msg);
	return 0;
}

int ptf_sim_session_launch(
        struct ptf_sim_session *s, const char *const *command, struct ptf_error *err)
{
	struct ptf_sim_launch launch = {.clock = s->options->clock,
	        .wait = true,
	        .lossy = s->options->lossy,
	        .command = command};
	char **argv = NULL;
	struct peer *peer;
	int rc = ptf_sim_launch_argv(&launch, &argv, err);

	if (rc < 0)
		return rc;
	rc = ptf_child_start(&s->command, argv, &s->old_mask, err);
	ptf_sim_launch_free(argv);
	if (rc < 0)
		return rc;
	peer = add_peer(s, s->command.pid, PEER_CONNECTING, LAUNCH_NS);
	if (!peer)
		return no_memory(err);
	peer->required = true;
	return 0;
}

/* A child of a recorded process waits for us. With one thread to record it is only let go. */
static int follow_fork(struct ptf_sim_session *s, const struct peer *parent,
        const struct ptf_sim_task *child, struct ptf_error *err)
{
	bool release = s->stopping || s->options->tid;
	struct peer *peer =
	        add_peer(s, child->real_pid, PEER_CONNECTING, release ? RELEASE_NS : GREETING_NS);

	if (!peer)
		return no_memory(err);
	peer->uid = parent->uid;
	peer->pid = child->pid;
	peer->released = release;
	peer->base_ns = child->time_ns;
	return 0;
}

/* --- processes go --- */

/* It said STOPPED because we told it so. After one of its own accord (exit, exec) more may come. */
static bool has_stopped(const struct peer *peer)
{
	return peer->asked && peer->stopped;
}

static int lose_peer(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	bool ended = !has_stopped(peer);
	bool recorded = s->recording && !peer->released;

	if (recorded && peer->state == PEER_RUNNING && peer->client.eof && !peer->stopped)
		ptf_log(PTF_LOG_WARN,
		        "process %d was killed: trace data that it had not handed over is lost",
		        (int)peer->real_pid);

	peer->state = PEER_DONE;
	ptf_sim_client_release(&peer->client);
	return ended && recorded ? ptf_sim_recording_gone(s->recording, peer->pid, host_ns(), err)
	                         : 0;
}

/* Its end of the connection is closed: exit, death, or another program in its place. */
static int peer_closed(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	if (peer->required && !s->recording)
		return ptf_error_set(err, PTF_ECHILD, "process %d %s", (int)peer->real_pid,
		        ptf_proc_alive(peer->real_pid) ? "is being recorded by another recorder"
		                                       : "ended before it could be recorded");
	if (!peer->execs)
		return lose_peer(s, peer, err);
	ptf_sim_client_release(&peer->client);
	peer->execs = peer->asked = peer->stopped = peer->required = false;
	peer->base_ns = peer->exec_ns;
	peer->state = PEER_CONNECTING;
	peer->released = peer->released || s->stopping;
	peer->deadline_ns = host_ns() + (peer->released ? RELEASE_NS : LAUNCH_NS);
	return 0;
}

static int too_late(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	if (peer->required && !s->recording)
		return ptf_error_set(err, PTF_EIO,
		        "the simulator of process %d does not answer: it is stopped, "
		        "or another recorder is attached",
		        (int)peer->real_pid);
	if (!peer->released && !peer->stopped)
		ptf_log(PTF_LOG_WARN, "process %d does not answer: its trace ends early",
		        (int)peer->real_pid);
	return lose_peer(s, peer, err);
}

/* --- messages --- */

static int send_start(struct ptf_sim_session *s, struct peer *peer)
{
	const struct ptf_record_options *options = s->options;
	struct ptf_sim_start start = {
	        .lossy = options->lossy,
	        .buffer_size = (uint32_t)options->buffer_size,
	        .timing = options->timing,
	        .psb_period = (uint32_t)options->psb_period,
	};

	return ptf_sim_client_send(&peer->client, PTF_SIM_START, &start, sizeof(start), NULL);
}

static void send_stop(struct peer *peer)
{
	/* A process that is gone closes its socket, which is noticed there. */
	ptf_sim_client_send(&peer->client, PTF_SIM_STOP, NULL, 0, NULL);
	peer->asked = true;
	peer->state = PEER_STOPPING;
	peer->deadline_ns = host_ns() + STOP_NS;
}

/* Can the context switches of this process be had? Tried before the file says so. */
static bool probe_switches(struct ptf_sim_session *s, const struct ptf_sim_hello *hello)
{
	struct ptf_switch_ring ring;
	struct ptf_error why = {0};

	if (hello->clock != PTF_SIM_CLOCK_REAL)
		return false;
	if (ptf_switch_ring_init(&ring, hello->real_pid, &why) == 0) {
		ptf_switch_ring_release(&ring);
		return true;
	}
	ptf_log(PTF_LOG_WARN,
	        "no context switches: %s; time off the CPU cannot be told from time in the kernel "
	        "(sysctl kernel.perf_event_paranoid=2, or run as root)",
	        why.msg);
	return false;
}

static int open_recording(
        struct ptf_sim_session *s, const struct ptf_sim_hello *hello, struct ptf_error *err)
{
	struct ptf_sim_recording_setup setup = {
	        .options = s->options,
	        .clock = (enum ptf_sim_clock)hello->clock,
	        .dilation = hello->dilation,
	        .switches = probe_switches(s, hello),
	};

	if (hello->clock != PTF_SIM_CLOCK_REAL && hello->clock != PTF_SIM_CLOCK_INSN)
		return ptf_error_set(err, PTF_EUNSUPPORTED, "simulator clock %u", hello->clock);
	s->clock = setup.clock;
	s->watch.failures = !setup.switches;
	return ptf_sim_recording_create(&s->recording, &setup, err);
}

static int on_hello(struct ptf_sim_session *s, struct peer *peer, const struct ptf_sim_msg *msg,
        struct ptf_error *err)
{
	struct ptf_sim_hello hello;
	int rc = 0;

	if (!ptf_sim_msg_get(msg, &hello, sizeof(hello), NULL))
		return ptf_error_set(err, PTF_EFORMAT, "short greeting of the simulator");
	if (hello.version != PTF_SIM_PROTOCOL_VERSION)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "process %d runs in a simulator of another version (protocol %u, not %u): "
		        "restart it",
		        (int)peer->real_pid, hello.version, PTF_SIM_PROTOCOL_VERSION);
	if (!s->recording)
		rc = open_recording(s, &hello, err);
	if (rc < 0)
		return rc;
	if ((enum ptf_sim_clock)hello.clock != s->clock)
		return ptf_error_set(err, PTF_EINVAL,
		        "process %d has another clock than the others: record it alone",
		        (int)peer->real_pid);
	peer->pid = hello.pid;
	peer->state = PEER_RUNNING;
	send_start(s, peer);
	peer->released |= s->stopping;
	return 0;
}

/* A process that is not recorded waits until it is started, and looks for that now and then. */
static void let_go(struct peer *peer)
{
	usleep(5000);
	send_stop(peer);
}

/* The event must be open before the thread runs: it waits for the ACK. */
static int on_thread(struct ptf_sim_session *s, struct peer *peer, const struct ptf_sim_msg *msg,
        struct ptf_error *err)
{
	struct ptf_sim_thread_ack ack = {0};
	struct ptf_sim_task task;
	bool wanted;
	int rc = 0;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 0;
	wanted = !s->options->tid || s->options->tid == task.real_tid;
	if (s->clock == PTF_SIM_CLOCK_REAL && wanted && !peer->released)
		rc = ptf_switch_watch_add(&s->watch, &task, err);
	ack.real_tid = task.real_tid;
	ptf_sim_client_send(&peer->client, PTF_SIM_THREAD_ACK, &ack, sizeof(ack), NULL);
	return rc;
}

static int on_started(struct ptf_sim_session *s, struct peer *peer, const struct ptf_sim_msg *msg,
        struct ptf_error *err)
{
	struct ptf_sim_time time;

	if (!s->started_ns) {
		s->started_ns = s->round_ns = host_ns();
		if (!s->options->command)
			ptf_log(PTF_LOG_NOTE, "tracing is on; Ctrl-C ends it");
	}
	/* Threads that came by fork or exec run now; what slept before START may sleep on. */
	if (!ptf_sim_msg_get(msg, &time, sizeof(time), NULL) || peer->base_ns)
		return 0;
	return ptf_switch_watch_sleepers(&s->watch, s->recording, peer->pid, time.time_ns, err);
}

static void on_exec(struct peer *peer, const struct ptf_sim_msg *msg)
{
	struct ptf_sim_exec exec;

	if (!ptf_sim_msg_get(msg, &exec, sizeof(exec), NULL))
		return;
	peer->execs = exec.simulated;
	peer->exec_ns = exec.time_ns;
	if (!exec.simulated && !peer->released)
		ptf_log(PTF_LOG_WARN,
		        "process %d executes %s, which cannot be simulated: "
		        "it runs on without being recorded",
		        (int)exec.pid, ptf_sim_msg_string(msg, sizeof(exec)));
}

static int on_fork(struct ptf_sim_session *s, const struct peer *peer,
        const struct ptf_sim_msg *msg, struct ptf_error *err)
{
	struct ptf_sim_task task;

	if (!ptf_sim_msg_get(msg, &task, sizeof(task), NULL))
		return 0;
	return follow_fork(s, peer, &task, err);
}

/* What a message means for the session; the recording takes it afterwards. */
static int handle(struct ptf_sim_session *s, struct peer *peer, const struct ptf_sim_msg *msg,
        struct ptf_error *err)
{
	switch (msg->type) {
	case PTF_SIM_HELLO:
		return on_hello(s, peer, msg, err);
	case PTF_SIM_THREAD:
		return on_thread(s, peer, msg, err);
	case PTF_SIM_FORK:
		return on_fork(s, peer, msg, err);
	case PTF_SIM_EXEC:
		on_exec(peer, msg);
		return 0;
	case PTF_SIM_STARTED:
		if (peer->released && peer->state == PEER_RUNNING)
			let_go(peer);
		return 0;
	case PTF_SIM_STOPPED:
		peer->stopped = true;
		return 0;
	default:
		return 0;
	}
}

/* The child of a single recorded thread's process is followed only to be let go: not recorded. */
static bool records(
        const struct ptf_sim_session *s, const struct peer *peer, const struct ptf_sim_msg *msg)
{
	if (!s->recording || peer->released)
		return false;
	return msg->type != PTF_SIM_FORK || (!s->options->tid && !s->stopping);
}

static int take_message(struct ptf_sim_session *s, struct peer *peer, const struct ptf_sim_msg *msg,
        struct ptf_error *err)
{
	int rc = handle(s, peer, msg, err);

	if (rc == 0 && records(s, peer, msg))
		rc = ptf_sim_recording_message(s->recording, msg, peer->base_ns, err);
	if (rc == 0 && msg->type == PTF_SIM_STARTED && records(s, peer, msg))
		rc = on_started(s, peer, msg, err);
	return rc;
}

static int take_messages(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	struct ptf_sim_msg msg;
	int rc = 0;

	while (rc == 0 && !has_stopped(peer)) {
		int more = ptf_sim_client_next(&peer->client, &msg, err);

		if (more)
			return more < 0 ? more : 0;
		rc = take_message(s, peer, &msg, err);
	}
	return rc;
}

static int read_peer(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	bool any = true;
	int rc = 0;

	for (int i = 0; i < READS_PER_TURN && any && rc == 0 && !has_stopped(peer); i++) {
		rc = ptf_sim_client_receive(&peer->client, &any, err);
		if (rc == 0)
			rc = take_messages(s, peer, err);
	}
	if (rc < 0)
		return rc;
	if (!any)
		peer->drained = true;
	if (has_stopped(peer))
		return peer->execs ? peer_closed(s, peer, err) : lose_peer(s, peer, err);
	return peer->client.eof ? peer_closed(s, peer, err) : 0;
}

/* A simulator that talks nonsense costs its own process only. */
static int serve_peer(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	struct ptf_error why = {0};
	int rc = read_peer(s, peer, &why);

	if (rc == -PTF_EFORMAT && s->recording) {
		ptf_log(PTF_LOG_WARN, "process %d: %s: its trace ends here", (int)peer->real_pid,
		        why.msg);
		return lose_peer(s, peer, err);
	}
	if (rc < 0 && err)
		*err = why;
	return rc;
}

/* --- the loop --- */

static bool has_deadline(const struct peer *peer)
{
	return peer->state != PEER_RUNNING && peer->state != PEER_DONE;
}

static int connect_peer(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	if (ptf_sim_client_connect(&peer->client, peer->real_pid, peer->uid, NULL) == 0) {
		peer->state = PEER_GREETING;
		peer->deadline_ns = host_ns() + (peer->released ? RELEASE_NS : GREETING_NS);
		return 0;
	}
	if (peer->real_pid == s->command.pid && s->command.ended) {
		if (!s->recording)
			return ptf_error_set(err, PTF_ECHILD,
			        "the command ended with status %d before it could be recorded",
			        s->command.status);
		return lose_peer(s, peer, err);
	}
	return ptf_proc_alive(peer->real_pid) ? 0 : lose_peer(s, peer, err);
}

static int tend_peer(struct ptf_sim_session *s, struct peer *peer, struct ptf_error *err)
{
	int rc = 0;

	if (peer->state == PEER_CONNECTING)
		rc = connect_peer(s, peer, err);
	else if (peer->state != PEER_DONE)
		rc = serve_peer(s, peer, err);
	if (rc == 0 && has_deadline(peer) && host_ns() > peer->deadline_ns)
		rc = too_late(s, peer, err);
	return rc;
}

static bool any_peer(const struct ptf_sim_session *s)
{
	for (size_t i = 0; i < s->peers.n; i++) {
		if (s->peers.v[i]->state != PEER_DONE)
			return true;
	}
	return false;
}

static bool over(const struct ptf_sim_session *s)
{
	if (any_peer(s))
		return s->interrupts > 1 && s->stopping;
	/* A command that became something that is not simulated: its status is waited for. */
	return s->stopping || !s->command.pid || s->command.ended;
}

static bool command_is_done(const struct ptf_sim_session *s)
{
	if (!s->command.pid || !s->command.ended)
		return false;
	for (size_t i = 0; i < s->peers.n; i++) {
		if (s->peers.v[i]->real_pid == s->command.pid && s->peers.v[i]->state != PEER_DONE)
			return false;
	}
	return true;
}

static uint64_t duration_ns(const struct ptf_sim_session *s)
{
	return (uint64_t)(s->options->duration_s * 1e9);
}

static bool should_stop(const struct ptf_sim_session *s)
{
	uint64_t limit = s->options->max_size;

	if (s->interrupts || command_is_done(s))
		return true;
	if (s->options->duration_s > 0 && s->started_ns &&
	        host_ns() - s->started_ns >= duration_ns(s))
		return true;
	return limit && s->recording && ptf_sim_recording_size(s->recording) >= limit;
}

static void begin_stop(struct ptf_sim_session *s)
{
	s->stopping = true;
	s->stopped_ns = host_ns();
	for (size_t i = 0; i < s->peers.n; i++) {
		struct peer *peer = s->peers.v[i];

		if (peer->state == PEER_RUNNING && !peer->stopped) {
			send_stop(peer);
		} else if (peer->state == PEER_RUNNING) {
			peer->state = PEER_STOPPING;
			peer->deadline_ns = host_ns() + RELEASE_NS;
		} else if (has_deadline(peer)) {
			peer->released = true;
			peer->deadline_ns = host_ns() + RELEASE_NS;
		}
	}
}

static int poll_timeout_ms(const struct ptf_sim_session *s)
{
	int ms = IDLE_MS;

	for (size_t i = 0; i < s->peers.n; i++) {
		if (s->peers.v[i]->state == PEER_CONNECTING)
			ms = RETRY_MS;
	}
	if (s->options->duration_s > 0 && s->started_ns && !s->stopping) {
		uint64_t end = s->started_ns + duration_ns(s), now = host_ns();
		uint64_t left_ms = end > now ? (end - now) / NS_PER_MS + 1 : 0;

		ms = left_ms < (uint64_t)ms ? (int)left_ms : ms;
	}
	return ms;
}

static int wait_for_something(struct ptf_sim_session *s, struct ptf_error *err)
{
	struct pollfd signals = {.fd = s->signal_fd, .events = POLLIN};

	s->polled.fds.n = 0;
	if (ptf_switch_watch_fds(&s->watch, &s->polled, err) < 0)
		return -PTF_ENOMEM;
	if (!ptf_vec_push(&s->polled.fds, signals))
		return no_memory(err);
	for (size_t i = 0; i < s->peers.n; i++) {
		struct peer *peer = s->peers.v[i];
		struct pollfd at = {
		        .fd = peer->state == PEER_DONE ? -1 : peer->client.fd, .events = POLLIN};

		if (!ptf_vec_push(&s->polled.fds, at))
			return no_memory(err);
	}
	if (poll(s->polled.fds.v, s->polled.fds.n, poll_timeout_ms(s)) < 0 && errno != EINTR)
		return ptf_error_set_errno(err, errno, "poll");
	return 0;
}

/* A round may be closed when no message can be older than the one before: every socket was seen
 * empty since. */
static int maybe_round(struct ptf_sim_session *s, struct ptf_error *err)
{
	if (!s->recording || host_ns() - s->round_ns < ROUND_NS)
		return 0;
	for (size_t i = 0; i < s->peers.n; i++) {
		if (s->peers.v[i]->state != PEER_DONE && !s->peers.v[i]->drained)
			return 0;
	}
	for (size_t i = 0; i < s->peers.n; i++)
		s->peers.v[i]->drained = false;
	s->round_ns = host_ns();
	return ptf_sim_recording_round(s->recording, err);
}

static void forget_done_peers(struct ptf_sim_session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->peers.n; i++) {
		if (s->peers.v[i]->state == PEER_DONE)
			destroy_peer(s->peers.v[i]);
		else
			s->peers.v[kept++] = s->peers.v[i];
	}
	s->peers.n = kept;
}

static int turn(struct ptf_sim_session *s, struct ptf_error *err)
{
	int rc = wait_for_something(s, err);

	if (rc < 0)
		return rc;
	take_signals(s);
	if (s->recording)
		rc = ptf_switch_watch_drain(
		        &s->watch, s->polled.fds.v, s->watch.threads.n, s->recording, err);
	/* By index: peers come while others are served. */
	for (size_t i = 0; i < s->peers.n && rc == 0; i++)
		rc = tend_peer(s, s->peers.v[i], err);
	if (rc < 0)
		return rc;
	forget_done_peers(s);
	if (!s->stopping && should_stop(s))
		begin_stop(s);
	return maybe_round(s, err);
}

/* One event and one ring for each thread: more than the usual limit of 1024 files. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int finish(
        struct ptf_sim_session *s, struct ptf_record_result *result, struct ptf_error *err)
{
	uint64_t end = s->stopped_ns ? s->stopped_ns : host_ns();
	int rc;

	if (!s->recording)
		return ptf_error_set(err, PTF_ENODATA, "interrupted before the recording began");
	rc = ptf_switch_watch_drain(&s->watch, NULL, 0, s->recording, err);
	if (rc == 0 && s->watch.failures)
		ptf_sim_recording_lacks_switches(s->recording);
	if (rc == 0)
		rc = ptf_sim_recording_finish(s->recording, result, err);
	if (rc < 0)
		return rc;
	result->seconds = s->started_ns ? (double)(end - s->started_ns) / 1e9 : 0;
	return 0;
}

int ptf_sim_session_run(
        struct ptf_sim_session *s, struct ptf_record_result *result, struct ptf_error *err)
{
	bool cut_short;
	int rc = 0;

	raise_file_limit();
	while (rc == 0 && !over(s))
		rc = turn(s, err);
	if (rc == 0)
		rc = finish(s, result, err);
	if (rc < 0)
		return rc;
	if (s->watch.why.code)
		ptf_log(PTF_LOG_WARN, "%zu threads without context switches: %s", s->watch.failures,
		        s->watch.why.msg);
	/* Closing the connections first lets the command run on to its end. */
	for (size_t i = 0; i < s->peers.n; i++)
		ptf_sim_client_release(&s->peers.v[i]->client);
	cut_short = s->command.pid && !s->command.ended;
	end_command(s);
	result->command_ended = s->command.pid != 0;
	/* A command that we ended ourselves did nothing wrong. */
	result->command_status =
	        cut_short && s->command.status == 128 + SIGTERM ? 0 : s->command.status;
	return 0;
}

/* --- all of it --- */

int ptf_record_sim_check(const struct ptf_record_options *options, struct ptf_error *err)
{
	const char *what = options->all_cpus || options->cpus ? "whole CPUs (-a, -C)"
	                   : options->kernel                  ? "the kernel (--kernel)"
	                   : options->sched                   ? "wakeups (--sched)"
	                   : options->filter                  ? "address filters (--filter)"
	                   : options->snapshot                ? "snapshots (--snapshot)"
	                                                      : NULL;

	if (what)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "there is no simulation of %s: that needs a machine with Intel PT", what);
	if (options->buffer_size > (1u << 30))
		return ptf_error_set(err, PTF_EINVAL, "-m: at most 1G for each simulated thread");
	return 0;
}

bool ptf_record_sim_available(pid_t pid)
{
	uid_t uid = 0;

	return ptf_proc_info(pid, &pid, &uid, NULL) == 0 && ptf_sim_client_find(pid, &uid);
}

static int attach_all(struct ptf_sim_session *s, struct ptf_error *err)
{
	const struct ptf_record_options *options = s->options;
	pid_t pid = 0;
	int rc = 0;

	if (options->command)
		return ptf_sim_session_launch(s, options->command, err);
	if (options->tid) {
		rc = ptf_proc_info(options->tid, &pid, NULL, err);
		return rc < 0 ? rc : ptf_sim_session_attach(s, pid, err);
	}
	for (size_t i = 0; i < options->n_pids && rc == 0; i++)
		rc = ptf_sim_session_attach(s, options->pids[i], err);
	return rc;
}

int ptf_record_sim(const struct ptf_record_options *options, struct ptf_record_result *result,
        struct ptf_error *err)
{
	struct ptf_sim_session *session = NULL;
	int rc = ptf_record_sim_check(options, err);

	*result = (struct ptf_record_result){0};
	if (rc == 0)
		rc = ptf_sim_session_create(&session, options, err);
	if (rc == 0)
		rc = attach_all(session, err);
	if (rc == 0)
		rc = ptf_sim_session_run(session, result, err);
	ptf_sim_session_destroy(session);
	return rc;
}
