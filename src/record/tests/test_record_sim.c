/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <ptflame/record_info.h>

#include "base/file_map.h"
#include "base/log.h"
#include "perfdata/perf_reader.h"
#include "record/record_sim.h"
#include "record/switch_ring.h"
#include "record/tests/fake_simulator.h"

static char directory[] = "/tmp/ptf-record-XXXXXX";
static char output[64];
static char notes[4096]; /* all that was told since a recording began */

static void keep_note(enum ptf_log_level level, const char *text)
{
	size_t used = strlen(notes);

	snprintf(notes + used, sizeof(notes) - used, "%s\n", text);
}

/* --- what a recording holds --- */

#define MAX_CHUNKS 64

struct contents {
	struct ptf_record_info info;
	size_t comms, forks, exits, mmaps, switches, starts, execs, auxes, truncated;
	int32_t switch_tid;             /* of all SWITCH records, -1 none, -2 several */
	uint64_t exit_ns;               /* of the last EXIT */
	char comm[16];                  /* of the last COMM */
	char file[64];                  /* of the last MMAP2 */
	uint64_t aux_sizes[MAX_CHUNKS]; /* of all AUX records */
	uint64_t aux_bytes[MAX_CHUNKS]; /* of stream idx */
	int32_t aux_tid[MAX_CHUNKS];
	size_t waits;
	struct ptf_record_wait wait; /* the last of them */
	bool aux_intact;             /* every stream is fake_aux's pattern, without a gap */
};

static void look_at_record(struct contents *c, const struct ptf_record *record)
{
	switch (record->type) {
	case PTF_RECORD_COMM:
		c->comms++;
		c->execs += !!(record->misc & PTF_MISC_COMM_EXEC);
		snprintf(c->comm, sizeof(c->comm), "%s", record->comm.comm);
		break;
	case PTF_RECORD_FORK:
		c->forks++;
		break;
	case PTF_RECORD_EXIT:
		c->exits++;
		c->exit_ns = record->task.time_ns;
		break;
	case PTF_RECORD_MMAP2:
		c->mmaps++;
		assert_int_equal(record->mmap.pgoff, 0x1000);
		assert_int_equal(record->mmap.ino, 42);
		snprintf(c->file, sizeof(c->file), "%s", record->mmap.filename);
		break;
	case PTF_RECORD_SWITCH:
		c->switch_tid =
		        !c->switches || c->switch_tid == record->sid.tid ? record->sid.tid : -2;
		c->switches++;
		assert_true(record->sid.has_time);
		break;
	case PTF_RECORD_ITRACE_START:
		c->starts++;
		break;
	case PTF_RECORD_AUX:
		assert_true(c->auxes < MAX_CHUNKS);
		c->aux_sizes[c->auxes++] = record->aux.aux_size;
		c->truncated += !!(record->aux.flags & PTF_AUX_FLAG_TRUNCATED);
		break;
	default:
		break;
	}
}

/* Records are filled up to multiples of 8 bytes with zeros (PAD packets). */
static bool is_intact(const struct ptf_aux_chunk *chunk, uint64_t size)
{
	for (size_t j = 0; j < chunk->size; j++) {
		uint8_t expected = (uint8_t)((chunk->aux_offset + j) * 7 + (unsigned)chunk->tid);

		if (chunk->bytes[j] != (j < size ? expected : 0))
			return false;
	}
	return chunk->size == ((size + 7) & ~(uint64_t)7);
}

/* Sizes without what was filled up are in the AUX records, one before each chunk. */
static void look_at_aux(struct contents *c, struct ptf_perf_reader *reader)
{
	size_t n;
	const struct ptf_aux_chunk *chunks = ptf_perf_reader_aux_chunks(reader, &n);

	c->aux_intact = n == c->auxes;
	for (size_t i = 0; i < n && i < c->auxes; i++) {
		const struct ptf_aux_chunk *chunk = &chunks[i];

		assert_true(chunk->idx < MAX_CHUNKS);
		assert_int_not_equal(chunk->reference, 0);
		c->aux_intact &= chunk->aux_offset == c->aux_bytes[chunk->idx] &&
		                 is_intact(chunk, c->aux_sizes[i]);
		c->aux_bytes[chunk->idx] += c->aux_sizes[i];
		c->aux_tid[chunk->idx] = chunk->tid;
	}
}

