/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stack/tests/stack_scripts.h"

/* ---- functions ---- */

#define OF_KIND(number, text, its_kind)                                                            \
	{                                                                                          \
		.name = text, .raw_name = text, .module = "/bin/a", .address = (number)*0x1000,    \
		.size = 0x1000, .id = (number), .kind = (its_kind)                                 \
	}
#define WITH_ROLE(number, text, its_role)                                                          \
	{                                                                                          \
		.name = text, .raw_name = text, .module = "/bin/a", .address = (number)*0x1000,    \
		.size = 0x1000, .id = (number), .kind = PTF_FUNCTION_SYMBOL, .role = (its_role)    \
	}
#define FUNCTION(number, text) WITH_ROLE(number, text, PTF_ROLE_NONE)

static struct ptf_function functions[] = {
        FUNCTION(1, "main"),
        FUNCTION(2, "a"),
        FUNCTION(3, "b"),
        FUNCTION(4, "c"),
        FUNCTION(5, "handler"),
        FUNCTION(6, "handler2"),
        FUNCTION(7, "restorer"),
        FUNCTION(8, "switch"),
        FUNCTION(9, "task"),
        FUNCTION(10, "sched_yield"),
        FUNCTION(11, "irq"),
        WITH_ROLE(12, "setjmp", PTF_ROLE_RETURNS_TWICE),
        WITH_ROLE(13, "resume", PTF_ROLE_UNWINDS_ON),
        FUNCTION(14, "task2"),
        OF_KIND(15, "target", PTF_FUNCTION_TARGET),
        OF_KIND(16, "module", PTF_FUNCTION_MODULE),
};

const struct ptf_function *script_function(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	}
	fprintf(stderr, "no function %s\n", name);
	abort();
}

void script_watch(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		functions[i].watched = name && strcmp(functions[i].name, name) == 0;
}

/* ---- items ---- */

static struct ptf_flow_item *add(struct script *s, enum ptf_flow_kind kind)
{
	struct ptf_flow_item *item = &s->items[s->n];

	if (s->n == SCRIPT_ITEMS)
		abort();
	*item = (struct ptf_flow_item){
	        .kind = (uint8_t)kind,
	        .insns = (uint32_t)(3 + s->n % 5),
	        .from = PTF_NO_IP,
	        .to = PTF_NO_IP,
	        .time_ns = SCRIPT_START_NS + SCRIPT_STEP_NS * s->n,
	};
	s->n++;
	return item;
}

/* A place: "name" is its entry, "name+5" (hexadecimal) a place inside. */
static uint64_t place(const char *text, const struct ptf_function **function, bool *mid_entry)
{
	const char *plus = strchr(text, '+');
	size_t len = plus ? (size_t)(plus - text) : strlen(text);
	uint64_t offset = plus ? strtoull(plus + 1, NULL, 16) : 0;
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	*function = script_function(name);
	if (mid_entry)
		*mid_entry = offset != 0;
	return (*function)->address + offset;
}

static struct ptf_flow_item *transfer(
        struct script *s, enum ptf_flow_kind kind, const char *from, const char *to)
{
	struct ptf_flow_item *item = add(s, kind);

	if (from)
		item->from = place(from, &item->from_function, NULL);
	if (to)
		item->to = place(to, &item->to_function, &item->mid_entry);
	return item;
}

/* The call instruction stands SCRIPT_CALL_SIZE bytes before its return address. */
static void call(struct script *s, const char *back, const char *to)
{
	struct ptf_flow_item *item = transfer(s, PTF_FLOW_CALL, back, to);

	item->from -= SCRIPT_CALL_SIZE;
	item->insn_size = SCRIPT_CALL_SIZE;
}

static void ret(struct script *s, const char *to)
{
	transfer(s, PTF_FLOW_RETURN, NULL, to);
}

static void jump(struct script *s, const char *to)
{
	transfer(s, PTF_FLOW_JUMP, NULL, to);
}

static void sync_at(struct script *s, const char *to)
{
	transfer(s, PTF_FLOW_SYNC, NULL, to)->insns = 0;
}

static void off(struct script *s, enum ptf_flow_cause cause, const char *from)
{
	transfer(s, PTF_FLOW_OFF, from, NULL)->cause = (uint8_t)cause;
}

static void on(struct script *s, enum ptf_flow_cause cause, const char *to)
{
	transfer(s, PTF_FLOW_ON, NULL, to)->cause = (uint8_t)cause;
}

/* Lost from here to `to`, where tracing is on again. */
static void lost_until(struct script *s, const char *to)
{
	add(s, PTF_FLOW_LOST)->cause = PTF_CAUSE_OVERFLOW;
	s->sealed[s->n] = true;
	on(s, PTF_CAUSE_OVERFLOW, to);
}

/* ---- scripts ---- */

static void write_nested(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	ret(s, "a+15");
	call(s, "a+25", "b");
	ret(s, "a+25");
	ret(s, "main+25");
}

static void write_tail_jump(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	jump(s, "b");
	call(s, "b+15", "c");
	ret(s, "b+15");
	jump(s, "c");
	ret(s, "main+25");
}

static void write_recursion(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "a");
	call(s, "a+15", "a");
	ret(s, "a+15");
	ret(s, "a+15");
	call(s, "a+25", "a");
	ret(s, "a+25");
	ret(s, "main+25");
}

