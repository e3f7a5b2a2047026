/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compares a simulated trace with the truth: decodes TID.pt of a recording (sim_client.py) with
 * libipt, instruction by instruction, and checks that every block of TID.log (pc, instructions; 8
 * bytes each) begins where the decoder says, with nothing before, between or after.
 *
 *     sim_verify TID.pt TID.log [ADDR LEN PGOFF FILE]...
 *
 * Code comes from the files. Prints one line of counts; exit status 0 when all agree.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <intel-pt.h>

struct file {
	uint8_t *bytes;
	size_t size;
};

struct truth {
	const uint64_t (*blocks)[2];
	size_t n, at;
	uint64_t left; /* instructions of the block that runs */
};

struct counts {
	uint64_t insns, enabled, disabled, async, overflows, errors, differences;
};

static struct file map_file(const char *path)
{
	struct file file = {0};
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	file.size = (size_t)st.st_size;
	if (file.size)
		file.bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return file;
}

static void complain(struct counts *counts, const char *what, uint64_t ip, uint64_t want)
{
	if (counts->differences++ < 5)
		printf("after %" PRIu64 " instructions: %s at %#" PRIx64 ", truth %#" PRIx64 "\n",
		        counts->insns, what, ip, want);
}

/* One decoded instruction. */
static void step(struct truth *truth, struct counts *counts, uint64_t ip)
{
	if (!truth->left) {
		if (truth->at == truth->n) {
			complain(counts, "instruction too many", ip, 0);
			return;
		}
		if (truth->blocks[truth->at][0] != ip)
			complain(counts, "other flow", ip, truth->blocks[truth->at][0]);
		truth->left = truth->blocks[truth->at++][1];
	}
	truth->left--;
	counts->insns++;
}

static void event(struct counts *counts, const struct pt_event *ev)
{
	switch (ev->type) {
	case ptev_enabled:
		counts->enabled++;
		break;
	case ptev_disabled:
		counts->disabled++;
		break;
	case ptev_async_disabled:
		counts->async++;
		break;
	case ptev_overflow:
		counts->overflows++;
		break;
	default:
		break;
	}
}

static int drain_events(struct pt_insn_decoder *decoder, struct counts *counts, int status)
{
	struct pt_event ev;

	while (status >= 0 && status & pts_event_pending) {
		status = pt_insn_event(decoder, &ev, sizeof(ev));
		if (status >= 0)
			event(counts, &ev);
	}
	return status;
}

static int decode_segment(
        struct pt_insn_decoder *decoder, struct truth *truth, struct counts *counts)
{
	struct pt_insn insn;
	int status = pt_insn_sync_forward(decoder);

	while (status >= 0) {
		status = drain_events(decoder, counts, status);
		if (status < 0 || status & pts_eos)
			break;
		status = pt_insn_next(decoder, &insn, sizeof(insn));
		if (insn.iclass != ptic_error || status >= 0)
			step(truth, counts, insn.ip);
	}
	return status < 0 ? status : -pte_eos;
}

static void decode(struct pt_insn_decoder *decoder, struct truth *truth, struct counts *counts)
{
	for (;;) {
		int status = decode_segment(decoder, truth, counts);
		uint64_t offset = 0, ip = 0;

		if (status == -pte_eos)
			return;
		(void)pt_insn_get_offset(decoder, &offset);
		(void)ip;
		counts->errors++;
		printf("after %" PRIu64 " instructions, at byte %#" PRIx64 ": %s\n", counts->insns,
		        offset, pt_errstr(pt_errcode(status)));
		if (counts->errors > 3)
			return;
	}
}

static struct pt_image *load_image(int argc, char **argv)
{
	struct pt_image_section_cache *cache = pt_iscache_alloc("code");
	struct pt_image *image = pt_image_alloc("guest");
	int i;

	pt_iscache_set_limit(cache, 1ull << 30);
	for (i = 0; i + 4 <= argc; i += 4) {
		uint64_t addr = strtoull(argv[i], NULL, 0), len = strtoull(argv[i + 1], NULL, 0);
		uint64_t pgoff = strtoull(argv[i + 2], NULL, 0);
		int isid = pt_iscache_add_file(cache, argv[i + 3], pgoff, len, addr);

		if (isid > 0)
			(void)pt_image_add_cached(image, cache, isid, NULL);
		else
			fprintf(stderr, "%s: %s\n", argv[i + 3], pt_errstr(pt_errcode(isid)));
	}
	return image;
}

int main(int argc, char **argv)
{
	struct file trace = map_file(argv[1]), log = map_file(argv[2]);
	struct truth truth = {.blocks = (const void *)log.bytes, .n = log.size / 16};
	struct counts counts = {0};
	struct pt_insn_decoder *decoder;
	struct pt_config config;

	pt_config_init(&config);
	config.begin = trace.bytes;
	config.end = trace.bytes + trace.size;
	config.flags.variant.insn.enable_tick_events = 0;
	decoder = pt_insn_alloc_decoder(&config);
	if (!decoder || argc < 3)
		return 2;
	(void)pt_insn_set_image(decoder, load_image(argc - 3, argv + 3));
	decode(decoder, &truth, &counts);
	if (truth.left || truth.at < truth.n)
		complain(&counts, "trace ends", 0,
		        truth.at < truth.n ? truth.blocks[truth.at][0] : 0);
	printf("bytes %zu instructions %" PRIu64 " blocks %zu/%zu enabled %" PRIu64
	       " disabled %" PRIu64 " async %" PRIu64 " overflows %" PRIu64 " errors %" PRIu64
	       " differences %" PRIu64 "\n",
	        trace.size, counts.insns, truth.at, truth.n, counts.enabled, counts.disabled,
	        counts.async, counts.overflows, counts.errors, counts.differences);
	return counts.errors || counts.differences ? 1 : 0;
}