static struct contents read_output(void)
{
	struct contents c = {.switch_tid = -1};
	struct ptf_perf_reader *reader;
	const struct ptf_perf_info *info;
	struct ptf_error err = {0};
	struct ptf_record record;
	int rc = ptf_perf_reader_create(&reader, output, &err);

	if (rc < 0)
		fail_msg("%s", err.msg);
	while ((rc = ptf_perf_reader_next(reader, &record, &err)) == 0)
		look_at_record(&c, &record);
	assert_int_equal(rc, 1);
	info = ptf_perf_reader_info(reader);
	assert_int_equal(info->damage.code, 0);
	assert_int_equal(ptf_record_info_decode(&c.info, info->ptflame, info->ptflame_size), 0);
	while (ptf_record_wait_decode(&c.wait, info->ptflame, info->ptflame_size, c.waits))
		c.waits++;
	look_at_aux(&c, reader);
	ptf_perf_reader_destroy(reader);
	return c;
}

/* --- one simulator on a socketpair --- */

typedef void (*script)(struct fake_simulator *sim);

struct scene {
	struct ptf_record_options options;
	struct ptf_sim_session *session;
	struct fake_simulator sim;
	script play;
	pthread_t thread;
};

static void *play_script(void *context)
{
	struct scene *scene = context;

	scene->sim.real_tid = (pid_t)syscall(SYS_gettid);
	if (!scene->sim.tid)
		scene->sim.tid = scene->sim.pid;
	scene->play(&scene->sim);
	if (scene->sim.fd >= 0)
		fake_close(&scene->sim);
	return NULL;
}

static void begin(struct scene *scene, script play)
{
	struct ptf_error err = {0};
	int fds[2];

	*notes = '\0';
	scene->options.output = output;
	scene->play = play;
	scene->sim.real_pid = getpid();
	if (!scene->sim.pid)
		scene->sim.pid = getpid();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	scene->sim.fd = fds[1];
	assert_int_equal(ptf_sim_session_create(&scene->session, &scene->options, &err), 0);
	assert_int_equal(ptf_sim_session_attach_fd(scene->session, getpid(), fds[0], &err), 0);
	assert_int_equal(pthread_create(&scene->thread, NULL, play_script, scene), 0);
}

static struct ptf_record_result end(struct scene *scene)
{
	struct ptf_record_result result = {0};
	struct ptf_error err = {0};

	if (ptf_sim_session_run(scene->session, &result, &err) < 0)
		fail_msg("%s", err.msg);
	pthread_join(scene->thread, NULL);
	ptf_sim_session_destroy(scene->session);
	return result;
}

/* --- scripts --- */

#define BIG_AUX 300000u

static void start_up(struct fake_simulator *sim, uint32_t clock, uint64_t start_ns)
{
	fake_hello(sim, clock);
	if (fake_receive(sim, NULL) != PTF_SIM_START)
		abort();
	fake_mmap(sim, 0, 0x400000, "/bin/guest");
	fake_thread(sim, 0, "guest");
	fake_time(sim, PTF_SIM_STARTED, start_ns);
}

static void script_whole_life(struct fake_simulator *sim)
{
	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	for (int i = 0; i < 20; i++) {
		fake_aux(sim, 1000, 300);
		usleep(1000);
	}
	fake_aux(sim, BIG_AUX, BIG_AUX);
	fake_exit(sim, fake_now_ns());
}

