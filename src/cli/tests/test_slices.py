#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Parts of a recording: `--time A,B`, `--tid`, `--comm`. Consecutive slices add up to the whole."""

import collections
import glob
import os
import random

import ptf_testlib as lib

STATES = ("wall_ns", "on_ns", "kernel_ns", "off_ns", "lost_ns")
DECODED = ("instructions", "calls", "returns", "psbs", "overflows", "errors")


def cuts_of(report, count, seed):
    """Values of --time that cut the window into count + 1 slices, at random but reproducible."""
    length = report["window"]["end_ns"] - report["window"]["start_ns"]
    numbers = random.Random(seed)
    edges = ["", *map(lib.seconds, sorted(numbers.sample(range(1, length), count))), ""]
    return [f"{a},{b}" for a, b in zip(edges, edges[1:])]


def sums(reports):
    """What must not depend on how the window is cut. The time of a function may: the outer frames
    of a slice's stacks are known only once they return."""
    found = collections.Counter()
    for report in reports:
        for thread in report["threads"]:
            for key in STATES:
                found["thread", thread["tid"], key] += thread[key]
        for function in report["functions"]:
            for key in ("calls", "jump_calls", "instructions"):
                found[function["name"], function["module"], function["address"], key] += \
                    function[key]
        for key in DECODED:
            found["decode", key] += report["decode"][key]
    return found


def stacks(data, *options):
    return collections.Counter(
        {";".join(frames): value for frames, value in lib.report_folded(data, *options)})