/* Returns into callers that were there before the trace. */
static void write_below_base(struct script *s)
{
	sync_at(s, "c+10");
	call(s, "c+25", "handler");
	ret(s, "c+25");
	ret(s, "b+15");
	call(s, "b+25", "c");
	ret(s, "b+25");
	ret(s, "a+15");
	ret(s, "main+25");
	call(s, "main+35", "b");
	ret(s, "main+35");
	call(s, "main+45", "a");
	ret(s, "main+45");
}

static void write_longjmp(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	call(s, "b+15", "c");
	jump(s, "a+40");
	ret(s, "main+25");
}

/* A throw: the unwinder (c) returns into the middle of main, where no call returns to. */
static void write_landing_pad(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	call(s, "b+15", "c");
	ret(s, "main+80");
	call(s, "main+95", "b");
	ret(s, "main+95");
}

/* setjmp's second return: several frames are left by one return. */
static void write_unwound(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	call(s, "b+15", "c");
	ret(s, "main+25");
	call(s, "main+35", "b");
	ret(s, "main+35");
}

static void write_syscall(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_SYSCALL, "a+10");
	on(s, PTF_CAUSE_SYSCALL, "a+12");
	off(s, PTF_CAUSE_ASYNC, "a+20");
	on(s, PTF_CAUSE_NONE, "a+20");
	ret(s, "main+25");
	call(s, "main+35", "sched_yield");
	off(s, PTF_CAUSE_SYSCALL, "sched_yield+5");
	on(s, PTF_CAUSE_SYSCALL, "sched_yield+7");
	ret(s, "main+35");
	off(s, PTF_CAUSE_FILTER, "main+40");
	on(s, PTF_CAUSE_NONE, "main+60");
}

static void write_signal(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_ASYNC, "a+20");
	on(s, PTF_CAUSE_NONE, "handler");
	call(s, "handler+15", "b");
	ret(s, "handler+15");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "a+20");
	ret(s, "main+25");
}

/* A second signal inside of the first one's handler. */
static void write_nested_signals(struct script *s)
{
	sync_at(s, "main+10");
	off(s, PTF_CAUSE_SYSCALL, "main+20");
	on(s, PTF_CAUSE_NONE, "handler");
	off(s, PTF_CAUSE_ASYNC, "handler+30");
	on(s, PTF_CAUSE_NONE, "handler2");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "handler+30");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_SYSCALL, "main+22");
}

/* sigreturn of the first handler delivers the next signal at once. */
static void write_next_signal(struct script *s)
{
	sync_at(s, "main+10");
	off(s, PTF_CAUSE_ASYNC, "main+20");
	on(s, PTF_CAUSE_NONE, "handler");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "handler2");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "main+20");
}

/* A handler that leaves by longjmp. */
static void write_signal_longjmp(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_ASYNC, "a+20");
	on(s, PTF_CAUSE_NONE, "handler");
	call(s, "handler+15", "c");
	jump(s, "main+80");
}

/* A recursive function is left; of its three frames the outer one called setjmp. */
static void write_longjmp_recursive(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "setjmp");
	ret(s, "a+15");
	call(s, "a+25", "a");
	call(s, "a+35", "a");
	call(s, "a+45", "c");
	jump(s, "a+15");
	call(s, "a+55", "b");
	ret(s, "a+55");
	ret(s, "main+25");
}

/* Destructors of a recursive function: the unwinder goes from each frame to the next one out. */
static void write_cleanups(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+25", "a");
	call(s, "a+25", "a");
	call(s, "a+35", "c");
	jump(s, "a+80");
	call(s, "a+95", "resume");
	jump(s, "a+80");
	call(s, "a+85", "b");
	ret(s, "a+85");
	call(s, "a+95", "resume");
	jump(s, "main+80");
	call(s, "main+95", "b");
	ret(s, "main+95");
}

/* Frames above and below share the code; the jump names its target, so it is no longjmp. */
static void write_shared_tail(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	jump(s, "a+60");
	s->items[s->n - 1].cause = PTF_CAUSE_DIRECT;
	ret(s, "a+15");
	ret(s, "main+25");
}

/* Returns by a pop and a jump; of one frame, then of two. */
static void write_return_by_jump(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	jump(s, "a+15");
	call(s, "a+25", "b");
	call(s, "b+15", "c");
	jump(s, "a+25");
	ret(s, "main+25");
}

/* a returns by a jump to the thunk, which calls into itself and returns for a. */
static void write_return_thunk(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	jump(s, "switch");
	call(s, "switch+5", "switch+20");
	ret(s, "main+25");
	call(s, "main+35", "b");
	ret(s, "main+35");
}

/* The callee skips data behind the call: in main, and in itself. */
static void write_adjusted_return(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "a");
	ret(s, "a+1d");
	ret(s, "main+2d");
	call(s, "main+35", "b");
	ret(s, "main+35");
}

/* The code behind the call runs twice: the call's return goes there, too. */
static void write_call_next_twice(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "a+15");
	call(s, "a+25", "b");
	ret(s, "a+25");
	ret(s, "a+15");
	call(s, "a+25", "b");
	ret(s, "a+25");
	ret(s, "main+25");
}

/* The handler changes where the interrupted code goes on: in it, then in a function that returns
 * there, then in one that returns behind it. */
static void write_changed_context(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_ASYNC, "a+20");
	on(s, PTF_CAUSE_NONE, "handler");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "a+23");
	off(s, PTF_CAUSE_ASYNC, "a+30");
	on(s, PTF_CAUSE_NONE, "handler");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "b");
	ret(s, "a+30");
	off(s, PTF_CAUSE_ASYNC, "a+40");
	on(s, PTF_CAUSE_NONE, "handler");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "b");
	ret(s, "a+42");
	ret(s, "main+25");
}