static void a_process_is_recorded_to_its_exit(void **state)
{
	struct scene scene = {0};
	struct ptf_record_result result;
	struct contents c;

	begin(&scene, script_whole_life);
	result = end(&scene);
	c = read_output();
	assert_int_equal(c.mmaps, 1);
	assert_string_equal(c.file, "/bin/guest");
	assert_int_equal(c.comms, 1);
	assert_string_equal(c.comm, "guest");
	assert_int_equal(c.forks, 0); /* it was there before */
	assert_int_equal(c.starts, 1);
	assert_int_equal(c.exits, 1);
	assert_int_equal(c.exit_ns, c.info.end_ns);
	assert_true(c.info.end_ns > c.info.start_ns + 20000000);
	assert_true(c.info.simulated);
	assert_true(c.info.dilation == 12.5);
	assert_true(c.aux_intact);
	assert_int_equal(c.aux_bytes[0], 20000 + BIG_AUX);
	assert_int_equal(c.aux_tid[0], scene.sim.tid);
	assert_int_equal(result.aux_bytes, 20000 + BIG_AUX);
	assert_int_equal(result.threads, 1);
	assert_int_equal(result.processes, 1);
	/* 67 small messages became few records. */
	assert_true(c.auxes <= 6);
}

static void switches_are_those_of_the_guest_thread(void **state)
{
	struct scene scene = {0};
	struct ptf_switch_ring probe;
	struct contents c;

	if (ptf_switch_ring_init(&probe, getpid(), NULL) < 0) {
		print_message("perf_event_open is not allowed here\n");
		skip();
	}
	ptf_switch_ring_release(&probe);
	begin(&scene, script_whole_life);
	end(&scene);
	c = read_output();
	/* Each of the 20 sleeps is a switch-out and a switch-in. */
	assert_true(c.switches >= 40);
	assert_int_equal(c.switch_tid, scene.sim.tid);
	assert_true(c.info.switches);
}

static void script_until_stop(struct fake_simulator *sim)
{
	uint64_t start = fake_now_ns();

	start_up(sim, PTF_SIM_CLOCK_REAL, start);
	fake_aux(sim, 5000, 5000);
	if (fake_receive(sim, NULL) != PTF_SIM_STOP)
		abort();
	fake_aux(sim, 77, 77);
	fake_time(sim, PTF_SIM_STOPPED, fake_now_ns());
	fake_receive(sim, NULL);
}

static void the_duration_ends_a_recording(void **state)
{
	struct scene scene = {.options = {.duration_s = 0.15}};
	struct ptf_record_result result;
	struct contents c;

	begin(&scene, script_until_stop);
	result = end(&scene);
	c = read_output();
	assert_true(result.seconds >= 0.15 && result.seconds < 2);
	assert_true(c.info.end_ns - c.info.start_ns >= 150000000);
	assert_int_equal(c.exits, 0);
	assert_int_equal(c.aux_bytes[0], 5077);
	assert_true(c.aux_intact);
}

static void script_idle_thread(struct fake_simulator *sim)
{
	script_until_stop(sim);
}

static void a_sleeping_thread_has_a_switch(void **state)
{
	struct scene scene = {.options = {.duration_s = 0.3}};
	struct contents c;
	struct ptf_switch_ring probe;

	if (ptf_switch_ring_init(&probe, getpid(), NULL) < 0)
		skip();
	ptf_switch_ring_release(&probe);
	/* It waits for STOP all the time. */
	begin(&scene, script_idle_thread);
	end(&scene);
	c = read_output();
	assert_true(c.switches >= 1);
}

static void script_interrupted(struct fake_simulator *sim)
{
	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 5000, 5000);
	usleep(50000);
	kill(getpid(), SIGINT);
	if (fake_receive(sim, NULL) != PTF_SIM_STOP)
		abort();
	/* No answer: it hangs. The second signal is the user's patience. */
	kill(getpid(), SIGINT);
	while (fake_receive(sim, NULL))
		;
}

static void two_interrupts_still_leave_a_whole_file(void **state)
{
	struct scene scene = {0};
	uint64_t before = fake_now_ns();
	struct contents c;

	begin(&scene, script_interrupted);
	end(&scene);
	assert_true(fake_now_ns() - before < 5000000000u);
	c = read_output();
	assert_int_equal(c.aux_bytes[0], 5000);
	assert_true(c.aux_intact);
}

