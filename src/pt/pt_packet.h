/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PT packets: one packet out of a byte stream.
 *
 * Encodings: SDM volume 3, chapter "Intel Processor Trace", "Packet Definitions". Not decoded (no
 * packet): TRIG, which no decoder at hand knows, so that its size could not be checked.
 */
#ifndef PTF_PT_PACKET_H
#define PTF_PT_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ptf_packet_kind {
	PTF_PACKET_PAD,
	PTF_PACKET_TNT_8,
	PTF_PACKET_TNT_64,
	PTF_PACKET_TIP,
	PTF_PACKET_TIP_PGE,
	PTF_PACKET_TIP_PGD,
	PTF_PACKET_FUP,
	PTF_PACKET_PIP,
	PTF_PACKET_MODE_EXEC,
	PTF_PACKET_MODE_TSX,
	PTF_PACKET_TRACE_STOP,
	PTF_PACKET_CBR,
	PTF_PACKET_TSC,
	PTF_PACKET_MTC,
	PTF_PACKET_TMA,
	PTF_PACKET_CYC,
	PTF_PACKET_VMCS,
	PTF_PACKET_OVF,
	PTF_PACKET_PSB,
	PTF_PACKET_PSBEND,
	PTF_PACKET_MNT,
	PTF_PACKET_PTW,
	PTF_PACKET_EXSTOP,
	PTF_PACKET_MWAIT,
	PTF_PACKET_PWRE,
	PTF_PACKET_PWRX,
	PTF_PACKET_BBP, /* block begin */
	PTF_PACKET_BIP, /* block item; only behind a BBP: see ptf_packet_decode_block */
	PTF_PACKET_BEP, /* block end */
	PTF_PACKET_CFE,
	PTF_PACKET_EVD,
	PTF_PACKET_KINDS
};

struct ptf_packet {
	enum ptf_packet_kind kind;
	uint8_t size;      /* bytes */
	uint8_t ipc;       /* TIP*, FUP: IP compression (IPBytes field) */
	uint8_t tnt_count; /* TNT: branches, 1..47 (0: none, a stop bit alone) */
	uint8_t flags;     /* MODE.Exec: bit 0 CS.L, 1 CS.D, 2 IF; MODE.TSX: bit 0 in TX, 1 abort;
	                    * EXSTOP,     PTW, BEP, CFE: bit 0 an IP (FUP) follows; BBP: bit 0 items are
	                    * of     4 bytes,     else of 8; BIP: item number; EVD: type */
	uint8_t cbr, mtc;
	uint16_t ctc, fc; /* TMA: crystal clock, fast counter (9 bits) */
	uint64_t payload; /* TNT: bits, oldest in the highest of tnt_count; TIP*, FUP: raw IP bits;
	                   * TSC; CYC: cycles; PIP: CR3 | non-root in bit 0; VMCS: base; PTW, MNT,
	                   * EVD, MWAIT, PWRE, PWRX, BIP: value; CBR: all 16 bits; BBP: type; CFE:
	                   * type | vector << 8 */
};

/* What ptf_packet_decode does not decode itself. */
int ptf_packet_decode_rare(const uint8_t *at, size_t left, struct ptf_packet *packet);

/* Decodes the packet at `at`, of which `left` bytes are there. Returns its size (> 0), 0 when the
 * stream ends inside it, -1 when the bytes are no packet. Reads nothing behind at[left - 1]. Most
 * packets are one byte long: TNT-8, CYC and PAD are decoded in the caller. */
static inline int ptf_packet_decode(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	unsigned byte = left ? at[0] : 0, stop;

	*packet = (struct ptf_packet){.kind = PTF_PACKET_PAD, .size = 1};
	if ((byte & 1) == 0 && byte > 2) {
		stop = 30 -
		       (unsigned)__builtin_clz(byte); /* below the header bit and the stop bit */
		packet->kind = PTF_PACKET_TNT_8;
		packet->tnt_count = (uint8_t)stop;
		packet->payload = (byte >> 1) & ((1u << stop) - 1);
		return 1;
	}
	if ((byte & 7) == 3) {
		packet->kind = PTF_PACKET_CYC;
		packet->payload = byte >> 3;
		return 1;
	}
	return byte || !left ? ptf_packet_decode_rare(at, left, packet) : 1;
}

/* Payload of the block items that may come next: between a BBP and its BEP the bytes xxxxx100 are
 * items (BIP), elsewhere they are TNT. Zero at the start of a stream. */
enum ptf_packet_block {
	PTF_BLOCK_NONE = 0,
	PTF_BLOCK_4 = 4, /* bytes */
	PTF_BLOCK_8 = 8,
};

/* The same for streams that may hold blocks (PEBS records): *block is kept from call to call. */
int ptf_packet_decode_block(
        const uint8_t *at, size_t left, enum ptf_packet_block *block, struct ptf_packet *packet);

/* The first PSB in [begin, end), NULL: none. Of overlapping ones the last: the others begin in the
 * packet before. */
const uint8_t *ptf_packet_find_psb(const uint8_t *begin, const uint8_t *end);

/* Last IP (SDM, "IP compression"): what a compressed IP is relative to. */
struct ptf_last_ip {
	uint64_t ip;
};

/* Takes the IP of a TIP*, FUP; false when it is suppressed (then nothing changes) or reserved.
 * A PSB sets ip to 0: the caller does. */
bool ptf_last_ip_update(struct ptf_last_ip *last, const struct ptf_packet *packet);

/* "TIP.PGE": perf's spelling; a static string. */
const char *ptf_packet_kind_name(enum ptf_packet_kind kind);

/* Room for any description, terminator included: a long TNT's. */
#define PTF_PACKET_TEXT_SIZE 128u

/* Describes a packet as `perf script -D` does, "TIP 0x4f0"; returns the length. */
size_t ptf_packet_describe(const struct ptf_packet *packet, char text[PTF_PACKET_TEXT_SIZE]);

#endif
