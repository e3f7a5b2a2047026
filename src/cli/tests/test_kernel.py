#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Traces of the kernel, in recordings written by hand (ptf_tracelib): system calls, faults and
switches of threads stand on the user's stack, with code and names from a kcore or a vmlinux."""

import collections
import os
import re
import shutil

import ptf_testlib as lib
import ptf_tracelib as tracelib

PID, ONE, TWO = 10, 11, 12
START, END = 10_000, 30_000
ENTRY = ("entry_SYSCALL_64_[k]", "do_syscall_64_[k]")
SLEEP = (*ENTRY, "sys_nanosleep_[k]", "schedule_[k]")
SWITCH = (*SLEEP, "__switch_to_[k]")


class KernelCase(lib.TestCase):
    moved = 0

    def setUp(self):
        super().setUp()
        self.user = tracelib.Stages()
        self.kernel = tracelib.Kernel(self.moved)

    def recording(self, **options):
        made = tracelib.Recording(window=(START, END), per_cpu=True, kernel=True, **options)
        made.kernel_code(self.kernel)
        made.program(PID, ONE, "one", self.user)
        made.comm(PID, TWO, "two")
        return made

    # Each goes on where the one before it ended; times are those of the packets.

    def enter(self, stream, call, time):
        """A system call up to `call`: 10 ns for the entry."""
        stream.tip(self.kernel.entry_SYSCALL_64, time)
        return stream.tip(call, time + 10)

    def read(self, stream, time, back):
        """A whole read of 40 ns: 10 in the entry, 10 in sys_read and the module, ..."""
        self.enter(stream, self.kernel.sys_read, time)
        stream.tnt("1", time + 20)  # from mod_read
        stream.tnt("1", time + 25)  # from sys_read
        stream.tnt("1", time + 30)  # from do_syscall_64
        return stream.tip(back, time + 40)

    def sleep(self, stream, time):
        """Up to the switch to the other thread."""
        self.enter(stream, self.kernel.sys_nanosleep, time)

    def wake(self, stream, time, back):
        """The other thread's way back from its own sleep: 4 returns, 10 ns apart."""
        for i in range(4):
            stream.tnt("1", time + 10 * i)
        return stream.tip(back, time + 40)

    def scene(self):
        """ONE and TWO sleep by turns on CPU 0."""
        user, made = self.user, self.recording()
        made.cpu_switch(9_990, 10_000, 0, (0, 0), (PID, TWO))
        made.cpu_switch(10_140, 10_150, 0, (PID, TWO), (PID, ONE))
        made.cpu_switch(20_140, 20_150, 0, (PID, ONE), (PID, TWO))
        stream = made.stream(cpu=0).psb(10_000, user.beta)
        stream.tnt("1", 10_100)  # from leaf
        self.sleep(stream, 10_110)
        self.wake(stream, 10_145, user.alpha + 7)  # ONE slept before the recording began
        stream.tnt("1", 10_300)
        self.read(stream, 10_400, user.alpha + 7)
        # A page fault in front of leaf's only instruction.
        stream.add(stream._ip(0x1d, user.leaf), 10_500)
        stream.tip(self.kernel.asm_exc_page_fault, 10_500)
        stream.tnt("1", 10_520)  # from exc_page_fault
        stream.tip(user.leaf, 10_530)
        stream.tnt("1", 10_600)
        self.sleep(stream, 20_110)
        self.wake(stream, 20_145, user.beta + 7)
        stream.tnt("1", 20_300)
        self.read(stream, 20_400, user.beta + 7)
        stream.tnt("1", 29_000)
        return made

    def write(self, recording, name="perf.data"):
        """A directory as perf record --kcore makes it."""
        path = self.file(name)
        os.makedirs(path)
        recording.write(os.path.join(path, "data"), END - 1)
        self.kernel.write_kcore_dir(os.path.join(path, "kcore_dir"))
        return path

    def stacks(self, path, *options):
        stacks = {ONE: collections.Counter(), TWO: collections.Counter()}
        for frames, value in lib.report_folded(path, "--by", "thread", *options):
            stacks[int(frames[0].rpartition("/")[2])][tuple(frames[1:])] += value
        return stacks

    def every_engine(self, path):
        """(engine, report), of which every sum holds."""
        for engine in lib.engines():
            report = lib.report_json(path, "--engine", engine)
            self.assertEqual(lib.identity_errors(report), [])
            yield engine, report


