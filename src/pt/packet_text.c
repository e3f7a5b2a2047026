/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "pt/pt_packet.h"

static int describe_tnt(const struct ptf_packet *packet, char *text)
{
	char taken[64];

	for (unsigned i = 0; i < packet->tnt_count; i++)
		taken[i] = packet->payload >> (packet->tnt_count - 1 - i) & 1 ? 'T' : 'N';
	return snprintf(text, PTF_PACKET_TEXT_SIZE, "TNT %.*s (%u)", (int)packet->tnt_count, taken,
	        packet->tnt_count);
}

/* Name and payload in hexadecimal. */
static int describe_value(const struct ptf_packet *packet, uint64_t value, char *text)
{
	return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s 0x%" PRIx64,
	        ptf_packet_kind_name(packet->kind), value);
}

static int describe_ip(const struct ptf_packet *packet, char *text)
{
	if (packet->ipc)
		return describe_value(packet, packet->payload, text);
	return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s no ip", ptf_packet_kind_name(packet->kind));
}

static int describe_mode(const struct ptf_packet *packet, char *text)
{
	unsigned low = packet->flags & 1, high = packet->flags >> 1 & 1;

	if (packet->kind == PTF_PACKET_MODE_TSX)
		return snprintf(
		        text, PTF_PACKET_TEXT_SIZE, "MODE.TSX TXAbort:%u InTX:%u", high, low);
	return snprintf(text, PTF_PACKET_TEXT_SIZE, "MODE.Exec IF:%d %d", packet->flags >> 2 & 1,
	        low    ? 64
	        : high ? 32
	               : 16);
}

/* MWAIT, PWRE, PWRX */
static int describe_power(const struct ptf_packet *packet, char *text)
{
	const char *name = ptf_packet_kind_name(packet->kind);
	uint64_t p = packet->payload;

	if (packet->kind == PTF_PACKET_MWAIT)
		return snprintf(text, PTF_PACKET_TEXT_SIZE,
		        "%s 0x%" PRIx64 " Hints 0x%x Extensions 0x%x", name, p,
		        (unsigned)(p & 0xff), (unsigned)(p >> 32 & 3));
	if (packet->kind == PTF_PACKET_PWRE)
		return snprintf(text, PTF_PACKET_TEXT_SIZE,
		        "%s 0x%" PRIx64 " HW:%u CState:%u Sub-CState:%u", name, p,
		        (unsigned)(p >> 7 & 1), (unsigned)(p >> 12 & 0xf),
		        (unsigned)(p >> 8 & 0xf));
	return snprintf(text, PTF_PACKET_TEXT_SIZE,
	        "%s 0x%" PRIx64 " Last CState:%u Deepest CState:%u Wake Reason 0x%x", name, p,
	        (unsigned)(p >> 4 & 0xf), (unsigned)(p & 0xf), (unsigned)(p >> 8 & 0xf));
}

/* BBP, BIP, CFE, EVD */
static int describe_event(const struct ptf_packet *packet, char *text)
{
	const char *name = ptf_packet_kind_name(packet->kind);

	if (packet->kind == PTF_PACKET_BBP)
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s SZ %s-byte Type 0x%" PRIx64, name,
		        packet->flags ? "4" : "8", packet->payload);
	if (packet->kind == PTF_PACKET_BIP)
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s ID 0x%02x Value 0x%" PRIx64, name,
		        packet->flags, packet->payload);
	if (packet->kind == PTF_PACKET_CFE)
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s IP:%d Type 0x%02x Vector 0x%x",
		        name, packet->flags & 1, (unsigned)(packet->payload & 0x1f),
		        (unsigned)(packet->payload >> 8));
	return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s Type 0x%02x Payload 0x%" PRIx64, name,
	        packet->flags, packet->payload);
}

static int describe(const struct ptf_packet *packet, char *text)
{
	switch (packet->kind) {
	case PTF_PACKET_TNT_8:
	case PTF_PACKET_TNT_64:
		return describe_tnt(packet, text);
	case PTF_PACKET_TIP:
	case PTF_PACKET_TIP_PGE:
	case PTF_PACKET_TIP_PGD:
	case PTF_PACKET_FUP:
		return describe_ip(packet, text);
	case PTF_PACKET_MTC:
		return describe_value(packet, packet->mtc, text);
	case PTF_PACKET_VMCS:
		return describe_value(packet, packet->payload >> 12, text);
	case PTF_PACKET_CBR:
	case PTF_PACKET_TSC:
	case PTF_PACKET_CYC:
	case PTF_PACKET_MNT:
		return describe_value(packet, packet->payload, text);
	case PTF_PACKET_TMA:
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "TMA CTC 0x%x FC 0x%x", packet->ctc,
		        packet->fc);
	case PTF_PACKET_PIP:
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "PIP 0x%" PRIx64 " (NR=%u)",
		        packet->payload >> 5, (unsigned)(packet->payload & 1));
	case PTF_PACKET_MODE_EXEC:
	case PTF_PACKET_MODE_TSX:
		return describe_mode(packet, text);
	case PTF_PACKET_PTW:
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "PTWRITE 0x%" PRIx64 " IP:%u",
		        packet->payload, packet->flags & 1);
	case PTF_PACKET_EXSTOP:
	case PTF_PACKET_BEP:
		return snprintf(text, PTF_PACKET_TEXT_SIZE, "%s IP:%u",
		        ptf_packet_kind_name(packet->kind), packet->flags & 1);
	case PTF_PACKET_MWAIT:
	case PTF_PACKET_PWRE:
	case PTF_PACKET_PWRX:
		return describe_power(packet, text);
	case PTF_PACKET_BBP:
	case PTF_PACKET_BIP:
	case PTF_PACKET_CFE:
	case PTF_PACKET_EVD:
		return describe_event(packet, text);
	default: /* nothing but a name */
		return snprintf(
		        text, PTF_PACKET_TEXT_SIZE, "%s", ptf_packet_kind_name(packet->kind));
	}
}

size_t ptf_packet_describe(const struct ptf_packet *packet, char text[PTF_PACKET_TEXT_SIZE])
{
	int n = describe(packet, text);

	return n > 0 ? (size_t)n : 0;
}
