/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as what a client, or another member, sends. */
#include "net/kv_frame.h"
#include "net/kv_resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum kv_resp_status status = KV_RESP_COMMAND;
	struct raft_message message;
	struct kv_args args = {0};
	const char *why = NULL;
	size_t at = 0, used = 0;

	while (status == KV_RESP_COMMAND) {
		status = kv_resp_parse(bytes + at, size - at, &args, &used, &why);
		if (status != KV_RESP_COMMAND)
			break;
		if (!used || used > size - at)
			abort();
		ptf_vec_foreach (arg, &args) {
			if (arg->size &&
			        (arg->bytes < bytes || arg->bytes + arg->size > bytes + size))
				abort();
		}
		at += used;
	}
	if (kv_frame_read_message((struct kv_slice){bytes, size}, &message))
		raft_message_release(&message);
	ptf_vec_release(&args);
	return 0;
}
