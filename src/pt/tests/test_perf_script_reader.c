/* SPDX-License-Identifier: BSD-2-Clause */
/* Text of perf script: every shape of line, the items made of it, and real texts against grep. */
#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pt/perf_script_line.h"
#include "pt/perf_script_reader.h"

/* ---- lines ---- */

static struct ptf_perf_script_line parsed(const char *text)
{
	struct ptf_perf_script_line line;

	ptf_perf_script_line_parse(&line, text, strlen(text));
	return line;
}

static void assert_slice(struct ptf_slice s, const char *text)
{
	char copy[256];

	assert_in_range(s.len, 0, sizeof(copy) - 1);
	snprintf(copy, sizeof(copy), "%.*s", (int)s.len, s.len ? s.text : "");
	assert_string_equal(copy, text);
}

static void assert_place(const struct ptf_script_place *place, uint64_t ip, const char *symbol,
        uint64_t offset, const char *dso)
{
	assert_int_equal(place->ip, ip);
	assert_slice(place->symbol, symbol);
	assert_slice(place->dso, dso);
	assert_int_equal(place->has_offset ? place->offset : 0, offset);
}

/* Everything that perf can print in front of the branch, and what of it is found. */
static void test_heads(void **state)
{
#define TAIL "call     401136 main+0x10 (/bin/a) =>   401000 f+0x0 (/bin/a)"
	static const struct {
		const char *text;
		const char *comm;
		int32_t pid, tid, cpu;
		uint64_t ns;
	} heads[] = {
	        {"a 7/8 [003] 12.000000034:  1 branches:uH: ", "a", 7, 8, 3, 12000000034},
	        {"   a.out  8 [003]   12.345678:   1  branches:u: ", "a.out", -1, 8, 3,
	                12345678000},
	        {"Web Content 2 7/8 12.5:  branches: ", "Web Content 2", 7, 8, -1, 12500000000},
	        {"7/8 12.000000034:          1   branches:uH:  ", "", 7, 8, -1, 12000000034},
	        {"  8 12.000000034: ", "", -1, 8, -1, 12000000034},
	        {"12.000000034:  1 branches: ", "", -1, -1, -1, 12000000034},
	        {"[012] 12.000000034: ", "", -1, -1, 12, 12000000034},
	        {"a.out  8          1          branches:uh: ", "a.out", -1, 8, -1, UINT64_MAX},
	        {"a.out  7/8  [-01]          branches:uh:  ", "a.out", 7, 8, -1, UINT64_MAX},
	        {" 8   ", "", -1, 8, -1, UINT64_MAX},
	        {"a b 8 ", "a b", -1, 8, -1, UINT64_MAX},
	        {"-1/-1 3.000000001:  1 branches: ", "", -1, -1, -1, 3000000001},
	        {":8  8 3.000000001:  1 branches: ", ":8", -1, 8, -1, 3000000001},
	        {"  ", "", -1, -1, -1, UINT64_MAX},
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct ptf_perf_script_line line;
		char text[256];

		snprintf(text, sizeof(text), "%s" TAIL, heads[i].text);
		line = parsed(text);
		if (line.kind != PTF_SCRIPT_BRANCH)
			fail_msg("\"%s\" is taken for %d", text, line.kind);
		assert_slice(line.comm, heads[i].comm);
		assert_int_equal(line.pid, heads[i].pid);
		assert_int_equal(line.tid, heads[i].tid);
		assert_int_equal(line.cpu, heads[i].cpu);
		assert_int_equal(line.time_ns, heads[i].ns);
		assert_int_equal(line.flags, PTF_BRANCH | PTF_BRANCH_CALL);
		assert_place(&line.from, 0x401136, "main", 0x10, "/bin/a");
		assert_place(&line.to, 0x401000, "f", 0, "/bin/a");
	}
#undef TAIL
}

