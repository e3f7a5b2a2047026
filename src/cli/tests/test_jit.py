#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Code that a program makes at run time: with a jitdump every call counts, with a perf map it has a
name, with neither it is a `[jit]` frame and lost time; what was there is kept in the recording."""

import collections
import glob
import os
import re
import shutil
import struct
import unittest

import ptf_testlib as lib
import ptf_tracelib as tracelib

NODE_PROGRAM = """
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let sum = 0;
for (let i = 0; i < 20; i++)
    sum += fib(15);
console.log(sum);
"""
FIB_15 = 1973  # calls that one fib(15) makes, itself included


def calls_of(report):
    calls = collections.Counter()
    for function in report["functions"]:
        calls[function["name"]] += function["calls"]
    return calls


class JitCase(lib.TestCase):
    def setUp(self):
        super().setUp()
        lib.need_simulator()

    def record(self, mode, clock="real", variant="dynamic"):
        data = self.file("data")
        command = [*lib.program("jit", variant, [mode, self.dir] if mode else []).command]
        truth = lib.Truth(lib.record(data, command, clock=clock))
        return data, truth

    def leftovers(self, pattern):
        """Files that the program left, and takes care that they do not stay."""
        found = glob.glob(pattern)
        for path in found:
            self.addCleanup(lambda path=path: os.path.exists(path) and os.unlink(path))
        return found


class Dump(JitCase):
    def test_every_call_counts(self):
        for variant in ("static", "dynamic"):
            with self.subTest(variant=variant):
                data, truth = self.record("dump", variant=variant)
                report = lib.report_json(data)
                self.assertEqual(report["decode"]["errors"], 0)
                self.assertEqual(lib.identity_errors(report), [])
                calls = calls_of(report)
                self.assertEqual({name: calls[name] for name in truth.calls}, truth.calls)
                self.assertEqual({name for name in truth.calls if name.startswith("version_")},
                                 {f"version_{i}" for i in range(6)})

    def test_stacks(self):
        data, truth = self.record("dump")
        paths = collections.Counter()
        for frames, calls in lib.report_folded(data, "--weight", "calls"):
            if "main" in frames:
                paths[tuple(frames[frames.index("main"):])] += calls
        for name, count in truth.calls.items():
            if re.match("jitted_|moved|version_", name):
                self.assertEqual(paths["main", name], count, name)
        for version in range(6):
            name = f"version_{version}"
            self.assertEqual(paths["main", name, "called_back"],
                             truth.calls[name] * (version % 4), name)
        self.assertEqual(paths["main", "moved", "called_back"], truth.calls["moved"])
        self.assertEqual(sum(n for path, n in paths.items() if path[-1] == "called_back"),
                         truth.calls["called_back"])

    def test_a_kept_dump_is_enough(self):
        data, truth = self.record("dump")
        dump, = self.leftovers(self.file("jit-*.dump"))
        os.unlink(dump)
        moved = self.file("elsewhere")
        os.rename(data, moved)
        calls = calls_of(lib.report_json(moved))
        self.assertEqual({name: calls[name] for name in truth.calls}, truth.calls)
        perf = lib.PerfScript(moved)  # does not mind what is attached
        self.assertGreater(perf.branches, 100)

    def test_instruction_clock(self):
        """Another clock than the dump's: no wrong code without a word."""
        data, truth = self.record("dump", clock="insn")
        result = lib.run([lib.PTFLAME, "report", "-i", data, "-f", "json"])
        self.assertIn("its clock is not the recording's: 5 pieces", result.stderr)
        report = lib.json.loads(result.stdout)
        calls = calls_of(report)
        for name in ("jitted_0", "jitted_1", "jitted_2", "jitted_3", "moved"):
            self.assertEqual(calls[name], truth.calls[name], name)
        self.assertEqual(lib.identity_errors(report), [])

    def test_damaged_dumps(self):
        """Cut and changed at many places: a note, what was told before, sums that hold."""
        data, truth = self.record("dump")
        dump, = self.leftovers(self.file("jit-*.dump"))
        symfs = self.file("symfs")
        place = symfs + os.path.realpath(dump)
        os.makedirs(os.path.dirname(place))
        with open(dump, "rb") as file:
            whole = file.read()
        binary = os.environ.get("PTF_ASAN_BIN") or lib.PTFLAME
        notes = 0
        for cut in [*range(1, 120, 17), *range(120, len(whole), 97)]:
            with open(place, "wb") as file:
                file.write(whole[:cut])
            notes += self.survives(binary, data, symfs, truth)
        self.assertGreater(notes, 10)
        for at in range(0, len(whole), 61):
            with open(place, "wb") as file:
                file.write(whole[:at] + bytes([whole[at] ^ 0xff]) + whole[at + 1:])
            self.survives(binary, data, symfs, truth)

    def survives(self, binary, data, symfs, truth):
        result = lib.run([binary, "report", "-i", data, "--symfs", symfs, "-f", "json"],
                         timeout=60)
        report = lib.json.loads(result.stdout)
        self.assertEqual(lib.identity_errors(report), [])
        calls = calls_of(report)
        for name in ("before_jit", "called_back", "after_jit"):
            self.assertLessEqual(calls[name], truth.calls[name], name)
        return bool(re.search(r"jit-\d+\.dump: .*", result.stderr))


