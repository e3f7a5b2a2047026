/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as PT packets: sizes stay within what is there, and every packet can be described. */
#include <stdlib.h>
#include <string.h>

#include "pt/pt_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum ptf_packet_block block = PTF_BLOCK_NONE;
	struct ptf_last_ip last = {0};
	char text[PTF_PACKET_TEXT_SIZE];
	struct ptf_packet packet;

	for (size_t at = 0; at < size;) {
		int n = ptf_packet_decode_block(bytes + at, size - at, &block, &packet);

		if (n > (int)(size - at) || (n > 0 && n != packet.size))
			abort();
		if (n > 0) {
			ptf_last_ip_update(&last, &packet);
			if (ptf_packet_describe(&packet, text) != strlen(text))
				abort();
		}
		at += n > 0 ? (size_t)n : 1;
	}
	ptf_packet_find_psb(bytes, bytes + size);
	return 0;
}