class Decoded(KernelCase):
    def test_calls(self):
        path = self.write(self.scene())
        for engine, report in self.every_engine(path):
            with self.subTest(engine=engine):
                self.assertEqual(report["decode"]["errors"], 0)
                calls = {f["name"]: f["calls"] for f in report["functions"]}
                self.assertEqual(
                    {n: calls.get(n, 0) for n in (
                        "entry_SYSCALL_64", "do_syscall_64", "sys_read", "mod_read",
                        "sys_nanosleep", "schedule", "__switch_to_asm", "__switch_to",
                        "asm_exc_page_fault", "exc_page_fault", "leaf")},
                    {"entry_SYSCALL_64": 4, "do_syscall_64": 4, "sys_read": 2, "mod_read": 2,
                     "sys_nanosleep": 2, "schedule": 2, "__switch_to_asm": 2, "__switch_to": 2,
                     "asm_exc_page_fault": 1, "exc_page_fault": 1, "leaf": 5})
                modules = {f["name"]: f["module"] for f in report["functions"]}
                self.assertEqual(modules["mod_read"], "[ptmod]")
                self.assertEqual(modules["sys_read"], "[kernel.kallsyms]_text")

    def test_stacks_and_times(self):
        path = self.write(self.scene())
        for engine in lib.engines():
            with self.subTest(engine=engine):
                stacks = self.stacks(path, "--engine", engine)
                self.assertEqual(sum(sum(s.values()) for s in stacks.values()), 2 * (END - START))
                one, two = stacks[ONE], stacks[TWO]
                # Time in code of the kernel is on the stack of the code that called it.
                for stack, root in ((one, "alpha"), (two, "beta")):
                    reads = {s: n for s, n in stack.items() if "sys_read_[k]" in s}
                    self.assertEqual(
                        {s[:-1] if s[-1] == "mod_read_[k]" else s for s in reads},
                        {(root, *ENTRY, "sys_read_[k]")})
                    self.assertEqual(sum(reads.values()), 15)
                self.assertEqual(one["alpha", "leaf", "asm_exc_page_fault_[k]",
                                     "exc_page_fault_[k]"] +
                                 one["alpha", "leaf", "asm_exc_page_fault_[k]"], 30)
                # Both were off in the middle of a switch, and TWO came back to its own stack,
                # 5 ns before its record.
                self.assertEqual(one[("alpha", *SWITCH, "[blocked]")], END - 20_140)
                self.assertEqual(two[("beta", *SWITCH, "[blocked]")], 20_145 - 10_140)
                self.assertEqual(two[("beta", *SLEEP, "[blocked]")], 5)

    def test_states(self):
        path = self.write(self.scene())
        for engine, report in self.every_engine(path):
            with self.subTest(engine=engine):
                threads = {t["tid"]: t for t in report["threads"]}
                self.assertEqual(threads[TWO]["off_ns"], 10_010)
                self.assertEqual(threads[ONE]["lost_ns"] + threads[TWO]["lost_ns"], 0)
                # ONE: from its switch to sysret, a read, a fault, to its switch out.
                self.assertEqual(threads[ONE]["kernel_ns"],
                                 (10_185 - 10_150) + 40 + 30 + (20_140 - 20_110))

    def test_system_calls_are_left_once(self):
        """No frame of the kernel stays behind on the stack."""
        path = self.write(self.scene())
        stacks = self.stacks(path, "--weight", "calls")
        for thread in stacks.values():
            for stack in thread:
                self.assertLessEqual(stack.count("entry_SYSCALL_64_[k]"), 1, stack)
                self.assertFalse(stack[0].startswith("entry"), stack)

    def test_engines_agree(self):
        """Item by item, also where the kernel's code is missing."""
        compare = os.path.join(lib.BUILD_ROOT, "src/profile/compare_engines")
        path = self.write(self.scene())
        self.assertRegex(lib.run([compare, path]).stdout, "equal$")
        os.unlink(os.path.join(path, "kcore_dir", "kcore"))
        self.assertRegex(lib.run([compare, path]).stdout, "equal$")

    def test_like_perf(self):
        """perf decodes the same branches with the same names."""
        lib.need_program("perf")
        path = self.write(self.scene())
        perf = lib.run(["perf", "script", "-i", path, "--itrace=b", "-F", "tid,flags,ip,sym,addr"])
        seen = collections.Counter()
        for line in perf.stdout.splitlines():
            match = re.match(r"\s*(\d+)\s+(call|return|jmp|syscall|iret|int|hw int|sysret)\s+"
                             r"[0-9a-f]+ (\S+) +=> +[0-9a-f]+ (\S+)", line)
            if match and match.group(2) == "call":
                seen[match.group(4)] += 1
        self.assertGreater(seen["do_syscall_64"], 0, perf.stdout[:500] + perf.stderr)
        report = lib.report_json(path)
        ours = {f["name"]: f["calls"] - f["jump_calls"] for f in report["functions"]
                if f["calls"] > f["jump_calls"]}
        self.assertEqual(ours, seen)


