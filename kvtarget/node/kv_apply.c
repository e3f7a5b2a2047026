/* SPDX-License-Identifier: BSD-2-Clause */
/* kv-apply, which applies what is committed, and kv-compact, which writes snapshots and tidies
 * the value log. */
#include <stdio.h>

#include "node/kv_node.h"

static void answer_write(struct kv_node *node, struct kv_request *request, struct kv_result *result)
{
	if (result->error)
		kv_resp_error(&request->reply, "ERR", result->message);
	else if (request->number_reply)
		kv_resp_integer(&request->reply, result->number);
	else
		kv_resp_simple(&request->reply, "OK");
	kv_request_finish(node, request);
}

static void apply_entry(
        struct kv_node *node, const struct raft_entry *entry, struct kv_request *request)
{
	struct kv_result result = {0};
	struct kv_command command;
	struct ptf_error err;
	size_t used;

	if (entry->type == RAFT_ENTRY_DATA &&
	        kv_command_decode(entry->payload->bytes, entry->payload->size, &command, &used) &&
	        kv_store_apply(node->store, &command, &result, &err))
		kv_node_fail(node, err.msg);
	atomic_store(&node->applied, entry->index);
	if (request)
		answer_write(node, request, &result);
}

static void install(struct kv_node *node, uint64_t index, uint64_t term)
{
	struct ptf_error err;
	uint64_t calls = 0;

	kv_store_clear(node->store);
	if (kv_snapshot_load(node, index, term, &calls, &err))
		kv_node_fail(node, err.msg);
	atomic_store(&node->applied, index);
	node->snapshot_index = index;
}

/* Hands the state of this moment to kv-compact when enough has happened since the last time. */
static void capture(struct kv_node *node, uint64_t index, uint64_t term)
{
	struct kv_capture *capture;

	if (index < node->snapshot_index + node->options.snapshot_entries ||
	        atomic_exchange(&node->snapshot_running, true))
		return;
	capture = kv_alloc(sizeof(*capture));
	capture->event.type = KV_EVENT_CAPTURE;
	capture->index = index;
	capture->term = term;
	kv_store_capture(node->store, &capture->items);
	node->snapshot_index = index;
	kv_mailbox_push(&node->compact_mailbox, &capture->event);
}

static void apply_batch(struct kv_node *node, struct kv_apply_batch *batch)
{
	if (batch->install_index)
		install(node, batch->install_index, batch->install_term);
	for (size_t i = 0; i < batch->entries.n; i++)
		apply_entry(node, &batch->entries.v[i], batch->requests.v[i]);
	ptf_vec_foreach (read, &batch->reads) {
		(*read)->confirmed = true;
		kv_request_finish(node, *read);
	}
	if (batch->entries.n)
		capture(node, batch->entries.v[batch->entries.n - 1].index,
		        batch->entries.v[batch->entries.n - 1].term);
	raft_entry_vec_release(&batch->entries);
	ptf_vec_release(&batch->requests);
	ptf_vec_release(&batch->reads);
	free(batch);
}

void *kv_apply_run(void *context)
{
	struct kv_node *node = context;
	bool stop = false;

	pthread_setname_np(pthread_self(), "kv-apply");
	while (!stop) {
		struct kv_events events = kv_mailbox_wait(&node->apply_mailbox, 0);

		ptf_vec_foreach (event, &events) {
			if ((*event)->type == KV_EVENT_BATCH) {
				apply_batch(node, (struct kv_apply_batch *)*event);
			} else {
				stop = true;
				free(*event);
			}
		}
		ptf_vec_release(&events);
	}
	return NULL;
}

static void write_snapshot(struct kv_node *node, struct kv_capture *capture)
{
	struct ptf_error err;

	/* Without it the log stays longer; that is no reason to stop. */
	if (kv_snapshot_write(node->options.data, capture, &err))
		fprintf(stderr, "kvnode: no snapshot: %s\n", err.msg);
	else
		kv_mailbox_note(&node->raft_mailbox, KV_EVENT_SNAPSHOT, capture->index, -1);
	kv_item_vec_release(&capture->items);
	free(capture);
	atomic_store(&node->snapshot_running, false);
}

void *kv_compact_run(void *context)
{
	struct kv_node *node = context;
	struct ptf_error err = {0};
	bool stop = false;

	pthread_setname_np(pthread_self(), "kv-compact");
	while (!stop) {
		struct kv_events events = kv_mailbox_wait(&node->compact_mailbox, 2000);

		ptf_vec_foreach (event, &events) {
			if ((*event)->type == KV_EVENT_CAPTURE) {
				write_snapshot(node, (struct kv_capture *)*event);
			} else {
				stop = true;
				free(*event);
			}
		}
		ptf_vec_release(&events);
		if (!stop)
			kv_store_compact(node->store, &err);
	}
	return NULL;
}