class Slices(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def check(self, data, counts=(1, 5, 12), options=()):
        whole = lib.report_json(data, *options)
        for count in counts:
            reports = []
            for time in cuts_of(whole, count, seed=count):
                reports.append(lib.report_json(data, "--time", time, *options))
                self.assertEqual(lib.identity_errors(reports[-1]), [], time)
            expected, found = sums([whole]), sums(reports)
            different = {key: (expected[key], found[key]) for key in {*expected, *found}
                         if expected[key] != found[key]}
            self.assertEqual(different, {}, f"{count} cuts")
            for before, after in zip(reports, reports[1:]):
                self.assertEqual(before["window"]["end_ns"], after["window"]["start_ns"])
            self.assertEqual(reports[0]["window"]["start_ns"], whole["window"]["start_ns"])
            self.assertEqual(reports[-1]["window"]["end_ns"], whole["window"]["end_ns"])

    def test_add_up(self):
        """Threads, sleeping and waiting (real clock); calls, signals, longjmp (exact clock)."""
        data = self.file("data")
        for name, clock in (("plan", "real"), ("handover", "real"), ("manythreads", "real"),
                            ("signals", "insn"), ("longjumps", "insn"), ("coroutines", "insn")):
            with self.subTest(program=name):
                lib.record(data, lib.program(name, "static").command, clock=clock)
                self.check(data)

    def test_whole_stacks_add_up(self):
        """Decoded from the start, every slice has its time on the very stacks of the whole; without
        that, on the innermost part of them. (Cut behind the middle, where all threads have run.)"""
        data = self.file("data")
        for name, clock in (("sort", "insn"), ("plan", "real")):
            with self.subTest(program=name):
                lib.record(data, lib.program(name, "static").command, clock=clock)
                expected, found, short = stacks(data), stacks(data), stacks(data)
                window = lib.report_json(data)["window"]
                length = window["end_ns"] - window["start_ns"]
                edges = [lib.seconds(i * length // 16) for i in range(8, 16)]
                for counter, how in ((found, ("--whole-stacks",)), (short, ())):
                    counter.clear()
                    for a, b in zip(["", *edges], [*edges, ""]):
                        counter.update(stacks(data, "--time", f"{a},{b}", *how))
                self.assertEqual(found, expected)
                self.assertNotEqual(short, expected)
                self.assertEqual(sum(short.values()), sum(expected.values()))

    def test_add_up_for_one_thread(self):
        data = self.file("data")
        lib.record(data, lib.program("handover", "static").command, clock="real")
        for thread in lib.report_json(data)["threads"][:3]:
            self.check(data, counts=(4,), options=("--tid", str(thread["tid"])))

    def test_add_up_in_text(self):
        """Text of perf script has no segments: all of it is read, and the same counts."""
        lib.need_program("perf")
        data, text = self.file("data"), self.file("text")
        lib.record(data, lib.program("sort", "static").command)
        with open(text, "w") as out:
            lib.run(["perf", "script", "-i", data, "--itrace=cr", "--ns",
                     "-F", "comm,pid,tid,time,flags,ip,sym,symoff,addr,dso"], stdout=out)
        self.check(text, counts=(5,))

    def test_add_up_on_hardware(self):
        """Per-CPU buffers: where a thread stands that last ran long before the slice."""
        traces = lib.need_hwtraces()
        for path in [os.path.join(traces, "perf.data.intel_pt-4.14"),
                     *sorted(glob.glob(os.path.join(traces, "perf-script/*.perf")))]:
            with self.subTest(path=path):
                self.check(path, counts=(3, 15, 40))

    def test_only_the_needed_segments_are_decoded(self):
        data = self.file("data")
        lib.record(data, lib.program("plan", "static", ["60", "80", "70", "5"]).command,
                   clock="real")
        whole = lib.report_json(data)
        length = whole["window"]["end_ns"] - whole["window"]["start_ns"]
        middle = f"{lib.seconds(length // 2)},{lib.seconds(length // 2 + length // 50)}"
        result = lib.run([lib.PTFLAME, "report", "-i", data, "-f", "json", "--time", middle])
        size = whole["decode"]["aux_bytes"]
        self.assertRegex(result.stderr, rf"decoded \d+ of {size} bytes of trace")
        part = lib.report_json(data, "--time", middle)["decode"]["aux_bytes"]
        self.assertLess(part, size / 3)
        self.assertGreater(part, 0)

    def test_does_not_depend_on_jobs(self):
        data = self.file("data")
        lib.record(data, lib.program("manythreads", "static").command, clock="real")
        for time in cuts_of(lib.report_json(data), 4, seed=1):
            folded = [lib.run([lib.PTFLAME, "report", "-i", data, "--time", time, "-j", jobs,
                               "--by", "thread"]).stdout for jobs in ("1", "4")]
            self.assertEqual(*folded)

    def test_nonsense(self):
        data = self.file("data")
        lib.record(data, lib.program("recursion", "static").command)
        for time in ("1", "a,b", "2,1", "1,1", "1.,2", "-1,2", "1.1234567891,2", "1,2,3",
                     "99999999999999999999,", "1 ,2", ""):
            result = lib.run([lib.PTFLAME, "report", "-i", data, "--time", time], check=False)
            self.assertEqual(result.returncode, 2, time)
            self.assertIn("--time takes A,B", result.stderr)
        result = lib.run([lib.PTFLAME, "report", "-i", data, "--time", "1000,"], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"second 1000\.0+ is behind the end of the recording, "
                                        r"which is 0\.\d+ s long")

    def test_untimed_traces_have_no_parts(self):
        path = os.path.join(lib.need_hwtraces(), "unzip.perf.data")
        result = lib.run([lib.PTFLAME, "report", "-i", path, "--symfs", lib.HWTRACES,
                          "--time", "0,1"], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no timing", result.stderr)


class Threads(lib.TestCase):
    """--tid and --comm choose threads for every format."""

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def setUp(self):
        super().setUp()
        self.data = self.file("data")
        program = lib.program("threadnames", "static")
        self.truth = lib.Truth(lib.record(self.data, program.command, clock="real"))
        self.threads = lib.report_json(self.data)["threads"]

    def run_report(self, *options, **how):
        return lib.run([lib.PTFLAME, "report", "-i", self.data, *options], **how)

    def test_one_thread(self):
        for thread in self.threads:
            tid = str(thread["tid"])
            report = lib.report_json(self.data, "--tid", tid)
            self.assertEqual(report["threads"], [thread])
            self.assertEqual(lib.identity_errors(report), [])
            self.assertTrue(self.run_report("-f", "table", "--tid", tid).stdout
                            .startswith("1 threads"))
            stacks = self.run_report("--by", "thread", "--tid", tid).stdout.splitlines()
            self.assertTrue(all(f"/{tid};" in line for line in stacks), tid)

    def test_threads_of_a_name(self):
        """A thread that changed its name has the last one."""
        for name, count in self.truth.names.items():
            report = lib.report_json(self.data, "--comm", name)
            self.assertEqual([t["comm"] for t in report["threads"]], [name] * count)
            self.assertEqual(report["threads"],
                             [t for t in self.threads if t["comm"] == name])
            for fmt in ("folded", "svg", "table"):
                self.assertTrue(self.run_report("-f", fmt, "--comm", name).stdout)

    def test_no_such_thread(self):
        for option in (("--tid", "1"), ("--comm", "nobody"),
                       ("--tid", str(self.threads[0]["tid"]), "--comm", "nobody")):
            for fmt in ("folded", "json", "table", "svg"):
                result = self.run_report("-f", fmt, *option, check=False)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                for thread in self.threads:
                    self.assertIn(f"{thread['tid']} ({thread['comm']})", result.stderr)


if __name__ == "__main__":
    lib.main()
