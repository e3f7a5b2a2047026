#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The hardware backend of `ptflame record`, without the hardware: PTFLAME_SYSROOT shows it the
sysfs and procfs files of another machine, and a program called perf, first in PATH, notes how it
was called, runs the command and writes a small perf.data."""

import itertools
import json
import os
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import time
import unittest

import ptf_testlib as lib

FAKE_PERF = r"""#!{python}
import json, os, signal, subprocess, sys

args = sys.argv[1:]
with open(os.environ["FAKE_PERF_LOG"], "w") as log:
    json.dump(args, log)
if "FAKE_PERF_FAILS" in os.environ:
    print("fake perf: no such event", file=sys.stderr)
    sys.exit(129)
output = args[args.index("-o") + 1]
if os.path.exists(output):
    subprocess.run(["rm", "-rf", output + ".old"], check=True)
    os.rename(output, output + ".old")
if "--kcore" in args:
    os.makedirs(output, exist_ok=True)
    output += "/data"
child = None
ended_by = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, frame: ended_by.append(n) or child and child.terminate())
command = args[args.index("--") + 1:] if "--" in args else ["sleep", "60"]
try:
    child = subprocess.Popen(command)
except OSError as error:
    print("Workload failed:", error, file=sys.stderr)
    sys.exit(255)
if ended_by: # before there was a child to tell
    child.terminate()
status = child.wait()
with open(os.environ["FAKE_PERF_DATA"], "rb") as data, open(output, "wb") as out:
    out.write(data.read())
