#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Traces of real hardware (hwtraces/, which is not part of the project): what libipt finds in them,
text that perf script printed, and perf.data files without the binaries."""

import collections
import glob
import json
import os
import re
import unittest

import ptf_testlib as lib


class AgainstLibipt(lib.TestCase):
    """expect/NAME.json is what libipt's block decoder finds in NAME.perf.data."""

    def each(self, check):
        found = sorted(glob.glob(os.path.join(lib.need_hwtraces(), "expect", "*.json")))
        self.assertTrue(found, "no expect/*.json")
        for path in found:
            name = os.path.basename(path)[: -len(".json")]
            with open(path) as file:
                expected = json.load(file)["threads"]
            for engine in ("fast", "libipt"):
                with self.subTest(trace=name, engine=engine):
                    if engine not in lib.engines():
                        self.skipTest(f"engine {engine} is not there")
                    check(name, expected, self.report(name, engine))

    def report(self, name, engine):
        return lib.report_json(os.path.join(lib.HWTRACES, name + ".perf.data"),
                               "--symfs", lib.HWTRACES, "--engine", engine)

    def test_raw_counts(self):
        def check(name, expected, report):
            decode = report["decode"]
            for key, theirs in (("instructions", "insns"), ("calls", "calls"),
                                ("returns", "returns"), ("errors", "errors"),
                                ("overflows", "overflows")):
                self.assertEqual(decode[key], sum(t[theirs] for t in expected), f"{name}: {key}")

        self.each(check)

    def test_calls_per_target(self):
        def check(name, expected, report):
            theirs, ours = collections.Counter(), collections.Counter()
            for thread in expected:
                for address, count in thread["calls_by_target"].items():
                    theirs[int(address, 16)] += count
            for function in report["functions"]:
                if function["name"] == "[unknown]":
                    continue  # a call to where nothing is mapped
                address = int(function["address"], 16) if function["address"] else None
                count = function["calls"] - function["jump_calls"]
                if count:
                    self.assertEqual(function["name"], f"[{name}.elf+{address:#x}]")
                    self.assertEqual(function["module"], f"/bin/{name}.elf")
                    ours[address] += count
            wrong = {hex(a): (ours[a], theirs[a]) for a in set(ours) | set(theirs)
                     if ours[a] != theirs[a]}
            # A stream's last call may leave the traced code: seen by one, entered by none.
            missing = sum(them - us for us, them in wrong.values())
            if all(us < them for us, them in wrong.values()) and missing <= len(expected):
                wrong = {}
            self.assertEqual(wrong, {}, f"{name}: calls (ptflame, libipt) per target")

        self.each(check)

    def test_folded_by_calls(self):
        def check(name, expected, report):
            total = sum(value for _, value in lib.report_folded(
                os.path.join(lib.HWTRACES, name + ".perf.data"), "--symfs", lib.HWTRACES,
                "--weight", "calls"))
            self.assertEqual(total, sum(f["calls"] for f in report["functions"]))

        self.each(check)


_TEXT = re.compile(
    r"\s*\d+/\d+\s+[\d.]+:\s+\d+\s+branches[^ ]*:\s+(?P<flags>.*?)\s+"
    r"(?P<ip>[0-9a-f]+) (?P<sym>.*?)(?:\+0x[0-9a-f]+)? \([^)]*\) => +"
    r"(?P<addr>[0-9a-f]+) (?P<to>.*?)(?:\+0x(?P<off>[0-9a-f]+))? \([^)]*\)\s*$"
)


class PerfText(lib.TestCase):
    """Text that perf script printed, as input."""

    def each(self, check):
        found = sorted(glob.glob(os.path.join(lib.need_hwtraces(), "perf-script", "*.perf")))
        self.assertTrue(found, "no perf-script/*.perf")
        for path in found:
            with self.subTest(text=os.path.basename(path)):
                with open(path, errors="replace") as file:
                    lines = [m for m in map(_TEXT.match, file) if m]
                self.assertGreater(len(lines), 3)
                check(path, lines)

    def test_folded_is_not_empty(self):
        def check(path, lines):
            stacks = lib.report_folded(path)
            self.assertGreater(len(stacks), 0)
            self.assertGreater(sum(value for _, value in stacks), 0)

        self.each(check)

    def test_calls_per_function(self):
        def check(path, lines):
            theirs, ours = collections.Counter(), collections.Counter()
            for line in lines:
                if line["flags"].split()[-1:] == ["call"] and line["to"] != "[unknown]":
                    theirs[line["to"]] += 1
            for function in lib.report_json(path)["functions"]:
                ours[function["name"]] += function["calls"] - function["jump_calls"]
            wrong = {n: (ours[n], theirs[n]) for n in theirs if ours[n] != theirs[n]}
            self.assertEqual(wrong, {}, "calls (ptflame, text)")

        self.each(check)

    def test_stacks_follow_the_text(self):
        """Whoever stands above a frame called it, or was returned to by it, or called what jumped
        to it; interrupts and the start of tracing may put a frame on anything."""

        def check(path, lines):
            pairs, jumps, anywhere = set(), collections.defaultdict(set), set()
            for line in lines:
                kind = line["flags"].split()
                if kind[-1:] == ["call"]:
                    pairs.add((line["sym"], line["to"]))
                elif kind[-1:] == ["return"]:
                    pairs.add((line["to"], line["sym"]))
                elif kind[-1:] in (["jmp"], ["jcc"]) and kind[0] != "tr":
                    if line["sym"] != line["to"]:
                        jumps[line["sym"]].add(line["to"])
                else:  # tr strt, int, iret, syscall, sysret, async
                    anywhere.add(line["to"])
                    anywhere.add(line["sym"])
            changed = True
            while changed:  # a tail call: the caller stands above what was jumped to
                more = {(top, after) for top, callee in pairs for after in jumps[callee]} - pairs
                pairs |= more
                changed = bool(more)
            wrong = set()
            for stack, _ in lib.report_folded(path):
                frames = [f for f in stack[1:] if not re.search(r"^\[|_\[k\]$", f)]
                for above, below in zip(frames, frames[1:]):
                    if (above, below) not in pairs and below not in anywhere:
                        wrong.add((above, below))
            self.assertEqual(sorted(wrong), [], "frames that nothing in the text explains")

        self.each(check)


class WithoutBinaries(lib.TestCase):
    """perf record's own output, file and pipe mode, from a machine whose programs are not here."""

    def test_reports_and_says_what_is_missing(self):
        for name in ("perf.data.intel_pt-4.14", "perf.data.piped.intel_pt-4.14"):
            path = os.path.join(lib.need_hwtraces(), name)
            with self.subTest(file=name):
                result = lib.run([lib.PTFLAME, "report", "-i", path, "-f", "json"], timeout=300)
                report = json.loads(result.stdout)
                # Not those of the machine whose switches perf recorded as well.
                self.assertEqual({t["comm"] for t in report["threads"]}, {"echo"})
                self.assertGreater(report["decode"]["aux_bytes"], 0)
                self.assertEqual(lib.identity_errors(report), [])
                self.assertRegex(result.stderr, r"ld-2\.23\.so: .*(no such file|not found)")
                self.assertRegex(result.stderr, r"(?i)kernel.*not (available|found)")

    def test_pipe_mode_tells_the_same(self):
        reports = [lib.report_json(os.path.join(lib.need_hwtraces(), name))
                   for name in ("perf.data.intel_pt-4.14", "perf.data.piped.intel_pt-4.14")]
        for report in reports:
            self.assertGreater(report["decode"]["psbs"], 0)


if __name__ == "__main__":
    lib.main()
