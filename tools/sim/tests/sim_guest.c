/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest of the simulator's tests: each name does what is hard to trace, and checks itself. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define CHECK(ok)                                                                                  \
	do {                                                                                       \
		if (!(ok)) {                                                                       \
			fprintf(stderr, "line %d: %s\n", __LINE__, #ok);                           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static volatile uint64_t sink;

NOINLINE static int fib(int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

NOINLINE static int deep(int n)
{
	return n ? deep(n - 1) + 1 : 0;
}

static void recursion(void)
{
	CHECK(fib(16) == 987);
	CHECK(deep(200) == 200); /* more than the 64 calls that returns are compressed against */
}

NOINLINE static int add(int a, int b)
{
	return a + b;
}

NOINLINE static int subtract(int a, int b)
{
	return a - b;
}

static void pointers(void)
{
	int (*volatile f[2])(int, int) = {add, subtract};
	int i, sum = 0;

	for (i = 0; i < 1000; i++)
		sum = f[i * 7 % 3 & 1](sum, i);
	sink = (uint64_t)sum;
}

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void sorting(void)
{
	static int v[5000];
	int i;

	srand(7);
	for (i = 0; i < 5000; i++)
		v[i] = rand();
	qsort(v, 5000, sizeof(*v), compare);
	for (i = 1; i < 5000; i++)
		CHECK(v[i - 1] <= v[i]);
}

static jmp_buf jump;

NOINLINE static void leap(int depth, int value)
{
	if (!depth)
		longjmp(jump, value);
	leap(depth - 1, value);
	sink++;
}

static void longjumps(void)
{
	volatile int i;

	for (i = 1; i <= 50; i++) {
		int value = setjmp(jump);

		if (!value)
			leap(i, i);
		CHECK(value == i);
	}
}

/* --- faults --- */

static volatile int faults;

static void install(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	CHECK(sigaction(signo, &action, NULL) == 0);
}

/* Goes on behind the two-byte instruction that faulted. */
static void skip_two(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	uc->uc_mcontext.gregs[REG_RIP] += 2;
	faults++;
}

static void *fix_page;

static void fix(int signo, siginfo_t *info, void *context)
{
	faults++;
	CHECK(mprotect(fix_page, 4096, PROT_READ | PROT_WRITE) == 0);
}

static void fault_skip(void)
{
	uint64_t n = 0;
	int i;

	install(SIGSEGV, skip_two, 0);
	install(SIGILL, skip_two, 0);
	install(SIGFPE, skip_two, 0);
	for (i = 0; i < 20; i++)
		__asm__ volatile("add $1, %0\n"
		                 "xor %%ecx, %%ecx\n"
		                 "movb (%%rcx), %%al\n" /* 2 bytes, faults in mid-block */
		                 "add $1, %0\n"
		                 "ud2\n"
		                 "div %%ecx\n"
		                 "add $1, %0\n"
		                 : "+r"(n)
		                 :
		                 : "rax", "rcx", "rdx", "memory");
	CHECK(n == 60 && faults == 60);
	/* The first instruction of a loop's block faults. */
	__asm__ volatile("mov $3, %%edx\n"
	                 "xor %%ecx, %%ecx\n"
	                 "1: movb (%%rcx), %%al\n"
	                 "dec %%edx\n"
	                 "jnz 1b\n" ::
	                         : "rax", "rcx", "rdx", "memory");
	CHECK(faults == 63);
	__asm__ volatile("lea 1f(%%rip), %%rax\n jmp *%%rax\n nop\n 1: ud2\n" ::: "rax");
	CHECK(faults == 64);
}

static void fault_fix(void)
{
	volatile char *page;
	int i;

	install(SIGSEGV, fix, 0);
	for (i = 0; i < 5; i++) {
		fix_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(fix_page != MAP_FAILED);
		page = fix_page;
		page[i] = 1;
		CHECK(page[i] == 1 && faults == i + 1);
	}
	fix_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(fix_page, 7, 4000); /* may be REP STOS */
	__asm__ volatile("rep stosb" ::"D"(fix_page), "c"(100), "a"(3) : "memory");
	CHECK(mprotect(fix_page, 4096, PROT_NONE) == 0);
	{
		void *to = fix_page;
		uint64_t n = 100;

		__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(3) : "memory");
		CHECK(n == 0 && faults == 7);
	}
}

static void breakpoint_handler(int signo)
{
	faults++;
}

/* int3 is a trap, and this handler asks for no siginfo. */
static void breakpoint(void)
{
	int i;

	signal(SIGTRAP, breakpoint_handler);
	for (i = 0; i < 10; i++)
		__asm__ volatile("nop; int3; nop" ::: "memory");
	CHECK(faults == 10);
}

static sigjmp_buf signal_jump;

static void jump_out(int signo, siginfo_t *info, void *context)
{
	faults++;
	siglongjmp(signal_jump, 1);
}

