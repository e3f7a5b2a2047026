/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets against libipt's packet decoder, over bytes at random that begin like packets. What
 * libipt does not know, and every description, is compared with perf by src/cli/tests/test_dump.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <intel-pt.h>

#include "pt/pt_packet.h"

enum { ROUNDS = 400000, MAX_BYTES = 24 };

static uint64_t random_state = 88172645463325252ull;

/* xorshift64: the same numbers in every run */
static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- libipt ---- */

/* libipt's view of the packet at bytes: its size, or a negative error. */
static int libipt_decode(uint8_t *bytes, size_t size, struct pt_packet *packet)
{
	struct pt_packet_decoder *decoder;
	struct pt_config config;
	int n;

	pt_config_init(&config);
	config.begin = bytes;
	config.end = bytes + size;
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_int_equal(pt_pkt_sync_set(decoder, 0), 0);
	n = pt_pkt_next(decoder, packet, sizeof(*packet));
	pt_pkt_free_decoder(decoder);
	return n;
}

static const struct {
	enum ptf_packet_kind ours;
	enum pt_packet_type theirs;
} kinds[] = {
        {PTF_PACKET_PAD, ppt_pad},
        {PTF_PACKET_TNT_8, ppt_tnt_8},
        {PTF_PACKET_TNT_64, ppt_tnt_64},
        {PTF_PACKET_TIP, ppt_tip},
        {PTF_PACKET_TIP_PGE, ppt_tip_pge},
        {PTF_PACKET_TIP_PGD, ppt_tip_pgd},
        {PTF_PACKET_FUP, ppt_fup},
        {PTF_PACKET_PIP, ppt_pip},
        {PTF_PACKET_MODE_EXEC, ppt_mode},
        {PTF_PACKET_MODE_TSX, ppt_mode},
        {PTF_PACKET_TRACE_STOP, ppt_stop},
        {PTF_PACKET_CBR, ppt_cbr},
        {PTF_PACKET_TSC, ppt_tsc},
        {PTF_PACKET_MTC, ppt_mtc},
        {PTF_PACKET_TMA, ppt_tma},
        {PTF_PACKET_CYC, ppt_cyc},
        {PTF_PACKET_VMCS, ppt_vmcs},
        {PTF_PACKET_OVF, ppt_ovf},
        {PTF_PACKET_PSB, ppt_psb},
        {PTF_PACKET_PSBEND, ppt_psbend},
        {PTF_PACKET_MNT, ppt_mnt},
        {PTF_PACKET_PTW, ppt_ptw},
        {PTF_PACKET_EXSTOP, ppt_exstop},
        {PTF_PACKET_MWAIT, ppt_mwait},
        {PTF_PACKET_PWRE, ppt_pwre},
        {PTF_PACKET_PWRX, ppt_pwrx},
};

static enum pt_packet_type type_of(enum ptf_packet_kind kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].ours == kind)
			return kinds[i].theirs;
	}
	return ppt_invalid;
}

static void compare_ip(const struct ptf_packet *our, const struct pt_packet_ip *their)
{
	assert_int_equal(our->ipc, their->ipc);
	if (our->ipc)
		assert_int_equal(our->payload, their->ip);
}

static void compare_mode(const struct ptf_packet *our, const struct pt_packet_mode *their)
{
	if (our->kind == PTF_PACKET_MODE_EXEC) {
		assert_int_equal(their->leaf, pt_mol_exec);
		assert_int_equal(our->flags & 1, their->bits.exec.csl);
		assert_int_equal(our->flags >> 1 & 1, their->bits.exec.csd);
	} else {
		assert_int_equal(their->leaf, pt_mol_tsx);
		assert_int_equal(our->flags & 1, their->bits.tsx.intx);
		assert_int_equal(our->flags >> 1 & 1, their->bits.tsx.abrt);
	}
}

static void compare_power(const struct ptf_packet *our, const struct pt_packet *their)
{
	uint64_t p = our->payload;

	if (our->kind == PTF_PACKET_MWAIT) {
		assert_int_equal((uint32_t)p, their->payload.mwait.hints);
		assert_int_equal((uint32_t)(p >> 32), their->payload.mwait.ext);
	} else if (our->kind == PTF_PACKET_PWRE) {
		assert_int_equal(p >> 12 & 0xf, their->payload.pwre.state);
		assert_int_equal(p >> 8 & 0xf, their->payload.pwre.sub_state);
	} else {
		assert_int_equal(p >> 4 & 0xf, their->payload.pwrx.last);
		assert_int_equal(p & 0xf, their->payload.pwrx.deepest);
	}
}