static void test_flags(void **state)
{
	static const struct {
		const char *text;
		uint32_t flags; /* without PTF_BRANCH */
	} cases[] = {
	        {"call", PTF_BRANCH_CALL},
	        {"return", PTF_BRANCH_RETURN},
	        {"jcc", PTF_BRANCH_CONDITIONAL},
	        {"jmp", 0},
	        {"jcc     (x)", PTF_BRANCH_CONDITIONAL | PTF_BRANCH_IN_TX},
	        {"call   (x,D)", PTF_BRANCH_CALL | PTF_BRANCH_IN_TX},
	        {"jmp    (Dt)", 0},
	        {"int", PTF_BRANCH_CALL | PTF_BRANCH_INTERRUPT},
	        {"iret", PTF_BRANCH_RETURN | PTF_BRANCH_INTERRUPT},
	        {"syscall", PTF_BRANCH_CALL | PTF_BRANCH_SYSCALL},
	        {"sysret", PTF_BRANCH_RETURN | PTF_BRANCH_SYSCALL},
	        {"async", PTF_BRANCH_ASYNC},
	        {"hw int", PTF_BRANCH_CALL | PTF_BRANCH_ASYNC | PTF_BRANCH_INTERRUPT},
	        {"tx abrt", PTF_BRANCH_TX_ABORT},
	        {"vmentry", PTF_BRANCH_CALL | PTF_BRANCH_VMENTRY},
	        {"vmexit", PTF_BRANCH_CALL | PTF_BRANCH_VMEXIT},
	        {"tr strt", PTF_BRANCH_BEGIN},
	        {"tr strt jmp", PTF_BRANCH_BEGIN},
	        {"tr end", PTF_BRANCH_END},
	        {"tr end  async", PTF_BRANCH_END | PTF_BRANCH_ASYNC},
	        {"tr end  syscall", PTF_BRANCH_END | PTF_BRANCH_CALL | PTF_BRANCH_SYSCALL},
	        {"tr end  hw int",
	                PTF_BRANCH_END | PTF_BRANCH_CALL | PTF_BRANCH_ASYNC | PTF_BRANCH_INTERRUPT},
	        {"tr end  call", PTF_BRANCH_END | PTF_BRANCH_CALL},
	        {"tr strt tr end", PTF_BRANCH_BEGIN | PTF_BRANCH_END},
	        {"bcyA", PTF_BRANCH_CALL | PTF_BRANCH_ASYNC | PTF_BRANCH_TX_ABORT}, /* no name */
	        {"bc", PTF_BRANCH_CALL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ptf_perf_script_line line;
		char text[256];

		snprintf(text, sizeof(text),
		        "1/1 1.5:  1  branches:u:  %-20s      10 a+0x1 => 20 b", cases[i].text);
		line = parsed(text);
		assert_int_equal(line.kind, PTF_SCRIPT_BRANCH);
		assert_int_equal(line.flags, PTF_BRANCH | cases[i].flags);
		assert_place(&line.from, 0x10, "a", 1, "");
		assert_place(&line.to, 0x20, "b", 0, "");
	}
}

static void test_symbols(void **state)
{
	static const struct {
		const char *text;
		uint64_t ip;
		const char *symbol;
		uint64_t offset;
		const char *dso;
	} cases[] = {
	        {"401136 main+0x1f (/bin/a)", 0x401136, "main", 0x1f, "/bin/a"},
	        {"401136 main (/bin/a)", 0x401136, "main", 0, "/bin/a"},
	        {"401136 main+0x1f", 0x401136, "main", 0x1f, ""},
	        {"401136 main", 0x401136, "main", 0, ""},
	        {"401136", 0x401136, "", 0, ""},
	        {"0 [unknown] ([unknown])", 0, "[unknown]", 0, "[unknown]"},
	        {"401136 [unknown] (/bin/a)", 0x401136, "[unknown]", 0, "/bin/a"},
	        {"ffffffffae200ab3 asm_exc+0x3 ([kernel.kallsyms])", 0xffffffffae200ab3, "asm_exc",
	                3, "[kernel.kallsyms]"},
	        {"10 operator()(int, char)+0x3 (/a b/c (1).so (deleted))", 0x10,
	                "operator()(int, char)", 3, "/a b/c (1).so (deleted)"},
	        {"10 f(int)", 0x10, "f(int)", 0, ""}, /* no dso stands without a blank before it */
	        {"10 std::map<int, std::less<int> >::operator[]+0x12 (/lib/x.so)", 0x10,
	                "std::map<int, std::less<int> >::operator[]", 0x12, "/lib/x.so"},
	        {"10 operator+ (/bin/a)", 0x10, "operator+", 0, "/bin/a"},
	        {"10 operator++0x4 (/bin/a)", 0x10, "operator+", 4, "/bin/a"},
	        {"10 dlopen@@GLIBC_2.2.5+0x4a (/lib/libdl.so)", 0x10, "dlopen@@GLIBC_2.2.5", 0x4a,
	                "/lib/libdl.so"},
	        {"10 add+0x4 (/lib/libc.so.6+0x29d90)", 0x10, "add", 4, "/lib/libc.so.6"},
	        {"7fe6ab28ce90                 7fe6ab28c093 f (/bin/a)", 0x7fe6ab28c093, "f", 0,
	                "/bin/a"}, /* -F +callindent, without and with a name */
	        {"    operator new(int)             7fe6ab28c093 f (/bin/a)", 0x7fe6ab28c093, "f",
	                0, "/bin/a"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ptf_perf_script_line line;
		char text[512];

		snprintf(text, sizeof(text), "1/1 1.5:  1  branches:  jmp   %s =>   %s\r",
		        cases[i].text, cases[i].text);
		line = parsed(text);
		assert_int_equal(line.kind, PTF_SCRIPT_BRANCH);
		assert_place(
		        &line.from, cases[i].ip, cases[i].symbol, cases[i].offset, cases[i].dso);
		assert_place(&line.to, cases[i].ip, cases[i].symbol, cases[i].offset, cases[i].dso);
	}
}

static void test_tails(void **state)
{
#define HEAD "a 1 1.5:  1  branches:  call   10 main (/bin/a) =>   20 f (/bin/a)"
	struct ptf_perf_script_line line = parsed(HEAD "\t IPC: 1.50 (30/20) ilen: 5 insn: e8 00");

	assert_int_equal(line.kind, PTF_SCRIPT_BRANCH);
	assert_int_equal(line.insns, 30);
	assert_place(&line.to, 0x20, "f", 0, "/bin/a");
	line = parsed(HEAD " ilen: 5 insn: e8 f8 0d 00 00");
	assert_int_equal(line.insn_size, 5);
	assert_int_equal(line.insns, 0);
	assert_place(&line.to, 0x20, "f", 0, "/bin/a");
	line = parsed(HEAD " ilen: 0");
	assert_int_equal(line.insn_size, 0);
#undef HEAD
}

static void test_other_lines(void **state)
{
	static const struct {
		const char *text;
		enum ptf_perf_script_kind kind;
	} cases[] = {
	        {"", PTF_SCRIPT_BLANK},
	        {"  \t", PTF_SCRIPT_BLANK},
	        {"# captured on: Mon", PTF_SCRIPT_BLANK},
	        {"a 8 1.5:  50  branch-misses/period=50/u:   0   7f f+0x7 (/l)", PTF_SCRIPT_EVENT},
	        {"a 8 1.5:  1  psb:  psb offs: 0x7700   0   0 [unknown]", PTF_SCRIPT_EVENT},
	        {"a 8 [1] 1.5: sched:sched_switch: prev=a => next=b", PTF_SCRIPT_EVENT},
	        {"a 8 1.5:  7  cycles: ", PTF_SCRIPT_EVENT},
	        {"a 8 1.5:  1  branches:   10 main (/bin/a)", PTF_SCRIPT_EVENT}, /* sampled */
	        {"a 8 1.5:  1  branches:   10 main => 20 f", PTF_SCRIPT_INCOMPLETE},
	        {"a 8 1.5:  401136 main => 20 f", PTF_SCRIPT_INCOMPLETE},
	        {"a 8 1.5:  1  branches:  call   10 main (/bin/a)", PTF_SCRIPT_INCOMPLETE},
	        {"\t    7fca99943ac7 dl_open_worker (/l)", PTF_SCRIPT_INDENTED},
	        {"  a.c:12", PTF_SCRIPT_INDENTED},
	        {"Warning:", PTF_SCRIPT_UNREADABLE},
	        {"a 8 1.5:  1  branches:  call   zz => yy", PTF_SCRIPT_UNREADABLE},
	        {"a 8 1.5:  1  branches:  call   10 main => ", PTF_SCRIPT_INCOMPLETE},
	        {"a 8 1.5:  1  branches:  call   10 main => 12345678901234567 f",
	                PTF_SCRIPT_UNREADABLE},
	        {" instruction trace error type 1", PTF_SCRIPT_UNREADABLE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parsed(cases[i].text).kind != cases[i].kind)
			fail_msg("\"%s\" is taken for %d", cases[i].text,
			        parsed(cases[i].text).kind);
	}
}

static void test_error_lines(void **state)
{
	struct ptf_perf_script_line line = parsed(
	        " instruction trace error type 1 time 47170.086912826 cpu -1 pid 7 tid 8 ip 0x7ff1 "
	        "code 7: Overflow packet (foo.so)");

	assert_int_equal(line.kind, PTF_SCRIPT_ERROR);
	assert_int_equal(line.time_ns, 47170086912826);
	assert_int_equal(line.cpu, -1);
	assert_int_equal(line.pid, 7);
	assert_int_equal(line.tid, 8);
	assert_int_equal(line.from.ip, 0x7ff1);
	assert_int_equal(line.error, 7);
	line = parsed(
	        " instruction trace error type 1 cpu 3 pid 7 tid 8 ip 0 code 5: Failed to get "
	        "instruction");
	assert_int_equal(line.kind, PTF_SCRIPT_ERROR);
	assert_int_equal(line.time_ns, UINT64_MAX);
	assert_int_equal(line.cpu, 3);
	assert_int_equal(line.error, 5);
	line = parsed(" instruction trace error type 1 time 0 cpu 3 pid 7 tid 8 ip 0 code 8: Lost");
	assert_int_equal(line.time_ns, UINT64_MAX);
	assert_int_equal(line.error, 8);
}

/* ---- the reader ---- */

struct text {
	char path[32];
	struct ptf_function_table *functions;
	struct ptf_perf_script_reader *reader;
};

/* A reader of the text, in a file of its own. */
static void open_text(struct text *t, const char *text)
{
	struct ptf_error err = {0};
	int fd;

	strcpy(t->path, "/tmp/ptf-script-XXXXXX");
	fd = mkstemp(t->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	t->functions = ptf_function_table_create();
	assert_non_null(t->functions);
	if (ptf_perf_script_reader_create(&t->reader, t->path, t->functions, &err) < 0)
		fail_msg("%s", err.msg);
}

static void close_text(struct text *t)
{
	ptf_perf_script_reader_destroy(t->reader);
	ptf_function_table_destroy(t->functions);
	unlink(t->path);
}

/* "CALL a>b+" for a call from function a into the middle of b; - for none, cause behind a slash. */
static void item_text(const struct ptf_flow_item *item, char *text, size_t size)
{
	static const char *const kinds[] = {
	        "CALL", "RETURN", "JUMP", "OFF", "ON", "ASYNC", "LOST", "SYNC", "END", "THREAD"};
	static const char *const causes[] = {"", "/syscall", "/async", "/filter", "/branch",
	        "/overflow", "/error", "/data", "/end"};

	snprintf(text, size, "%s%s %s>%s%s", kinds[item->kind], causes[item->cause],
	        item->from_function ? item->from_function->name : "-",
	        item->to_function ? item->to_function->name : "-", item->mid_entry ? "+" : "");
}

/* Reads the text; its items must be these, one each line. */
static void assert_items(const char *text, const char *want)
{
	struct ptf_perf_script_item item;
	char got[4096] = "", one[512];
	struct text t;
	int rc;

	open_text(&t, text);
	while ((rc = ptf_perf_script_reader_next(t.reader, &item, NULL)) == 0) {
		item_text(&item.item, one, sizeof(one));
		assert_true(strlen(got) + strlen(one) + 2 < sizeof(got));
		strcat(strcat(got, one), "\n");
		assert_int_equal(item.item.from_function != NULL, item.item.from != PTF_NO_IP);
		assert_int_equal(item.item.to_function != NULL, item.item.to != PTF_NO_IP);
	}
	assert_int_equal(rc, 1);
	assert_string_equal(got, want);
	close_text(&t);
}

static void test_branches_to_items(void **state)
{
	assert_items("1/1 1.000000001: tr strt 0 [unknown] => 40 main+0x0\n"
	             "1/1 1.000000002: call 45 main+0x5 => 80 f+0x0\n"
	             "1/1 1.000000003: jcc 84 f+0x4 => 8a f+0xa\n" /* inside */
	             "1/1 1.000000003: jmp 8c f+0xc => 80 f+0x0\n" /* inside: a loop */
	             "1/1 1.000000004: jmp 8f f+0xf => a0 g+0x0\n"
	             "1/1 1.000000005: return a8 g+0x8 => 4a main+0xa\n"
	             "1/1 1.000000006: jcc 4f main+0xf => a4 g+0x4\n"
	             "1/1 1.000000006: call a6 g+0x6 => 83 f+0x3\n",
	        "ON ->main\nCALL main>f\nJUMP f>g\nRETURN g>main+\nJUMP main>g+\nCALL g>f+\n");
}

static void test_trace_off_and_on(void **state)
{
	assert_items("1/1 1.1: tr end  syscall 40 read+0x10 => 0 [unknown]\n"
	             "1/1 1.2: tr strt 0 [unknown] => 42 read+0x12\n"
	             "1/1 1.3: tr end 42 read+0x12 => 0 [unknown]\n"
	             "1/1 1.3: tr end  async 42 read+0x12 => 0 [unknown]\n"
	             "1/1 1.3: tr end  hw int 42 read+0x12 => 0 [unknown]\n"
	             "1/1 1.4: tr end  call 45 read+0x15 => 90 other+0x0\n"
	             "1/1 1.4: tr end  return 45 read+0x15 => 0 [unknown]\n"
	             "1/1 1.4: tr end  int 45 read+0x15 => 0 [unknown]\n"
	             "1/1 1.5: tr strt tr end 0 [unknown] => 46 read+0x16\n",
	        "SYNC ->read+\nOFF/syscall read>-\nON ->read+\nOFF/async read>-\nOFF/async read>-\n"
	        "OFF/async read>-\nOFF/branch read>other\nOFF/branch read>-\n"
	        "OFF/syscall read>-\nON ->read+\n");
}

static void test_kernel_and_user(void **state)
{
	assert_items("1/1 1.1: syscall 40 read+0x10 => ffff0000 entry+0x0\n"
	             "1/1 1.2: sysret ffff0040 entry+0x40 => 42 read+0x12\n"
	             "1/1 1.3: hw int 42 read+0x12 => ffff1000 irq+0x0\n"
	             "1/1 1.4: iret ffff1040 irq+0x40 => 80 f+0x0\n" /* it was interrupted there */
	             "1/1 1.5: int 42 read+0x12 => ffff0000 entry+0x0\n"
	             "1/1 1.6: vmexit 42 read+0x12 => ffff2000 vmx+0x0\n"
	             "1/1 1.7: async 42 read+0x12 => ffff2000 vmx+0x0\n"
	             "1/1 1.8: tx abrt 42 read+0x12 => 43 read+0x13\n"
	             "1/1 1.9: tx abrt 90 g+0x12 => 43 read+0x13\n",
	        "SYNC ->read+\nASYNC/syscall read>entry\nASYNC/syscall entry>read+\nASYNC/async "
	        "read>irq\n"
	        "ASYNC/async irq>f+\nASYNC/syscall read>entry\nASYNC read>vmx\nASYNC/async "
	        "read>vmx\n"
	        "JUMP g>read+\n");
}

static void test_errors_are_lost(void **state)
{
	assert_items(" instruction trace error type 1 cpu 3 pid 7 tid 8 ip 0x12 code 7: Overflow\n"
	             " instruction trace error type 1 cpu 3 pid 7 tid 8 ip 0x12 code 8: Lost\n"
	             " instruction trace error type 1 cpu 3 pid 7 tid 8 ip 0x12 code 5: No code\n",
	        "LOST/overflow ->-\nLOST/data ->-\nLOST/error ->-\n");
}

/* Where a thread begins, and where it goes on after an error. */
static void test_sync(void **state)
{
	assert_items("1/1 1.1: jcc 44 f+0x4 => 48 f+0x8\n" /* no item, but a place */
	             "1/1 1.2: call 4a f+0xa => 80 g+0x0\n"
	             " instruction trace error type 1 time 1.3 cpu 0 pid 1 tid 1 ip 0 code 5: x\n"
	             "1/1 1.4: call 94 h+0x4 => 80 g+0x0\n"
	             "2/2 1.4: return 84 g+0x4 => 4f f+0xf\n"
	             " instruction trace error type 1 time 1.5 cpu 0 pid 1 tid 1 ip 0 code 5: x\n"
	             "1/1 1.6: tr strt 0 [unknown] => 86 g+0x6\n"
	             "1/1 1.7: return 88 g+0x8 => 99 h+0x9\n",
	        "SYNC ->f+\nCALL f>g\nLOST/error ->-\nSYNC ->h+\nCALL h>g\nSYNC ->g+\n"
	        "RETURN g>f+\nLOST/error ->-\nON ->g+\nRETURN g>h+\n");
}

static void test_cold_parts(void **state)
{
	assert_items("1/1 1.1: call 40 main+0x0 (/a) => 80 f+0x0 (/a)\n"
	             "1/1 1.2: jcc 84 f+0x4 (/a) => 20 f.cold+0x0 (/a)\n" /* still f: no item */
	             "1/1 1.3: call 24 f.cold+0x4 (/a) => a0 abort+0x0 (/a)\n"
	             "1/1 1.4: return a4 abort+0x4 (/a) => 29 f.cold.7+0x9 (/a)\n"
	             "1/1 1.5: jmp 2f f [clone .cold]+0x0 (/a) => 87 f+0x7 (/a)\n"
	             "1/1 1.6: jmp 87 f+0x7 (/a) => c0 f.colder+0x0 (/a)\n"
	             "1/1 1.7: jmp 87 f+0x7 (/a) => 21 f.cold+0x0 (/b)\n", /* of another file */
	        "SYNC ->main+\nCALL main>f\nCALL f>abort\nRETURN abort>f+\nJUMP f>f.colder\nJUMP "
	        "f>f.cold\n");
}

static void test_names(void **state)
{
	/* Equal names are functions of their own when their addresses or files differ. */
	assert_items("1/1 1.1: jmp 44 f+0x4 (/a) => 54 f+0x4 (/a)\n"
	             "1/1 1.2: jmp 44 f+0x4 (/a) => 44 f+0x4 (/b)\n"
	             "1/1 1.3: jmp 44 f+0x4 (/a) => 48 f+0x8 (/a)\n"
	             "1/1 1.4: call 44 [unknown] (/lib/x.so) => 48 [unknown] (/lib/x.so)\n"
	             "1/1 1.5: jmp 44 [unknown] (/lib/x.so) => 48 [unknown] ([unknown])\n"
	             "1/1 1.6: call 44 _ZN1a1bEi+0x4 (/a) => 90 f(int) const+0x0 (/a)\n",
	        "SYNC ->f+\nJUMP f>f+\nJUMP f>f+\nCALL [x.so]>[x.so]\nJUMP [x.so]>[unknown]\n"
	        "CALL a::b>f(int) const\n");
}

static void test_without_offsets(void **state)
{
	assert_items("8 call 45 main => 80 f\n8 jcc 84 f => 8a f\n8 jmp 8f f => a0 g\n"
	             "8 return a8 g => 4a main\n8 tr end  syscall 4f main => 0 [unknown]\n"
	             "8 tr strt 0 [unknown] => 51 main\n8 jcc 58 main => 90 g\n",
	        "SYNC ->main+\nCALL main>f\nJUMP f>g\nRETURN g>main+\nOFF/syscall main>-\nON "
	        "->main+\n"
	        "JUMP main>g+\n");
}

/* Threads, names, times, instructions, and the END of a thread whose last line is no item. */
static void test_threads(void **state)
{
	struct ptf_perf_script_item items[7];
	struct text t;

	open_text(&t,
	        "one 1 [000] 1.5: call 40 a+0x0 => 80 b+0x0\t IPC: 1.00 (10/10) ilen: 5\n"
	        "two 2 [001] 1.6: call 40 a+0x0 => 80 b+0x0\n"
	        "uno 1 [002] 1.7: jcc 84 b+0x4 => 88 b+0x8\t IPC: 1.00 (7/10)\n"
	        "uno 1 [002] 1.8: jcc 84 b+0x4 => 88 b+0x8\t IPC: 1.00 (3/10)\n"
	        " instruction trace error type 1 time 1.9 cpu 3 pid 20 tid 2 ip 0 code 5: x\n");
	for (int i = 0; i < 6; i++)
		assert_int_equal(ptf_perf_script_reader_next(t.reader, &items[i], NULL), 0);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &items[6], NULL), 1);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &items[6], NULL), 1);

	assert_int_equal(items[0].item.kind, PTF_FLOW_SYNC);
	assert_int_equal(items[0].item.insns, 0);
	assert_int_equal(items[2].item.kind, PTF_FLOW_SYNC);
	assert_int_equal(items[2].tid, 2);
	assert_int_equal(items[1].tid, 1);
	assert_int_equal(items[1].pid, -1);
	assert_int_equal(items[1].cpu, 0);
	assert_string_equal(items[1].comm, "one");
	assert_int_equal(items[1].item.time_ns, 1500000000);
	assert_int_equal(items[1].item.insns, 10);
	assert_int_equal(items[1].item.insn_size, 5);
	assert_int_equal(items[3].tid, 2);
	assert_int_equal(items[3].item.insns, 0);
	assert_int_equal(items[4].item.kind, PTF_FLOW_LOST);
	assert_int_equal(items[4].pid, 20);
	assert_string_equal(items[4].comm, "two"); /* the error does not print it */
	assert_int_equal(items[5].item.kind, PTF_FLOW_END);
	assert_int_equal(items[5].tid, 1);
	assert_int_equal(items[5].item.time_ns, 1800000000);
	assert_int_equal(items[5].item.insns, 10);
	assert_string_equal(items[5].comm, "uno");
	close_text(&t);
}

