/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "pt/pt_packet.h"

/* `size` (at most 8) little-endian bytes; left >= size are there. */
static uint64_t load(const uint8_t *at, size_t left, unsigned size)
{
	uint64_t value = 0;

	if (left >= sizeof(value)) {
		memcpy(&value, at, sizeof(value));
		return size < 8 ? value & ((1ull << 8 * size) - 1) : value;
	}
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static int fixed(struct ptf_packet *packet, enum ptf_packet_kind kind, unsigned size, size_t left)
{
	if (left < size)
		return 0;
	packet->kind = kind;
	packet->size = (uint8_t)size;
	return (int)size;
}

/* TNT bits stand below a stop bit: `bits` with the stop bit removed. */
static void set_tnt(struct ptf_packet *packet, uint64_t bits)
{
	unsigned stop = 63 - (unsigned)__builtin_clzll(bits);

	packet->tnt_count = (uint8_t)stop;
	packet->payload = bits & ((1ull << stop) - 1);
}

static int decode_tnt_64(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	uint64_t bits;

	if (left < 8)
		return 0;
	bits = load(at + 2, left - 2, 6);
	if (!bits)
		return -1;
	set_tnt(packet, bits);
	return fixed(packet, PTF_PACKET_TNT_64, 8, left);
}

static int decode_ip(
        const uint8_t *at, size_t left, enum ptf_packet_kind kind, struct ptf_packet *packet)
{
	static const uint8_t ip_bytes[8] = {0, 2, 4, 6, 6, 0, 8, 0};
	unsigned ipc = at[0] >> 5;

	if (ipc == 5 || ipc == 7)
		return -1;
	if (left < 1u + ip_bytes[ipc])
		return 0;
	packet->ipc = (uint8_t)ipc;
	packet->payload = load(at + 1, left - 1, ip_bytes[ipc]);
	return fixed(packet, kind, 1u + ip_bytes[ipc], left);
}

static int decode_cyc(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	uint64_t cycles = at[0] >> 3;
	unsigned shift = 5, size = 1;
	bool more = at[0] & 4;

	while (more) {
		if (shift > 63)
			return -1;
		if (size >= left)
			return 0;
		more = at[size] & 1;
		cycles |= (uint64_t)(at[size] >> 1) << shift;
		shift += 7;
		size++;
	}
	packet->payload = cycles;
	return fixed(packet, PTF_PACKET_CYC, size, left);
}

static int decode_mode(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 2)
		return 0;
	if ((at[1] & 3) ==
	        3) /* 32 and 64 bit code at once, in and out of a transaction: reserved */
		return -1;
	packet->flags = at[1] & 7;
	switch (at[1] >> 5) {
	case 0:
		return fixed(packet, PTF_PACKET_MODE_EXEC, 2, left);
	case 1:
		return fixed(packet, PTF_PACKET_MODE_TSX, 2, left);
	default:
		return -1;
	}
}

/* Two-byte opcode 02 xx with `payload` bytes behind it. */
static int extended(const uint8_t *at, size_t left, enum ptf_packet_kind kind, unsigned payload,
        struct ptf_packet *packet)
{
	if (left < 2 + payload)
		return 0;
	packet->payload = load(at + 2, left - 2, payload);
	return fixed(packet, kind, 2 + payload, left);
}

static int decode_psb(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	for (unsigned i = 0; i < 16 && i < left; i++) {
		if (at[i] != (i & 1 ? 0x82 : 0x02))
			return -1;
	}
	return fixed(packet, PTF_PACKET_PSB, 16, left);
}

static int decode_tma(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 7)
		return 0;
	packet->ctc = (uint16_t)load(at + 2, left - 2, 2);
	packet->fc = (uint16_t)(load(at + 5, left - 5, 2) & 0x1ff);
	return fixed(packet, PTF_PACKET_TMA, 7, left);
}

static int decode_pip(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	int size = extended(at, left, PTF_PACKET_PIP, 6, packet);

	/* Bit 0 is non-root; the others are CR3[51:5]. */
	packet->payload = (packet->payload >> 1 << 5) | (packet->payload & 1);
	return size;
}

