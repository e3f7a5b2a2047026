#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Latencies of calls: by function and by path, `report --under`, `calls` and `diff`, on a program that
plans how long its calls take (testdata/programs/latency.c), with the instruction clock, and that
measures them itself, with the real one."""

import collections
import json
import math
import re
import unittest

import ptf_testlib as lib

ROUNDS = 1000
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
OVERHEAD = 60  # most instructions that a function of the program needs beside its loops
REAL_SLACK_NS = 30000  # between the clock's reading and the call
Request = collections.namedtuple("Request", "caller loops slow ns")


def percentile(values, share):
    values = sorted(values)
    return values[max(math.ceil(share * len(values) - 1e-9), 1) - 1]


def parse_requests(text):
    return [Request(caller, int(loops), int(slow), int(ns) if ns else None)
            for caller, loops, slow, ns in re.findall(
                r"^request (\w+) (\d+) (\d+)(?: (\d+))?$", text, re.M)]


def function(report, name):
    found = [f for f in report["functions"] if f["name"] == name]
    assert len(found) == 1, f"{len(found)} functions {name}"
    return found[0]


def failure(command):
    return lib.run([lib.PTFLAME, *command], check=False)


def calls_json(data, name, *options):
    return json.loads(lib.run([lib.PTFLAME, "calls", "-i", data, "-F", name, "-f", "json",
                               *options]).stdout)


def without_speed(report):
    """A report less what differs from run to run and from engine to engine."""
    report = json.loads(json.dumps(report))
    if "decode" in report:
        del report["decode"]["seconds"], report["decode"]["engine"]
    return report


class Planned(lib.TestCase):
    """The instruction clock: one instruction is 1 ns, a loop of the program is two."""

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()
        cls.directory = lib.tempfile.mkdtemp(prefix="ptflame-test-")
        cls.data = lib.os.path.join(cls.directory, "planned.data")
        # Short segments: a request is longer than one.
        cls.requests = parse_requests(lib.record(
            cls.data, lib.program("latency", "static", [str(ROUNDS)]).command,
            options=["--psb-period", "512"]))
        cls.report = lib.report_json(cls.data, "--paths")

    @classmethod
    def tearDownClass(cls):
        lib.shutil.rmtree(cls.directory, ignore_errors=True)

    def plan(self, keep=lambda request: True):
        """Instructions of the loops of each request."""
        return [2 * (r.loops + r.slow) for r in self.requests if keep(r)]

    def check_latency(self, found, plan):
        self.assertEqual(found["timed_calls"], len(plan))
        for key, want in [("min", min(plan)), ("max", max(plan)), ("avg", sum(plan) / len(plan)),
                          *((name, percentile(plan, share)) for name, share in SHARES.items())]:
            with self.subTest(what=key):
                self.assertGreaterEqual(found[key + "_ns"], want * 0.99)
                self.assertLessEqual(found[key + "_ns"], want * 1.01 + OVERHEAD)

    def path(self, *end):
        found = [p for p in self.report["paths"] if tuple(p["stack"][-len(end):]) == end]
        self.assertEqual(len(found), 1, end)
        return found[0]

    def test_segments_are_short(self):
        self.assertEqual(len(self.requests), ROUNDS)
        self.assertGreater(self.report["decode"]["psbs"], 200)

    def test_functions(self):
        self.check_latency(function(self.report, "request"), self.plan())
        spins = [2 * r.loops for r in self.requests] + [2 * r.slow for r in self.requests if r.slow]
        self.check_latency(function(self.report, "spin"), spins)

    def test_paths(self):
        for caller in ("from_left", "from_right"):
            mine = [r for r in self.requests if r.caller == caller]
            with self.subTest(caller=caller):
                self.check_latency(self.path(caller, "request", "spin"),
                                   [2 * r.loops for r in mine])
                self.check_latency(self.path(caller, "request", "slow_path", "spin"),
                                   [2 * r.slow for r in mine if r.slow])
                self.check_latency(self.path("main", caller), self.plan(
                    lambda r, caller=caller: r.caller == caller))

    def test_paths_add_up_to_functions(self):
        sums = collections.defaultdict(collections.Counter)
        for path in self.report["paths"]:
            for key in ("calls", "partial_calls", "timed_calls", "instructions", "self_ns"):
                sums[path["stack"][-1]][key] += path[key]
            self.assertEqual(path["total_ns"], sum(
                path[state + "_total_ns"] for state in ("on", "kernel", "off", "lost")))
        named = collections.defaultdict(collections.Counter)
        for f in self.report["functions"]:
            for key in ("calls", "partial_calls", "timed_calls", "instructions", "self_ns"):
                named[f["name"]][key] += f[key]
        self.assertEqual(sums, named)

    def test_under(self):
        """All that happened in requests, and nothing else; callers are there, but empty."""
        under = lib.report_json(self.data, "--under", "request", "--paths")
        whole = function(self.report, "request")
        self.assertEqual(function(under, "request"), whole)
        self.assertEqual([t["wall_ns"] for t in under["threads"]], [whole["total_ns"]])
        self.assertEqual(sum(f["self_ns"] for f in under["functions"]), whole["total_ns"])
        main = function(under, "main")
        self.assertEqual((main["calls"], main["self_ns"], main["total_ns"]),
                         (0, 0, whole["total_ns"]))
        self.assertEqual(
            lib.report_folded(self.data, "--under", "request"),
            [line for line in lib.report_folded(self.data) if "request" in line[0]])
        self.assertEqual(lib.report_json(self.data, "--under", "slow_path")["threads"][0]["on_ns"],
                         function(self.report, "slow_path")["total_ns"])

    def test_under_in_consecutive_parts(self):
        """Parts of a recording add up, also where they cut a call."""
        whole = lib.report_json(self.data, "--under", "request")
        length = self.report["window"]["end_ns"] - self.report["window"]["start_ns"]
        for cut in (length // 7, length // 3, length * 2 // 3):
            parts = [lib.report_json(self.data, "--under", "request", "--time", time)
                     for time in (f",{cut / 1e9:.9f}", f"{cut / 1e9:.9f},")]
            for name in ("request", "spin"):
                for key in ("calls", "instructions", "self_ns", "total_ns"):
                    self.assertEqual(sum(function(part, name)[key] for part in parts),
                                     function(whole, name)[key], (cut, name, key))

    def test_slowest(self):
        slow = sorted(self.plan(lambda r: r.slow))
        self.assertEqual(len(slow), ROUNDS // 100)
        self.assertGreater(slow[0], max(self.plan(lambda r: not r.slow)) * 1.01)
        slowest = lib.report_json(self.data, "--under", "request", "--slowest", "1%")
        self.check_latency(function(slowest, "request"), slow)
        self.assertEqual(function(slowest, "slow_path")["calls"], len(slow))
        self.assertEqual(function(slowest, "from_left")["calls"], 0)
        rest = lib.report_json(self.data, "--under", "request", "--fastest", "99%")
        self.check_latency(function(rest, "request"), self.plan(lambda r: not r.slow))
        self.assertFalse([f for f in rest["functions"] if f["name"] == "slow_path"])
        for key in ("calls", "instructions", "self_ns", "total_ns"):
            self.assertEqual(function(slowest, "spin")[key] + function(rest, "spin")[key],
                             function(self.report, "spin")[key])
        result = failure(["report", "-i", self.data, "--under", "request", "--slowest", "1"])
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"10 of 1000 calls of request \(1\.00%\), those of 12\.")

    def test_calls(self):
        found = calls_json(self.data, "request")
        self.check_latency(found, self.plan())
        self.assertEqual((found["calls"], found["partial_calls"], found["nested_calls"]),
                         (ROUNDS, 0, 0))
        self.assertEqual(sum(bucket["calls"] for bucket in found["histogram"]), ROUNDS)
        slow = sorted(self.plan(lambda r: r.slow), reverse=True)
        self.assertEqual(len(found["slowest"]), 10)
        for call, want in zip(found["slowest"], slow):
            self.assertAlmostEqual(call["duration_ns"], want, delta=OVERHEAD)
            self.assertEqual(call["duration_ns"],
                             call["on_ns"] + call["kernel_ns"] + call["off_ns"])
            self.assertEqual(sum(place["ns"] for place in call["places"]), call["duration_ns"])
            self.assertEqual(call["places"][0]["name"], "spin")
        # The program makes its requests one after the other, so the plan says when each began.
        starts = [call["offset_ns"] for call in sorted(found["slowest"],
                                                       key=lambda call: call["start_ns"])]
        planned = [i for i, r in enumerate(self.requests) if r.slow]
        between = [sum(self.plan()[a:b]) for a, b in zip(planned, planned[1:])]
        for a, b, want in zip(starts, starts[1:], between):
            self.assertAlmostEqual(b - a, want, delta=0.01 * want + 100 * OVERHEAD)
        table = lib.run([lib.PTFLAME, "calls", "-i", self.data, "-F", "request"]).stdout
        self.assertIn("request: 1,000 calls\n", table)
        self.assertIn("100% spin", table)
        bars = re.findall(r"^ .*\.\. +\S+ \S+ +([\d,]+)  #", table, re.M)
        self.assertEqual(sum(int(bar.replace(",", "")) for bar in bars), ROUNDS)

    def test_same_for_any_number_of_threads_and_engine(self):
        for options in (["-j", "1"], ["-j", "4"], *(["--engine", e] for e in lib.engines())):
            with self.subTest(options=options):
                self.assertEqual(
                    without_speed(lib.report_json(self.data, "--paths", *options)),
                    without_speed(self.report))
                self.assertEqual(calls_json(self.data, "spin", *options),
                                 calls_json(self.data, "spin"))
                slowest = ["--under", "spin", "--slowest", "3%", "--paths"]
                self.assertEqual(
                    without_speed(lib.report_json(self.data, *slowest, *options)),
                    without_speed(lib.report_json(self.data, *slowest)))

    def test_diff_of_the_slowest(self):
        command = [lib.PTFLAME, "diff", "-i", self.data, "--under", "request", "--slowest", "1%"]
        table = lib.run(command).stdout
        self.assertIn("A: the other calls, 990 calls\nB: the slowest calls, 10 calls\n", table)
        self.assertRegex(table, r"\+\S+ ns +0 ns +\S+ ns +only B  slow_path\n")
        rows = re.findall(r"^ +\S+ [a-z]+ +(\S+) us +(\S+) us +\S+  spin$", table, re.M)
        self.assertEqual(len(rows), 1)
        for shown, plan in zip(rows[0], (self.plan(lambda r: not r.slow),
                                         self.plan(lambda r: r.slow))):
            self.assertAlmostEqual(float(shown) * 1000, sum(plan) / len(plan),
                                   delta=0.01 * sum(plan) / len(plan))
        # Folded: B as it is, A scaled to as many calls.
        stacks = {}
        for line in lib.run([*command, "-f", "folded"]).stdout.splitlines():
            stack, a, b = line.rsplit(" ", 2)
            stacks[stack] = int(a), int(b)
        options = ["--under", "request"]
        others = dict(self.folded(*options, "--fastest", "99%"))
        slowest = dict(self.folded(*options, "--slowest", "1%"))
        self.assertEqual({s: b for s, (_, b) in stacks.items() if b}, slowest)
        self.assertEqual({s: a for s, (a, _) in stacks.items() if a},
                         {s: round(v * 10 / 990) for s, v in others.items()
                          if round(v * 10 / 990)})

    def folded(self, *options):
        return [(";".join(stack), value) for stack, value in lib.report_folded(self.data, *options)]

    def test_diff_of_two(self):
        a, b = self.file("a.folded"), self.file("b.folded")
        for path, lines in ((a, "m;f 100\nm;g 50\nm;gone 5\n"), (b, "m;f 400\nm;g 50\nm;new 7\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(lines)
        table = lib.run([lib.PTFLAME, "diff", a, b, "--top", "1"]).stdout
        self.assertRegex(table, r"\n +\+302 ns +155 ns +457 ns +2\.95  \(all\)\n"
                                r" +\+300 ns +100 ns +400 ns +4\.00  f\n\(3 more")
        self.assertIn("also only in A:\n  gone\n", table)
        self.assertIn("also only in B:\n  new\n", table)
        backwards = lib.run([lib.PTFLAME, "diff", b, a]).stdout
        self.assertRegex(backwards, r"\n +-300 ns +400 ns +100 ns +0\.25  f\n")
        self.assertEqual(lib.run([lib.PTFLAME, "diff", a, b, "-f", "folded"]).stdout,
                         "m;f 100 400\nm;g 50 50\nm;gone 5 0\nm;new 0 7\n")
        same = lib.run([lib.PTFLAME, "diff", self.data, self.data, "--under", "request"]).stdout
        self.assertIn(f"{ROUNDS:,} calls\n", same)
        self.assertNotRegex(same, r"\n +[+-]")

    def test_mistakes(self):
        result = failure(["report", "-i", self.data, "--under", "reqest"])
        self.assertEqual(result.returncode, 1)
        self.assertIn("no function 'reqest' was called; alike are request", result.stderr)
        self.assertEqual(failure(["calls", "-i", self.data, "-F", "zzzzz"]).returncode, 1)
        for command in (["calls", "-i", self.data],
                        ["report", "-i", self.data, "--slowest", "1%"],
                        ["report", "-i", self.data, "--under", "f", "--slowest", "0"],
                        ["report", "-i", self.data, "--under", "f", "--slowest", "nan"],
                        ["report", "-i", self.data, "--under", "f", "--slowest", "101%"],
                        ["report", "-i", self.data, "--under", "f", "--slowest", "1%",
                         "--fastest", "1%"],
                        ["diff"], ["diff", self.data], ["diff", "a", "b", "c"],
                        ["diff", "-i", self.data, "--under", "request"]):
            with self.subTest(command=command):
                self.assertEqual(failure(command).returncode, 2)
        with open(self.file("good.folded"), "w", encoding="utf-8") as file:
            file.write("a;b 5\n")
        result = failure(["diff", self.file("good.folded"), self.file("good.folded"),
                          "--under", "b"])
        self.assertEqual(result.returncode, 2)
        bad = self.file("bad.folded")
        for text in ("a;b\n", "a;b 1.5\n", "a;b 99999999999999999999\n", " 5\n", "5\n"):
            with open(bad, "w", encoding="utf-8") as file:
                file.write(text)
            with self.subTest(text=text):
                result = failure(["diff", bad, bad])
                self.assertEqual(result.returncode, 1)
                self.assertIn("line 1", result.stderr)
        self.assertEqual(failure(["diff", bad, self.file("absent")]).returncode, 1)


class Recursive(lib.TestCase):
    def test_recursive_calls_belong_to_the_outermost(self):
        """fib calls itself: watched are those calls that main makes."""
        lib.need_simulator()
        data = self.file("recursion.data")
        truth = lib.Truth(lib.record(data, lib.program("recursion", "static").command))
        whole = function(lib.report_json(data), "fib")
        found = calls_json(data, "fib")
        self.assertEqual(found["calls"], truth.calls["fib"])
        self.assertEqual(found["calls"], whole["calls"])
        self.assertEqual(found["p99_ns"], whole["p99_ns"])
        outermost = found["calls"] - found["nested_calls"]
        self.assertEqual(len(found["slowest"]), min(outermost, 10))
        self.assertEqual(found["slowest"][0]["duration_ns"], whole["max_ns"])
        under = lib.report_json(data, "--under", "fib", "--slowest", "100%")
        self.assertEqual(function(under, "fib"), whole)


class EveryStackRule(lib.TestCase):
    """Whatever ends a call or moves it to another stack: under a function is what a report of all
    says of it."""

    PROGRAMS = ["generators", "coroutines", "exceptions", "longjumps", "signals", "recursion",
                "tailcalls", "handover", "unwinds", "forks"]
    MOST = 6  # functions of each program

    def test_under_agrees_with_the_whole(self):
        lib.need_simulator()
        for program in lib.programs(self.PROGRAMS, lambda p: p.variant == "static"):
            data = self.file(program.file)
            lib.record(data, program.command, options=["--psb-period", "2048"])
            whole = lib.report_json(data)
            names = collections.Counter(f["name"] for f in whole["functions"])
            once = [f for f in whole["functions"] if names[f["name"]] == 1]
            chosen = {f["name"]: f
                      for key in ("total_ns", "calls")
                      for f in sorted(once, key=lambda f, key=key: -f[key])[: self.MOST]}
            for name, want in chosen.items():
                with self.subTest(program=program.file, function=name):
                    under = lib.report_json(data, "--under", name)
                    self.assertEqual(function(under, name), want)
                    self.assertEqual(sum(t["wall_ns"] for t in under["threads"]),
                                     want["total_ns"])
                    found = calls_json(data, name)
                    for key in ("calls", "partial_calls", "timed_calls", "avg_ns", "p90_ns"):
                        self.assertEqual(found[key], want[key], key)


class Measured(lib.TestCase):
    """The real clock: the program's own measurements are the truth."""

    ROUNDS = 300

    def setUp(self):
        super().setUp()
        lib.need_simulator()
        self.data = self.file("measured.data")
        self.requests = parse_requests(lib.record(
            self.data, lib.program("latency", "static", [str(self.ROUNDS), "sleep"]).command,
            clock="real"))
        self.report = lib.report_json(self.data)

    def near(self, found, measured):
        return abs(found - measured) <= 0.01 * measured + REAL_SLACK_NS

    def test_percentiles(self):
        for caller in ("from_left", "from_right"):
            measured = [r.ns for r in self.requests if r.caller == caller]
            self.assertGreater(min(measured), 50000)
            found = function(self.report, caller)
            self.assertEqual(found["timed_calls"], len(measured))
            # The machine may stop the program between its clock and the call: what it measured
            # is longer then, by the same in a call or two.
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
                with self.subTest(caller=caller, what=name):
                    low = percentile(measured, share - 2 / len(measured))
                    self.assertGreaterEqual(found[name + "_ns"], 0.99 * low - REAL_SLACK_NS)
                    self.assertLessEqual(found[name + "_ns"],
                                         1.01 * percentile(measured, share) + REAL_SLACK_NS)

    def test_slowest_calls_and_their_parts(self):
        found = {}
        for caller in ("from_left", "from_right"):
            for call in calls_json(self.data, caller)["slowest"]:
                found[call["start_ns"]] = call
        slow = sum(1 for r in self.requests if r.slow)
        longest = sorted(found.values(), key=lambda call: -call["duration_ns"])[:slow]
        measured = sorted((r.ns for r in self.requests), reverse=True)[:slow]
        near = sum(self.near(call["duration_ns"], ns) for call, ns in zip(longest, measured))
        self.assertGreaterEqual(near, slow - 1, (longest, measured))
        # Which are the longest is also the scheduler's choice; these sleep.
        sleepers = calls_json(self.data, "slow_path")["slowest"]
        self.assertEqual(len(sleepers), slow)
        for call in sleepers:
            self.assertEqual(call["duration_ns"],
                             call["on_ns"] + call["kernel_ns"] + call["off_ns"])
            waited = [p["ns"] for p in call["places"]
                      if p["name"] == "syscall:clock_nanosleep_[k] [blocked]"]
            # It asks for 3 ms; the time for going to sleep and waking up is the kernel's.
            self.assertGreater(waited[0] if waited else 0, 2900000, call["places"])
            self.assertGreaterEqual(call["off_ns"], waited[0])

    def test_parts_add_up(self):
        for f in self.report["functions"]:
            if not f["timed_calls"]:
                continue
            parts = f["avg_on_ns"] + f["avg_kernel_ns"] + f["avg_off_ns"]
            self.assertLessEqual(abs(parts - f["avg_ns"]), 2, f["name"])
        slow = function(self.report, "slow_path")
        self.assertGreater(slow["avg_off_ns"], 2900000)
        self.assertGreater(slow["avg_on_ns"], 0)


if __name__ == "__main__":
    lib.main()
