/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the fast engine with packets and the code that they lead through: the input's first byte
 * says how much of the rest is code (in 16ths), the remainder is a segment behind a PSB+.
 *
 * Whatever comes in, the engine ends, its items are in time order, and their instructions add up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/code_images.h"
#include "pt/flow_engine.h"

enum { PID = 1, MAX_SIZE = 1 << 14 };

#define CODE_BASE 0x400000ull

static const uint8_t psb_plus[] = {0x02, 0x82, 0x02, 0x82, 0x02, 0x82, 0x02, 0x82, 0x02, 0x82, 0x02,
        0x82, 0x02, 0x82, 0x02, 0x82, 0x19, 1, 2, 3, 4, 5, 6, 7, 0x02, 0x03, 0x18, 0, 0x99, 0x01,
        0x7d, 0, 0, 0x40, 0, 0, 0, 0x02, 0x23};

static char path[64];

static bool write_code(const uint8_t *code, size_t size)
{
	int fd;
	bool ok;

	if (!path[0])
		snprintf(path, sizeof(path), "/dev/shm/ptf-fuzz-code-%d", (int)getpid());
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0)
		return false;
	ok = write(fd, code, size) == (ssize_t)size;
	close(fd);
	return ok;
}

static struct ptf_code_images *map_code(struct ptf_function_table *functions, size_t size)
{
	struct ptf_code_images *images = ptf_code_images_create(functions, NULL);
	struct ptf_record record = {.type = PTF_RECORD_MMAP2,
	        .misc = 2,
	        .sid = {.time_ns = 1, .has_time = true},
	        .mmap = {.pid = PID,
	                .tid = PID,
	                .addr = CODE_BASE,
	                .len = (size + 0xfff) & ~0xfffull,
	                .prot = 5,
	                .filename = path}};

	if (!images || ptf_code_images_add(images, &record, NULL) < 0 ||
	        ptf_code_images_freeze(images, NULL) < 0)
		abort();
	return images;
}

static void decode(struct ptf_flow_engine *engine, const struct ptf_engine_input *input)
{
	const struct ptf_flow_engine_ops *ops = &ptf_engine_fast;
	uint64_t before = ops->counts(engine)->instructions, insns = 0, last_ns = 0;
	const struct ptf_flow_item *item;

	if (ops->begin(engine, input) < 0)
		abort();
	while (ops->next(engine, &item) == 0) {
		insns += item->insns;
		if (item->time_ns == PTF_NO_TIME)
			continue;
		if (item->time_ns < last_ns)
			abort();
		last_ns = item->time_ns;
	}
	if (ops->counts(engine)->instructions - before != insns)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct ptf_flow_engine_ops *ops = &ptf_engine_fast;
	struct ptf_function_table *functions;
	struct ptf_engine_config config = {
	        .clock = {
	                .mtc_shift = 3, .tsc_ctc_n = 4, .tsc_ctc_d = 1, .max_nonturbo_ratio = 24}};
	struct ptf_run_span span = {.pid = PID, .tid = PID};
	struct ptf_engine_input input = {.spans = &span, .n_spans = 1};
	struct ptf_flow_engine *engine;
	uint8_t *segment;
	size_t code_size;
	void *shared;

	if (size < 2 || size > MAX_SIZE)
		return -1;
	code_size = (size - 1) * (bytes[0] & 15) / 16;
	if (!write_code(bytes + 1, code_size))
		return -1;
	functions = ptf_function_table_create();
	config.images = map_code(functions, code_size);
	span.code = ptf_code_images_epoch(config.images, PID, PTF_NO_TIME);
	/* Of exactly its size, so that reads behind its end are seen. */
	input.size = sizeof(psb_plus) + size - 1 - code_size;
	input.next_psb = input.size;
	segment = malloc(input.size);
	if (!segment || ops->share(&shared, &config, NULL) < 0)
		abort();
	memcpy(segment, psb_plus, sizeof(psb_plus));
	memcpy(segment + sizeof(psb_plus), bytes + 1 + code_size, size - 1 - code_size);
	input.bytes = segment;
	engine = ops->create(shared);
	/* Twice: the second time runs are remembered. */
	decode(engine, &input);
	decode(engine, &input);
	ops->destroy(engine);
	ops->unshare(shared);
	free(segment);
	ptf_code_images_destroy(config.images);
	ptf_function_table_destroy(functions);
	return 0;
}