static int decode_mnt(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 3)
		return 0;
	if (at[2] != 0x88)
		return -1;
	if (left < 11)
		return 0;
	packet->payload = load(at + 3, left - 3, 8);
	return fixed(packet, PTF_PACKET_MNT, 11, left);
}

static int decode_vmcs(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	int size = extended(at, left, PTF_PACKET_VMCS, 5, packet);

	packet->payload <<= 12;
	return size;
}

static int decode_cfe(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 4)
		return 0;
	packet->flags = at[2] >> 7;
	packet->payload = (at[2] & 0x1fu) | (uint64_t)at[3] << 8;
	return fixed(packet, PTF_PACKET_CFE, 4, left);
}

static int decode_evd(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 11)
		return 0;
	packet->flags = at[2] & 0x3f;
	packet->payload = load(at + 3, left - 3, 8);
	return fixed(packet, PTF_PACKET_EVD, 11, left);
}

static int decode_ptw(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	unsigned bytes = at[1] >> 5 & 3;

	if (bytes > 1)
		return -1;
	packet->flags = at[1] >> 7;
	return extended(at, left, PTF_PACKET_PTW, bytes ? 8 : 4, packet);
}

static int decode_mwait(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	return extended(at, left, PTF_PACKET_MWAIT, 8, packet);
}

static int decode_bbp(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 3)
		return 0;
	packet->flags = at[2] >> 7;
	packet->payload = at[2] & 0x1f;
	return fixed(packet, PTF_PACKET_BBP, 3, left);
}

/* Packets that begin with 02. */
static int decode_extended(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	if (left < 2)
		return 0;
	if ((at[1] & 0x1f) == 0x12)
		return decode_ptw(at, left, packet);
	switch (at[1]) {
	case 0x82:
		return decode_psb(at, left, packet);
	case 0x23:
		return extended(at, left, PTF_PACKET_PSBEND, 0, packet);
	case 0xa3:
		return decode_tnt_64(at, left, packet);
	case 0x43:
		return decode_pip(at, left, packet);
	case 0x83:
		return extended(at, left, PTF_PACKET_TRACE_STOP, 0, packet);
	case 0x03:
		packet->cbr = left > 2 ? at[2] : 0;
		return extended(at, left, PTF_PACKET_CBR, 2, packet);
	case 0x73:
		return decode_tma(at, left, packet);
	case 0xf3:
		return extended(at, left, PTF_PACKET_OVF, 0, packet);
	case 0xc3:
		return decode_mnt(at, left, packet);
	case 0xc8:
		return decode_vmcs(at, left, packet);
	case 0x62:
	case 0xe2:
		packet->flags = at[1] >> 7;
		return extended(at, left, PTF_PACKET_EXSTOP, 0, packet);
	case 0xc2:
		return decode_mwait(at, left, packet);
	case 0x22:
		return extended(at, left, PTF_PACKET_PWRE, 2, packet);
	case 0xa2:
		return extended(at, left, PTF_PACKET_PWRX, 5, packet);
	case 0x63:
		return decode_bbp(at, left, packet);
	case 0x33:
	case 0xb3:
		packet->flags = at[1] >> 7;
		return extended(at, left, PTF_PACKET_BEP, 0, packet);
	case 0x13:
		return decode_cfe(at, left, packet);
	case 0x53:
		return decode_evd(at, left, packet);
	default:
		return -1;
	}
}

int ptf_packet_decode_rare(const uint8_t *at, size_t left, struct ptf_packet *packet)
{
	*packet = (struct ptf_packet){0};
	if (!left)
		return 0;
	if (at[0] == 2)
		return decode_extended(at, left, packet);
	if ((at[0] & 3) == 3)
		return decode_cyc(at, left, packet);
	switch (at[0] & 0x1f) {
	case 0x0d:
		return decode_ip(at, left, PTF_PACKET_TIP, packet);
	case 0x11:
		return decode_ip(at, left, PTF_PACKET_TIP_PGE, packet);
	case 0x01:
		return decode_ip(at, left, PTF_PACKET_TIP_PGD, packet);
	case 0x1d:
		return decode_ip(at, left, PTF_PACKET_FUP, packet);
	default:
		break;
	}
	if (left < 2 && (at[0] == 0x59 || at[0] == 0x99))
		return 0;
	switch (at[0]) {
	case 0x59:
		packet->mtc = at[1];
		return fixed(packet, PTF_PACKET_MTC, 2, left);
	case 0x99:
		return decode_mode(at, left, packet);
	case 0x19:
		packet->payload = left >= 8 ? load(at + 1, left - 1, 7) : 0;
		return fixed(packet, PTF_PACKET_TSC, 8, left);
	default:
		return -1;
	}
}

