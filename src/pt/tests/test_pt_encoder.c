/* SPDX-License-Identifier: BSD-2-Clause */
/* What the encoder writes, read back by libipt's packet decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <intel-pt.h>

#include "pt/pt_encoder.h"

#define MAX_PACKETS 4096

static const struct ptf_pt_encoder_config cyc = {.timing = PTF_PT_TIMING_CYC,
        .mtc_freq_bits = 3,
        .ctc_ratio = 40,
        .cbr = 10,
        .tnt_max = PTF_PT_TNT_SHORT};

static uint8_t bytes[1 << 16];
static struct pt_packet packets[MAX_PACKETS];

/* Decodes all that was written, without PAD. Returns the number of packets. */
static int read_back(const struct ptf_pt_encoder *e)
{
	struct pt_packet_decoder *decoder;
	struct pt_config config;
	int n = 0, size;

	pt_config_init(&config);
	config.begin = bytes;
	config.end = bytes + e->n;
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_int_equal(pt_pkt_sync_set(decoder, 0), 0);
	while (n < MAX_PACKETS &&
	        (size = pt_pkt_next(decoder, &packets[n], sizeof(packets[n]))) > 0)
		n += packets[n].type != ppt_pad;
	assert_int_equal(size, -pte_eos);
	pt_pkt_free_decoder(decoder);
	return n;
}

static struct ptf_pt_encoder begin(const struct ptf_pt_encoder_config *config)
{
	struct ptf_pt_encoder e;

	memset(bytes, 0, sizeof(bytes));
	ptf_pt_encoder_init(&e, config, bytes);
	return e;
}

static void test_psb(void **state)
{
	const enum pt_packet_type want[] = {
	        ppt_psb, ppt_tsc, ppt_tma, ppt_cbr, ppt_mode, ppt_fup, ppt_psbend};
	struct ptf_pt_encoder e = begin(&cyc);
	int i;

	ptf_pt_encoder_psb(&e, 0x401234, 1000000007);
	assert_int_equal(read_back(&e), 7);
	for (i = 0; i < 7; i++)
		assert_int_equal(packets[i].type, want[i]);
	assert_int_equal(packets[1].payload.tsc.tsc, 1000000007);
	assert_int_equal(packets[2].payload.tma.ctc, 1000000007 / 40 & 0xffff);
	assert_int_equal(packets[2].payload.tma.fc, 1000000007 % 40);
	assert_int_equal(packets[3].payload.cbr.ratio, 10);
	assert_int_equal(packets[4].payload.mode.bits.exec.csl, 1);
	assert_int_equal(packets[5].payload.ip.ip, 0x401234);
}

static void test_psb_off_has_no_ip(void **state)
{
	struct ptf_pt_encoder e = begin(&cyc);
	int i, n;

	ptf_pt_encoder_psb(&e, PTF_PT_NO_IP, 5);
	n = read_back(&e);
	for (i = 0; i < n; i++)
		assert_int_not_equal(packets[i].type, ppt_fup);
}

/* Restores IPs as a decoder does: every width of payload comes up and is right. */
static void test_ip_compression(void **state)
{
	const uint64_t ips[] = {0x401000, 0x401001, 0x7fff00401001, 0x7fff00405555, 0x7fff12345678,
	        0xffffffff81000000, 0xffffffff81000000, 0x1234567890abcdef, 0x1234567890abffff, 0};
	struct ptf_pt_encoder e = begin(&cyc);
	uint64_t last = 0;
	unsigned widths = 0;
	size_t i;

	for (i = 0; i < sizeof(ips) / sizeof(*ips); i++)
		ptf_pt_encoder_tip(&e, ips[i], 0);
	assert_int_equal(read_back(&e), sizeof(ips) / sizeof(*ips));
	for (i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		const struct pt_packet_ip *ip = &packets[i].payload.ip;

		widths |= 1u << ip->ipc;
		if (ip->ipc == pt_ipc_update_16)
			last = (last & ~0xffffull) | ip->ip;
		else if (ip->ipc == pt_ipc_update_32)
			last = (last & ~0xffffffffull) | ip->ip;
		else if (ip->ipc == pt_ipc_sext_48)
			last = (uint64_t)((int64_t)(ip->ip << 16) >> 16);
		else
			last = ip->ip;
		assert_int_equal(last, ips[i]);
	}
	assert_int_equal(widths, 1u << pt_ipc_update_16 | 1u << pt_ipc_update_32 |
	                                 1u << pt_ipc_sext_48 | 1u << pt_ipc_full);
}

/* Random bits come back in order, for packets of all lengths. */
static void check_tnt(unsigned tnt_max)
{
	struct ptf_pt_encoder_config config = cyc;
	struct ptf_pt_encoder e;
	static uint8_t want[4000];
	int i, n, at = 0, k;

	config.tnt_max = tnt_max;
	e = begin(&config);
	srand(tnt_max);
	for (i = 0; i < 4000; i++) {
		want[i] = rand() >> 8 & 1;
		if (ptf_pt_encoder_tnt(&e, want[i]) || rand() % 40 == 0)
			ptf_pt_encoder_flush_tnt_untimed(&e);
	}
	ptf_pt_encoder_flush_tnt_untimed(&e);
	n = read_back(&e);
	for (i = 0; i < n; i++) {
		const struct pt_packet_tnt *tnt = &packets[i].payload.tnt;

		assert_true(packets[i].type == ppt_tnt_8 || packets[i].type == ppt_tnt_64);
		for (k = tnt->bit_size - 1; k >= 0; k--)
			assert_int_equal(tnt->payload >> k & 1, want[at++]);
	}
	assert_int_equal(at, 4000);
}

