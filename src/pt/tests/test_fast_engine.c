/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast engine against libipt on random traces. PTF_RANDOM_TRACES: how many (default 1000),
 * PTF_RANDOM_SEED: the first seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/tests/image_testlib.h"
#include "pt/tests/engine_compare.h"
#include "pt/tests/random_trace.h"

enum { TRACES_PER_PROGRAM = 25, PID = 100 };

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* A program, its code as the engines see it, and the engines. */
struct world {
	char path[64];
	struct ptf_random_program program;
	struct ptf_function_table *functions;
	struct ptf_code_images *images;
	struct ptf_engine_config config;
	struct ptf_run_span spans[2];
	struct ptf_engine_pair pair;
};

static void open_world(struct world *w, struct ptf_random *random)
{
	int fd;

	strcpy(w->path, "/tmp/ptf-random-program-XXXXXX");
	fd = mkstemp(w->path);
	assert_true(fd >= 0);
	close(fd);
	assert_true(ptf_random_program_make(&w->program, random, w->path));
	w->functions = ptf_function_table_create();
	w->images = ptf_code_images_create(w->functions, NULL);
	assert_non_null(w->images);
	map(w->images, PID, 1, PTF_RANDOM_BASE, (w->program.file_size + 0xfff) & ~0xfffull, 0,
	        w->path);
	assert_int_equal(ptf_code_images_freeze(w->images, NULL), 0);
	w->config = (struct ptf_engine_config){.images = w->images,
	        .clock = {
	                .mtc_shift = 3, .tsc_ctc_n = 4, .tsc_ctc_d = 1, .max_nonturbo_ratio = 24}};
	w->spans[0] = (struct ptf_run_span){
	        .pid = PID, .tid = PID, .code = ptf_code_images_epoch(w->images, PID, PTF_NO_TIME)};
	w->spans[1] = w->spans[0];
	assert_true(ptf_engine_pair_init(&w->pair, &w->config));
}

static void close_world(struct world *w)
{
	ptf_engine_pair_release(&w->pair);
	ptf_code_images_destroy(w->images);
	ptf_function_table_destroy(w->functions);
	unlink(w->path);
}

static void compare_trace(struct world *w, const struct ptf_random_trace *trace, uint64_t seed)
{
	const char *report;
	char name[64];

	for (size_t i = 0; i < trace->n_psbs; i++) {
		bool last = i + 1 == trace->n_psbs;
		size_t from = trace->psbs[i];
		struct ptf_engine_input inputs[2],
		        input = {.bytes = trace->bytes + from,
		                .size = (last ? trace->n : trace->psb_ends[i + 1]) - from,
		                .next_psb = (last ? trace->n : trace->psbs[i + 1]) - from,
		                .spans = w->spans,
		                .n_spans = 2};

		snprintf(name, sizeof(name), "seed %llu segment %zu", (unsigned long long)seed, i);
		inputs[0] = inputs[1] = input;
		inputs[1].bytes = trace->known + from;
		if (!ptf_engine_pair_compare(&w->pair, inputs, name, &report)) {
			fputs(report, stderr);
			fail();
		}
		if (!ptf_engine_pair_counts_agree(&w->pair, &report))
			fail_msg("%s: %s", name, report);
	}
}

static void test_random_traces(void **state)
{
	uint64_t n = from_environment("PTF_RANDOM_TRACES", 1000);
	uint64_t seed = from_environment("PTF_RANDOM_SEED", 1), errors = 0, overflows = 0;
	struct ptf_random_trace *trace = malloc(sizeof(*trace));
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	for (uint64_t end = seed + n; seed < end; seed += TRACES_PER_PROGRAM) {
		struct ptf_random random = {seed};
		const struct ptf_engine_counts *counts;

		open_world(w, &random);
		for (uint64_t i = seed; i < seed + TRACES_PER_PROGRAM; i++) {
			random.state = i * 7919;
			w->spans[1].from_ns = 1000000 + ptf_random_below(&random, 1000000);
			w->spans[1].tid = PID + (int32_t)ptf_random_below(&random, 2);
			ptf_random_trace_make(trace, &w->program, &random, 4000);
			compare_trace(w, trace, i);
		}
		counts = w->pair.ops[0]->counts(w->pair.engines[0]);
		errors += counts->errors;
		overflows += counts->overflows;
		close_world(w);
	}
	/* The traces are valid and hold what they are there for. */
	assert_int_equal(errors, 0);
	assert_true(overflows > n / 10);
	free(trace);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_random_traces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