static void script_large(struct fake_simulator *sim)
{
	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	for (int i = 0; i < 1000; i++)
		fake_aux(sim, 10000, 10000);
	if (fake_receive(sim, NULL) != PTF_SIM_STOP)
		abort();
	fake_time(sim, PTF_SIM_STOPPED, fake_now_ns());
	while (fake_receive(sim, NULL))
		;
}

static void the_size_limit_ends_a_recording(void **state)
{
	struct scene scene = {.options = {.max_size = 1000000}};
	struct ptf_record_result result;

	begin(&scene, script_large);
	result = end(&scene);
	assert_true(result.file_bytes >= 1000000);
	assert_int_equal(result.aux_bytes, 10000000);
}

static void script_nonsense(struct fake_simulator *sim)
{
	uint8_t body[3] = {1, 2, 3};

	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 5000, 5000);
	fake_send(sim, 77, body, sizeof(body), NULL, 0); /* unknown: skipped */
	fake_aux(sim, 100, 100);
	fake_send(sim, PTF_SIM_MMAP, body, sizeof(body), NULL, 0);
	while (fake_receive(sim, NULL))
		;
}

static void a_broken_message_ends_its_process_only(void **state)
{
	struct scene scene = {0};
	struct contents c;

	begin(&scene, script_nonsense);
	end(&scene);
	assert_non_null(strstr(notes, "too short"));
	c = read_output();
	assert_int_equal(c.aux_bytes[0], 5100);
	assert_int_equal(c.exits, 1);
}

static void script_two_threads(struct fake_simulator *sim)
{
	struct fake_simulator other = *sim;

	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	other.tid = sim->tid + 1;
	other.real_tid = getpid(); /* any thread that exists */
	fake_thread(&other, fake_now_ns(), "other");
	fake_aux(sim, 1000, 500);
	fake_aux(&other, 3000, 500);
	fake_exit(&other, fake_now_ns());
	fake_exit(sim, fake_now_ns());
}

static void threads_have_streams_of_their_own(void **state)
{
	struct scene scene = {0};
	struct contents c;

	begin(&scene, script_two_threads);
	end(&scene);
	c = read_output();
	assert_int_equal(c.forks, 1);
	assert_int_equal(c.exits, 2);
	assert_int_equal(c.aux_bytes[0], 1000);
	assert_int_equal(c.aux_bytes[1], 3000);
	assert_int_equal(c.aux_tid[1], scene.sim.tid + 1);
	assert_true(c.aux_intact);
}

static void one_thread_can_be_recorded_alone(void **state)
{
	struct scene scene = {.options = {.tid = getpid()}};
	struct contents c;

	begin(&scene, script_two_threads);
	end(&scene);
	c = read_output();
	assert_int_equal(c.forks, 1);
	assert_int_equal(c.aux_bytes[0], 3000);
	assert_int_equal(c.aux_tid[0], scene.sim.tid + 1);
	assert_int_equal(c.aux_bytes[1], 0);
}

static void script_waits(struct fake_simulator *sim)
{
	struct ptf_sim_aux aux = {.size = 4, .waited_from_ns = 100, .waited_to_ns = 350};

	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	aux.pid = sim->pid;
	aux.tid = sim->tid;
	fake_send(sim, PTF_SIM_AUX, &aux, sizeof(aux), "abcd", 4);
	aux.offset = 4;
	aux.waited_from_ns = aux.waited_to_ns = 0; /* not this time */
	fake_send(sim, PTF_SIM_AUX, &aux, sizeof(aux), "efgh", 4);
	fake_send(sim, PTF_SIM_STOPPED, &(struct ptf_sim_time){.time_ns = fake_now_ns()},
	        sizeof(struct ptf_sim_time), NULL, 0);
}

static void waits_for_the_recorder_are_told(void **state)
{
	struct scene scene = {0};
	struct ptf_record_result result;
	struct contents c;

	begin(&scene, script_waits);
	result = end(&scene);
	c = read_output();
	assert_int_equal(result.waited_ns, 250);
	assert_int_equal(c.waits, 1);
	assert_int_equal(c.wait.tid, scene.sim.tid);
	assert_int_equal(c.wait.from_ns, 100);
	assert_int_equal(c.wait.to_ns, 350);
}

