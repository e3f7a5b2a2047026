#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The fast engine against libipt: every flow item of both, and the reports made of them, for
recordings of all test programs with both clocks and for the traces of real hardware."""

import glob
import os

import ptf_testlib as lib

def strip(text):
    """A JSON report without what a run takes and what its engine is called."""
    return [line for line in text.splitlines() if '"seconds"' not in line and
            '"engine"' not in line]


class Engines(lib.TestCase):
    def check_items(self, data, *symfs):
        result = lib.compare_engines(data, *symfs)
        self.assertEqual(result.returncode, 0, lib.describe(result))
        self.assertRegex(result.stdout, r"(?m)^\d+ segments, [1-9]\d* items, equal$")

    def check_reports(self, data):
        for form in ("json", "folded"):
            made = []
            for options in (("--engine", "libipt", "-j", "1"), ("--engine", "fast", "-j", "1"),
                            ("--engine", "fast", "-j", "3")):
                result = lib.run([lib.PTFLAME, "report", "-i", data, "-f", form, *options])
                made.append(strip(result.stdout))
            self.assertTrue(made[0])
            self.assertEqual(made[0], made[1], form)
            self.assertEqual(made[1], made[2], form)

    def test_programs(self):
        lib.need_simulator()
        for program in lib.programs():
            for clock in ("insn", "real"):
                with self.subTest(program=program.file, clock=clock):
                    data = self.file(f"{program.file}.{clock}")
                    lib.record(data, program.command, clock=clock)
                    self.check_items(data)
                    self.check_reports(data)

    def test_code_without_a_file(self):
        """Code made at run time: both lose the same."""
        lib.need_simulator()
        data = self.file("jit")
        lib.record(data, lib.program("jit").command)
        self.check_items(data)

    def test_hardware(self):
        found = sorted(glob.glob(os.path.join(lib.need_hwtraces(), "*perf.data*")))
        self.assertTrue(found)
        for data in found:
            with self.subTest(trace=os.path.basename(data)):
                self.check_items(data, lib.HWTRACES)


if __name__ == "__main__":
    lib.main()
