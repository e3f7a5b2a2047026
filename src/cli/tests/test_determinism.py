#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""With the instruction clock, two recordings of a program without threads hold the same bytes, and
a report is the same whatever the engine and the number of jobs."""

import unittest

import ptf_testlib as lib

# "signals" sends each signal to itself: where it arrives is fixed, too.
STEADY = ["recursion", "tailcalls", "longjumps", "exceptions", "idioms", "rep", "coroutines",
          "faults", "plugins"]


def differences(first, second):
    """Where two perf.data files differ in what depends on the program alone."""
    if first.attrs.size != second.attrs.size:
        return ["sizes of the attribute sections"]
    one, two = list(first.records()), list(second.records())
    found = []
    for i, (a, b) in enumerate(zip(one, two)):
        if a[2] != b[2]:
            found.append(f"record {i}: type {a[0]} {a[2].hex()} / type {b[0]} {b[2].hex()}")
        if a[3] != b[3]:
            at = next((k for k, (x, y) in enumerate(zip(a[3], b[3])) if x != y),
                      min(len(a[3]), len(b[3])))
            found.append(f"AUX data of record {i}: {len(a[3])} / {len(b[3])} bytes, from byte {at}")
    if len(one) != len(two):
        found.append(f"{len(one)} / {len(two)} records")
    if not found and first.data_bytes() != second.data_bytes():
        found.append("bytes behind the last record")
    return found


class Determinism(lib.TestCase):
    def setUp(self):
        super().setUp()
        lib.need_simulator()

    def test_same_bytes(self):
        for program in lib.programs(STEADY):
            with self.subTest(program=program.file):
                self.assertTrue(program.steady and program.single)
                files = [self.file(f"{program.file}.{i}") for i in (1, 2)]
                texts = [lib.record(file, program.command) for file in files]
                self.assertEqual(*texts)
                first, second = map(lib.PerfData, files)
                self.assertGreater(sum(len(r[3]) for r in first.records()), 100, "AUX bytes")
                self.assertEqual(differences(first, second)[:5], [])

    def test_other_input_makes_other_bytes(self):
        """The comparison would see a difference."""
        files = [self.file(name) for name in ("short", "long")]
        for file, n in zip(files, ("300", "301")):
            lib.record(file, lib.program("sort", "static", [n]).command)
        self.assertNotEqual(differences(*map(lib.PerfData, files)), [])

    def test_report_does_not_depend_on_jobs_and_engine(self):
        data = self.file("data")
        lib.record(data, lib.program("sort", "dynamic", ["20000"]).command)

        def counted(*options):
            report = lib.report_json(data, *options)
            for key in ("seconds", "engine"):
                del report["decode"][key]
            report["functions"].sort(key=lambda f: (f["module"], f["address"] or "", f["name"]))
            return report

        first = counted("-j", "1")
        self.assertEqual(first, counted("-j", "2"))
        self.assertEqual(first, counted("-j", "4"))
        self.assertEqual(first, counted("--engine", "libipt"))
        self.assertEqual(first, counted("--engine", "libipt", "-j", "3"))


if __name__ == "__main__":
    lib.main()