static void script_lossy(struct fake_simulator *sim)
{
	struct ptf_sim_aux aux = {.offset = 1500, .size = 4, .flags = PTF_AUX_FLAG_TRUNCATED};
	struct ptf_sim_time stopped = {.aux_bytes = 1004, .lost_bytes = 500};

	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 1000, 500);
	aux.pid = sim->pid;
	aux.tid = sim->tid;
	fake_send(sim, PTF_SIM_AUX, &aux, sizeof(aux), "abcd", 4);
	stopped.time_ns = fake_now_ns();
	fake_send(sim, PTF_SIM_STOPPED, &stopped, sizeof(stopped), NULL, 0);
}

static void losses_are_counted_and_marked(void **state)
{
	struct scene scene = {.options = {.lossy = true}};
	struct ptf_record_result result;
	struct contents c;

	begin(&scene, script_lossy);
	result = end(&scene);
	c = read_output();
	assert_int_equal(c.truncated, 1);
	assert_true(c.info.lossy);
	assert_int_equal(result.truncations, 1);
	assert_int_equal(result.lost_aux_bytes, 500);
}

/* --- the insn clock --- */

static bool coarse; /* how script_insn cuts its data */

static void script_insn(struct fake_simulator *sim)
{
	struct fake_simulator other = *sim;

	start_up(sim, PTF_SIM_CLOCK_INSN, 0);
	other.tid = 1001;
	fake_thread(&other, 700, "worker");
	if (coarse)
		usleep(20000);
	fake_aux(coarse ? sim : &other, 3000, coarse ? 3000 : 100);
	fake_aux(coarse ? &other : sim, 3000, coarse ? 1234 : 700);
	fake_exit(&other, 9000);
	fake_exit(sim, 10000);
}

static void data_section(struct ptf_file_map *map, const uint8_t **data, uint64_t *size)
{
	uint64_t offset;

	assert_int_equal(ptf_file_map_init(map, output, NULL), 0);
	memcpy(&offset, map->bytes + 40, 8); /* struct perf_file_header: data */
	memcpy(size, map->bytes + 48, 8);
	assert_true(offset + *size <= map->size);
	*data = map->bytes + offset;
}

static void insn_recording(void)
{
	struct scene scene = {.sim = {.pid = 1000, .tid = 1000}};

	begin(&scene, script_insn);
	end(&scene);
}

static void insn_recordings_are_identical(void **state)
{
	struct ptf_file_map first, second;
	const uint8_t *a, *b;
	uint64_t a_size, b_size;
	struct contents c;

	coarse = false;
	insn_recording();
	data_section(&first, &a, &a_size);
	coarse = true;
	insn_recording();
	data_section(&second, &b, &b_size);
	assert_int_equal(a_size, b_size);
	assert_memory_equal(a, b, a_size);
	ptf_file_map_release(&first);
	ptf_file_map_release(&second);
	c = read_output();
	assert_true(c.aux_intact);
	assert_int_equal(c.aux_bytes[0], 3000);
	assert_int_equal(c.aux_bytes[1], 3000);
	assert_int_equal(c.info.clock, PTF_SIM_CLOCK_INSN);
	assert_int_equal(c.info.end_ns, 10000);
}

/* --- processes found by their sockets --- */

struct process {
	pid_t pid; /* a real one, that only sleeps */
	int listen_fd;
	script play;
	pthread_t thread;
};

static void *serve_process(void *context)
{
	struct process *process = context;
	struct fake_simulator sim = {.pid = process->pid,
	        .tid = process->pid,
	        .real_pid = process->pid,
	        .real_tid = process->pid};

	sim.fd = accept(process->listen_fd, NULL, NULL);
	if (sim.fd < 0)
		abort();
	process->play(&sim);
	if (sim.fd >= 0)
		fake_close(&sim);
	return NULL;
}

