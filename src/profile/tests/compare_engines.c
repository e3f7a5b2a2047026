/* SPDX-License-Identifier: BSD-2-Clause */
/* Compares every flow item of both engines on a recording: compare_engines [-v] FILE [SYMFS]. */
#include <inttypes.h>
#include <string.h>

#include "profile/recording.h"
#include "pt/resync.h"
#include "pt/tests/engine_compare.h"

static bool compare_segment(struct ptf_engine_pair *pair, struct ptf_recording *recording,
        const struct ptf_aux_segment *segment, struct ptf_scratch *scratch,
        struct ptf_resync *resync)
{
	struct ptf_engine_input input = {.size = segment->size, .next_psb = segment->next_psb};
	struct ptf_engine_input inputs[2];
	const char *report;
	char name[96];
	int rc;

	input.bytes = ptf_aux_segment_bytes(&recording->streams, segment, scratch);
	input.spans = recording->spans[segment->stream].v;
	input.n_spans = recording->spans[segment->stream].n;
	input.filtered = recording->filtered;
	snprintf(name, sizeof(name), "stream %u segment %u at AUX offset %" PRIu64, segment->stream,
	        segment->number, segment->aux_offset);
	ptf_resync_begin(resync);
	do {
		uint64_t stopped[2];

		inputs[0] = inputs[1] = input;
		if (!ptf_engine_pair_compare(pair, inputs, name, &report)) {
			fputs(report, stdout);
			return false;
		}
		for (int i = 0; i < 2; i++)
			stopped[i] = pair->ops[i]->stopped_at(pair->engines[i]);
		if (stopped[0] != stopped[1]) {
			printf("%s: stopped at %" PRIx64 ", at %" PRIx64 "\n", name, stopped[0],
			        stopped[1]);
			return false;
		}
		if (stopped[0] == UINT64_MAX)
			return true;
		rc = ptf_resync_next(resync, &input, stopped[0], &recording->engine.clock);
	} while (rc == 1);
	return rc == 0;
}

int main(int argc, char **argv)
{
	struct ptf_function_table *functions = ptf_function_table_create();
	struct ptf_recording recording;
	const struct ptf_time_slice whole = {0};
	struct ptf_scratch scratch = {0};
	struct ptf_resync resync = {0};
	struct ptf_engine_pair pair;
	struct ptf_error err;
	const char *report;
	size_t bad = 0;
	struct ptf_code_places places = {.symfs = argc > 2 ? argv[2] : NULL};

	if (argc < 2 || !functions)
		return 2;
	if (ptf_recording_init(&recording, argv[1], &places, &whole, functions, &err) < 0) {
		printf("%s\n", err.msg);
		return 1;
	}
	if (!ptf_engine_pair_init(&pair, &recording.engine))
		return 1;
	ptf_vec_foreach (segment, &recording.streams.segments) {
		bad += !compare_segment(&pair, &recording, segment, &scratch, &resync);
		if (bad >= 3)
			break;
	}
	if (!bad && !ptf_engine_pair_counts_agree(&pair, &report)) {
		fputs(report, stdout);
		bad++;
	}
	printf("%zu segments, %" PRIu64 " items, %s\n", recording.streams.segments.n, pair.items,
	        bad ? "different" : "equal");
	ptf_engine_pair_release(&pair);
	free(scratch.bytes);
	ptf_resync_release(&resync);
	ptf_recording_release(&recording);
	ptf_function_table_destroy(functions);
	return bad ? 1 : 0;
}
