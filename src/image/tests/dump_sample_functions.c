/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints the function of every sample of a perf.data, for comparison with perf script. */
#include <inttypes.h>
#include <stdio.h>

#include "base/vec.h"
#include "image/code_images.h"
#include "perfdata/perf_reader.h"

struct sample {
	int32_t pid;
	uint64_t time_ns, ip;
};

struct run {
	struct ptf_perf_reader *reader;
	struct ptf_function_table *functions;
	struct ptf_code_images *images;
	PTF_VEC(struct sample) samples;
};

static int read_records(struct run *run, struct ptf_error *err)
{
	struct ptf_record record;
	int rc;

	while ((rc = ptf_perf_reader_next(run->reader, &record, err)) == 0) {
		rc = ptf_code_images_add(run->images, &record, err);
		if (rc < 0)
			return rc;
		if (record.type == PTF_RECORD_SAMPLE &&
		        !ptf_vec_push(&run->samples, (struct sample){.pid = record.sid.pid,
		                                             .time_ns = record.sid.time_ns,
		                                             .ip = record.sample.ip}))
			return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	return rc < 0 ? rc : 0;
}

static int freeze(struct run *run, struct ptf_error *err)
{
	const struct ptf_perf_info *info = ptf_perf_reader_info(run->reader);
	int rc = 0;

	for (size_t i = 0; i < info->n_build_ids && rc == 0; i++)
		rc = ptf_code_images_expect_build_id(run->images, info->build_ids[i].filename,
		        info->build_ids[i].id, info->build_ids[i].size, err);
	return rc < 0 ? rc : ptf_code_images_freeze(run->images, err);
}

/* PID TIME IP KIND NAME OFFSET MODULE, separated by tabs; OFFSET is that from the entry. */
static void print_sample(const struct run *run, const struct sample *sample)
{
	const struct ptf_code_epoch *epoch =
	        ptf_code_images_epoch(run->images, sample->pid, sample->time_ns);
	const struct ptf_function *f = ptf_function_table_unknown(run->functions);
	uint64_t entry = 0;

	if (epoch)
		f = ptf_code_epoch_function_entry(epoch, sample->ip, false, &entry);
	printf("%" PRId32 "\t%" PRIu64 "\t%" PRIx64 "\t%d\t%s\t%" PRIx64 "\t%s\n", sample->pid,
	        sample->time_ns, sample->ip, f->kind, f->name, entry ? sample->ip - entry : 0,
	        f->module);
}

int main(int argc, char **argv)
{
	struct run run = {0};
	struct ptf_error err = {0};
	int rc = argc == 2 ? ptf_perf_reader_create(&run.reader, argv[1], &err) : -PTF_EINVAL;

	run.functions = ptf_function_table_create();
	run.images = ptf_code_images_create(run.functions, NULL);
	if (rc == 0)
		rc = read_records(&run, &err);
	if (rc == 0)
		rc = freeze(&run, &err);
	if (rc == 0)
		ptf_vec_foreach (sample, &run.samples)
			print_sample(&run, sample);
	else
		fprintf(stderr, "%s\n", err.msg);
	ptf_vec_release(&run.samples);
	ptf_code_images_destroy(run.images);
	ptf_function_table_destroy(run.functions);
	ptf_perf_reader_destroy(run.reader);
	return rc < 0;
}