static void process_begin(struct process *process, script play)
{
	process->play = play;
	process->pid = fork();
	if (!process->pid) {
		pause();
		_exit(0);
	}
	process->listen_fd = fake_listen(process->pid);
	pthread_create(&process->thread, NULL, serve_process, process);
}

static void process_end(struct process *process)
{
	char name[96];

	pthread_join(process->thread, NULL);
	close(process->listen_fd);
	snprintf(name, sizeof(name), PTF_SIM_SOCKET_FORMAT, (unsigned)getuid(), (int)process->pid);
	unlink(name);
	kill(process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
}

static struct ptf_record_result record_pid(pid_t pid)
{
	struct ptf_record_options options = {.pids = &pid, .n_pids = 1, .output = output};
	struct ptf_record_result result;
	struct ptf_error err = {0};

	if (ptf_record_sim(&options, &result, &err) < 0)
		fail_msg("%s", err.msg);
	return result;
}

static struct process child;

static void script_child(struct fake_simulator *sim)
{
	sim->aux_offset = 0;
	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 222, 222);
	fake_exit(sim, fake_now_ns());
}

static void script_parent(struct fake_simulator *sim)
{
	struct ptf_sim_task fork_task = {.time_ns = fake_now_ns(),
	        .pid = child.pid,
	        .tid = child.pid,
	        .ppid = sim->pid,
	        .ptid = sim->tid,
	        .real_pid = child.pid,
	        .real_tid = child.pid};

	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 111, 111);
	fake_send(sim, PTF_SIM_FORK, &fork_task, sizeof(fork_task), NULL, 0);
	fake_exit(sim, fake_now_ns());
}

static void forks_are_followed(void **state)
{
	struct process parent;
	struct ptf_record_result result;
	struct contents c;

	process_begin(&child, script_child);
	process_begin(&parent, script_parent);
	result = record_pid(parent.pid);
	process_end(&parent);
	process_end(&child);
	c = read_output();
	assert_int_equal(result.processes, 2);
	assert_int_equal(c.forks, 1);
	assert_int_equal(c.exits, 2);
	assert_int_equal(c.aux_bytes[0] + c.aux_bytes[1], 333);
	assert_true(c.aux_intact);
}

static int exec_listen_fd;

static void script_exec(struct fake_simulator *sim)
{
	struct ptf_sim_exec exec = {.pid = sim->pid, .tid = sim->tid, .simulated = 1};
	static const char path[] = "/usr/bin/other-program";

	exec_listen_fd = dup(exec_listen_fd);
	start_up(sim, PTF_SIM_CLOCK_REAL, fake_now_ns());
	fake_aux(sim, 100, 100);
	exec.time_ns = fake_now_ns();
	fake_send(sim, PTF_SIM_EXEC, &exec, sizeof(exec), path, sizeof(path));
	fake_aux(sim, 11, 11);
	fake_close(sim);
	sim->fd = accept(exec_listen_fd, NULL, NULL);
	close(exec_listen_fd);
	script_child(sim);
}

static void execs_are_followed(void **state)
{
	struct process process = {0};
	struct ptf_record_result result;
	struct contents c;

	process.play = script_exec;
	process.pid = fork();
	if (!process.pid) {
		pause();
		_exit(0);
	}
	exec_listen_fd = process.listen_fd = fake_listen(process.pid);
	pthread_create(&process.thread, NULL, serve_process, &process);
	result = record_pid(process.pid);
	process_end(&process);
	c = read_output();
	assert_int_equal(result.threads, 1);
	assert_int_equal(c.forks, 0);
	assert_int_equal(c.execs, 1);
	assert_int_equal(c.exits, 1);
	assert_int_equal(c.mmaps, 2);
	/* One thread, two programs, one stream: the last bytes of the old one came behind EXEC. */
	assert_int_equal(c.aux_bytes[0], 100 + 11 + 222);
	assert_int_equal(c.aux_bytes[1], 0);
}