class WhileItRuns(lib.TestCase):
    """Code that is replaced while the program runs on without a system call: recordings written by
    hand (ptf_tracelib)."""

    PID, LOOP, PLACE = 10, 0x7f0000000000, 0x7f0000001000
    START, END, REPLACED = 10_000, 20_000, 15_000
    LOOP_CODE = b"\xff\xd0\xeb\xfc"  # call *%rax; jmp to it
    FIRST, SECOND = b"\xc3", b"\xff\xd3\xc3"  # ret; call *%rbx, ret

    def dump(self, path):
        def load(time, start, name, code):
            body = struct.pack("<IIQQQQ", self.PID, self.PID, start, start, len(code), 0)
            body += name.encode() + b"\0" + code
            return struct.pack("<IIQ", 0, 16 + len(body), time) + body

        with open(path, "wb") as file:
            file.write(struct.pack("<IIIIIIQQ", 0x4a695444, 1, 40, 62, 0, self.PID, self.START, 0))
            file.write(load(10_010, self.LOOP, "loop", self.LOOP_CODE))
            file.write(load(10_020, self.PLACE, "first", self.FIRST))
            file.write(load(self.REPLACED, self.PLACE, "second", self.SECOND))

    def recording(self):
        code = tracelib.Stages()
        path = self.file("jit-10.dump")
        self.dump(path)
        made = tracelib.Recording(window=(self.START, self.END))
        made.program(self.PID, self.PID, "jit", code)
        made.mmap(self.PID, path, 0x7e0000000000, 0x1000, 0, time=self.START)
        stream = made.stream(tid=self.PID).psb(10_100, self.LOOP)
        for time in range(11_000, 20_000, 1_000):
            stream.tip(self.PLACE, time)
            if time >= self.REPLACED:
                stream.tip(code.leaf, time + 100)
                stream.tnt("1", time + 200)
            stream.tnt("1", time + 300)
        return made.write(self.file("perf.data"), self.END - 1)

    def test_replaced(self):
        path = self.recording()
        for engine in lib.engines():
            with self.subTest(engine=engine):
                report = lib.report_json(path, "--engine", engine)
                self.assertEqual(report["decode"]["errors"], 0)
                self.assertEqual(lib.identity_errors(report), [])
                calls = calls_of(report)
                self.assertEqual((calls["first"], calls["second"], calls["leaf"]), (4, 5, 5))
                stacks = dict((tuple(frames[1:]), n) for frames, n in lib.report_folded(
                    path, "--engine", engine, "--weight", "calls"))
                self.assertEqual(stacks["loop", "second", "leaf"], 5)
                times = dict((tuple(frames[1:]), n) for frames, n in lib.report_folded(
                    path, "--engine", engine))
                self.assertEqual(times["loop", "first"], 4 * 300)
                # Where the last return went no packet tells.
                self.assertEqual(times["loop", "second"] + times["loop", "second", "leaf"],
                                 4 * 300 + self.END - 19_000)


class Map(JitCase):
    def test_names(self):
        data, truth = self.record("map")
        maps = [path for path in self.leftovers("/tmp/perf-*.map")
                if os.stat(path).st_mtime >= os.stat(lib.PTFLAME).st_mtime]
        pid = lib.report_json(data)["threads"][0]["pid"]
        self.assertIn(f"/tmp/perf-{pid}.map", maps)
        os.unlink(f"/tmp/perf-{pid}.map")  # the recording has it
        result = lib.run([lib.PTFLAME, "report", "-i", data, "-f", "json", "--stats"])
        report = lib.json.loads(result.stdout)
        names = {f["name"]: f["module"] for f in report["functions"]}
        self.assertEqual(names.get("jitted_0"), f"/tmp/perf-{pid}.map")
        self.assertNotIn("[jit]", names)
        self.assertEqual(lib.identity_errors(report), [])
        self.assertGreater(report["decode"]["lost_ns"], 0)
        # Code without bytes is no missing file.
        self.assertRegex(result.stderr, r"\n +[1-9]\d* +jit_errors")
        self.assertNotIn("missing", result.stderr)

    def test_neither(self):
        data, truth = self.record(None, clock="insn")
        report = lib.report_json(data)
        names = {f["name"] for f in report["functions"]}
        self.assertIn("[jit]", names)
        self.assertFalse([name for name in names if "anon" in name])
        self.assertEqual(lib.identity_errors(report), [])
        self.assertLessEqual(calls_of(report)["called_back"], truth.calls["called_back"])


class Node(JitCase):
    """A JIT compiler of the world."""

    def setUp(self):
        super().setUp()
        self.node = lib.need_program("node")
        with open(self.file("fib.js"), "w") as file:
            file.write(NODE_PROGRAM)

    def run_node(self, *options):
        data = self.file("data")
        result = lib.run(
            [lib.PTFLAME, "record", "--backend", "sim", "-o", data, "--", self.node, *options,
             "fib.js"], cwd=self.dir, timeout=300, check=False)
        if "610" not in result.stdout and "12200" not in result.stdout:
            self.skipTest(f"node does not run in the simulator: {lib.tail(result.stderr, 3)}")
        return data

    def test_calls(self):
        """Compiled before its first call and never again, fib is entered as often as its recursion
        says."""
        data = self.run_node("--perf-prof", "--always-sparkplug", "--no-opt")
        report = lib.report_json(data)
        fib = [f for f in report["functions"] if re.match(r"\S*fib ", f["name"])]
        self.assertEqual(sum(f["calls"] for f in fib), 20 * FIB_15, fib)
        self.assertEqual(report["decode"]["errors"], 0)
        self.assertEqual(lib.identity_errors(report), [])

    def test_optimising_compiler(self):
        """Code is replaced and garbage: everything can still be followed."""
        data = self.run_node("--perf-prof")
        report = lib.report_json(data)
        self.assertEqual(report["decode"]["errors"], 0)
        self.assertEqual(lib.identity_errors(report), [])


if __name__ == "__main__":
    lib.main()
