/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "node/kv_node.h"

struct recovery {
	struct kv_node *node;
	struct raft_hard_state hard_state;
	uint64_t base_index, base_term; /* of the snapshot */
	/* Entries continue the snapshot only behind an entry or mark that says that the log agreed
	 * with it; others are what a received snapshot has replaced. */
	bool connected;
	uint64_t entries, calls;
	struct raft_entry_vec kept; /* from base_index + 1 on */
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* Keeps the entry, which replaces what had its index and all behind that. */
static int keep_entry(struct recovery *r, const struct kv_record *record, struct ptf_error *err)
{
	struct raft_entry entry = {.index = record->index,
	        .term = record->term,
	        .type = record->type == KV_RECORD_NOOP ? RAFT_ENTRY_NOOP : RAFT_ENTRY_DATA};

	r->entries++;
	while (r->kept.n && r->kept.v[r->kept.n - 1].index >= record->index)
		raft_payload_unref(r->kept.v[--r->kept.n].payload);
	if (record->index <= r->base_index) {
		r->connected = record->index == r->base_index && record->term == r->base_term;
		return 0;
	}
	if (!r->connected)
		return 0;
	if (record->index != r->base_index + r->kept.n + 1)
		return ptf_error_set_at(err, PTF_EFORMAT, record->offset,
		        "the log has no entry %" PRIu64, r->base_index + r->kept.n + 1);
	if (entry.type == RAFT_ENTRY_DATA)
		entry.payload = kv_command_payload(&record->command);
	kv_vec_push(&r->kept, entry);
	return 0;
}

static int take_record(struct recovery *r, const struct kv_record *record, struct ptf_error *err)
{
	switch (record->type) {
	case KV_RECORD_ENTRY:
	case KV_RECORD_NOOP:
		return keep_entry(r, record, err);
	case KV_RECORD_HARD_STATE:
		r->hard_state.term = record->term;
		r->hard_state.commit = record->index;
		if (record->command.value.size == sizeof(r->hard_state.vote))
			memcpy(&r->hard_state.vote, record->command.value.bytes,
			        sizeof(r->hard_state.vote));
		return 0;
	case KV_RECORD_INSTALL:
		if (record->index > r->base_index)
			return ptf_error_set(err, PTF_EFORMAT,
			        "the snapshot of entry %" PRIu64 " is missing", record->index);
		raft_entry_vec_release(&r->kept);
		r->connected = record->index == r->base_index && record->term == r->base_term;
		return 0;
	default:
		return ptf_error_set_at(
		        err, PTF_EFORMAT, record->offset, "a record of type %d", record->type);
	}
}

static int read_log(struct recovery *r, struct ptf_error *err)
{
	struct kv_options *o = &r->node->options;
	struct kv_wal_options options = {.directory = o->data,
	        .recover = o->recover,
	        .segment_bytes = o->segment_bytes,
	        .sync_each = o->sync_each,
	        .intact_prefix = o->intact_prefix,
	        .done = kv_on_persisted,
	        .failed = kv_node_fail,
	        .context = r->node};
	struct kv_record record;
	int status;

	r->node->wal = kv_wal_create(&options, err);
	if (!r->node->wal)
		return -PTF_EIO;
	while (!(status = kv_wal_next(r->node->wal, &record, err))) {
		status = take_record(r, &record, err);
		if (status)
			break;
	}
	return status < 0 ? status : 0;
}

static int make_raft(struct recovery *r, struct ptf_error *err)
{
	struct kv_options *o = &r->node->options;
	struct raft_config config = {.id = o->id,
	        .n_members = o->n_members,
	        .election_ticks = 10,
	        .heartbeat_ticks = 1,
	        .max_message_bytes = 1 << 20,
	        .max_message_entries = o->append_entries,
	        .max_inflight = o->inflight,
	        .max_uncommitted_bytes = 256 << 20,
	        .seed = (uint64_t)time(NULL)};
	uint64_t done = r->base_index;

	memcpy(config.members, o->members, sizeof(config.members));
	r->node->raft = raft_create(&config, &r->hard_state, r->base_index, r->base_term);
	ptf_vec_foreach (entry, &r->kept) {
		if (!raft_restore_entry(r->node->raft, *entry))
			return ptf_error_set(err, PTF_EFORMAT, "the log has a hole");
		done = entry->index;
	}
	ptf_vec_release(&r->kept);
	if (r->hard_state.commit > done)
		fprintf(stderr,
		        "kvnode: entries up to %" PRIu64 " were committed, %" PRIu64 " are left\n",
		        r->hard_state.commit, done);
	return kv_wal_start(r->node->wal, &r->hard_state, err);
}

static void tell(const struct recovery *r, double began)
{
	struct kv_wal_stats stats;
	struct rusage usage;

	kv_wal_stats(r->node->wal, &stats);
	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr,
	        "kvnode: recovered %" PRIu64 " keys of snapshot %" PRIu64 " and %" PRIu64
	        " log entries in %.0f ms, %" PRIu64 " read calls, peak memory %ld kB\n",
	        kv_store_count(r->node->store), r->base_index, r->entries, now_ms() - began,
	        r->calls + stats.calls, usage.ru_maxrss);
	if (stats.damaged_bytes)
		fprintf(stderr, "kvnode: cut %" PRIu64 " bytes off the end of the log\n",
		        stats.damaged_bytes);
}

int kv_recover_node(struct kv_node *node, struct ptf_error *err)
{
	struct kv_options *o = &node->options;
	struct kv_store_options options = {.global_lock = o->global_lock,
	        .directory = o->large_value ? o->data : NULL,
	        .large_value = o->large_value};
	struct recovery r = {.node = node};
	double began = now_ms();
	int status;

	node->store = kv_store_create(&options, err);
	if (!node->store)
		return -PTF_EIO;
	status = kv_snapshot_find(o->data, &r.base_index, &r.base_term, err);
	if (!status && r.base_index)
		status = kv_snapshot_load(node, r.base_index, r.base_term, &r.calls, err);
	r.connected = r.base_index == 0;
	if (!status)
		status = read_log(&r, err);
	if (!status)
		status = make_raft(&r, err);
	node->snapshot_index = node->applied_at_start = r.base_index;
	node->applied_term_at_start = r.base_term;
	atomic_store(&node->applied, r.base_index);
	if (!status)
		tell(&r, began);
	raft_entry_vec_release(&r.kept);
	return status;
}