/* A handler in a system call that is restarted. */
static void write_restart(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_SYSCALL, "a+10");
	on(s, PTF_CAUSE_NONE, "handler");
	ret(s, "restorer");
	off(s, PTF_CAUSE_SYSCALL, "restorer+7");
	on(s, PTF_CAUSE_NONE, "a+10");
	off(s, PTF_CAUSE_SYSCALL, "a+10");
	on(s, PTF_CAUSE_SYSCALL, "a+12");
	ret(s, "main+25");
}

/* task switches to task2, which switches to main; then main goes on with each. */
static void write_symmetric(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "switch");
	ret(s, "task");
	call(s, "task+15", "switch");
	ret(s, "task2");
	call(s, "task2+15", "b");
	call(s, "b+15", "switch");
	ret(s, "main+25");
	call(s, "main+35", "switch");
	ret(s, "task+15");
	call(s, "task+25", "c");
	ret(s, "task+25");
	call(s, "task+35", "switch");
	ret(s, "main+35");
	call(s, "main+45", "switch");
	ret(s, "b+15");
	ret(s, "task2+15");
	call(s, "task2+25", "switch");
	ret(s, "main+45");
}

/* A coroutine that begins, yields and goes on by jumps. */
static void write_switch_by_jump(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "switch");
	jump(s, "task");
	call(s, "task+15", "switch");
	jump(s, "main+25");
	call(s, "main+35", "switch");
	jump(s, "task+15");
	call(s, "task+25", "switch");
	jump(s, "main+35");
}

/* task and task2 wait in b, the younger goes on first: what it is shows when it leaves b. */
static void write_swap(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "switch");
	ret(s, "task");
	call(s, "task+15", "b");
	call(s, "b+15", "switch");
	ret(s, "main+25");
	call(s, "main+35", "switch");
	ret(s, "task2");
	call(s, "task2+15", "b");
	call(s, "b+15", "switch");
	ret(s, "main+35");
	call(s, "main+45", "switch");
	ret(s, "b+15");
	ret(s, "task2+15");
	call(s, "task2+25", "switch");
	ret(s, "main+45");
	call(s, "main+55", "switch");
	ret(s, "b+15");
	ret(s, "task+15");
	call(s, "task+25", "switch");
	ret(s, "main+55");
}

/* A coroutine that begins by a switch, then waits and goes on by setjmp and longjmp (c). */
static void write_setjmp_coroutine(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "setjmp");
	ret(s, "main+25");
	call(s, "main+35", "switch");
	ret(s, "task");
	call(s, "task+15", "setjmp");
	ret(s, "task+15");
	call(s, "task+25", "c");
	jump(s, "main+25");
	call(s, "main+45", "a");
	call(s, "a+15", "setjmp");
	ret(s, "a+15");
	call(s, "a+25", "c");
	jump(s, "task+15");
	call(s, "task+35", "b");
	ret(s, "task+35");
	call(s, "task+45", "setjmp");
	ret(s, "task+45");
	call(s, "task+55", "c");
	jump(s, "a+15");
	ret(s, "main+45");
}

/* Each side calls the switch by a stub of its own. */
static void write_switch_by_stubs(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "c");
	jump(s, "switch");
	ret(s, "task");
	call(s, "task+15", "b");
	jump(s, "switch");
	ret(s, "main+25");
}

/* b is not traced when it leaves the inner a, too. */
static void write_returned_untraced(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "a");
	call(s, "a+25", "b");
	off(s, PTF_CAUSE_BRANCH, "b+10");
	on(s, PTF_CAUSE_NONE, "a+15");
	ret(s, "main+25");
}

/* Nothing covers the code of target, so that a place in it does not know its function. */
static void write_resume_uncovered(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "target");
	call(s, "target+15", "b");
	off(s, PTF_CAUSE_SYSCALL, "b+10");
	on(s, PTF_CAUSE_NONE, "module+40");
	ret(s, "main+25");
}

/* A jump through a pointer into a function of which nothing was known. */
static void write_longjmp_nowhere(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	jump(s, "c+40");
	s->items[s->n - 1].cause = PTF_CAUSE_INDIRECT;
	call(s, "c+55", "a");
	ret(s, "c+55");
}

/* a enters a task by a return to its entry; the task yields and is resumed from another place. */
static void write_coroutine(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "switch");
	ret(s, "task");
	call(s, "task+15", "b");
	call(s, "b+15", "switch");
	ret(s, "a+15");
	ret(s, "main+25");
	call(s, "main+35", "a");
	call(s, "a+35", "switch");
	ret(s, "b+15");
	ret(s, "task+15");
	call(s, "task+25", "switch");
	ret(s, "a+35");
	ret(s, "main+35");
}

/* A task that waits inside of b goes on inside of another call of b. */
static void write_coroutine_inside(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "switch");
	ret(s, "task");
	call(s, "task+15", "b");
	call(s, "b+15", "switch");
	ret(s, "a+15");
	ret(s, "main+25");
	call(s, "main+35", "b");
	call(s, "b+35", "switch");
	ret(s, "b+15");
	ret(s, "task+15");
	call(s, "task+25", "switch");
	ret(s, "b+35");
	ret(s, "main+35");
}

