#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""With the instruction clock an instruction takes 1 ns, so the time that a function spends in its own
code must be its instructions: what interpolation between anchors does to self time is seen here."""

import unittest

import ptf_testlib as lib

PROGRAMS = ["recursion", "sort", "tailcalls", "exceptions"]
MOST = 0.005  # of all instructions: the sum of |self time - instructions|; measured: up to 0.002


class SelfTime(lib.TestCase):
    def setUp(self):
        super().setUp()
        lib.need_simulator()

    def test_self_time_is_instructions(self):
        for program in lib.programs(PROGRAMS):
            with self.subTest(program=program.file):
                data = self.file(program.file)
                lib.record(data, program.command)
                report = lib.report_json(data)
                functions = report["functions"]
                total = sum(f["instructions"] for f in functions)
                error = sum(abs(f["on_self_ns"] - f["instructions"]) for f in functions)
                self.assertGreater(total, 10000)
                self.assertEqual(total, report["decode"]["instructions"])
                self.assertEqual(sum(t["on_ns"] for t in report["threads"]), total)
                self.assertLess(error, MOST * total)


if __name__ == "__main__":
    unittest.main()