static void compare(const struct ptf_packet *our, const struct pt_packet *their)
{
	assert_int_equal(type_of(our->kind), their->type);
	assert_int_equal(our->size, their->size);
	switch (our->kind) {
	case PTF_PACKET_TNT_8:
	case PTF_PACKET_TNT_64:
		assert_int_equal(our->tnt_count, their->payload.tnt.bit_size);
		assert_int_equal(our->payload, their->payload.tnt.payload);
		break;
	case PTF_PACKET_TIP:
	case PTF_PACKET_TIP_PGE:
	case PTF_PACKET_TIP_PGD:
	case PTF_PACKET_FUP:
		compare_ip(our, &their->payload.ip);
		break;
	case PTF_PACKET_PIP:
		assert_int_equal(our->payload & ~1ull, their->payload.pip.cr3);
		assert_int_equal(our->payload & 1, their->payload.pip.nr);
		break;
	case PTF_PACKET_MODE_EXEC:
	case PTF_PACKET_MODE_TSX:
		compare_mode(our, &their->payload.mode);
		break;
	case PTF_PACKET_CBR:
		assert_int_equal(our->cbr, their->payload.cbr.ratio);
		break;
	case PTF_PACKET_TSC:
		assert_int_equal(our->payload, their->payload.tsc.tsc);
		break;
	case PTF_PACKET_MTC:
		assert_int_equal(our->mtc, their->payload.mtc.ctc);
		break;
	case PTF_PACKET_TMA:
		assert_int_equal(our->ctc, their->payload.tma.ctc);
		assert_int_equal(our->fc, their->payload.tma.fc);
		break;
	case PTF_PACKET_CYC:
		assert_int_equal(our->payload, their->payload.cyc.value);
		break;
	case PTF_PACKET_VMCS:
		assert_int_equal(our->payload, their->payload.vmcs.base);
		break;
	case PTF_PACKET_MNT:
		assert_int_equal(our->payload, their->payload.mnt.payload);
		break;
	case PTF_PACKET_PTW:
		assert_int_equal(our->payload, their->payload.ptw.payload);
		assert_int_equal(our->flags, their->payload.ptw.ip);
		break;
	case PTF_PACKET_EXSTOP:
		assert_int_equal(our->flags, their->payload.exstop.ip);
		break;
	case PTF_PACKET_MWAIT:
	case PTF_PACKET_PWRE:
	case PTF_PACKET_PWRX:
		compare_power(our, their);
		break;
	default:
		break;
	}
}

/* Packets that libipt has no name for, or that it is laxer about than perf and we. */
static bool libipt_differs(const uint8_t *bytes, const struct ptf_packet *packet, int size)
{
	if (size > 0 && packet->kind == PTF_PACKET_CYC)
		return size > 9; /* the tenth byte has bits beyond the 64th */
	if (size > 0)
		return type_of(packet->kind) == ppt_invalid;
	if (bytes[0] == 0x99) /* reserved combinations of mode bits */
		return size < 0 && (bytes[1] & 3) == 3;
	if (bytes[0] == 2 && bytes[1] == 0x82) /* a PSB that is wrong before it is cut off */
		return true;
	return (bytes[0] & 3) == 3; /* CYC: longer than 64 bits need */
}

/* ---- tests ---- */

/* First bytes of packets with rare encodings, so that each is met often. */
static const uint8_t second_bytes[] = {0x82, 0x23, 0xa3, 0x43, 0x83, 0x03, 0x73, 0xf3, 0xc3, 0xc8,
        0x62, 0xe2, 0xc2, 0x22, 0xa2, 0x12, 0x32, 0x92, 0xb2};

static size_t make_bytes(uint8_t *bytes)
{
	size_t size = 1 + random_u64() % MAX_BYTES;

	for (size_t i = 0; i < MAX_BYTES; i++)
		bytes[i] = (uint8_t)random_u64();
	if (random_u64() % 3 == 0) {
		bytes[0] = 2;
		bytes[1] = second_bytes[random_u64() % sizeof(second_bytes)];
		if (bytes[1] == 0x73) {
			bytes[4] = 0;
			bytes[6] &= 1; /* TMA: libipt wants the reserved bits 0, perf does not */
		}
		if (bytes[1] == 0xc3)
			bytes[2] = 0x88;
		if (bytes[1] == 0x82 && random_u64() % 4)
			memcpy(bytes, "\2\x82\2\x82\2\x82\2\x82\2\x82\2\x82\2\x82\2\x82", 16);
	}
	return size;
}