/* After the gap the innermost function is the one before it: the stack is kept. */
static void write_gap_kept(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	lost_until(s, "b+40");
	ret(s, "a+15");
	call(s, "a+25", "c");
	lost_until(s, "a+40");
	ret(s, "main+25");
}

/* After the gap runs what is not on the stack: it is given up. */
static void write_gap_closed(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	lost_until(s, "c+40");
	call(s, "c+55", "b");
	ret(s, "c+55");
	ret(s, "handler+15");
}

static void write_call_next(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "a+15"); /* call of the next instruction */
	call(s, "a+25", "a+60"); /* call of a label inside */
	call(s, "a+65", "b");
	ret(s, "a+65");
	ret(s, "a+25");
	call(s, "a+35", "b+60"); /* call of a label in another function */
	ret(s, "a+35");
	call(s, "a+45", "a+70");
	ret(s, "a+45");
	ret(s, "main+25");
}

/* The thunk (switch) calls inside of itself, then returns to the real target. */
static void write_retpoline(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "switch");
	call(s, "switch+5", "switch+20");
	ret(s, "a");
	ret(s, "main+25");
}

/* Interrupts that are traced themselves: into the kernel and back. */
static void write_async(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	transfer(s, PTF_FLOW_ASYNC, "a+30", "irq")->cause = PTF_CAUSE_ASYNC;
	call(s, "irq+15", "b");
	ret(s, "irq+15");
	transfer(s, PTF_FLOW_ASYNC, "irq+30", "a+30")->cause = PTF_CAUSE_SYSCALL;
	ret(s, "main+25");
}

/* A call whose target is not traced: tracing stops, the call is told, tracing goes on. */
static void write_untraced_call(struct script *s)
{
	sync_at(s, "main+10");
	off(s, PTF_CAUSE_BRANCH, "main+20");
	s->sealed[s->n] = true;
	call(s, "main+25", "a");
	s->items[s->n - 1].cause = PTF_CAUSE_BRANCH;
	s->sealed[s->n] = true;
	on(s, PTF_CAUSE_NONE, "main+25");
	call(s, "main+35", "b");
	ret(s, "main+35");
}

/* Tracing goes on in a caller: what was above is left. */
static void write_resume_elsewhere(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	call(s, "a+15", "b");
	off(s, PTF_CAUSE_SYSCALL, "b+10");
	on(s, PTF_CAUSE_NONE, "a+40");
	ret(s, "main+25");
}

/* Tracing goes on in code of which nothing was known. */
static void write_resume_nowhere(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	off(s, PTF_CAUSE_SYSCALL, "a+10");
	on(s, PTF_CAUSE_NONE, "c+40");
	call(s, "c+55", "b");
	ret(s, "c+55");
}

/* A recording that begins inside of a system call. */
static void write_begins_off(struct script *s)
{
	sync_at(s, NULL);
	on(s, PTF_CAUSE_SYSCALL, "b+10");
	ret(s, "a+15");
	call(s, "a+25", "c");
	ret(s, "a+25");
}

/* A return into a function of which nothing was known, with more than one frame to lose. */
static void write_unmatched(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	ret(s, "c+15");
	call(s, "c+25", "b");
	ret(s, "c+25");
}

/* Counted as an entry: perf's text names some PLT stubs by a place inside of another function. */
static void write_jump_into(struct script *s)
{
	sync_at(s, "main+10");
	call(s, "main+25", "a");
	jump(s, "b+40");
	ret(s, "main+25");
}