class Moved(Decoded):
    """The kernel ran elsewhere than it was linked for."""

    moved = 0x1e000000


class Files(KernelCase):
    def test_no_code(self):
        """Without code the kernel is named as missing. User code goes on where the kernel returns to
        it; only behind the fault its stack is not known until the next system call is over."""
        path = self.write(self.scene())
        os.unlink(os.path.join(path, "kcore_dir", "kcore"))
        reports = []
        for engine in lib.engines():
            result = lib.run([lib.PTFLAME, "report", "-i", path, "-f", "json", "--engine", engine])
            report = lib.json.loads(result.stdout)
            self.assertEqual(lib.identity_errors(report), [])
            self.assertGreater(report["decode"]["errors"], 0)
            self.assertRegex(result.stderr, r"kernel\.kallsyms.*kernel code is not available")
            calls = {f["name"]: f["calls"] for f in report["functions"]}
            self.assertEqual(calls["entry_SYSCALL_64"], 3)  # the name is from kallsyms
            self.assertEqual(calls["asm_exc_page_fault"], 1)
            self.assertEqual(calls["leaf"], 5)
            threads = {t["tid"]: t for t in report["threads"]}
            self.assertEqual(threads[ONE]["off_ns"], 150 + END - 20_140)
            self.assertEqual(threads[TWO]["off_ns"], 10_010)
            reports.append({**report, "decode": {k: n for k, n in report["decode"].items()
                                                 if k not in ("engine", "seconds")}})
        self.assertEqual(reports, reports[:1] * len(reports))

    def test_neither_code_nor_names(self):
        path = self.write(self.scene())
        shutil.rmtree(os.path.join(path, "kcore_dir"))
        report = lib.report_json(path)
        self.assertEqual(lib.identity_errors(report), [])
        stacks = self.stacks(path, "--weight", "calls")
        self.assertTrue(any(stack[:2] == ("beta", "[kernel.kallsyms]_[k]")
                            for stack in stacks[TWO]), stacks[TWO])

    def test_vmlinux(self):
        """Without a kcore: the file's own symbols, and code where the record says that it ran. It
        has no modules."""
        for moved in (0, 0x1e000000):
            self.kernel = tracelib.Kernel(moved)
            path = self.write(self.scene(), f"moved-{moved:x}.data")
            shutil.rmtree(os.path.join(path, "kcore_dir"))
            for engine in lib.engines():
                result = lib.run([lib.PTFLAME, "report", "-i", path, "-f", "json", "--engine",
                                  engine, "--vmlinux", self.kernel.path])
                report = lib.json.loads(result.stdout)
                self.assertEqual(lib.identity_errors(report), [])
                calls = {f["name"]: f["calls"] for f in report["functions"]}
                self.assertEqual(calls["sys_nanosleep"], 2)
                self.assertEqual(calls["__switch_to"], 2)
                self.assertEqual(calls["sys_read"], 2)
                self.assertEqual(calls["leaf"], 5)
                self.assertRegex(result.stderr, r"\[ptmod\].*kernel code is not available")
        result = lib.run([lib.PTFLAME, "report", "-i", path, "--vmlinux", self.user.path])
        self.assertIn("no kernel image that can be used", result.stderr)

    def test_damaged_kcore(self):
        path = self.write(self.scene())
        kcore = os.path.join(path, "kcore_dir", "kcore")
        binary = os.environ.get("PTF_ASAN_BIN") or lib.PTFLAME
        with open(kcore, "rb") as file:
            whole = file.read()
        for at in range(0, 64 + 2 * 56, 3):
            with open(kcore, "wb") as file:
                file.write(whole[:at] + bytes([whole[at] ^ 0xff]) + whole[at + 1:])
            result = lib.run([binary, "report", "-i", path, "-f", "json"], timeout=60)
            self.assertEqual(lib.identity_errors(lib.json.loads(result.stdout)), [])
        for cut in (0, 1, 63, 64, 100, 0x1000, 0x1010, len(whole) - 1):
            with open(kcore, "wb") as file:
                file.write(whole[:cut])
            result = lib.run([binary, "report", "-i", path, "-f", "json"], timeout=60)
            self.assertEqual(lib.identity_errors(lib.json.loads(result.stdout)), [])


if __name__ == "__main__":
    lib.main()
