#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The checks check: what the other tests lean on says no when something is wrong."""

import copy
import unittest

import ptf_testlib as lib
import test_programs

THREAD = {"pid": 1, "tid": 2, "comm": "t", "start_ns": 10, "end_ns": 110, "wall_ns": 100,
          "on_ns": 50, "kernel_ns": 20, "off_ns": 25, "lost_ns": 5}
FUNCTION = {"name": "f", "self_ns": 100, "total_ns": 100, "on_self_ns": 50, "kernel_self_ns": 20,
            "off_self_ns": 25, "lost_self_ns": 5}
REPORT = {"window": {"start_ns": 0, "end_ns": 200}, "threads": [THREAD], "functions": [FUNCTION]}


class Identity(unittest.TestCase):
    def test_right(self):
        self.assertEqual(lib.identity_errors(REPORT), [])

    def test_every_number_counts(self):
        places = [("window", k) for k in REPORT["window"]]
        places += [("threads", k) for k in THREAD if k.endswith("_ns")]
        places += [("functions", k) for k in FUNCTION if k.endswith("_ns")]
        for part, key in places:
            report = copy.deepcopy(REPORT)
            where = report[part] if part == "window" else report[part][0]
            where[key] += -150 if key == "end_ns" and part == "window" else 150
            if (part, key) == ("functions", "total_ns"):
                where[key] = 99
            with self.subTest(part=part, key=key):
                self.assertNotEqual(lib.identity_errors(report), [])

    def test_without_timing(self):
        report = copy.deepcopy(REPORT)
        for entry in (report["window"], report["threads"][0], report["functions"][0]):
            entry.update({key: None for key in entry if key.endswith("_ns")})
        self.assertEqual(lib.identity_errors(report), [])
        report["functions"][0]["self_ns"] = 0
        self.assertNotEqual(lib.identity_errors(report), [])


class Parsers(unittest.TestCase):
    def test_truth(self):
        truth = lib.Truth("calls f 3\nresult 7\nthreads 2\nthread a b 1\ntime f 99\ncalls g x\n")
        self.assertEqual(truth.calls, {"f": 3})
        self.assertEqual((truth.threads, truth.names, truth.times), (2, {"a b": 1}, {"f": 99}))

    def test_folded(self):
        self.assertEqual(lib.parse_folded("a b;f(int, int);g 12\n"),
                         [(["a b", "f(int, int)", "g"], 12)])
        for bad in ("a;b", "a;b -1", "a;b 1.5", "12"):
            with self.subTest(bad), self.assertRaises(AssertionError):
                lib.parse_folded(bad)

    def test_address_spaces(self):
        spaces = lib.AddressSpaces()
        spaces.event("x 1 [-01] 0.0: PERF_RECORD_MMAP2 7/8: [0x1000(0x2000) @ 0x500 fe:00 3 0]: "
                     "r-xp /no/such file")
        self.assertEqual(spaces.spaces[7],
                         [lib.Mapping(0x1000, 0x3000, 0x500, "/no/such file")])
        spaces.event("x 9 [-01] 1.0: PERF_RECORD_FORK(9:9):(7:7)")
        self.assertEqual(spaces.spaces[9], spaces.spaces[7])
        spaces.event("x 9 [-01] 1.0: PERF_RECORD_MMAP2 9/9: [0x1000(0x1000) @ 0 fe:00 3 0]: "
                     "r-xp /other")
        self.assertEqual([m.name for m in spaces.spaces[9]], ["/other", "/no/such file"])
        self.assertEqual(len(spaces.spaces[7]), 1)
        self.assertIsNone(spaces.vaddr(7, 0x1800))

    def test_branch_line(self):
        match = lib._LINE.match(
            " 1000/1001   tr end  call      55d010 main+0x10 (/a b) =>     401200 A::f+0x0 (/c)\n")
        self.assertEqual(match.groups(), ("1000", "1001", "tr end  call", "55d010", "main", "10",
                                          "/a b", "401200", "A::f", "0", "/c"))

    def test_names(self):
        for name, bare in (("f", "f"), ("A::f(int (*)(char)) const", "A::f"),
                           ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
                           ("(anonymous namespace)::f", "(anonymous namespace)::f"),
                           ("f() [clone .cold]", "f"), ("memcpy@GLIBC_2.14", "memcpy")):
            self.assertEqual(test_programs.bare(name), bare)
        self.assertTrue(test_programs.same_name("A::f@plt", "_ZN1A1fEi@plt"))
        self.assertFalse(test_programs.same_name("A::g", "_ZN1A1fEi"))
        self.assertFalse(test_programs.same_name("A::f", "_ZN1A1fEi@plt"))
        self.assertFalse(test_programs.same_name("f", "[unknown]"))


if __name__ == "__main__":
    lib.main()