const struct script_case script_cases[] = {
        {"nested calls", write_nested,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/50 on:30\n"
                "main;a;b c2 j0 p0 t2/20 on:20\n",
                ""},
        {"tail jumps", write_tail_jump,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j1 p0 t1/30 on:20\n"
                "main;b;c c1 j0 p0 t1/10 on:10\n"
                "main;c c1 j1 p0 t1/10 on:10\n",
                "tail_jump:2 "},
        {"recursion", write_recursion,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/70 on:30\n"
                "main;a;a c2 j0 p0 t2/40 on:30\n"
                "main;a;a;a c1 j0 p0 t1/10 on:10\n",
                ""},
        {"returns below the base", write_below_base,
                "main c0 j0 p1 t0/0 on:30\n"
                "main;a c1 j0 p1 t1/10 on:20\n"
                "main;a;b c0 j0 p1 t0/0 on:20\n"
                "main;a;b;c c1 j0 p1 t1/10 on:30 kernel:20\n"
                "main;a;b;c;handler c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "outer_frame:3 "},
        {"longjmp", write_longjmp,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/40 on:20\n"
                "main;a;b c1 j0 p0 t1/20 on:10\n"
                "main;a;b;c c1 j0 p0 t1/10 on:10\n",
                "longjmp:1 "},
        {"landing pad", write_landing_pad,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/30 on:10\n"
                "main;a;b c1 j0 p0 t1/20 on:10\n"
                "main;a;b;c c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "landing_pad:1 "},
        {"unwound return", write_unwound,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/30 on:10\n"
                "main;a;b c1 j0 p0 t1/20 on:10\n"
                "main;a;b;c c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "unwound_return:1 "},
        {"system calls, interrupts, filters", write_syscall,
                "main c0 j0 p1 t0/0 on:40 filtered:10 kernel:20\n"
                "main;a c1 j0 p0 t1/50 on:30 syscall:10 interrupt:10\n"
                "main;sched_yield c1 j0 p0 t1/30 on:20 syscall:10\n",
                ""},
        {"signal", write_signal,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/80 on:20 interrupt:10\n"
                "main;a;handler c1 j1 p0 t1/30 on:20\n"
                "main;a;handler;b c1 j0 p0 t1/10 on:10\n"
                "main;a;restorer c1 j1 p0 t1/20 on:10 syscall:10\n",
                "async_entry:1 async_return:1 "},
        {"nested signals", write_nested_signals,
                "main c0 j0 p1 t0/0 on:20 syscall:10 kernel:20\n"
                "main;handler c1 j1 p0 t1/60 on:20 interrupt:10\n"
                "main;handler;handler2 c1 j1 p0 t1/10 on:10\n"
                "main;handler;restorer c1 j1 p0 t1/20 on:10 syscall:10\n"
                "main;restorer c1 j1 p0 t1/20 on:10 syscall:10\n",
                "async_entry:2 async_return:2 "},
        {"sigreturn into the next handler", write_next_signal,
                "main c0 j0 p1 t0/0 on:20 interrupt:10 kernel:20\n"
                "main;handler c1 j1 p0 t1/10 on:10\n"
                "main;handler2 c1 j1 p0 t1/10 on:10\n"
                "main;restorer c2 j2 p0 t2/40 on:20 syscall:20\n",
                "async_entry:2 async_return:2 "},
        {"longjmp out of a handler", write_signal_longjmp,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/40 on:10 interrupt:10\n"
                "main;a;handler c1 j1 p0 t1/20 on:10\n"
                "main;a;handler;c c1 j0 p0 t1/10 on:10\n",
                "longjmp:1 async_entry:1 "},
        {"coroutine", write_coroutine,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c2 j0 p0 t2/120 on:40\n"
                "main;a;switch c2 j0 p0 t2/20 on:20\n"
                "main;a;task c1 j1 p1 t0/0 on:20\n"
                "main;a;task;b c1 j0 p0 t1/70 on:20\n"
                "main;a;task;b;switch c1 j0 p0 t1/50 on:10\n"
                "main;a;task;switch c1 j0 p1 t0/0 on:10\n",
                "return_as_jump:1 stack_switch:3 "},
        {"coroutine that goes on in its own function", write_coroutine_inside,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/60 on:20\n"
                "main;a;switch c1 j0 p0 t1/10 on:10\n"
                "main;a;task c1 j1 p0 t0/0 on:10\n"
                "main;a;task;b c1 j0 p0 t0/0 on:10\n"
                "main;a;task;b;switch c1 j0 p0 t0/0 on:10\n"
                "main;b c1 j0 p0 t1/60 on:20\n"
                "main;b;switch c1 j0 p0 t1/10 on:10\n"
                "main;b;task c0 j0 p1 t0/0 on:10\n"
                "main;b;task;b c0 j0 p0 t1/70 on:10\n"
                "main;b;task;b;switch c0 j0 p0 t1/50\n"
                "main;b;task;switch c1 j0 p1 t0/0 on:10\n",
                "return_as_jump:1 stack_switch:3 "},
        {"gap, the stack is kept", write_gap_kept,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/80 on:30\n"
                "main;a;b c1 j0 p0 t1/30 on:20 lost:10\n"
                "main;a;c c1 j0 p1 t0/0 on:10 lost:10\n",
                "gap_kept:2 "},
        {"gap, the stack is closed", write_gap_closed,
                "handler c0 j0 p1 t0/0 on:10\n"
                "handler;c c0 j0 p1 t0/0 on:20\n"
                "handler;c;b c1 j0 p0 t1/10 on:10\n"
                "main c0 j0 p1 t0/0 on:10 kernel:20\n"
                "main;a c1 j0 p1 t0/0 on:10 lost:10\n",
                "outer_frame:1 gap_closed:1 "},
        {"calls of the next instruction and of labels", write_call_next,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c4 j0 p3 t1/100 on:80\n"
                "main;a;b c2 j0 p1 t1/10 on:20\n",
                "call_next:1 "},
        {"retpoline", write_retpoline,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j1 p0 t1/10 on:10\n"
                "main;switch c2 j0 p1 t1/20 on:20\n",
                "return_as_jump:1 "},
        {"traced interrupt", write_async,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/50 on:20\n"
                "main;a;irq c1 j1 p0 t1/30 on:20\n"
                "main;a;irq;b c1 j0 p0 t1/10 on:10\n",
                "async_entry:1 async_return:1 "},
        {"untraced call", write_untraced_call,
                "main c0 j0 p1 t0/0 on:30 kernel:40\n"
                "main;a c1 j0 p1 t0/0\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "call_next:1 "},
        {"resume elsewhere", write_resume_elsewhere,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/40 on:20\n"
                "main;a;b c1 j0 p0 t1/20 on:10 syscall:10\n",
                "resume_elsewhere:1 "},
        {"resume nowhere", write_resume_nowhere,
                "c c0 j0 p1 t0/0 on:20\n"
                "c;b c1 j0 p0 t1/10 on:10\n"
                "main c0 j0 p1 t0/0 on:10 kernel:20\n"
                "main;a c1 j0 p1 t0/0 on:10 syscall:10\n",
                "resume_elsewhere:1 "},
        {"begins in a system call", write_begins_off,
                "a c0 j0 p1 t0/0 on:20\n"
                "a;b c0 j0 p1 t0/0 on:10 syscall:30\n"
                "a;c c1 j0 p0 t1/10 on:10\n",
                "outer_frame:1 "},
        {"unmatched return", write_unmatched,
                "c c0 j0 p1 t0/0 on:20\n"
                "c;b c1 j0 p0 t1/10 on:10\n"
                "main c0 j0 p1 t0/0 on:10 kernel:20\n"
                "main;a c1 j0 p1 t0/0 on:10\n",
                "unmatched_return:1 "},
        {"jump into a function", write_jump_into,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j1 p0 t1/10 on:10\n",
                "jump_into:1 "},
        {"longjmp in a recursion", write_longjmp_recursive,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/90 on:40\n"
                "main;a;a c1 j0 p0 t1/30 on:10\n"
                "main;a;a;a c1 j0 p0 t1/20 on:10\n"
                "main;a;a;a;c c1 j0 p0 t1/10 on:10\n"
                "main;a;b c1 j0 p0 t1/10 on:10\n"
                "main;a;setjmp c1 j0 p0 t1/10 on:10\n",
                "longjmp:1 "},
        {"cleanups of a recursion", write_cleanups,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/100 on:10\n"
                "main;a;a c1 j0 p0 t1/90 on:30\n"
                "main;a;a;a c1 j0 p0 t1/40 on:20\n"
                "main;a;a;a;c c1 j0 p0 t1/10 on:10\n"
                "main;a;a;a;resume c1 j0 p0 t1/10 on:10\n"
                "main;a;a;b c1 j0 p0 t1/10 on:10\n"
                "main;a;a;resume c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "longjmp:3 "},
        {"shared tail", write_shared_tail,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/40 on:20\n"
                "main;a;a c1 j1 p0 t1/10 on:10\n"
                "main;a;b c1 j0 p0 t1/10 on:10\n",
                "jump_into:1 "},
        {"return by a jump", write_return_by_jump,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/60 on:30\n"
                "main;a;b c2 j0 p0 t2/30 on:20\n"
                "main;a;b;c c1 j0 p0 t1/10 on:10\n",
                "unwound_return:1 "},
        {"return thunk", write_return_thunk,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n"
                "main;switch c2 j1 p1 t1/20 on:20\n",
                "tail_jump:1 "},
        {"adjusted return addresses", write_adjusted_return,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;a c1 j0 p0 t1/30 on:20\n"
                "main;a;a c1 j0 p0 t1/10 on:10\n"
                "main;b c1 j0 p0 t1/10 on:10\n",
                "landing_pad:2 "},
        {"call of the next instruction that returns", write_call_next_twice,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c2 j0 p1 t1/70 on:50\n"
                "main;a;b c2 j0 p0 t2/20 on:20\n",
                "call_next:1 "},
        {"sigreturn to a changed context", write_changed_context,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/180 on:40 interrupt:30\n"
                "main;a;b c2 j2 p0 t2/20 on:20\n"
                "main;a;handler c3 j3 p0 t3/30 on:30\n"
                "main;a;restorer c3 j3 p0 t3/60 on:30 syscall:30\n",
                "async_entry:5 async_return:4 resume_elsewhere:1 "},
        {"restarted system call", write_restart,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/80 on:30 syscall:20\n"
                "main;a;handler c1 j1 p0 t1/10 on:10\n"
                "main;a;restorer c1 j1 p0 t1/20 on:10 syscall:10\n",
                "async_entry:1 async_return:1 "},
        {"symmetric coroutines", write_symmetric,
                "main c0 j0 p1 t0/0 on:40 kernel:20\n"
                "main;switch c3 j0 p0 t3/30 on:30\n"
                "main;task c1 j1 p1 t0/0 on:30\n"
                "main;task;c c1 j0 p0 t1/10 on:10\n"
                "main;task;switch c2 j0 p1 t1/10 on:20\n"
                "main;task;task2 c1 j1 p0 t0/0 on:10\n"
                "main;task;task2;b c1 j0 p0 t0/0 on:10\n"
                "main;task;task2;b;switch c1 j0 p0 t0/0 on:10\n"
                "main;task2 c0 j0 p1 t0/0 on:10\n"
                "main;task2;b c0 j0 p0 t1/110 on:10\n"
                "main;task2;b;switch c0 j0 p0 t1/90\n"
                "main;task2;switch c1 j0 p1 t0/0 on:10\n",
                "return_as_jump:2 stack_switch:5 "},
        {"coroutine switched by jumps", write_switch_by_jump,
                "main c0 j0 p1 t0/0 on:30 kernel:20\n"
                "main;switch c2 j0 p0 t2/20 on:20\n"
                "main;task c1 j1 p1 t0/0 on:20\n"
                "main;task;switch c2 j0 p1 t1/30 on:20\n",
                "tail_jump:1 stack_switch:3 "},
        {"mixed-up coroutines", write_swap,
                "main c0 j0 p1 t0/0 on:50 kernel:20\n"
                "main;switch c4 j0 p0 t4/40 on:40\n"
                "main;task c1 j1 p1 t0/0 on:20\n"
                "main;task;b c1 j0 p0 t1/150 on:30\n"
                "main;task;b;switch c1 j0 p0 t2/160 on:10\n"
                "main;task;switch c1 j0 p1 t0/0 on:10\n"
                "main;task2 c1 j1 p1 t0/0 on:20\n"
                "main;task2;b c1 j0 p0 t1/50 on:10\n"
                "main;task2;b;switch c1 j0 p0 t0/0 on:10\n"
                "main;task2;switch c1 j0 p1 t0/0 on:10\n",
                "return_as_jump:2 stack_switch:6 stack_swap:1 "},
        {"stubs of a switch", write_switch_by_stubs,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;c c1 j0 p0 t1/10 on:10\n"
                "main;switch c1 j1 p0 t1/10 on:10\n"
                "main;task c1 j1 p1 t0/0 on:10\n"
                "main;task;b c1 j0 p0 t1/10 on:10\n"
                "main;task;switch c1 j1 p1 t0/0 on:10\n",
                "tail_jump:2 return_as_jump:1 stack_switch:1 "},
        {"returns that are not traced", write_returned_untraced,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;a c1 j0 p0 t1/50 on:20\n"
                "main;a;a c1 j0 p0 t1/30 on:10\n"
                "main;a;a;b c1 j0 p0 t1/20 on:10 kernel:10\n",
                "resume_elsewhere:1 "},
        {"resumed in code that nothing covers", write_resume_uncovered,
                "main c0 j0 p1 t0/0 on:20 kernel:20\n"
                "main;target c1 j0 p0 t1/40 on:20\n"
                "main;target;b c1 j0 p0 t1/20 on:10 syscall:10\n",
                "resume_elsewhere:1 "},
        {"longjmp to nowhere", write_longjmp_nowhere,
                "c c0 j0 p1 t0/0 on:20\n"
                "c;a c1 j0 p0 t1/10 on:10\n"
                "main c0 j0 p1 t0/0 on:10 kernel:20\n"
                "main;a c1 j0 p1 t0/0 on:10\n"
                "main;a;b c1 j0 p1 t0/0 on:10\n",
                "unmatched_return:1 "},
        {"coroutine of setjmp and longjmp", write_setjmp_coroutine,
                "main c0 j0 p1 t0/0 on:40 kernel:20\n"
                "main;a c1 j0 p0 t1/110 on:30\n"
                "main;a;c c1 j0 p0 t1/10 on:10\n"
                "main;a;setjmp c1 j0 p0 t1/10 on:10\n"
                "main;a;task c0 j0 p1 t0/0 on:30\n"
                "main;a;task;b c1 j0 p0 t1/10 on:10\n"
                "main;a;task;c c1 j0 p0 t1/10 on:10\n"
                "main;a;task;setjmp c1 j0 p0 t1/10 on:10\n"
                "main;setjmp c1 j0 p0 t1/10 on:10\n"
                "main;switch c1 j0 p0 t1/10 on:10\n"
                "main;task c1 j1 p0 t0/0 on:20\n"
                "main;task;c c1 j0 p0 t1/10 on:10\n"
                "main;task;setjmp c1 j0 p0 t1/10 on:10\n",
                "longjmp:2 return_as_jump:1 stack_switch:1 ", .learns_late = true},
};

const size_t script_case_count = sizeof(script_cases) / sizeof(script_cases[0]);

struct ptf_thread_timeline script_life(const struct script *script)
{
	return (struct ptf_thread_timeline){
	        .pid = 1,
	        .tid = 1,
	        .comm = "script",
	        .start_ns = SCRIPT_START_NS - SCRIPT_LIFE_BEFORE_NS,
	        .end_ns = SCRIPT_START_NS + SCRIPT_STEP_NS * script->n,
	};
}

/* ---- results as text ---- */

static void class_name(char *text, size_t size, unsigned time_class)
{
	static const char *const running[] = {
	        "on", "filtered", "syscall", "interrupt", "kernel", "kernel code", "lost"};
	static const char *const places[] = {"user", "syscall", "interrupt", "kernel", "filtered"};
	static const char *const reasons[] = {
	        "blocked", "preempted", "yielded", "runqueue", "unknown", "recorder"};

	_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == PTF_OFF_REASONS, "a name for each");

	if (time_class < PTF_TIME_OFF)
		snprintf(text, size, "%s", running[time_class]);
	else
		snprintf(text, size, "%s/%s", places[ptf_time_class_place(time_class)],
		        reasons[ptf_time_class_reason(time_class)]);
}

static int by_name(const void *a, const void *b)
{
	const struct ptf_call_node *const *x = a, *const *y = b;

	int order = strcmp((*x)->function->name, (*y)->function->name);

	return order ? order : (int)(*x)->slice - (int)(*y)->slice;
}

static void print_below(FILE *out, const struct ptf_call_node *node, const char *path, bool insns);

/* "a#50": calls of a that took 50 ns. */
static const char *slice_name(uint32_t slice)
{
	static char text[32];

	if (slice == PTF_SLICE_NONE)
		return "";
	if (slice == PTF_SLICE_OPEN)
		return "#open";
	if (slice == PTF_SLICE_UNTIMED)
		return "#untimed";
	snprintf(
	        text, sizeof(text), "#%" PRIu64, ptf_latency_bucket_start(slice - PTF_SLICE_FIRST));
	return text;
}

static void print_node(FILE *out, const struct ptf_call_node *node, const char *above, bool insns)
{
	char path[512], class_text[64];

	snprintf(path, sizeof(path), "%s%s%s%s", above, *above ? ";" : "", node->function->name,
	        slice_name(node->slice));
	fprintf(out, "%s c%" PRIu64 " j%" PRIu64 " p%" PRIu64 " t%" PRIu64 "/%" PRIu64, path,
	        node->calls, node->jump_calls, node->partial_calls, ptf_call_node_timed_calls(node),
	        node->times ? node->times->total.sum_ns : 0);
	if (insns)
		fprintf(out, " i%" PRIu64, node->insns);
	for (unsigned i = 0; i < PTF_TIME_CLASSES; i++) {
		class_name(class_text, sizeof(class_text), i);
		if (ptf_call_node_time(node, i))
			fprintf(out, " %s:%" PRIu64, class_text, ptf_call_node_time(node, i));
	}
	fprintf(out, "\n");
	print_below(out, node, path, insns);
}

static void print_below(FILE *out, const struct ptf_call_node *node, const char *path, bool insns)
{
	const struct ptf_call_node *children[16];
	size_t n = 0;

	for (const struct ptf_call_node *child = node->children; child; child = child->sibling) {
		if (n == sizeof(children) / sizeof(children[0]))
			abort();
		children[n++] = child;
	}
	qsort(children, n, sizeof(*children), by_name);
	for (size_t i = 0; i < n; i++)
		print_node(out, children[i], path, insns);
}

void script_print_tree(FILE *out, const struct ptf_call_tree *tree, bool insns)
{
	struct ptf_call_tree joined;
	const struct ptf_call_node *root;

	/* A copy: siblings of the same function and slice are one. */
	ptf_call_tree_init(&joined);
	root = ptf_call_tree_copy(&joined, &tree->root);
	if (!root)
		abort();
	print_below(out, root, "", insns);
	ptf_call_tree_release(&joined);
	if (insns)
		fprintf(out, "(root) i%" PRIu64 " on:%" PRIu64 "\n", tree->root.insns,
		        tree->root.on_ns);
}

void script_print_slow(FILE *out, const struct ptf_slow_calls *slow)
{
	for (size_t i = 0; slow && i < slow->n; i++) {
		const struct ptf_slow_call *call = &slow->v[i];

		fprintf(out, "at %" PRIu64 ": %" PRIu64 " + %" PRIu64 " + %" PRIu64 " ns\n",
		        call->start_ns, call->parts.ns[PTF_PART_ON],
		        call->parts.ns[PTF_PART_KERNEL], call->parts.ns[PTF_PART_OFF]);
		print_below(out, call->node, call->node->function->name, true);
	}
}

void script_print_rules(FILE *out, const struct ptf_stack_rule_counts *rules)
{
	for (unsigned i = 0; i < PTF_RULES; i++) {
		if (rules->fired[i])
			fprintf(out, "%s:%" PRIu64 " ", ptf_stack_rule_name((enum ptf_stack_rule)i),
			        rules->fired[i]);
	}
}

static void print_latency(FILE *out, const char *what, const struct ptf_latency *latency)
{
	fprintf(out, "%s %" PRIu64 "..%" PRIu64 ":", what, latency->min_ns, latency->max_ns);
	for (unsigned i = 0; i < PTF_LATENCY_BUCKETS; i++) {
		uint64_t count = ptf_latency_between(latency, i, i + 1);

		if (count)
			fprintf(out, " %" PRIu64 "*%" PRIu64, count, ptf_latency_bucket_start(i));
	}
	fprintf(out, "\n");
}

/* The visits of all nodes of a function. */
static bool sum_visits(const struct ptf_call_tree *tree, const struct ptf_function *function,
        struct ptf_arena *arena, struct ptf_visits sums[PTF_VISIT_KINDS])
{
	const struct ptf_call_node *node = &tree->root;
	bool any = false;
	unsigned up;

	while ((node = ptf_call_node_next(&tree->root, node, &up))) {
		for (unsigned i = 0;
		        node->function == function && node->visits && i < PTF_VISIT_KINDS; i++) {
			any |= node->visits[i].calls || node->visits[i].partial;
			sums[i].calls += node->visits[i].calls;
			sums[i].partial += node->visits[i].partial;
			if (!ptf_call_times_merge(&sums[i].times, arena, &node->visits[i].times))
				abort();
		}
	}
	return any;
}

void script_print_visits(FILE *out, const struct ptf_call_tree *tree)
{
	static const char *const kinds[PTF_VISIT_KINDS] = {"syscall", "interrupt"};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		struct ptf_visits sums[PTF_VISIT_KINDS] = {0};
		struct ptf_arena arena = {0};

		if (sum_visits(tree, &functions[i], &arena, sums)) {
			for (unsigned kind = 0; kind < PTF_VISIT_KINDS; kind++) {
				const struct ptf_visits *sum = &sums[kind];

				if (!sum->calls && !sum->partial)
					continue;
				fprintf(out,
				        "%s %s c%" PRIu64 " p%" PRIu64 " t%" PRIu64 "/%" PRIu64
				        "+%" PRIu64 "\n",
				        functions[i].name, kinds[kind], sum->calls, sum->partial,
				        sum->times.total.count,
				        ptf_call_times_sum(&sum->times, PTF_PART_KERNEL),
				        ptf_call_times_sum(&sum->times, PTF_PART_OFF));
			}
		}
		ptf_arena_release(&arena);
	}
}

void script_print_times(FILE *out, const struct ptf_call_tree *tree)
{
	static const char *const names[PTF_PARTS] = {"on", "kernel", "off"};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		struct ptf_call_times times = {0};
		struct ptf_arena arena = {0};
		const struct ptf_call_node *node = &tree->root;
		unsigned up;

		while ((node = ptf_call_node_next(&tree->root, node, &up))) {
			if (node->function == &functions[i] && node->times &&
			        !ptf_call_times_merge(&times, &arena, node->times))
				abort();
		}
		if (times.total.count)
			print_latency(out, functions[i].name, &times.total);
		for (unsigned part = 0; times.parts && part < PTF_PARTS; part++)
			print_latency(out, names[part], &times.parts[part]);
		ptf_arena_release(&arena);
	}
}
