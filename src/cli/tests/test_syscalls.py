#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`ptflame syscalls`: counts against the program's own and strace's, times against the flame graph
of the same recording."""

import collections
import json
import os
import re

import ptf_testlib as lib


def syscalls(data, *options):
    """`ptflame syscalls` in JSON."""
    result = lib.run([lib.PTFLAME, "syscalls", "-i", data, "-f", "json", *options])
    return json.loads(result.stdout)


def kernel_stacks(data, *options):
    """From the folded stacks: name of the way into the kernel -> ns under it, off the CPU
    included; the kernel's own functions are [kernel]."""
    found = collections.Counter()
    for frames, value in lib.report_folded(data, *options):
        inside = [frame for frame in frames if frame.endswith("_[k]")][-1:]
        if frames[-1] == "[lost]":
            continue
        for frame in inside:
            way = re.fullmatch(r"(?:syscall:(.*)|(\[interrupt\]))_\[k\]", frame)
            found[(way.group(1) or way.group(2)) if way else "[kernel]"] += value
    return found


def strace_counts(command):
    """System call -> how often strace saw it, all threads."""
    path = lib.need_program("strace")
    result = lib.run([path, "-f", "-c", *command], check=False)
    if result.returncode:
        raise AssertionError(lib.describe(result))
    rows = re.findall(r"^ *[0-9.]+ +[0-9.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", result.stderr,
                      re.MULTILINE)
    return {name: int(calls) for calls, name in rows}


