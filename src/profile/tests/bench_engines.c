/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times decoding alone, without replay: bench_engines fast|libipt|blocks LOOPS FILE [SYMFS] decodes
 * all segments of a recording LOOPS times and prints bytes, items (or blocks) and CPU seconds.
 * "blocks" is libipt's block decoder as it comes, nothing made of what it finds.
 */
#include <intel-pt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "profile/recording.h"

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static struct ptf_engine_input input_of(struct ptf_recording *recording,
        const struct ptf_aux_segment *segment, struct ptf_scratch *scratch)
{
	return (struct ptf_engine_input){.size = segment->size,
	        .next_psb = segment->next_psb,
	        .bytes = ptf_aux_segment_bytes(&recording->streams, segment, scratch),
	        .spans = recording->spans[segment->stream].v,
	        .n_spans = recording->spans[segment->stream].n,
	        .filtered = recording->filtered};
}

/* ---- our engines ---- */

static uint64_t run_engine(
        struct ptf_recording *recording, const struct ptf_flow_engine_ops *ops, long loops)
{
	struct ptf_scratch scratch = {0};
	struct ptf_flow_engine *engine;
	uint64_t items = 0;
	void *shared;

	if (ops->share(&shared, &recording->engine, NULL) < 0)
		return 0;
	engine = ops->create(shared);
	for (long i = 0; i < loops && engine; i++) {
		ptf_vec_foreach (segment, &recording->streams.segments) {
			struct ptf_engine_input input = input_of(recording, segment, &scratch);
			const struct ptf_flow_item *item;

			if (ops->begin(engine, &input) < 0)
				return 0;
			while (ops->next(engine, &item) == 0)
				items++;
		}
	}
	ops->destroy(engine);
	ops->unshare(shared);
	free(scratch.bytes);
	return items;
}

/* ---- libipt alone ---- */

static struct pt_image *make_image(
        struct pt_image_section_cache *sections, const struct ptf_code_epoch *code)
{
	struct pt_image *image = pt_image_alloc(NULL);

	for (size_t i = 0; i < code->n_maps; i++) {
		const struct ptf_code_map *map = &code->maps[i];
		int isid;

		if (ptf_module_open(map->module) < 0 || !map->module->disk_path)
			continue;
		isid = pt_iscache_add_file(sections, map->module->disk_path, map->file_offset,
		        map->end - map->start, map->start);
		if (isid > 0)
			pt_image_add_cached(image, sections, isid, NULL);
	}
	return image;
}

static uint64_t run_blocks(struct pt_block_decoder *decoder)
{
	int status = pt_blk_sync_forward(decoder);
	uint64_t blocks = 0;

	while (status >= 0) {
		struct pt_block block;
		struct pt_event event;

		while (status >= 0 && status & pts_event_pending)
			status = pt_blk_event(decoder, &event, sizeof(event));
		if (status < 0)
			break;
		status = pt_blk_next(decoder, &block, sizeof(block));
		blocks++;
	}
	return blocks;
}

static uint64_t run_libipt(struct ptf_recording *recording, long loops)
{
	struct pt_image_section_cache *sections = pt_iscache_alloc(NULL);
	struct ptf_scratch scratch = {0};
	struct pt_image *image = NULL;
	uint64_t blocks = 0;

	pt_iscache_set_limit(sections, 4ull << 30);
	for (long i = 0; i < loops; i++) {
		ptf_vec_foreach (segment, &recording->streams.segments) {
			struct ptf_engine_input input = input_of(recording, segment, &scratch);
			struct pt_config config = {.size = sizeof(config)};
			struct pt_block_decoder *decoder;

			if (!image)
				image = make_image(sections, input.spans[input.n_spans - 1].code);
			config.begin = (uint8_t *)(uintptr_t)input.bytes;
			config.end = config.begin + input.size;
			config.flags.variant.block.end_on_call = 1;
			decoder = pt_blk_alloc_decoder(&config);
			pt_blk_set_image(decoder, image);
			blocks += run_blocks(decoder);
			pt_blk_free_decoder(decoder);
		}
	}
	pt_image_free(image);
	pt_iscache_free(sections);
	free(scratch.bytes);
	return blocks;
}

int main(int argc, char **argv)
{
	struct ptf_function_table *functions = ptf_function_table_create();
	const struct ptf_time_slice whole = {0};
	struct ptf_code_places places = {.symfs = argc > 4 ? argv[4] : NULL};
	const struct ptf_flow_engine_ops *ops;
	struct ptf_recording recording;
	struct ptf_error err;
	uint64_t bytes = 0, n;
	double start;
	long loops;

	if (argc < 4)
		return 2;
	ops = ptf_flow_engine_find(argv[1]);
	loops = strtol(argv[2], NULL, 10);
	if (!functions || (!ops && strcmp(argv[1], "blocks") != 0) ||
	        ptf_recording_init(&recording, argv[3], &places, &whole, functions, &err) < 0)
		return 1;
	ptf_vec_foreach (segment, &recording.streams.segments)
		bytes += segment->next_psb;
	start = cpu_seconds();
	n = ops ? run_engine(&recording, ops, loops) : run_libipt(&recording, loops);
	printf("%" PRIu64 " %" PRIu64 " %.6f\n", bytes * (uint64_t)loops, n, cpu_seconds() - start);
	ptf_recording_release(&recording);
	ptf_function_table_destroy(functions);
	return n ? 0 : 1;
}