static void test_against_libipt(void **state)
{
	unsigned met[PTF_PACKET_KINDS] = {0}, bad = 0, cut = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t bytes[MAX_BYTES];
		size_t size = make_bytes(bytes);
		/* exactly as long as it is, so that a sanitizer sees a read too far */
		uint8_t *exact = malloc(size);
		struct ptf_packet packet;
		struct pt_packet their;
		int n, m;

		assert_non_null(exact);
		memcpy(exact, bytes, size);
		n = ptf_packet_decode(exact, size, &packet);
		m = libipt_decode(exact, size, &their);
		if (!libipt_differs(bytes, &packet, n)) {
			if (m == -pte_eos)
				assert_int_equal(n, 0);
			else if (m < 0)
				assert_true(n < 0);
			else
				assert_int_equal(n, m);
			if (n > 0)
				compare(&packet, &their);
		}
		met[packet.kind] += n > 0;
		bad += n < 0;
		cut += n == 0;
		free(exact);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		assert_in_range(met[kinds[i].ours], 100, ROUNDS);
	assert_in_range(bad, 1000, ROUNDS);
	assert_in_range(cut, 1000, ROUNDS);
}

/* A packet that is cut off anywhere is no packet yet, and never one of another kind. */
static void test_cut_off(void **state)
{
	unsigned whole = 0;

	for (unsigned round = 0; round < ROUNDS / 10; round++) {
		uint8_t bytes[MAX_BYTES];
		struct ptf_packet packet, part;
		int n;

		make_bytes(bytes);
		n = ptf_packet_decode(bytes, sizeof(bytes), &packet);
		for (int left = 0; left < n; left++)
			assert_int_equal(ptf_packet_decode(bytes, (size_t)left, &part), 0);
		/* Neither does what stands behind it change it. */
		if (n > 0) {
			assert_int_equal(ptf_packet_decode(bytes, (size_t)n, &part), n);
			assert_memory_equal(&part, &packet, sizeof(part));
			whole++;
		}
	}
	assert_in_range(whole, 10000, ROUNDS);
}

static void test_last_ip(void **state)
{
	static const struct {
		uint8_t bytes[9];
		uint64_t ip;
		bool known;
	} steps[] = {
	        {{0x6d, 0x00, 0x10, 0x40, 0x00, 0x00, 0x80}, 0xffff800000401000, true}, /* signed */
	        {{0x2d, 0x34, 0x12}, 0xffff800000401234, true},
	        {{0x0d}, 0xffff800000401234, false}, /* suppressed: leaves it alone */
	        {{0x4d, 0x78, 0x56, 0x34, 0x12}, 0xffff800012345678, true},
	        {{0x8d, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06}, 0xffff060504030201, true},
	        {{0x6d, 0x00, 0x10, 0x40, 0x00, 0x00, 0x7f}, 0x00007f0000401000, true},
	        {{0xcd, 1, 2, 3, 4, 5, 6, 7, 8}, 0x0807060504030201, true},
	        {{0x3d, 0xff, 0xff}, 0x080706050403ffff, true}, /* a FUP counts, too */
	};
	struct ptf_last_ip last = {0};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct ptf_packet packet;

		assert_true(ptf_packet_decode(steps[i].bytes, 9, &packet) > 0);
		assert_int_equal(ptf_last_ip_update(&last, &packet), steps[i].known);
		assert_int_equal(last.ip, steps[i].ip);
	}
}

static void test_find_psb(void **state)
{
	uint8_t bytes[80];

	assert_null(ptf_packet_find_psb(NULL, NULL));
	for (size_t at = 0; at + 16 <= sizeof(bytes); at++) {
		memset(bytes, 0x82, sizeof(bytes));
		for (size_t i = 0; i < 16; i++)
			bytes[at + i] = i & 1 ? 0x82 : 0x02;
		assert_ptr_equal(ptf_packet_find_psb(bytes, bytes + sizeof(bytes)), bytes + at);
		assert_ptr_equal(ptf_packet_find_psb(bytes + at, bytes + at + 16), bytes + at);
		assert_null(ptf_packet_find_psb(bytes, bytes + at + 15));
		assert_null(ptf_packet_find_psb(bytes + at + 1, bytes + sizeof(bytes)));
	}
}

/* CYC bf 02 and TNT 82 in front of a PSB look like its beginning. */
static void test_find_psb_behind_its_like(void **state)
{
	uint8_t bytes[3 + 16 + 2] = {0xbf};

	for (size_t i = 1; i < 3 + 16; i++)
		bytes[i] = i & 1 ? 0x02 : 0x82;
	assert_ptr_equal(ptf_packet_find_psb(bytes, bytes + sizeof(bytes)), bytes + 3);
	assert_ptr_equal(ptf_packet_find_psb(bytes, bytes + 3 + 16), bytes + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_against_libipt),
	        cmocka_unit_test(test_cut_off),
	        cmocka_unit_test(test_last_ip),
	        cmocka_unit_test(test_find_psb),
	        cmocka_unit_test(test_find_psb_behind_its_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
