#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Records sim_guest under the simulator and compares what libipt decodes with what QEMU executed.

    test_sim.py PLUGIN VERIFY GUEST GUEST_STATIC [TestSim.test_...]
"""
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import sim_client

PLUGIN, VERIFY, GUEST, GUEST_STATIC = sys.argv[1:5]
COUNTS = re.compile(r"bytes (\d+) instructions (\d+) blocks (\d+)/(\d+) enabled (\d+) disabled "
                    r"(\d+) async (\d+) overflows (\d+) errors (\d+) differences (\d+)")
FIELDS = ["bytes", "instructions", "blocks", "truth", "enabled", "disabled", "async", "overflows",
          "errors", "differences"]


class TestSim(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def record(self, *guest, status=0, name="r", program=GUEST, **options):
        got, recording = sim_client.record(PLUGIN, [program, *guest], self.directory / name,
                                           **options)
        if status is not None:
            self.assertEqual(got, status)
        self.assertEqual(recording.stacks, [])  # nothing has run before it
        return recording

    def verify(self, recording, name, directory="r"):
        maps = [str(x) for m in recording.maps[name] if m["name"].startswith("/") and
                not m["name"].startswith("//") for x in (m["addr"], m["len"], m["pgoff"], m["name"])]
        stream = self.directory / directory / f"{name}.pt"
        done = subprocess.run([VERIFY, stream, stream.with_suffix(".log"), *maps],
                              capture_output=True, text=True, check=False)
        counts = COUNTS.search(done.stdout)
        self.assertTrue(counts, done.stdout + done.stderr)
        return done.returncode, dict(zip(FIELDS, map(int, counts.groups()))), done.stdout

    def check(self, recording, directory="r"):
        """Every stream agrees with the truth; returns the counts summed over streams."""
        total = dict.fromkeys(FIELDS, 0)
        self.assertTrue(recording.streams)
        for name in recording.streams:
            status, counts, text = self.verify(recording, name, directory)
            self.assertEqual(status, 0, f"stream {name}: {text}")
            self.assertGreater(counts["instructions"], 0)
            self.assertEqual(counts["overflows"], 0)
            for field, value in counts.items():
                total[field] += value
        return total

    def events(self, recording, kind):
        return [e for e in recording.events if e["type"] == kind]

    def test_oracle_notices(self):
        """The comparison fails when the trace is not the truth."""
        recording = self.record("pointers")
        name = next(iter(recording.streams))
        log = self.directory / "r" / f"{name}.log"
        data = bytearray(log.read_bytes())
        data[16 * 20000] ^= 1
        log.write_bytes(data)
        self.assertEqual(self.verify(recording, name)[0], 1)
        log.write_bytes(data[:16 * 20000])
        self.assertEqual(self.verify(recording, name)[0], 1)

    def test_flow(self):
        for guest in ("recursion", "pointers", "sorting", "longjumps", "strings", "odd_branches"):
            with self.subTest(guest):
                counts = self.check(self.record(guest, name=guest), guest)
                self.assertEqual(counts["async"], 0)
                self.assertGreater(counts["instructions"], 50000)

    def test_static(self):
        for guest in ("recursion", "fault_skip", "timer"):
            with self.subTest(guest):
                self.check(self.record(guest, name=guest, program=GUEST_STATIC), guest)

    def test_timing_modes(self):
        for timing in (1, 2):
            for noretcomp in (0, 1):
                with self.subTest(timing=timing, noretcomp=noretcomp):
                    name = f"m{timing}{noretcomp}"
                    self.check(self.record("timer", name=name, timing=timing, noretcomp=noretcomp,
                                           psb_period=2048), name)

    def test_faults(self):
        for guest, count in (("fault_skip", 64), ("fault_fix", 7), ("fault_jump", 13)):
            with self.subTest(guest):
                counts = self.check(self.record(guest, name=guest), guest)
                self.assertEqual(counts["async"], count)
        counts = self.check(self.record("breakpoint", name="b"), "b")
        self.assertEqual(counts["async"], 0)  # a trap is a far branch

    def test_signals(self):
        for guest, least in (("timer", 50), ("timer_tight", 50), ("timer_rep", 50), ("nested", 5),
                             ("alternate", 50), ("timer_jump", 10), ("timer_sleep", 0)):
            with self.subTest(guest):
                counts = self.check(self.record(guest, name=guest), guest)
                self.assertGreaterEqual(counts["async"], least)

    def test_threads(self):
        recording = self.record("threads")
        self.check(recording)
        self.assertEqual(len(recording.streams), 301)
        exits = [e["tid"] for e in self.events(recording, "exit")]
        self.assertEqual(len(exits), 300)
        comms = {e["name"] for e in self.events(recording, "comm")}
        self.assertEqual(comms, {f"w{i}" for i in range(300)})

    def test_thread_ends(self):
        self.assertEqual(len(self.record("exit_running").streams), 7)
        recording = self.record("exit_running", name="e")
        self.check(recording, "e")
        named = self.events(recording, "comm") + self.events(recording, "thread")
        self.assertIn("renamed", {e["name"] for e in named})
        self.check(self.record("thread_signals", name="s"), "s")

    def test_crash(self):
        counts = self.check(self.record("crash", status=-signal.SIGSEGV))
        self.assertEqual(counts["async"], 1)

    def test_fork(self):
        recording = self.record("forking")
        self.check(recording)
        self.assertEqual(len(recording.streams), 4)
        self.assertEqual(len(self.events(recording, "fork")), 3)

    def test_exec(self):
        recording = self.record("executing")
        self.check(recording)
        execs = self.events(recording, "exec")
        self.assertTrue(all(e["simulated"] for e in execs))
        self.assertEqual(len(execs), 2)  # itself, /bin/sh
        self.assertEqual(len(recording.streams), 5)  # each child before and after, and the parent
        names = [e["name"] for e in self.events(recording, "thread")]
        self.assertIn("sh", names)

    def test_exec_insn_clock(self):
        """The clock and the process id of a program go on in the one that it executes."""
        recording = self.record("executing", clock="insn")
        self.check(recording)
        for execution in self.events(recording, "exec"):
            at = recording.events.index(execution)
            started = [e for e in recording.events[at:] if e["type"] == "started"]
            hello = [e for e in recording.events[at:] if e["type"] == "hello"]
            self.assertGreaterEqual(started[0]["time_ns"], execution["time_ns"])
            self.assertIn(execution["pid"], [e["pid"] for e in hello])

    def test_self_modifying(self):
        done = subprocess.run([*sim_client.command(PLUGIN, [GUEST, "self_modifying"], wait=0)],
                              check=False)
        self.assertEqual(done.returncode, 0)
        recording = self.record("self_modifying")
        anonymous = [e for e in self.events(recording, "mmap") if e["name"] == "//anon"]
        self.assertEqual(len(anonymous), 1)

    def test_deterministic(self):
        """The insn clock: byte-identical streams and events."""
        seen = set()
        for i in range(3):
            recording = self.record("sorting", name=f"d{i}", clock="insn")
            self.assertEqual(list(recording.streams), ["1000"])
            events = [{k: v for k, v in e.items() if not k.startswith("real") and k != "ppid" and
                       k != "ptid"} for e in recording.events]
            seen.add(hashlib.sha256(bytes(recording.streams["1000"]) +
                                    repr(events).encode()).hexdigest())
        self.check(recording, "d2")
        self.assertEqual(len(seen), 1)

    def test_slow_client(self):
        """A client that is slow makes the program wait, and loses nothing."""
        counts = self.check(self.record("sorting", delay=0.01, buffer_size=16384))
        self.assertEqual(counts["overflows"], 0)

    def test_lossy(self):
        recording = self.record("timer_tight", delay=0.5, buffer_size=16384, lossy=1)
        self.assertTrue(recording.lost)
        stopped = self.events(recording, "stopped")[0]
        self.assertGreater(stopped["lost_bytes"], 0)
        _, counts, text = self.verify(recording, next(iter(recording.streams)))
        self.assertGreater(counts["overflows"], 0, text)
        self.assertEqual(counts["errors"], 0, text)
        self.assertEqual(counts["bytes"], stopped["aux_bytes"])

    def test_start_stop(self):
        """Attach to a running process, stop, start again."""
        directory = self.directory / "r"
        directory.mkdir()
        process = subprocess.Popen(sim_client.command(PLUGIN, [GUEST, "exit_late"], wait=0))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(0.3)
        for _ in range(3):
            recording = sim_client.Recording(process.pid)
            recording.run(20, stop_after=0.5)
            kinds = [e["type"] for e in recording.events]
            self.assertEqual(kinds[-1], "stopped")
            self.assertEqual(len(recording.streams), 2)  # those that wait have no data
            size = sum(map(len, recording.streams.values()))
            self.assertEqual(size, recording.events[-1]["aux_bytes"])
            threads = {e["tid"] for e in self.events(recording, "thread")}
            self.assertEqual(sorted(s["tid"] for s in recording.stacks), sorted(threads))
            self.assertEqual(len(threads), 4)
            started = self.events(recording, "started")[0]["time_ns"]
            for stack in recording.stacks:
                self.assertEqual(stack["time_ns"], started)
                self.assertEqual(stack["addr"], stack["r7"] - 128)
                self.assertGreater(len(stack["bytes"]), 128)
                code = [m for m in self.events(recording, "mmap")
                        if m["addr"] <= stack["r16"] < m["addr"] + m["len"]]
                self.assertEqual(len(code), 1, stack["r16"])

    def test_environment(self):
        """Nothing is added to what the program sees."""
        env = {"A": "1", "LD_BIND_NOW": "1"}
        done = subprocess.run(sim_client.command(PLUGIN, ["/usr/bin/env"], wait=0), env=env,
                              capture_output=True, text=True, check=False)
        native = subprocess.run(["/usr/bin/env"], env=env, capture_output=True, text=True,
                                check=False)
        self.assertEqual(sorted(done.stdout.split()), sorted(native.stdout.split()))
        done = subprocess.run(sim_client.command(PLUGIN, ["/bin/ls", "/proc/self/fd"], wait=0),
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout.split(), ["0", "1", "2", "3"])

    def test_arguments(self):
        """Arguments and name arrive as they are, also through execve, scripts and the insn clock."""
        script = self.directory / "a script, with comma"
        script.write_text("#!/bin/sh -e\nprintf '<%s>' \"$0\" \"$@\"\nexec /bin/sh -c "
                          "'printf \"[%s]\" \"$0\" \"$@\"; ls /proc/self/fd' '' 'x y'\n")
        script.chmod(0o755)
        want = subprocess.run([script, "", "a b"], capture_output=True, check=True).stdout
        for clock in ("real", "insn"):
            done = subprocess.run(
                sim_client.command(PLUGIN, ["/bin/sh", "-c", 'exec "$0" "$@"', script, "", "a b"],
                                   clock, wait=0), capture_output=True, check=True)
            self.assertEqual(done.stdout, want)

    def test_closed_descriptors(self):
        """A guest that closes all descriptors is recorded to its end."""
        self.check(self.record("close_all"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