class Syscalls(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def record(self, name="syscalls", args=None, variant="static", clock="real"):
        data = self.file(f"{name}.data")
        program = lib.program(name, variant, args)
        return data, lib.Truth(lib.record(data, program.command, clock=clock)), program

    def check_identities(self, report):
        total = collections.Counter()
        for row in report["syscalls"]:
            self.assertEqual(row["total_ns"], row["kernel_ns"] + row["off_ns"], row["name"])
            self.assertLessEqual(row["timed_calls"], row["calls"])
            self.assertLessEqual(row["calls"], row["timed_calls"] + row["partial_calls"])
            if row["timed_calls"]:
                self.assertLessEqual(row["min_ns"], row["avg_ns"])
                self.assertLessEqual(row["avg_ns"], row["max_ns"])
                self.assertLessEqual(row["p50_ns"], row["p99_ns"])
            else:
                self.assertIsNone(row["avg_ns"])
            if not row["partial_calls"] and row["name"] != "[kernel]":
                # Every visit is timed: its time is the sum of the durations.
                self.assertLessEqual(
                    abs(row["avg_ns"] * row["timed_calls"] - row["total_ns"]), row["timed_calls"])
            for key in ("calls", "partial_calls", "total_ns", "kernel_ns", "off_ns"):
                total[key] += row[key]
        for key, value in total.items():
            self.assertEqual(report["sum"][key], value, key)

    def check_flame_graph(self, data, report, *options):
        """The time of each row is that under its pseudo-frame."""
        stacks = kernel_stacks(data, *options)
        self.assertEqual({row["name"]: row["total_ns"] for row in report["syscalls"]
                          if row["total_ns"]}, dict(stacks))
        self.assertEqual(report["sum"]["wall_ns"],
                         sum(value for _, value in lib.report_folded(data, *options)))

    def test_counts(self):
        """The program, strace of a native run and the trace agree."""
        for variant in ("static", "dynamic"):
            data, truth, program = self.record(variant=variant)
            found = {row["name"]: row for row in syscalls(data)["syscalls"]}
            native = strace_counts(program.command)
            for name, count in truth.calls.items():
                # The dynamic loader reads, too.
                extra = native[name] - count
                self.assertGreaterEqual(extra, 0, name)
                if variant == "static":
                    self.assertEqual(extra, 0, name)
                self.assertEqual(found[name]["calls"], count + extra, (variant, name))
                self.assertEqual(found[name]["partial_calls"], 0, name)
            self.assertEqual(found["clock_nanosleep"]["timed_calls"], 5)
            self.assertGreater(found["clock_nanosleep"]["min_ns"], 2000000)

    def test_times_are_those_of_the_flame_graph(self):
        for name in ("syscalls", "plan", "handover", "manythreads", "signals"):
            with self.subTest(program=name):
                data, *_ = self.record(name)
                report = syscalls(data)
                self.check_identities(report)
                self.check_flame_graph(data, report)

    def test_kernel_and_off_are_all_of_it(self):
        """The threads' time in the kernel is the sum of all rows'; off the CPU they may also be in
        their own code."""
        data, *_ = self.record()
        threads = lib.report_json(data)["threads"]
        total = syscalls(data)["sum"]
        self.assertEqual(total["kernel_ns"], sum(t["kernel_ns"] for t in threads))
        self.assertLessEqual(total["off_ns"], sum(t["off_ns"] for t in threads))
        self.assertEqual(total["wall_ns"], sum(t["wall_ns"] for t in threads))

    def test_on_hardware(self):
        data = os.path.join(lib.need_hwtraces(), "perf.data.intel_pt-4.14")
        report = syscalls(data)
        self.check_identities(report)
        self.check_flame_graph(data, report)

    def test_callers(self):
        data, truth, _ = self.record()
        report = syscalls(data, "--by-caller")
        rows = {row["name"]: row for row in report["syscalls"]}
        for row in report["syscalls"]:
            for key in ("calls", "partial_calls", "timed_calls", "total_ns", "kernel_ns", "off_ns"):
                self.assertEqual(sum(c[key] for c in row["callers"]), row[key], (row["name"], key))
        callers = {name: {c["name"]: c["calls"] for c in row["callers"]}
                   for name, row in rows.items()}
        self.assertEqual(callers["read"], {"take": truth.calls["read"]})
        self.assertEqual(callers["write"]["give"], truth.calls["write"] - 1)
        self.assertEqual(callers["getppid"], {"main": truth.calls["getppid"]})
        self.assertEqual(callers["clock_nanosleep"], {"sleep_often": 5})
        self.assertEqual(syscalls(data)["syscalls"], [{**row, "callers": []}
                                                      for row in report["syscalls"]])

    def test_parts(self):
        """--time, --tid: counts of the parts add up; a call that is cut has no duration."""
        data, *_ = self.record()
        whole = {row["name"]: row for row in syscalls(data)["syscalls"]}
        window = lib.report_json(data)["window"]
        length = window["end_ns"] - window["start_ns"]
        calls, times, timed = (collections.Counter() for _ in range(3))
        edges = ["", *(lib.seconds(i * length // 7) for i in range(1, 7)), ""]
        for a, b in zip(edges, edges[1:]):
            report = syscalls(data, "--time", f"{a},{b}")
            self.check_identities(report)
            for row in report["syscalls"]:
                calls[row["name"]] += row["calls"]
                timed[row["name"]] += row["timed_calls"]
                times["kernel"] += row["kernel_ns"]
                times["off"] += row["off_ns"]
        self.assertEqual(+calls, collections.Counter(
            {name: row["calls"] for name, row in whole.items() if row["calls"]}))
        self.assertEqual(times["kernel"], sum(row["kernel_ns"] for row in whole.values()))
        for name, row in whole.items():
            self.assertLessEqual(timed[name], row["timed_calls"])
        by_thread = collections.Counter()
        for thread in lib.report_json(data)["threads"]:
            for row in syscalls(data, "--tid", str(thread["tid"]))["syscalls"]:
                by_thread[row["name"]] += row["calls"]
        self.assertEqual(+by_thread, +calls)

    def test_under_a_function(self):
        data, truth, _ = self.record()
        rows = {row["name"]: row["calls"]
                for row in syscalls(data, "--under", "give")["syscalls"] if row["calls"]}
        self.assertEqual(rows, {"write": truth.calls["write"] - 1})
        report = syscalls(data, "--under", "sleep_often")
        self.assertEqual([row["calls"] for row in report["syscalls"]
                          if row["name"] == "clock_nanosleep"], [5])
        self.assertEqual(report["sum"]["wall_ns"],
                         sum(v for _, v in lib.report_folded(data, "--under", "sleep_often")))

    def test_a_call_that_is_cut(self):
        """In the middle of a sleep: partial on both sides, its time is in both."""
        data, *_ = self.record("plan", ["1", "80", "1", "1"])
        window = lib.report_json(data)["window"]
        length = window["end_ns"] - window["start_ns"]
        for i in range(10, 30):
            cut = i * length // 40
            main = min(lib.stacks_at(data, cut).items())[1]
            if main["syscall"] == "clock_nanosleep":
                break
        else:
            self.fail("plan was never seen asleep")
        at = lib.seconds(cut)
        for time, calls in ((f",{at}", 1), (f"{at},", 0)):
            row, = [row for row in syscalls(data, "--time", time, "--tid", str(main["tid"]))
                    ["syscalls"] if row["name"] == "clock_nanosleep"]
            self.assertEqual((row["calls"], row["partial_calls"], row["timed_calls"]),
                             (calls, 1, 0), time)
            self.assertIsNone(row["max_ns"])
            self.assertGreater(row["off_ns"], 0)

    def test_order(self):
        data, *_ = self.record()
        for key, value in (("time", "total_ns"), ("calls", "calls"), ("avg", "avg_ns")):
            values = [row[value] or 0 for row in syscalls(data, "-S", key)["syscalls"]]
            self.assertEqual(values, sorted(values, reverse=True), key)
        names = [row["name"] for row in syscalls(data, "-S", "name")["syscalls"]]
        self.assertEqual(names, sorted(names))

    def test_table(self):
        data, *_ = self.record()
        report = syscalls(data)
        text = lib.run([lib.PTFLAME, "syscalls", "-i", data]).stdout.splitlines()
        self.assertRegex(text[0], r"^ +wall +total +kernel +off +calls +partial +avg +p99 +max +"
                                  r"system call$")
        self.assertEqual([line.split()[-1] for line in text[1:]],
                         [row["name"] for row in report["syscalls"]] + ["sum"])
        self.assertIn(f" {report['sum']['calls']:,} ", text[-1])
        text = lib.run([lib.PTFLAME, "syscalls", "-i", data, "--by-caller"]).stdout
        self.assertRegex(text, r" read\n.* < take\n")

    def test_without_switches_and_times(self):
        """The instruction clock knows no switches; an untimed trace counts."""
        data, truth, _ = self.record(clock="insn")
        rows = {row["name"]: row for row in syscalls(data)["syscalls"]}
        self.assertEqual(rows["getppid"]["calls"], truth.calls["getppid"])
        path = os.path.join(lib.need_hwtraces(), "arcus-df-01-poc.perf.data")
        report = syscalls(path, "--symfs", lib.HWTRACES)
        self.assertIsNone(report["sum"]["total_ns"])
        self.assertGreater(report["sum"]["calls"], 0)

    def test_nonsense(self):
        data, *_ = self.record(clock="insn")
        for options in (("-S", "x"), ("-f", "svg"), ("--time", "x"), ("x",)):
            result = lib.run([lib.PTFLAME, "syscalls", "-i", data, *options], check=False)
            self.assertEqual((result.returncode, result.stdout), (2, ""), options)


if __name__ == "__main__":
    lib.main()