static void test_counts(void **state)
{
	const struct ptf_perf_script_counts *counts;
	struct ptf_perf_script_item item;
	struct text t;

	open_text(&t, "# comment\n"
	              "\n"
	              "Warning: something\n"
	              "  set in, below nothing\n"
	              "a 1 1.5: call 40 a+0x0 => 80 b+0x0\n"
	              "  a.c:12\n"
	              "a 1 1.7: tr end  call 40 a+0x0 => 0 [unknown]\n"
	              "a 1 1.4: return 40 a+0x0 => 80 b+0x9\n"
	              "a 1 1.6:  1 cycles:  40 main\n"
	              "\t  40 main\n"
	              "\t  50 start\n"
	              "a 1 1.8:  1 branches:  40 main => 50 f\n"
	              " instruction trace error type 1 time 1.3 cpu 3 pid 1 tid 1 ip 0 code 7: x\n"
	              "garbage without an end");
	while (ptf_perf_script_reader_next(t.reader, &item, NULL) == 0)
		;
	counts = ptf_perf_script_reader_counts(t.reader);
	assert_int_equal(counts->lines, 14);
	assert_int_equal(counts->blank, 2);
	assert_int_equal(counts->unreadable, 3);
	assert_int_equal(counts->first_unreadable, 3);
	assert_int_equal(counts->branches, 3);
	assert_int_equal(counts->events, 4);
	assert_int_equal(counts->incomplete, 1);
	assert_int_equal(counts->first_incomplete, 12);
	assert_int_equal(counts->errors, 1);
	assert_int_equal(counts->overflows, 1);
	assert_int_equal(counts->calls, 2);
	assert_int_equal(counts->returns, 1);
	assert_true(counts->has_time);
	assert_false(counts->has_insns);
	assert_int_equal(counts->first_ns, 1300000000);
	assert_int_equal(counts->last_ns, 1700000000);
	close_text(&t);
}

