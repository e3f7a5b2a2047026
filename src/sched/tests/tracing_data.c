/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/tests/tracing_data.h"

#define COMMON                                                                                     \
	"format:\n"                                                                                \
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"                     \
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"                     \
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"             \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"

/* /sys/kernel/tracing/events/sched/.../format */
static const char switch_format[] =
        "name: sched_switch\nID: 316\n" COMMON
        "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
        "\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n"
        "\tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;\n"
        "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n"
        "\tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;\n"
        "\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n"
        "\tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;\n\n"
        "print fmt: \"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s "
        "next_pid=%d next_prio=%d\", REC->prev_comm, REC->prev_pid, REC->prev_prio, "
        "(REC->prev_state & ((((0x00000000 | 0x00000001 | 0x00000002 | 0x00000004 | 0x00000008 | "
        "0x00000010 | 0x00000020 | 0x00000040) + 1) << 1) - 1)) ? __print_flags(REC->prev_state & "
        "((((0x00000000 | 0x00000001 | 0x00000002 | 0x00000004 | 0x00000008 | 0x00000010 | "
        "0x00000020 | 0x00000040) + 1) << 1) - 1), \"|\", { 0x00000001, \"S\" }, { 0x00000002, "
        "\"D\" }) : \"R\", REC->prev_state & (((0x00000000 | 0x00000001 | 0x00000002 | 0x00000004 "
        "| 0x00000008 | 0x00000010 | 0x00000020 | 0x00000040) + 1) << 1) ? \"+\" : \"\", "
        "REC->next_comm, REC->next_pid, REC->next_prio\n";

static const char waking_format[] =
        "name: %s\nID: %d\n" COMMON "\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
        "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n"
        "\tfield:int prio;\toffset:28;\tsize:4;\tsigned:1;\n"
        "\tfield:int target_cpu;\toffset:32;\tsize:4;\tsigned:1;\n\n"
        "print fmt: \"comm=%%s pid=%%d prio=%%d target_cpu=%%03d\", REC->comm, REC->pid, "
        "REC->prio, REC->target_cpu\n";

static const char header_page[] = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
                                  "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
                                  "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
                                  "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

struct bytes {
	uint8_t *v;
	size_t n;
};

static void put(struct bytes *b, const void *bytes, size_t n)
{
	if (n > TRACING_DATA_MAX - b->n)
		abort();
	memcpy(b->v + b->n, bytes, n);
	b->n += n;
}

static void put_u32(struct bytes *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

/* A text behind its size. */
static void put_block(struct bytes *b, const char *text)
{
	uint64_t size = strlen(text);

	put(b, &size, sizeof(size));
	put(b, text, size);
}

static void put_waking(struct bytes *b, const char *name, int id)
{
	char text[1024];

	snprintf(text, sizeof(text), waking_format, name, id);
	put_block(b, text);
}

/* tools/perf/util/trace-event-info.c: the order of a file that tracing_data_get writes. */
size_t tracing_data_make(uint8_t *out)
{
	static const char magic[] = "\x17\x08\x44tracing";
	struct bytes b = {.v = out};

	put(&b, magic, sizeof(magic) - 1);
	put(&b, "0.6", 4);    /* version */
	put(&b, "\0\x08", 2); /* little-endian, bytes of a long */
	put_u32(&b, 4096);    /* bytes of a page */
	put(&b, "header_page", 12);
	put_block(&b, header_page);
	put(&b, "header_event", 13);
	put_block(&b, "# compressed entry header\n");
	put_u32(&b, 0); /* formats of ftrace's own events */
	put_u32(&b, 2); /* systems */
	put(&b, "raw_syscalls", 13);
	put_u32(&b, 1);
	put_block(&b, "name: sched_switch\nID: 1\nformat:\n\nprint fmt: \"\"\n"); /* only by name */
	put(&b, "sched", 6);
	put_u32(&b, 4);
	put_block(&b, switch_format);
	put_waking(&b, "sched_waking", SCHED_WAKING_ID);
	put_waking(&b, "sched_wakeup", SCHED_WAKEUP_ID);
	put_waking(&b, "sched_wakeup_new", SCHED_WAKEUP_NEW_ID);
	put_u32(&b, 0);               /* kallsyms */
	put_u32(&b, 0);               /* printk formats */
	put(&b, "\0\0\0\0\0\0\0", 8); /* names of threads */
	return b.n;
}

static void set_u32(uint8_t *at, int32_t value)
{
	memcpy(at, &value, sizeof(value));
}

void sched_switch_raw(
        uint8_t raw[SCHED_SWITCH_SIZE], int32_t prev, uint64_t prev_state, int32_t next)
{
	memset(raw, 0, SCHED_SWITCH_SIZE);
	raw[0] = SCHED_SWITCH_ID & 0xff;
	raw[1] = SCHED_SWITCH_ID >> 8;
	set_u32(raw + 4, prev);
	strcpy((char *)raw + 8, "prev");
	set_u32(raw + 24, prev);
	set_u32(raw + 28, 120);
	memcpy(raw + 32, &prev_state, sizeof(prev_state));
	strcpy((char *)raw + 40, "next");
	set_u32(raw + 56, next);
	set_u32(raw + 60, 120);
}

void sched_waking_raw(uint8_t raw[SCHED_WAKING_SIZE], uint16_t id, int32_t tid)
{
	memset(raw, 0, SCHED_WAKING_SIZE);
	memcpy(raw, &id, sizeof(id));
	strcpy((char *)raw + 8, "woken");
	set_u32(raw + 24, tid);
	set_u32(raw + 28, 120);
}
