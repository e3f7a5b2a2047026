#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The depth of every call is the one that the compiler's own hooks (-finstrument-functions) counted,
in a program of recursion, callbacks, signals, longjmp and exceptions in several threads; and waiting
threads have their whole stack, without frame pointers.
"""

import collections
import re
import shutil
import struct

import ptf_testlib as lib


def addresses(path):
    """Names of the functions of an ELF file by their distance from its first mapped byte."""
    symbols = {name: int(address, 16) for address, name in
               re.findall(r"^([0-9a-f]+) [tT] (\S+)$", lib.run(["nm", path]).stdout, re.MULTILINE)}
    base = int(re.search(r"^([0-9a-f]+) \S __executable_start$", lib.run(["nm", path]).stdout,
                         re.MULTILINE).group(1), 16)
    return {address - base: name for name, address in symbols.items()}


class Instrumented(lib.TestCase):
    def setUp(self):
        super().setUp()
        lib.need_simulator()
        lib.need_program("nm")

    def check(self, variant, clock, options):
        program = lib.program("instrumented", variant, [])
        data = self.file("data")
        printed = lib.record(data, program.command, clock=clock, options=options)
        names = addresses(program.path)
        truth = collections.Counter()
        for address, depth, count in re.findall(r"^depth (\S+) (\d+) (\d+)$", printed, re.MULTILINE):
            truth[names[int(address, 16)], int(depth)] += int(count)
        hooked = {name for name, _ in truth}
        self.assertGreater(len(hooked), 10)
        self.assertGreater(max(depth for _, depth in truth), 15)
        self.assertGreater(sum(truth.values()), 10000)
        ours = collections.Counter()
        for frames, calls in lib.report_folded(data, "--weight", "calls"):
            if frames[-1] in hooked:
                ours[frames[-1], sum(frame in hooked for frame in frames)] += calls
        wrong = {key: (ours[key], truth[key]) for key in set(ours) | set(truth)
                 if ours[key] != truth[key]}
        self.assertEqual(wrong, {}, "calls at depths (ptflame, hooks)")

    def test_depths(self):
        for variant in ("static", "dynamic"):
            for clock, options in (("insn", []), ("insn", ["--psb-period", "500"]), ("real", [])):
                with self.subTest(variant=variant, clock=clock, options=options):
                    self.check(variant, clock, options)


class OffCpu(lib.TestCase):
    """Off-CPU stacks, of code without frame pointers and the system's own libraries, are complete."""

    def off_stacks(self, command):
        data = self.file("data")
        lib.need_simulator()
        lib.record(data, command, clock="real")
        if not lib.report_json(data)["window"]["switches"]:
            self.skipTest("no right to record context switches")
        stacks = lib.report_folded(data, "--weight", "off")
        self.assertTrue(stacks)
        for frames, _ in stacks:
            self.assertNotIn("[unknown]", frames)
        return stacks

    def test_waits(self):
        """Each way to wait under the functions that lead there."""
        program = lib.program("waits", "dynamic")
        waits = collections.defaultdict(int)  # path in the program -> ns
        for frames, ns in self.off_stacks(program.command):
            names = [frame for frame in frames if frame.startswith("wait_")]
            first = frames[1]
            self.assertIn(first, ("_start", "__clone3", "clone3", "__clone", "clone"), frames)
            # A new thread may wait for its first CPU, where clone made it.
            if first != "_start" and not re.match(r"syscall:clone|\[", frames[2]):
                self.assertEqual(frames[2], "start_thread", frames)
            if names:
                waits[";".join(names)] += ns
        for way in ("nanosleep", "mutex", "cond", "poll", "pipe"):
            path = f"wait_thread;wait_outer;wait_{way}"
            self.assertGreater(waits.get(path, 0), 20e6, f"{path}: {dict(waits)}")
        # Whoever computes on the way there may be preempted.
        self.assertLessEqual(
            {path for path in waits if not path.startswith("wait_thread;wait_outer;")},
            {"wait_thread", "wait_thread;wait_outer"})

    def test_sqlite(self):
        lib.need_program("sqlite3")
        sql = "create table t(a); with recursive n(i) as (select 1 union all select i + 1 from n " \
              "where i < 2000) insert into t select i from n; select sum(a) from t;"
        with open(shutil.which("sqlite3"), "rb") as file:
            entry = struct.unpack_from("<Q", file.read(32), 24)[0]
        for frames, _ in self.off_stacks(["sqlite3", self.file("db"), sql]):
            # The dynamic linker's entry, or the program's, which has no symbols.
            self.assertIn(frames[1], ("_start", f"[sqlite3+{entry:#x}]"))
            # It may be preempted before it calls anything.
            if frames[1] != "_start" and frames[2:] != ["[preempted]"]:
                self.assertIn("__libc_start_main", frames[2])


if __name__ == "__main__":
    lib.main()
