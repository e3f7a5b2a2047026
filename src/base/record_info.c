/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <ptflame/record_info.h>

#include "base/reader.h"

static uint8_t *put(uint8_t *at, uint64_t value, size_t size)
{
	memcpy(at, &value, size);
	return at + size;
}

void ptf_record_info_encode(const struct ptf_record_info *info, uint8_t *out)
{
	uint64_t dilation;

	memcpy(&dilation, &info->dilation, sizeof(dilation));
	out = put(out, PTF_RECORD_INFO_MAGIC, 4);
	out = put(out, PTF_RECORD_INFO_VERSION, 4);
	out = put(out, info->start_ns, 8);
	out = put(out, info->end_ns, 8);
	out = put(out, info->simulated, 4);
	out = put(out, info->clock, 4);
	out = put(out, dilation, 8);
	out = put(out, info->switches, 4);
	put(out, info->lossy, 4);
}

int ptf_record_info_decode(struct ptf_record_info *info, const uint8_t *bytes, size_t size)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	struct ptf_record_info got = {0};
	uint32_t magic = ptf_reader_u32(&r);
	uint32_t version = ptf_reader_u32(&r);
	uint64_t dilation;

	got.start_ns = ptf_reader_u64(&r);
	got.end_ns = ptf_reader_u64(&r);
	got.simulated = ptf_reader_u32(&r) != 0;
	got.clock =
	        ptf_reader_u32(&r) == PTF_SIM_CLOCK_INSN ? PTF_SIM_CLOCK_INSN : PTF_SIM_CLOCK_REAL;
	dilation = ptf_reader_u64(&r);
	memcpy(&got.dilation, &dilation, sizeof(dilation));
	got.switches = ptf_reader_u32(&r) != 0;
	got.lossy = ptf_reader_u32(&r) != 0;
	if (r.failed || magic != PTF_RECORD_INFO_MAGIC || version == 0)
		return -1;
	*info = got;
	return 0;
}

void ptf_record_wait_encode(const struct ptf_record_wait *wait, uint8_t *out)
{
	out = put(out, (uint32_t)wait->tid, 8);
	out = put(out, wait->from_ns, 8);
	put(out, wait->to_ns, 8);
}

bool ptf_record_wait_decode(
        struct ptf_record_wait *wait, const uint8_t *bytes, size_t size, size_t number)
{
	struct ptf_reader r = ptf_reader_make(bytes, size);
	struct ptf_record_wait got;

	ptf_reader_u32(&r);
	if (ptf_reader_u32(&r) < 2 || number > size / PTF_RECORD_WAIT_SIZE)
		return false;
	r.pos = PTF_RECORD_INFO_SIZE <= size ? PTF_RECORD_INFO_SIZE : size;
	ptf_reader_skip(&r, number * PTF_RECORD_WAIT_SIZE);
	got.tid = (int32_t)ptf_reader_u64(&r);
	got.from_ns = ptf_reader_u64(&r);
	got.to_ns = ptf_reader_u64(&r);
	if (r.failed)
		return false;
	*wait = got;
	return true;
}
