/* SPDX-License-Identifier: BSD-2-Clause */
/* The protocols and the batcher, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wal/kv_command.h"
#include "net/kv_batcher.h"
#include "net/kv_resp.h"

static enum kv_resp_status parse(const char *bytes, struct kv_args *args, size_t *used)
{
	const char *why;

	return kv_resp_parse((const uint8_t *)bytes, strlen(bytes), args, used, &why);
}

static void test_resp_commands(void **state)
{
	struct kv_args args = {0};
	size_t used;

	assert_int_equal(
	        parse("*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n", &args, &used), KV_RESP_COMMAND);
	assert_int_equal(args.n, 2);
	assert_int_equal(used, 20);
	assert_true(kv_slice_is(args.v[0], "get"));
	assert_int_equal(parse("  set  k v \r\n", &args, &used), KV_RESP_COMMAND);
	assert_int_equal(args.n, 3);
	assert_int_equal(used, 13);
	assert_int_equal(parse("\r\n", &args, &used), KV_RESP_COMMAND);
	assert_int_equal(args.n, 0);
	ptf_vec_release(&args);
}

/* Every beginning of a command asks for more; none is taken for something else. */
static void test_resp_pieces(void **state)
{
	const char whole[] = "*3\r\n$3\r\nSET\r\n$5\r\nhello\r\n$0\r\n\r\n";
	struct kv_args args = {0};
	const char *why;
	size_t used;

	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_int_equal(
		        kv_resp_parse((const uint8_t *)whole, n, &args, &used, &why), KV_RESP_MORE);
	assert_int_equal(parse(whole, &args, &used), KV_RESP_COMMAND);
	ptf_vec_release(&args);
}

static void test_resp_nonsense(void **state)
{
	static const char *const bad[] = {"*1\r\n:3\r\n", "*-1\r\n", "*99999999\r\n",
	        "*1\r\n$-1\r\n", "*1\r\n$99999999999\r\n", "*x\r\n", "*1\r\n$3\r\nabcd\r\n",
	        "*11111111111111111111111111111111111111"};
	struct kv_args args = {0};
	size_t used;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse(bad[i], &args, &used), KV_RESP_BAD);
	ptf_vec_release(&args);
}

static void test_errors_stay_on_one_line(void **state)
{
	struct kv_buffer out = {0};

	kv_resp_error(&out, "ERR", "a\r\n+OK");
	assert_int_equal(out.n, strlen("-ERR a  +OK\r\n"));
	assert_memory_equal(out.v, "-ERR a  +OK\r\n", out.n);
	ptf_vec_release(&out);
}

static struct raft_message make_message(unsigned n, uint32_t size)
{
	struct raft_message message = {.type = RAFT_APPEND,
	        .from = 1,
	        .to = 2,
	        .term = 9,
	        .index = 41,
	        .log_term = 8,
	        .commit = 40,
	        .hint = 3,
	        .context = 77};

	for (unsigned i = 0; i < n; i++) {
		struct raft_entry entry = {.index = 42 + i,
		        .term = 9,
		        .type = RAFT_ENTRY_DATA,
		        .payload = raft_payload_create(size)};

		memset(entry.payload->bytes, i, size);
		message.entry_bytes += raft_entry_bytes(&entry);
		kv_vec_push(&message.entries, entry);
	}
	return message;
}

static void test_frames(void **state)
{
	struct raft_message message = make_message(3, 100), read;
	struct kv_buffer out = {0};
	enum kv_frame_kind kind;
	struct kv_slice body;
	size_t used;

	kv_frame_add_message(&out, &message);
	assert_int_equal(kv_frame_parse(out.v, out.n, &kind, &body, &used), 0);
	assert_int_equal(used, out.n);
	assert_int_equal(kind, KV_FRAME_RAFT);
	assert_true(kv_frame_read_message(body, &read));
	assert_int_equal(read.index, 41);
	assert_int_equal(read.context, 77);
	assert_int_equal(read.entries.n, 3);
	assert_int_equal(read.entries.v[2].index, 44);
	assert_int_equal(read.entry_bytes, message.entry_bytes);
	assert_memory_equal(
	        read.entries.v[2].payload->bytes, message.entries.v[2].payload->bytes, 100);
	raft_message_release(&read);
	for (size_t n = 0; n < body.size; n++) /* cut anywhere: refused */
		assert_false(kv_frame_read_message((struct kv_slice){body.bytes, n}, &read));
	for (size_t i = 4; i < out.n; i += 7) { /* flipped anywhere: noticed */
		out.v[i] ^= 1;
		assert_int_equal(kv_frame_parse(out.v, out.n, &kind, &body, &used), -1);
		out.v[i] ^= 1;
	}
	raft_message_release(&message);
	ptf_vec_release(&out);
}

static void test_batcher(void **state)
{
	for (int scan = 0; scan < 2; scan++) {
		struct kv_batcher batcher = {.scan = scan, .max_bytes = 1000};
		struct kv_buffer out = {0};

		for (int i = 0; i < 10; i++) {
			struct raft_message message = make_message(2, 100); /* 264 bytes each */

			kv_batcher_push(&batcher, &message);
		}
		assert_int_equal(kv_batcher_collect(&batcher, &out), 3);
		assert_int_equal(kv_batcher_waiting(&batcher), 7);
		batcher.max_bytes = 1; /* one always fits */
		assert_int_equal(kv_batcher_collect(&batcher, &out), 1);
		batcher.max_bytes = 1 << 20;
		assert_int_equal(kv_batcher_collect(&batcher, &out), 6);
		assert_int_equal(kv_batcher_collect(&batcher, &out), 0);
		assert_int_equal(batcher.queued_bytes, 0);
		kv_batcher_clear(&batcher);
		ptf_vec_release(&out);
	}
}

static void test_command_decoding_is_bounded(void **state)
{
	struct kv_command command = {.op = KV_OP_SET,
	        .bucket = {(const uint8_t *)"b", 1},
	        .key = {(const uint8_t *)"key", 3},
	        .value = {(const uint8_t *)"value", 5}};
	struct raft_payload *payload = kv_command_payload(&command);
	size_t used;

	assert_true(kv_command_decode(payload->bytes, payload->size, &command, &used));
	assert_int_equal(used, payload->size);
	for (uint32_t n = 0; n < payload->size; n++)
		assert_false(kv_command_decode(payload->bytes, n, &command, &used));
	payload->bytes[0] = KV_OPS;
	assert_false(kv_command_decode(payload->bytes, payload->size, &command, &used));
	raft_payload_unref(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_resp_commands),
	        cmocka_unit_test(test_resp_pieces),
	        cmocka_unit_test(test_resp_nonsense),
	        cmocka_unit_test(test_errors_stay_on_one_line),
	        cmocka_unit_test(test_frames),
	        cmocka_unit_test(test_batcher),
	        cmocka_unit_test(test_command_decoding_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
