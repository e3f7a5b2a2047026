/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ptflame dump`: the packets of a recording, in the format of `perf script -D`, so that the two
 * can be compared with diff.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file_map.h"
#include "cli/commands.h"
#include "cli/common_options.h"
#include "perfdata/perf_reader.h"
#include "pt/pt_packet.h"

enum { OPT_TID = 256, OPT_RAW };

/* perf adds zero bytes (padding) behind a packet to its line, up to this many bytes in all. */
enum { PADDED_SIZE = 8, HEX_COLUMNS = 16 };

struct dump_options {
	const char *input;
	bool raw; /* input is PT bytes, nothing else */
	bool one_thread;
	int32_t tid; /* when one_thread */
};

static const struct argp_option options[] = {
        {"input", 'i', "FILE", 0, "Recording (ptflame.data, else perf.data; - is stdin)", 0},
        {"tid", OPT_TID, "N", 0, "Only the AUX stream of this thread", 0},
        {"raw", OPT_RAW, "FILE", 0, "Print a file that holds PT bytes and nothing else", 0},
        {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct dump_options *o = state->input;

	switch (key) {
	case 'i':
		o->input = arg;
		return 0;
	case OPT_TID:
		o->one_thread = true;
		o->tid = (int32_t)ptf_option_number(state, arg, "--tid", INT32_MAX);
		return 0;
	case OPT_RAW:
		o->raw = true;
		o->input = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'? The recording is named with -i", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* One line: offset, bytes, description. size is at most HEX_COLUMNS. */
static void print_line(uint64_t offset, const uint8_t *at, unsigned size, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	char hex[3 * HEX_COLUMNS + 1];

	memset(hex, ' ', sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	for (unsigned i = 0; i < size; i++) {
		hex[3 * i + 1] = digits[at[i] >> 4];
		hex[3 * i + 2] = digits[at[i] & 0xf];
	}
	printf(".  %08" PRIx64 ": %s %s\n", offset, hex, text);
}

static void print_packets(const uint8_t *bytes, uint64_t size)
{
	enum ptf_packet_block block = PTF_BLOCK_NONE;
	char text[PTF_PACKET_TEXT_SIZE];
	struct ptf_packet packet;

	printf(". ... Intel Processor Trace data: size %" PRIu64 " bytes\n", size);
	for (uint64_t at = 0; at < size && !ferror(stdout);) {
		int n = ptf_packet_decode_block(bytes + at, size - at, &block, &packet);

		if (n <= 0) {
			print_line(at, bytes + at, 1, "Bad packet!");
			at++;
			continue;
		}
		while (n < PADDED_SIZE && at + (unsigned)n < size && !bytes[at + (unsigned)n])
			n++;
		ptf_packet_describe(&packet, text);
		print_line(at, bytes + at, (unsigned)n, text);
		at += (unsigned)n;
	}
}

static int dump_raw(const char *path)
{
	struct ptf_file_map map;
	struct ptf_error err;

	if (ptf_file_map_init(&map, path, &err) < 0)
		return ptf_command_fail("dump", &err);
	print_packets(map.bytes, map.size);
	ptf_file_map_release(&map);
	return PTF_EXIT_OK;
}

static void print_chunk(const struct ptf_aux_chunk *chunk)
{
	printf("\nPERF_RECORD_AUXTRACE size: 0x%" PRIx64 "  offset: 0x%" PRIx64 "  ref: 0x%" PRIx64
	       "  idx: %" PRIu32 "  tid: %" PRId32 "  cpu: %" PRId32 "\n.\n",
	        chunk->size, chunk->aux_offset, chunk->reference, chunk->idx, chunk->tid,
	        chunk->cpu);
	print_packets(chunk->bytes, chunk->size);
}

static int print_chunks(
        const struct ptf_perf_reader *reader, const struct dump_options *o, struct ptf_error *err)
{
	size_t n, printed = 0;
	const struct ptf_aux_chunk *chunks = ptf_perf_reader_aux_chunks(reader, &n);

	for (size_t i = 0; i < n; i++) {
		if (o->one_thread && chunks[i].tid != o->tid)
			continue;
		print_chunk(&chunks[i]);
		printed++;
	}
	if (printed)
		return 0;
	if (!n)
		return ptf_error_set(err, PTF_ENODATA, "%s: no AUX data", o->input);
	return ptf_error_set(err, PTF_ENODATA, "%s: no AUX stream of thread %" PRId32 "%s",
	        o->input, o->tid, chunks[0].tid < 0 ? "; there is one for each CPU" : "");
}

static int dump_recording(
        struct ptf_perf_reader *reader, const struct dump_options *o, struct ptf_error *err)
{
	const struct ptf_perf_info *info = ptf_perf_reader_info(reader);
	struct ptf_record record;
	int rc;

	do {
		rc = ptf_perf_reader_next(reader, &record, err);
	} while (rc == 0);
	if (rc > 0)
		rc = print_chunks(reader, o, err);
	if (info->damage.code)
		fprintf(stderr, "ptflame dump: %s: incomplete: %s\n", o->input, info->damage.msg);
	return rc;
}

int cmd_dump(int argc, char **argv)
{
	static const struct argp argp = {options, parse_option, NULL,
	        "Print the packets of a recording with their offsets.\v"
	        "The lines are those of `perf script -D`.",
	        NULL, NULL, NULL};
	struct dump_options o = {.input = NULL};
	struct ptf_perf_reader *reader;
	struct ptf_error err;
	int rc;

	argp_err_exit_status = PTF_EXIT_USAGE;
	argv[0] = "ptflame dump";
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (o.raw)
		return dump_raw(o.input);
	if (!o.input)
		o.input = ptf_default_input();
	if (ptf_perf_reader_create(&reader, o.input, &err) < 0)
		return ptf_command_fail("dump", &err);
	rc = dump_recording(reader, &o, &err);
	ptf_perf_reader_destroy(reader);
	return rc < 0 ? ptf_command_fail("dump", &err) : PTF_EXIT_OK;
}
