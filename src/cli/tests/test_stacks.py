#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`ptflame stacks --at T`: stacks against the call chains that perf makes, states against the
accounting of the same instant."""

import collections
import random
import re

import ptf_testlib as lib

OFF = ("[blocked]", "[preempted]", "[yielded]", "[runqueue]", "[off]", "[recorder]")


def perf_chains(data):
    """The call chains that perf has for every instruction: [(ns, [name, ...innermost first])]."""
    lib.need_program("perf")
    text = lib.run(["perf", "script", "-i", data, "--itrace=i1ig1023", "--ns",
                    "-F", "time,ip,sym"], timeout=300).stdout
    chains = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(\d+)\.(\d{9}):\s*", line)
        if match:
            chains.append((int(match.group(1)) * 10**9 + int(match.group(2)), []))
        elif line.strip():
            chains[-1][1].append(line.split(None, 1)[1])
    return chains


def window(data):
    found = lib.report_json(data)["window"]
    return found["start_ns"], found["end_ns"] - found["start_ns"]


def instructions_before(path):
    """From objdump: address -> the instruction in front of it."""
    lib.need_program("objdump")
    found, before = {}, ""
    for line in lib.run(["objdump", "-d", "--no-show-raw-insn", path]).stdout.split("\n"):
        match = re.fullmatch(r" +([0-9a-f]+):\t(.*)", line)
        if match:
            found[f"0x{match.group(1)}"], before = before, match.group(2)
    return found


class AgainstPerf(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def test_whole_stacks(self):
        """One instruction is one ns: perf's chain is that of an instruction nearby, since the two
        interpolate between packets in different ways."""
        data = self.file("data")
        for name in ("recursion", "tailcalls"):
            lib.record(data, lib.program(name, "static").command)
            chains = perf_chains(data)
            start, _ = window(data)
            for i in range(1, 25):
                ns = chains[i * len(chains) // 26][0]
                found, = lib.stacks_at(data, ns - start).values()
                near = [chain for at, chain in chains if abs(at - ns) <= 60]
                with self.subTest(program=name, at=ns - start):
                    self.assertIn(lib.stack_names(found), near)

    def test_return_addresses(self):
        """objdump shows a call of the frame inside right in front of each."""
        data, program = self.file("data"), lib.program("deep", "static", ["500"])
        lib.record(data, program.command)
        before = instructions_before(program.path)
        _, length = window(data)
        frames = []
        for i in range(10, 20):
            found, = lib.stacks_at(data, i * length // 30).values()
            if len(found["frames"]) > len(frames):
                frames = found["frames"]
        self.assertGreater(len(frames), 50)
        for inner, frame in zip(frames, frames[1:]):
            call = re.search(r"call +(?:.*<(.*)>|\*)", before[frame["ip"]])
            self.assertTrue(call, frame)
            self.assertIn(call.group(1), (inner["name"], "__libc_start_main", None))

    def test_depth(self):
        """deep goes 2000 frames down and up again, three times."""
        data = self.file("data")
        lib.record(data, lib.program("deep", "static", ["2000"]).command)
        start, length = window(data)
        depths = []
        for i in range(60):
            found, = lib.stacks_at(data, i * length // 60).values()
            depths.append(lib.stack_names(found).count("dive"))
        self.assertLessEqual(max(depths), 2000)
        self.assertGreater(max(depths), 1500)
        turns = [a for a, b, c in zip(depths, depths[1:], depths[2:]) if a < b > c]
        self.assertEqual(len(turns), 3, depths)


class States(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def check_instant(self, data, threads, start, ns):
        """The nanosecond at that instant is booked as the thread's state says, on its top
        function."""
        found = lib.stacks_at(data, ns)
        self.assertEqual(found.keys(), threads.keys())
        slice_of = ("--time", f"{lib.seconds(ns) if ns else ''},{lib.seconds(ns + 1)}")
        report = {t["tid"]: t for t in lib.report_json(data, *slice_of)["threads"]}
        for tid, thread in found.items():
            life = threads[tid]
            expected = ("not started" if start + ns < life["start_ns"]
                        else "exited" if start + ns >= life["end_ns"] else None)
            if expected:
                self.assertEqual(thread["state"], expected)
                self.assertNotIn(tid, report)
                self.assertEqual(thread["frames"], [])
                continue
            booked = [key for key in ("on", "kernel", "off", "lost") if report[tid][f"{key}_ns"]]
            self.assertEqual([thread["state"]], booked, (ns, thread))
            leaf = lib.report_folded(data, *slice_of, "--tid", str(tid))
            self.assertEqual(len(leaf), 1)
            self.check_leaf(thread, leaf[0][0])

    def check_leaf(self, thread, frames):
        names = [name for name in frames[1:]
                 if not name.endswith("_[k]") and name not in (*OFF, "[lost]")]
        top = lib.stack_names(thread)[0] if thread["frames"] else "[unknown]"
        # At a slice's start nobody knows the stack of a thread that has not run yet.
        if names != ["[unknown]"]:
            self.assertEqual(names[-1], top)
        if thread["state"] == "off":
            self.assertEqual(frames[-1], f"[{thread['reason']}]")
        if thread["syscall"]:
            self.assertIn(f"syscall:{thread['syscall']}_[k]", frames)

    def test_of_the_same_instant(self):
        data = self.file("data")
        for name in ("plan", "handover"):
            lib.record(data, lib.program(name, "static").command, clock="real")
            threads = {t["tid"]: t for t in lib.report_json(data)["threads"]}
            start, length = window(data)
            numbers = random.Random(name)
            for ns in [0, *(numbers.randrange(length) for _ in range(12))]:
                with self.subTest(program=name, at=ns):
                    self.check_instant(data, threads, start, ns)

    def test_a_sleeping_thread(self):
        """plan sleeps 80 ms in plan_sleep: in the middle of it since half of the time."""
        data = self.file("data")
        truth = lib.Truth(lib.record(data, lib.program("plan", "static", ["1", "80", "1", "1"])
                                     .command, clock="real"))
        start, length = window(data)
        before = instructions_before(lib.program("plan", "static").path)
        asleep = []
        for i in range(20):
            main = min(lib.stacks_at(data, i * length // 20).items())[1]
            if main["state"] == "off" and "plan_sleep" in lib.stack_names(main):
                asleep.append((i * length // 20, main))
        self.assertGreater(len(asleep), 5)
        for ns, main in asleep:
            self.assertEqual((main["reason"], main["place"]), ("blocked", "syscall"))
            self.assertEqual(main["syscall"], "clock_nanosleep")
            self.assertEqual(before[main["frames"][0]["ip"]].split(), ["syscall"])
            self.assertLessEqual(main["of_ns"], truth.times["plan_sleep"])
        # The same sleep seen twice: its start does not move.
        first, last = asleep[1], asleep[2]
        self.assertEqual(first[1]["of_ns"], last[1]["of_ns"])
        self.assertEqual(last[1]["for_ns"] - first[1]["for_ns"], last[0] - first[0])

    def test_text(self):
        data = self.file("data")
        lib.record(data, lib.program("handover", "static").command, clock="real")
        _, length = window(data)
        for i in range(4):
            at = i * length // 4
            text = lib.run([lib.PTFLAME, "stacks", "-i", data, "--at", lib.seconds(at)]).stdout
            blocks = text.strip().split("\n\n")
            threads = list(lib.stacks_at(data, at).values())
            self.assertEqual(len(blocks), len(threads))
            for number, (block, thread) in enumerate(zip(blocks, threads), 1):
                head, *lines = block.split("\n")
                self.assertTrue(head.startswith(
                    f"Thread {number} (tid {thread['tid']}, \"{thread['comm']}\"): "), head)
                frames = [re.fullmatch(r"#(\d+) +(0x[0-9a-f]{16} )?in (.*) \(\)( from .*)?", line)
                          for line in lines if "interrupted" not in line]
                self.assertTrue(all(frames), block)
                self.assertEqual([f.group(3) for f in frames], lib.stack_names(thread))

    def test_threads_can_be_chosen(self):
        data = self.file("data")
        lib.record(data, lib.program("threadnames", "static").command, clock="real")
        _, length = window(data)
        for tid, thread in lib.stacks_at(data, length // 2).items():
            self.assertEqual(lib.stacks_at(data, length // 2, "--tid", str(tid)), {tid: thread})

    def test_nonsense(self):
        data = self.file("data")
        lib.record(data, lib.program("recursion", "static").command)
        for options, status in (((), 2), (("--at", "x"), 2), (("--at", "1,2"), 2),
                                (("--at", "0", "--time", "0,1"), 2), (("--at", "99"), 1),
                                (("--at", "0", "--tid", "7"), 1), (("--at", "0", "-f", "x"), 2)):
            result = lib.run([lib.PTFLAME, "stacks", "-i", data, *options], check=False)
            self.assertEqual((result.returncode, result.stdout), (status, ""), options)
            self.assertIn("ptflame stacks: ", result.stderr)

    def test_both_ends(self):
        data = self.file("data")
        lib.record(data, lib.program("recursion", "static").command)
        _, length = window(data)
        self.assertEqual(len(lib.stacks_at(data, length)), 1)
        self.assertEqual(len(lib.stacks_at(data, 0)), 1)


if __name__ == "__main__":
    lib.main()