static void other_processes_are_refused(void **state)
{
	pid_t pid = getpid();
	struct ptf_record_options options = {.pids = &pid, .n_pids = 1, .output = output};
	struct ptf_record_result result;
	struct ptf_error err = {0};

	assert_int_equal(ptf_record_sim(&options, &result, &err), -PTF_EUNSUPPORTED);
	assert_non_null(strstr(err.msg, "ptflame sim -- CMD"));
	pid = 0x3fffffff;
	assert_int_equal(ptf_record_sim(&options, &result, &err), -PTF_ENOENT);
	pid = getpid();
	options.kernel = true;
	assert_int_equal(ptf_record_sim(&options, &result, &err), -PTF_EUNSUPPORTED);
	assert_non_null(strstr(err.msg, "--kernel"));
}

/* --- context switches --- */

static void sleep_often(int times)
{
	for (int i = 0; i < times; i++)
		usleep(1);
}

static void a_full_ring_counts_what_it_lost(void **state)
{
	const uint64_t sleeps = 3000; /* the ring holds about 1600 switches */
	struct ptf_switch_ring ring;
	struct ptf_switch sw;
	uint64_t seen = 0, lost = 0, last_ns = 0;

	if (ptf_switch_ring_init(&ring, (pid_t)syscall(SYS_gettid), NULL) < 0)
		skip();
	sleep_often((int)sleeps);
	for (int turn = 0; turn < 2; turn++) {
		while (ptf_switch_ring_next(&ring, &sw) == 0) {
			assert_true(sw.time_ns >= last_ns);
			last_ns = sw.time_ns;
			seen += !sw.lost;
			lost += sw.lost;
		}
		/* The kernel tells the loss with the next record that has room. */
		sleep_often(1);
	}
	ptf_switch_ring_release(&ring);
	assert_true(lost > 0);
	assert_true(seen > 1000);
	/* Out and in for each sleep; on a loaded machine some are over before they begin. */
	assert_true(seen + lost >= sleeps);
}

/* From here on perf_event_open is refused to this process. */
static void forbid_perf_events(void)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

/* The last test: what it forbids stays forbidden. */
static void without_the_right_to_switches_all_else_is_recorded(void **state)
{
	struct scene scene = {0};
	struct ptf_record_result result;
	struct contents c;

	forbid_perf_events();
	begin(&scene, script_whole_life);
	result = end(&scene);
	c = read_output();
	assert_non_null(strstr(notes, "no context switches"));
	assert_non_null(strstr(notes, "perf_event_paranoid"));
	assert_true(result.switches_missing);
	assert_false(c.info.switches);
	assert_int_equal(c.switches, 0);
	assert_int_equal(c.aux_bytes[0], 20000 + BIG_AUX);
	assert_int_equal(c.exits, 1);
}

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(output, sizeof(output), "%s/out.data", directory);
	ptf_log_set_sink(keep_note);
	return 0;
}

static int tear_down(void **state)
{
	char old[80];

	snprintf(old, sizeof(old), "%s.old", output);
	unlink(old);
	unlink(output);
	/* Fails, and the test with it, when a temporary file was left behind. */
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_process_is_recorded_to_its_exit),
	        cmocka_unit_test(switches_are_those_of_the_guest_thread),
	        cmocka_unit_test(the_duration_ends_a_recording),
	        cmocka_unit_test(a_sleeping_thread_has_a_switch),
	        cmocka_unit_test(two_interrupts_still_leave_a_whole_file),
	        cmocka_unit_test(the_size_limit_ends_a_recording),
	        cmocka_unit_test(a_broken_message_ends_its_process_only),
	        cmocka_unit_test(threads_have_streams_of_their_own),
	        cmocka_unit_test(one_thread_can_be_recorded_alone),
	        cmocka_unit_test(waits_for_the_recorder_are_told),
	        cmocka_unit_test(losses_are_counted_and_marked),
	        cmocka_unit_test(insn_recordings_are_identical),
	        cmocka_unit_test(forks_are_followed),
	        cmocka_unit_test(execs_are_followed),
	        cmocka_unit_test(other_processes_are_refused),
	        cmocka_unit_test(a_full_ring_counts_what_it_lost),
	        cmocka_unit_test(without_the_right_to_switches_all_else_is_recorded),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