/* A line that fits into no buffer is unreadable; the lines around it are not. */
static void test_endless_line(void **state)
{
	const size_t size = 3u << 20;
	char *text = malloc(size + 200);
	static const char branch[] = "a 1 1.5: call 40 a+0x0 => 80 b+0x0\n";
	struct ptf_perf_script_item item;
	struct text t;

	assert_non_null(text);
	strcpy(text, branch);
	memset(text + strlen(branch), 'x', size);
	strcpy(text + strlen(branch) + size, "\n");
	strcat(text + strlen(branch) + size, branch);
	open_text(&t, text);
	free(text);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &item, NULL), 0);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &item, NULL), 0);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &item, NULL), 0);
	assert_int_equal(ptf_perf_script_reader_next(t.reader, &item, NULL), 1);
	assert_int_equal(ptf_perf_script_reader_counts(t.reader)->branches, 2);
	assert_true(ptf_perf_script_reader_counts(t.reader)->unreadable > 0);
	close_text(&t);
}

static int probe_text(const char *text, size_t size)
{
	char path[] = "/tmp/ptf-script-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
	rc = ptf_perf_script_reader_probe(path, NULL);
	unlink(path);
	return rc;
}

static void test_probe(void **state)
{
	static const char branch[] = "a 1 1.5: call 40 a+0x0 => 80 b+0x0\n";
	static const char comment[] = "# ========\n\na 1 1.5:  1 cycles:  40 main\n";
	static const char c_source[] = "#include <stdio.h>\n\nint main(void)\n{\n\treturn 0;\n}\n";
	static const char folded[] = "a;main;f 100\na;main;g 200\n";
	static const char binary[] = "a 1 1.5: call 40 a => 80 b\n\0\0\0";
	struct ptf_error err = {0};

	assert_int_equal(probe_text(branch, strlen(branch)), 1);
	assert_int_equal(probe_text(comment, strlen(comment)), 1);
	assert_int_equal(probe_text(c_source, strlen(c_source)), 0);
	assert_int_equal(probe_text(folded, strlen(folded)), 0);
	assert_int_equal(probe_text(binary, sizeof(binary)), 0);
	assert_int_equal(probe_text("", 0), 0);
	assert_int_equal(ptf_perf_script_reader_probe("/nonexistent/x", &err), -PTF_ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
}

static void test_missing_file(void **state)
{
	struct ptf_function_table *functions = ptf_function_table_create();
	struct ptf_perf_script_reader *reader = NULL;
	struct ptf_error err = {0};

	assert_int_equal(ptf_perf_script_reader_create(&reader, "/nonexistent/x", functions, &err),
	        -PTF_ENOENT);
	assert_null(reader);
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
	ptf_function_table_destroy(functions);
}

/* ---- real texts ---- */

/* Lines of the file that match. */
static uint64_t grep_count(const char *path, const char *pattern)
{
	uint64_t count = 0;
	char command[1024];
	FILE *pipe;

	snprintf(command, sizeof(command), "grep -cE -- '%s' '%s'", pattern, path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%" SCNu64, &count), 1);
	pclose(pipe);
	return count;
}

static void check_real_text(const char *path)
{
	uint64_t met[PTF_FLOW_THREAD + 1] = {0};
	struct ptf_function_table *functions = ptf_function_table_create();
	const struct ptf_perf_script_counts *counts;
	struct ptf_perf_script_reader *reader;
	struct ptf_perf_script_item item;

	assert_int_equal(ptf_perf_script_reader_probe(path, NULL), 1);
	assert_int_equal(ptf_perf_script_reader_create(&reader, path, functions, NULL), 0);
	while (ptf_perf_script_reader_next(reader, &item, NULL) == 0) {
		met[item.item.kind]++;
		assert_int_not_equal(item.tid, -1);
		assert_int_not_equal(item.item.time_ns, PTF_NO_TIME);
	}
	counts = ptf_perf_script_reader_counts(reader);
	assert_int_equal(counts->unreadable, 0);
	assert_int_equal(counts->incomplete, 0);
	assert_int_equal(counts->blank, 0);
	assert_int_equal(counts->lines, grep_count(path, ""));
	assert_int_equal(counts->branches, grep_count(path, " branches:.* => "));
	assert_int_equal(counts->errors, grep_count(path, "^ instruction trace error"));
	assert_int_equal(counts->events, grep_count(path, " (branch-misses[^ ]*|psb|cbr): "));
	assert_int_equal(met[PTF_FLOW_CALL], grep_count(path, ": +call .* => "));
	assert_int_equal(counts->calls, met[PTF_FLOW_CALL]);
	assert_int_equal(met[PTF_FLOW_RETURN], grep_count(path, ": +return .* => "));
	assert_int_equal(counts->returns, met[PTF_FLOW_RETURN]);
	assert_int_equal(met[PTF_FLOW_ON], grep_count(path, ": +tr strt .* => "));
	assert_int_equal(met[PTF_FLOW_OFF], grep_count(path, ": +tr end .* => "));
	assert_int_equal(met[PTF_FLOW_ASYNC], grep_count(path, ": +(iret|hw int) .* => "));
	assert_int_equal(met[PTF_FLOW_LOST], counts->errors);
	ptf_perf_script_reader_destroy(reader);
	ptf_function_table_destroy(functions);
}

static void test_real_texts(void **state)
{
	const char *root = getenv("PTF_SOURCE_ROOT");
	char pattern[1024];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/../shared/hwtraces/perf-script/*.perf",
	        root ? root : ".");
	if (glob(pattern, 0, NULL, &found) != 0) {
		print_message("no texts of perf script at %s\n", pattern);
		skip();
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_real_text(found.gl_pathv[i]);
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_heads),
	        cmocka_unit_test(test_flags),
	        cmocka_unit_test(test_symbols),
	        cmocka_unit_test(test_tails),
	        cmocka_unit_test(test_other_lines),
	        cmocka_unit_test(test_error_lines),
	        cmocka_unit_test(test_branches_to_items),
	        cmocka_unit_test(test_trace_off_and_on),
	        cmocka_unit_test(test_kernel_and_user),
	        cmocka_unit_test(test_errors_are_lost),
	        cmocka_unit_test(test_sync),
	        cmocka_unit_test(test_cold_parts),
	        cmocka_unit_test(test_names),
	        cmocka_unit_test(test_without_offsets),
	        cmocka_unit_test(test_threads),
	        cmocka_unit_test(test_counts),
	        cmocka_unit_test(test_endless_line),
	        cmocka_unit_test(test_probe),
	        cmocka_unit_test(test_missing_file),
	        cmocka_unit_test(test_real_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
