#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A recording, and what perf script prints about it, give the same call stacks."""

import collections
import re
import unittest

import ptf_testlib as lib

# perf 6.1 names the stubs of a PLT otherwise than we do, or by the function in front of them.
_STUB = re.compile(r"(.*@plt|\.plt.*|_init)$")


def plain(frame):
    """A frame's name as far as perf and we must agree on it."""
    if _STUB.match(frame):
        return "(stub)"
    return re.sub(r"@@?[A-Z][\w.]*$", "", frame)  # symbol versions


def calls(path):
    """Calls of every path of functions."""
    sums = collections.Counter()
    for frames, value in lib.report_folded(path, "--weight", "calls"):
        sums[";".join(map(plain, frames))] += value
    return sums


class PerfText(lib.TestCase):
    def check(self, program):
        data, text = self.file("recording"), self.file("text")
        lib.need_program("perf")
        lib.need_simulator()
        lib.record(data, program.command)
        with open(text, "w") as out:
            lib.run(["perf", "script", "-i", data, "--ns", "--itrace=be",
                     "-F", "+flags,+addr,+insnlen"], stdout=out)
        ours, theirs = calls(data), calls(text)
        self.assertGreater(len(ours), 10)
        wrong = {path: (ours[path], theirs[path]) for path in set(ours) | set(theirs)
                 if ours[path] != theirs[path]}
        self.assertEqual(wrong, {}, "calls (recording, text)")

    def test_same_stacks(self):
        # Not tailcalls: the text does not tell an indirect jump to the function's own entry, which
        # is a call, from a loop.
        for name in ("recursion", "longjumps", "coroutines", "signals", "sort", "idioms"):
            with self.subTest(program=name):
                self.check(lib.program(name, "static"))

    def test_usual_fields(self):
        """What `perf script -F +flags,+addr` prints, with a thread for each line's tid."""
        data, text = self.file("recording"), self.file("text")
        lib.need_program("perf")
        lib.need_simulator()
        lib.record(data, lib.program("threadnames", "static").command)
        with open(text, "w") as out:
            lib.run(["perf", "script", "-i", data, "--ns", "--itrace=be", "-F", "+flags,+addr"],
                    stdout=out)
        ours, theirs = lib.report_json(data), lib.report_json(text)
        self.assertGreater(len(ours["threads"]), 1)
        self.assertEqual([t["tid"] for t in ours["threads"]],
                         [t["tid"] for t in theirs["threads"]])
        for key in ("calls", "returns"):
            self.assertEqual(ours["decode"][key], theirs["decode"][key], key)
        self.assertEqual(lib.identity_errors(theirs), [])

    def test_says_what_is_missing(self):
        """Branches without flags tell nothing: the option that prints them is named."""
        data, text = self.file("recording"), self.file("text")
        lib.need_program("perf")
        lib.need_simulator()
        lib.record(data, lib.program("recursion", "static").command)
        with open(text, "w") as out:
            lib.run(["perf", "script", "-i", data, "--itrace=b"], stdout=out)
        result = lib.run([lib.PTFLAME, "report", "-i", text], check=False)
        self.assertIn("+flags", result.stderr)


if __name__ == "__main__":
    lib.main()