static void test_tnt(void **state)
{
	check_tnt(PTF_PT_TNT_SHORT);
	check_tnt(PTF_PT_TNT_LONG);
}

static void test_returns(void **state)
{
	struct ptf_pt_encoder e = begin(&cyc);
	unsigned i;

	assert_false(ptf_pt_encoder_return(&e, 1));
	for (i = 1; i <= 100; i++)
		ptf_pt_encoder_call(&e, i);
	for (i = 100; i > 36; i--)
		assert_true(ptf_pt_encoder_return(&e, i));
	assert_false(ptf_pt_encoder_return(&e, 36)); /* 64 are remembered */
	ptf_pt_encoder_call(&e, 1);
	ptf_pt_encoder_call(&e, 2);
	assert_false(ptf_pt_encoder_return(&e, 7));
	assert_false(ptf_pt_encoder_return(&e, 1)); /* nothing is left after a miss */
	ptf_pt_encoder_call(&e, 3);
	ptf_pt_encoder_psb(&e, 0x1000, 10);
	assert_false(ptf_pt_encoder_return(&e, 3)); /* nor after a PSB */
	ptf_pt_encoder_call(&e, 4);
	assert_true(ptf_pt_encoder_return(&e, 4));
	e.config.noretcomp = true;
	ptf_pt_encoder_call(&e, 5);
	assert_false(ptf_pt_encoder_return(&e, 5));
}

/* A decoder's clock: TSC sets it, CYC adds to it, MTC must agree with it; pauses included. */
static void test_time(void **state)
{
	struct ptf_pt_encoder e = begin(&cyc);
	static uint64_t want[1000];
	uint64_t time = 999999999, told = 0;
	int i, n, tips = 0, mtcs = 0, tscs = 0;

	srand(3);
	ptf_pt_encoder_psb(&e, 0x1000, time);
	for (i = 0; i < 1000; i++) {
		time += i % 50 == 49 ? (uint64_t)(rand() % 2000000) : (uint64_t)(rand() % 500);
		want[i] = time;
		ptf_pt_encoder_tip(&e, 0x1000, time);
	}
	n = read_back(&e);
	for (i = 0; i < n; i++) {
		switch (packets[i].type) {
		case ppt_tsc:
			if (told)
				assert_int_equal(told, packets[i].payload.tsc.tsc);
			told = packets[i].payload.tsc.tsc;
			tscs++;
			break;
		case ppt_cyc:
			told += packets[i].payload.cyc.value;
			break;
		case ppt_mtc:
			assert_int_equal(told % 320, 0);
			assert_int_equal(packets[i].payload.mtc.ctc, told / 320 & 0xff);
			mtcs++;
			break;
		case ppt_tip:
			assert_int_equal(told, want[tips++]);
			break;
		default:
			break;
		}
	}
	assert_int_equal(tips, 1000);
	assert_true(mtcs > 100);
	assert_true(tscs > 5); /* after pauses that an MTC could not tell */
}

static void test_off_and_on(void **state)
{
	const enum pt_packet_type want[] = {ppt_tip_pge, ppt_tnt_8, ppt_tip_pgd, ppt_tip_pge,
	        ppt_fup, ppt_tip_pgd, ppt_ovf, ppt_tsc, ppt_tma, ppt_fup};
	struct ptf_pt_encoder e = begin(&cyc);
	size_t i;

	ptf_pt_encoder_enable(&e, 0x7fff00001000, 0);
	assert_false(ptf_pt_encoder_tnt(&e, true));
	ptf_pt_encoder_disable(&e, 0);
	ptf_pt_encoder_enable(&e, 0x7fff00001010, 0);
	ptf_pt_encoder_disable_async(&e, 0x7fff00001018, 0);
	assert_false(ptf_pt_encoder_tnt(&e, true)); /* is lost */
	ptf_pt_encoder_overflow(&e, 0x7fff00002000, 0);
	assert_int_equal(read_back(&e), sizeof(want) / sizeof(*want));
	for (i = 0; i < sizeof(want) / sizeof(*want); i++)
		assert_int_equal(packets[i].type, want[i]);
	assert_int_equal(packets[2].payload.ip.ipc, pt_ipc_suppressed);
	assert_int_equal(packets[9].payload.ip.ipc, pt_ipc_sext_48); /* not against lost packets */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_psb),
	        cmocka_unit_test(test_psb_off_has_no_ip),
	        cmocka_unit_test(test_ip_compression),
	        cmocka_unit_test(test_tnt),
	        cmocka_unit_test(test_returns),
	        cmocka_unit_test(test_time),
	        cmocka_unit_test(test_off_and_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