static void fault_jump(void)
{
	volatile int i;

	install(SIGSEGV, jump_out, 0);
	for (i = 0; i < 10; i++)
		if (!sigsetjmp(signal_jump, 1))
			*(volatile char *)8 = 1;
	CHECK(faults == 10);
	for (i = 0; i < 3; i++) /* a jump to nowhere */
		if (!sigsetjmp(signal_jump, 1))
			((void (*)(void))(uintptr_t)0x1234000)();
	CHECK(faults == 13);
}

/* --- asynchronous signals --- */

static volatile int ticks;

static void tick(int signo, siginfo_t *info, void *context)
{
	ticks++;
}

static void set_timer(int us)
{
	struct itimerval timer = {{0, us}, {0, us}};

	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

NOINLINE static uint64_t spin(uint64_t n)
{
	uint64_t x = 1;

	while (n--)
		x = x * 6364136223846793005ull + (x >> 33 & 1 ? 1 : 3);
	return x;
}

static void timer(void)
{
	int (*volatile f[2])(int, int) = {add, subtract};

	install(SIGALRM, tick, 0);
	set_timer(500);
	while (ticks < 100) {
		sink += spin(1000);
		sink += (uint64_t)f[ticks & 1](3, fib(8)); /* interrupted also behind TIP and RET */
	}
	set_timer(0);
}

/* A block that branches to itself, with a timer. */
static void timer_tight(void)
{
	install(SIGALRM, tick, 0);
	set_timer(500);
	while (ticks < 100)
		__asm__ volatile("mov $20000, %%ecx\n1: dec %%ecx\njnz 1b\n" ::: "rcx", "cc");
	set_timer(0);
}

/* Interrupted string instructions. */
static void timer_rep(void)
{
	static char from[1 << 14], to[1 << 14];

	install(SIGALRM, tick, 0);
	set_timer(500);
	while (ticks < 100) {
		void *d = to, *s = from;
		uint64_t n = sizeof(to);

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
	}
	set_timer(0);
}

static void nest(int signo, siginfo_t *info, void *context)
{
	ticks++;
	if (signo == SIGUSR1)
		raise(SIGUSR2);
	sink += spin(200);
}

static void nested(void)
{
	sigset_t set, old;
	int i;

	install(SIGUSR1, nest, 0);
	install(SIGUSR2, nest, 0);
	install(SIGALRM, nest, SA_NODEFER);
	set_timer(300);
	for (i = 0; i < 100; i++) {
		raise(SIGUSR1);
		sink += spin(2000);
	}
	set_timer(0);
	/* Several delivered at one time. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	for (i = 0; i < 10; i++) {
		sigprocmask(SIG_BLOCK, &set, &old);
		raise(SIGUSR1);
		raise(SIGUSR2);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
	CHECK(ticks >= 220);
}

static void alternate(void)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};

	CHECK(sigaltstack(&stack, NULL) == 0);
	install(SIGALRM, tick, SA_ONSTACK);
	install(SIGSEGV, skip_two, SA_ONSTACK);
	set_timer(500);
	while (ticks < 50) {
		sink += spin(1000);
		__asm__ volatile("xor %%ecx, %%ecx\nmovb (%%rcx), %%al" ::: "rax", "rcx", "memory");
	}
	set_timer(0);
}

static void tick_out(int signo, siginfo_t *info, void *context)
{
	ticks++;
	siglongjmp(signal_jump, 1);
}

static void timer_jump(void)
{
	install(SIGALRM, tick_out, 0);
	(void)sigsetjmp(signal_jump, 1);
	set_timer(ticks < 50 ? 500 : 0);
	while (ticks < 50)
		sink += spin(100);
}

/* Signals that interrupt and restart system calls. */
static void timer_sleep(void)
{
	struct timespec ts = {0, 2000000};
	char byte;
	int fds[2];

	CHECK(pipe(fds) == 0);
	install(SIGALRM, tick, 0);
	set_timer(700);
	while (ticks < 30)
		nanosleep(&ts, NULL);
	install(SIGALRM, tick, SA_RESTART);
	if (fork() == 0) {
		nanosleep(&(struct timespec){0, 50000000}, NULL);
		_exit(write(fds[1], "x", 1) != 1);
	}
	CHECK(read(fds[0], &byte, 1) == 1);
	set_timer(0);
	wait(NULL);
}

/* --- threads and processes --- */

static void *short_life(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "w%ld", (long)arg);
	pthread_setname_np(pthread_self(), name);
	sink += spin(100 + (uintptr_t)arg);
	return arg;
}

static void threads(void)
{
	pthread_t t[10];
	int i, j;

	for (i = 0; i < 30; i++) {
		for (j = 0; j < 10; j++)
			CHECK(pthread_create(&t[j], NULL, short_life, (void *)(long)(i * 10 + j)) ==
			        0);
		for (j = 0; j < 10; j++)
			CHECK(pthread_join(t[j], NULL) == 0);
	}
}

static _Atomic int threads_begun;

static void *busy(void *arg)
{
	volatile uint64_t n = 100;

	threads_begun++;
	for (;;)
		sink += spin(n);
	return NULL;
}

static void *blocked(void *arg)
{
	threads_begun++;
	pause();
	return NULL;
}

/* exit_group while other threads run and wait. */
static void exit_running(void)
{
	pthread_t t;
	int i;

	for (i = 0; i < 3; i++) {
		CHECK(pthread_create(&t, NULL, busy, NULL) == 0);
		CHECK(pthread_create(&t, NULL, blocked, NULL) == 0);
	}
	while (threads_begun < 6)
		usleep(1000);
	pthread_setname_np(t, "renamed");
	usleep(20000);
}

/* Two threads run, two wait, for a while. */
static void exit_late(void)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, busy, NULL) == 0);
	CHECK(pthread_create(&t, NULL, blocked, NULL) == 0);
	CHECK(pthread_create(&t, NULL, busy, NULL) == 0);
	sleep(20);
}