static int decode_bip(const uint8_t *at, size_t left, unsigned payload, struct ptf_packet *packet)
{
	*packet = (struct ptf_packet){0};
	if (left < 1 + payload)
		return 0;
	packet->flags = at[0] >> 3;
	packet->payload = load(at + 1, left - 1, payload);
	return fixed(packet, PTF_PACKET_BIP, 1 + payload, left);
}

/* What may stand between the items of a block; anything else ends it, as in perf's decoder. */
static bool stays_in_block(enum ptf_packet_kind kind)
{
	switch (kind) {
	case PTF_PACKET_PAD:
	case PTF_PACKET_TSC:
	case PTF_PACKET_TMA:
	case PTF_PACKET_MTC:
	case PTF_PACKET_FUP:
	case PTF_PACKET_CYC:
	case PTF_PACKET_CBR:
	case PTF_PACKET_MNT:
	case PTF_PACKET_EXSTOP:
	case PTF_PACKET_PWRE:
	case PTF_PACKET_PWRX:
	case PTF_PACKET_BIP:
		return true;
	default:
		return false;
	}
}

int ptf_packet_decode_block(
        const uint8_t *at, size_t left, enum ptf_packet_block *block, struct ptf_packet *packet)
{
	int size;

	if (*block != PTF_BLOCK_NONE && left && (at[0] & 7) == 4)
		return decode_bip(at, left, *block, packet);
	size = ptf_packet_decode(at, left, packet);
	if (size <= 0)
		return size;
	if (packet->kind == PTF_PACKET_BBP)
		*block = packet->flags ? PTF_BLOCK_4 : PTF_BLOCK_8;
	else if (!stays_in_block(packet->kind))
		*block = PTF_BLOCK_NONE;
	return size;
}

const uint8_t *ptf_packet_find_psb(const uint8_t *begin, const uint8_t *end)
{
	static const uint8_t psb[16] = {
	        2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82};
	const uint8_t *at =
	        begin < end ? memmem(begin, (size_t)(end - begin), psb, sizeof(psb)) : NULL;

	/* The packet before it may end in the same bytes (CYC bf 02, TNT 82): a PSB is the last of
	 * them, for what comes behind it (PSBEND, timing, a mode) never begins with 02 82. */
	while (at && end - at >= (ptrdiff_t)sizeof(psb) + 2 && at[16] == 2 && at[17] == 0x82)
		at += 2;
	return at;
}

bool ptf_last_ip_update(struct ptf_last_ip *last, const struct ptf_packet *packet)
{
	uint64_t ip = packet->payload;

	switch (packet->ipc) {
	case 1:
		last->ip = (last->ip & ~0xffffull) | ip;
		return true;
	case 2:
		last->ip = (last->ip & ~0xffffffffull) | ip;
		return true;
	case 3:
		last->ip = (uint64_t)((int64_t)(ip << 16) >> 16);
		return true;
	case 4:
		last->ip = (last->ip & ~0xffffffffffffull) | ip;
		return true;
	case 6:
		last->ip = ip;
		return true;
	default:
		return false;
	}
}

const char *ptf_packet_kind_name(enum ptf_packet_kind kind)
{
	static const char *const names[PTF_PACKET_KINDS] = {"PAD", "TNT", "TNT", "TIP", "TIP.PGE",
	        "TIP.PGD", "FUP", "PIP", "MODE.Exec", "MODE.TSX", "TraceSTOP", "CBR", "TSC", "MTC",
	        "TMA", "CYC", "VMCS", "OVF", "PSB", "PSBEND", "MNT", "PTWRITE", "EXSTOP", "MWAIT",
	        "PWRE", "PWRX", "BBP", "BIP", "BEP", "CFE", "EVD"};

	return kind < PTF_PACKET_KINDS ? names[kind] : "?";
}