if status < 0 or ended_by:
    number = ended_by[0] if ended_by else -status
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
sys.exit(status)
"""

ALL_CAPS = 0x1FFFFFFFFFF
SAMPLE_TYPE = 1 << 1 | 1 << 2  # TID, TIME


def record(kind, misc, body):
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def perf_data(lost=0, truncated=0):
    """A perf.data of one PT event with a switch, and losses if wanted."""
    sample_id = struct.pack("<iiQ", 1, 1, 1000)
    records = record(14, 1 << 13, sample_id)
    if lost:
        records += record(2, 0, struct.pack("<QQ", 0, lost) + sample_id)
    for i in range(truncated):
        records += record(11, 0, struct.pack("<QQQ", 4096 * i, 4096, 1) + sample_id)
    attr = struct.pack("<IIQQQQQ", 8, 128, 0x2401, 1, SAMPLE_TYPE, 0, 1 << 18).ljust(128, b"\0")
    attrs_at, data_at = 104, 104 + len(attr) + 16
    header = b"PERFILE2" + struct.pack("<QQ", 104, len(attr) + 16)
    header += struct.pack("<QQQQQQ", attrs_at, len(attr) + 16, data_at, len(records), 0, 0)
    header += bytes(32)
    return header + attr + struct.pack("<QQ", 0, 0) + records


class PerfBackend(lib.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.file("root")
        self.bin = self.file("bin")
        self.log = self.file("log")
        self.output = self.file("out.data")
        os.mkdir(self.bin)
        perf = os.path.join(self.bin, "perf")
        with open(perf, "w", encoding="utf-8") as script:
            script.write(FAKE_PERF.replace("{python}", sys.executable))
        os.chmod(perf, 0o755)
        self.canned(perf_data())
        self.machine()

    def canned(self, data):
        with open(self.file("canned.data"), "wb") as out:
            out.write(data)

    def put(self, name, text):
        path = self.root + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"{text}\n")

    def machine(self, pmu=True, cyc=1, mtc=1, filters=2, paranoid=2, mlock_kb=516, caps=ALL_CAPS,
                cpus="0-3", vendor="GenuineIntel", model="Intel(R) Core(TM) i7", flags="fpu"):
        device = "/sys/bus/event_source/devices/intel_pt"
        if pmu:
            self.put(f"{device}/type", 8)
            self.put(f"{device}/caps/psb_cyc", cyc)
            self.put(f"{device}/caps/mtc", mtc)
            self.put(f"{device}/nr_addr_filters", filters)
        self.put("/sys/devices/system/cpu/online", cpus)
        self.put("/proc/sys/kernel/perf_event_paranoid", paranoid)
        self.put("/proc/sys/kernel/perf_event_mlock_kb", mlock_kb)
        self.put("/proc/self/status", f"Name:\tx\nCapInh:\t0000\nCapEff:\t{caps:016x}")
        self.put("/proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\n"
                                  f"model name\t: {model}\nflags\t\t: {flags}\n")

    def environment(self, **more):
        return dict(os.environ, PTFLAME_SYSROOT=self.root, FAKE_PERF_LOG=self.log,
                    FAKE_PERF_DATA=self.file("canned.data"),
                    PATH=f"{self.bin}:{os.environ['PATH']}", **more)

    def ptflame(self, *options, check=True, memlock=None, **more):
        """Runs `ptflame record`; self.args is what perf was given, None when it did not run."""
        def limit():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))

        if os.path.exists(self.log):
            os.unlink(self.log)
        result = lib.run([lib.PTFLAME, "record", *options], check=check, cwd=self.dir,
                         env=self.environment(**more),
                         preexec_fn=limit if memlock is not None else None)
        self.args = None
        if os.path.exists(self.log):
            with open(self.log, encoding="utf-8") as log:
                self.args = json.load(log)
        return result

    def refused(self, *options, status=1, says=(), **how):
        result = self.ptflame("-o", self.output, *options, check=False, **how)
        self.assertEqual(result.returncode, status, lib.describe(result))
        self.assertIsNone(self.args, "perf was run")
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, result.stderr)
        return result

    # -- what perf is told

    def expected(self, target, command, timing, kernel, snapshot, filtered, size, buffer):
        args = ["record", "-o", self.output, "-N", "-T", "--switch-events",
                f"-m,{buffer or '16M'}", "-e"]
        terms = {"cyc": "cyc=1,mtc=1,tsc=1", "mtc": "cyc=0,mtc=1,tsc=1", "tsc": "cyc=0,mtc=0,tsc=1"}
        args.append(f"intel_pt/{terms[timing]}/{'' if kernel else 'u'}")
        if filtered:
            args += ["--filter", "filter main @ /bin/true"]
        args += ["--kcore"] if kernel else []
        args += ["--snapshot=e"] if snapshot else []
        args += ["--max-size=3M"] if size else []
        return args + target + ["--", *command]

    def test_psb_period(self):
        """The smallest period that hardware has and that is not below the one asked for."""
        for size, exponent in (("1", 0), ("2K", 0), ("3K", 1), ("4K", 1), ("64M", 15)):
            result = self.ptflame("--dry-run", "-o", self.output, "--psb-period", size, "true")
            self.assertIn(f"intel_pt/cyc=1,mtc=1,tsc=1,psb_period={exponent}/u", result.stdout)
        result = self.ptflame("--dry-run", "--psb-period", "65M", "true", check=False)
        self.assertEqual(result.returncode, 2)

    def test_every_combination_of_options(self):
        """With --dry-run, which prints the command line."""
        pid, parent = str(os.getpid()), str(os.getppid())
        sleep, true = ["sleep", "1.5"], ["true", "a b"]
        targets = [
            (["-p", pid, "-d", "1.5"], ["-p", pid], sleep),
            (["-p", f"{pid},{parent}", "-d", "1500ms"], ["-p", f"{pid},{parent}"], sleep),
            (["-t", pid, "-d", "1.5"], ["--per-thread", "-t", pid], sleep),
            (["-a", "-d", "1.5s"], ["-a"], sleep),
            (["-C", "0-1,3", "-d", "1.5"], ["-C", "0-1,3"], sleep),
            (["-a", "--", *true], ["-a"], true),
            (["--", *true], [], true),
        ]
        flags = list(itertools.product([False, True], repeat=5))
        for (ours, theirs, command), timing in itertools.product(targets, ("cyc", "mtc", "tsc")):
            for kernel, snapshot, filtered, size, buffer in flags:
                options = ["-o", self.output, "--dry-run", "--timing", timing]
                options += ["--kernel"] if kernel else []
                options += ["--snapshot"] if snapshot else []
                options += ["--filter", "filter main @ /bin/true"] if filtered else []
                options += ["--max-size", "3M"] if size else []
                options += ["-m", "5M"] if buffer else []
                result = self.ptflame(*options, *ours)
                self.assertIsNone(self.args, "--dry-run ran perf")
                self.assertEqual(
                    shlex.split(result.stdout)[1:],
                    self.expected(theirs, command, timing, kernel, snapshot, filtered, size,
                                  "8M" if buffer else None))

    def test_wakeups(self):
        """Behind the filter, which belongs to the event in front of it."""
        self.ptflame("-o", self.output, "--sched", "--filter", "filter main @ /bin/true", "true")
        at = self.args.index("--filter")
        self.assertEqual(self.args[at + 2 : at + 4], ["-e", "sched:sched_waking"])
        self.ptflame("-o", self.output, "true")
        self.assertNotIn("sched:sched_waking", self.args)
        self.machine(paranoid=0, caps=0, mlock_kb=1 << 20)
        self.refused("--sched", "true", says=("paranoid=-1", "leave --sched out"))
        self.machine(paranoid=-1, caps=0, mlock_kb=1 << 20)
        self.ptflame("-o", self.output, "--sched", "true")
        self.refused("--backend", "sim", "--sched", "true", says="no simulation of wakeups")

    def test_what_is_run_is_what_was_printed(self):
        for options in (["-p", str(os.getpid()), "-d", "0.01"], ["--kernel", "--", "true"],
                        ["-t", str(os.getpid()), "-d", "0.01", "--timing", "tsc"]):
            printed = self.ptflame("-o", self.output, "--dry-run", *options).stdout
            self.ptflame("-o", self.output + "2", *options)
            self.assertEqual(["perf", *self.args],
                             shlex.split(printed.replace(self.output, self.output + "2")))

    def test_real_perf_understands_the_options(self):
        """perf parses them all before it looks for the event."""
        perf = lib.need_program("perf")
        pid = str(os.getpid())
        for options in (["-p", pid, "-d", "1"], ["-t", pid, "-d", "1", "--snapshot"],
                        ["-p", pid, "-d", "1", "--sched"],
                        ["-a", "--max-size", "12345", "--", "true"],
                        ["--kernel", "--timing", "mtc", "-m", "64M", "--", "true"]):
            printed = self.ptflame("-o", self.output, "--dry-run", *options).stdout
            command = shlex.split(printed)
            command[command.index("-e") + 1] = "dummy:u"
            for snapshot in ("--snapshot=e", "--kcore"):  # of AUX events and of root only
                if snapshot in command:
                    command.remove(snapshot)
            command = [perf, *(word if not word.startswith("-m,") else "-m,4K"
                               for word in command[1:])]
            command.insert(2, "--dry-run")
            result = lib.run(command, check=False)
            self.assertNotIn("Usage:", result.stderr)
            self.assertNotIn("unknown option", result.stderr + result.stdout)

    def test_duration_of_a_command(self):
        """perf has no such option: it is interrupted."""
        printed = self.ptflame("--dry-run", "-d", "0.5", "--", "sleep", "60").stdout
        self.assertTrue(printed.startswith("timeout -s INT 0.5 perf record "), printed)
        start = time.monotonic()
        result = self.ptflame("-o", self.output, "-d", "0.5", "--", "sleep", "60")
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(self.args[-2:], ["sleep", "60"])
        self.assertIn("nothing lost", result.stderr)

    # -- what becomes of it

    def test_exit_status_is_the_commands(self):
        for script, status in (("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 128 + 15)):
            result = self.ptflame("-o", self.output, "--", "sh", "-c", script, check=False)
            self.assertEqual(result.returncode, status, lib.describe(result))

    def test_perf_that_fails(self):
        self.canned(perf_data())
        with open(self.output, "wb") as old:
            old.write(b"an old recording")
        result = self.ptflame("-o", self.output, "--", "true", check=False, FAKE_PERF_FAILS="1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("status 129", result.stderr)
        self.assertIn("no such event", result.stderr)
        result = self.ptflame("-o", self.output, "--", "/no/such/program", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("/no/such/program", result.stderr)

    def test_losses_are_told_with_the_remedy(self):
        self.canned(perf_data(lost=17, truncated=3))
        result = self.ptflame("-o", self.output, "--", "true")
        self.assertIn("lost in 3 places", result.stderr)
        self.assertIn("-m 64M", result.stderr)
        self.assertIn("17 context switch records", result.stderr)
        self.assertNotIn("nothing lost", result.stderr)
        self.canned(perf_data())
        self.assertIn("nothing lost", self.ptflame("-o", self.output, "--", "true").stderr)

    def test_initial_stacks(self):
        """Stacks of a running process go into the file that perf wrote, which it still decodes.
        The file is the simulator's: like perf's it has a dummy event."""
        lib.need_simulator()
        perf = lib.need_program("perf")
        canned = self.file("canned.data")
        lib.record(canned, lib.program("recursion", "static").command)
        program = lib.program("standing", "dynamic", ["9000"])
        with lib.background(program.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            for target, count in (["-p", str(process.pid)], 5), (["-t", str(process.pid)], 1):
                result = self.ptflame("-o", self.output, *target, "-d", "0.2")
                self.assertEqual(self.args[-2:], ["sleep", "0.2"])
                if "perf clock" in result.stderr or "not permitted" in result.stderr:
                    self.skipTest(result.stderr)
                self.assertRegex(result.stderr, rf"the stacks of {count} threads were copied, "
                                                r"which stopped each for \d+\.\d\d ms at most")
                dump = lib.run([perf, "report", "-D", "-i", self.output]).stdout
                chains = re.findall(rf"PERF_RECORD_SAMPLE\(IP, 0x2\): {process.pid}/(\d+): "
                                    r".*\n\.\.\. FP chain: nr:(\d+)", dump)
                self.assertEqual(len({tid for tid, _ in chains}), count)
                self.assertEqual(len(chains), count + 1)  # the deep one takes two
                depth = sum(int(n) - 1 for tid, n in chains if int(tid) == process.pid)
                self.assertTrue(9004 <= depth <= 9012, depth)
            process.stdin.close()
            self.assertIn("interrupted 0\nearly 0\n", process.stdout.read())
            process.stdout.close()
        branches = [[line for line in lib.run([perf, "script", "-i", path, "--itrace=cr", "-F",
                                               "time,event,ip,addr"]).stdout.splitlines()
                     if "branches" in line] for path in (canned, self.output)]
        self.assertEqual(*branches)
        self.assertTrue(branches[0])

    def test_stacks_that_cannot_be_kept(self):
        """A file without a dummy event: the recording stands, with a word about it."""
        result = self.ptflame("-o", self.output, "-p", str(os.getpid()), "-d", "0.2")
        self.assertIn("stacks are not known from the beginning", result.stderr)
        self.assertNotIn("were copied", result.stderr)

    def test_signals_end_the_recording(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with lib.background([lib.PTFLAME, "record", "-o", self.output, "-p", str(os.getpid())],
                                env=self.environment(), stderr=subprocess.PIPE,
                                text=True) as process:
                lib.wait_until(lambda: os.path.exists(self.log) and os.path.getsize(self.log),
                               what="perf")
                time.sleep(0.2)
                os.kill(process.pid, number)
                _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 0, err)
            self.assertIn("nothing lost", err)
            os.unlink(self.log)

    # -- what is missing, and what to do

    def test_no_intel_pt(self):
        os.rename(self.root, self.root + ".pt")
        for how, says in (
            ({"vendor": "AuthenticAMD", "model": "AMD EPYC 9"}, ("AMD EPYC 9", "ptflame sim")),
            ({"flags": "fpu hypervisor"}, ("virtual machine", "pt_mode=1", "ptflame sim")),
            ({}, ("no intel_pt PMU", "firmware", "ptflame sim")),
        ):
            self.machine(pmu=False, **how)
            self.refused("--backend", "perf", "--", "true", says=says)

    def test_auto_takes_what_is_there(self):
        self.ptflame("-o", self.output, "--", "true")
        self.assertIsNotNone(self.args)
        os.rename(self.root, self.root + ".pt")
        self.machine(pmu=False)
        printed = self.ptflame("--dry-run", "-o", self.output, "--", "true").stdout
        self.assertIn("simulated PT", printed)
        self.refused("-p", str(os.getpid()), says=("not simulated", "ptflame sim -- CMD"))
        self.refused("-a", says="needs a machine with Intel PT")

    def test_no_perf(self):
        os.unlink(os.path.join(self.bin, "perf"))
        result = lib.run([lib.PTFLAME, "record", "-o", self.output, "--", "true"], check=False,
                         env=dict(self.environment(), PATH=self.bin))
        self.assertEqual(result.returncode, 1)
        self.assertIn("apt install linux-perf", result.stderr)

    def test_paranoid(self):
        self.machine(paranoid=3, caps=0)
        self.refused("--", "true", says="sysctl kernel.perf_event_paranoid=2")
        self.machine(paranoid=2, caps=0, mlock_kb=1 << 20)
        self.ptflame("-o", self.output, "--", "true")
        self.refused("--kernel", "--", "true", says="sysctl kernel.perf_event_paranoid=1")
        self.refused("-a", says="sysctl kernel.perf_event_paranoid=0")
        self.refused("-C", "0", says="sysctl kernel.perf_event_paranoid=0")
        self.machine(paranoid=4, caps=1 << 38 | 1 << 14)  # CAP_PERFMON, CAP_IPC_LOCK
        self.ptflame("-o", self.output, "-a", "--", "true")

    def test_locked_memory(self):
        """4 CPUs with 516 kB each and an ulimit of 8 MB: 2.5 MB for each buffer."""
        self.machine(caps=0)
        result = self.ptflame("-o", self.output, "--", "true", memlock=8 << 20)
        self.assertIn("-m256K,2M", self.args)
        self.assertIn("sysctl kernel.perf_event_mlock_kb=16644", result.stderr)
        result = self.refused("-m", "64M", "--", "true", memlock=8 << 20,
                              says=("mlock_kb=65796", "ulimit -l", "-m 2048K"))
        # What it recommends is enough.
        self.machine(caps=0, mlock_kb=65796)
        self.ptflame("-o", self.output, "-m", "64M", "--", "true", memlock=0)
        self.assertIn("-m256K,64M", self.args)
        self.machine(caps=0)
        self.ptflame("-o", self.output, "-m", "2048K", "--", "true", memlock=8 << 20)
        self.assertIn("-m256K,2M", self.args)
        # One thread has one buffer, and all of it.
        self.ptflame("-o", self.output, "-t", str(os.getpid()), "-d", "0.01", memlock=8 << 20)
        self.assertIn("-m256K,8M", self.args)
        self.machine(caps=0, paranoid=-1)
        self.ptflame("-o", self.output, "--", "true", memlock=0)
        self.assertIn("-m,16M", self.args)

    def test_timing_falls_back(self):
        self.machine(cyc=0)
        result = self.ptflame("-o", self.output, "--", "true")
        self.assertIn("intel_pt/cyc=0,mtc=1,tsc=1/u", self.args)
        self.assertIn("psb_cyc", result.stderr)
        self.machine(cyc=0, mtc=0)
        result = self.ptflame("-o", self.output, "--", "true")
        self.assertIn("intel_pt/cyc=0,mtc=0,tsc=1/u", self.args)
        self.assertIn("caps/mtc", result.stderr)

    def test_filters(self):
        self.machine(filters=0)
        self.refused("--filter", "filter main @ /bin/true", "--", "true", says="address filters")

    def test_kernel_without_root(self):
        self.machine(caps=0, paranoid=1, mlock_kb=1 << 20)
        result = self.ptflame("-o", self.output, "--kernel", "--", "true")
        self.assertNotIn("--kcore", self.args)
        self.assertIn("kcore", result.stderr)

    # -- usage

    def test_wrong_usage(self):
        me = str(os.getpid())
        for options, says in (
            ([], "what is to be recorded"),
            (["-p", me, "--", "true"], "command"),
            (["-p", me, "-t", me], "only one of"),
            (["-a", "-p", me], "only one of"),
            (["-a", "-C", "0"], "only one of"),
            (["-p", "abc"], "'abc' is not a process"),
            (["-p", "-5"], "'-5' is not a process"),
            (["-p", ","], "process id"),
            (["-p", "999999999"], "no process 999999999"),
            (["-t", "999999999"], "no process 999999999"),
            (["-p", me, "-d", "soon"], "'soon' is not a duration"),
            (["-p", me, "-d", "0"], "'0' is not a duration"),
            (["-p", me, "-d", "-1"], "'-1' is not a duration"),
            (["-p", me, "-d", "nan"], "'nan' is not a duration"),
            (["-p", me, "-m", "12X"], "'12X' is not a size"),
            (["-p", me, "--max-size", ""], "'' is not a size"),
            (["-p", me, "--timing", "fast"], "--timing fast"),
            (["-p", me, "--backend", "gpu"], "--backend gpu"),
            (["-p", me, "-o", ""], "file name"),
            (["-C", "one"], "list of CPUs"),
            (["--no-such-option"], "no-such-option"),
        ):
            result = self.ptflame(*options, check=False)
            self.assertEqual(result.returncode, 2, lib.describe(result))
            self.assertIn(says, result.stderr)
            self.assertIsNone(self.args, "perf was run")

    def test_help(self):
        text = self.ptflame("--help").stdout
        for option in ("--pid", "--tid", "--all-cpus", "--cpu", "--output", "--duration",
                       "--max-size", "--backend", "--buffer", "--kernel", "--timing", "--filter",
                       "--snapshot", "--psb-period", "--dry-run", "--lossy", "--clock"):
            self.assertIn(option, text)


if __name__ == "__main__":
    unittest.main()