static void thread_signals(void)
{
	pthread_t t[2];
	int i;

	install(SIGUSR1, tick, 0);
	for (i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, busy, NULL) == 0);
	for (i = 0; i < 200; i++) {
		pthread_kill(t[i & 1], SIGUSR1);
		usleep(200);
	}
	CHECK(ticks > 10);
}

static void strings(void)
{
	static char from[1000], to[1000];
	uint64_t n;
	void *d, *s;
	int i;

	for (i = 0; i < 100; i++) {
		d = to, s = from, n = (uint64_t)i;
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
		d = to, s = from, n = (uint64_t)i;
		__asm__ volatile("repe cmpsb" : "+D"(d), "+S"(s), "+c"(n)::"memory", "cc");
		d = to, n = (uint64_t)i;
		__asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"(1) : "memory", "cc");
	}
}

/* Branches with their peculiarities. */
static void odd_branches(void)
{
	int i;

	for (i = 0; i < 50; i++) {
		__asm__ volatile(
		        "call 1f\n1: pop %%rax\n" /* not a call to the hardware */
		        "test $1, %0\n"
		        "jz 2f\n2:\n" /* both ways are one */
		        "mov $3, %%ecx\n3: loop 3b\n"
		        "xor %%ecx, %%ecx\njrcxz 4f\nnop\n4:\n"
		        "bnd jmp 5f\nnop\n5:\n"
		        "call 6f\n"
		        "jmp 7f\n"
		        "6: repz ret\n"
		        "7: lea 8f(%%rip), %%rax\n push %%rax\n ret\n" /* a ret that jumps */
		        "8: lea 9f(%%rip), %%rax\n notrack jmp *%%rax\nnop\n9:\n"
		        :
		        : "r"(i)
		        : "rax", "rcx", "memory", "cc");
	}
}

static void forking(void)
{
	int i, status;

	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			sink += (uint64_t)fib(10 + i);
			_exit(i);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == i);
	}
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void executing(void)
{
	char *const args[] = {"odd name", "odd_branches", NULL};
	char *const env[] = {"A=b", NULL};
	int status;
	pid_t pid = vfork();

	if (!pid) {
		execve("/proc/self/exe", args, env);
		_exit(99);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(WEXITSTATUS(system("exit 7")) == 7);
}

static void close_all(void)
{
	int i;

	for (i = 3; i < 2000; i++)
		close(i);
	CHECK(open("/dev/null", 0) == 3);
	CHECK(close_range(3, ~0u, 0) == 0);
	CHECK(open("/dev/null", 0) == 3);
}

/* Code that is written, run, written over and run again. */
static void self_modifying(void)
{
	uint8_t *code = mmap(
	        NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	CHECK(code != MAP_FAILED);
	for (i = 0; i < 20; i++) {
		const uint8_t text[] = {0xb8, (uint8_t)i, 0, 0, 0, 0xc3}; /* mov $i, %eax; ret */

		memcpy(code, text, sizeof(text));
		CHECK(((int (*)(void))code)() == i);
	}
}

static void crash(void)
{
	sink += spin(100);
	*(volatile char *)8 = 1;
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {{"recursion", recursion}, {"pointers", pointers}, {"sorting", sorting},
        {"longjumps", longjumps}, {"fault_skip", fault_skip}, {"fault_fix", fault_fix},
        {"breakpoint", breakpoint}, {"fault_jump", fault_jump}, {"timer", timer},
        {"timer_tight", timer_tight}, {"timer_rep", timer_rep}, {"nested", nested},
        {"alternate", alternate}, {"timer_jump", timer_jump}, {"timer_sleep", timer_sleep},
        {"threads", threads}, {"exit_running", exit_running}, {"exit_late", exit_late},
        {"thread_signals", thread_signals}, {"strings", strings}, {"odd_branches", odd_branches},
        {"forking", forking}, {"executing", executing}, {"close_all", close_all},
        {"self_modifying", self_modifying}, {"crash", crash}};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(tests) / sizeof(*tests); i++)
		if (strcmp(argv[1], tests[i].name) == 0) {
			tests[i].run();
			return 0;
		}
	fprintf(stderr, "no such test\n");
	return 2;
}
