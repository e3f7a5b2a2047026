#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The real clock: a program that spends its time by a plan, and says how long each part took,
against the report; on and off the CPU."""

import glob
import os
import re
import signal
import subprocess
import time

import ptf_testlib as lib


def time_under(stacks, function, leaf=None):
    return sum(value for frames, value in stacks
               if function in frames and (leaf is None or frames[-1] in leaf))


class Plan(lib.TestCase):
    """plan.c: 60 ms busy, 80 ms asleep, 70 ms waiting for a mutex, 5 fsyncs."""

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def record(self, variant):
        data = self.file("plan.data")
        program = lib.program("plan", variant, ["60", "80", "70", "5"])
        truth = lib.Truth(lib.record(data, program.command, clock="real"))
        return data, truth

    def test_time_of_every_part(self):
        for variant in ("static", "dynamic"):
            with self.subTest(variant=variant):
                data, truth = self.record(variant)
                report = lib.report_json(data)
                self.assertEqual(lib.identity_errors(report), [])
                totals = {f["name"]: f["total_ns"] for f in report["functions"]}
                self.assertEqual(set(truth.times),
                                 {"plan_busy", "plan_sleep", "plan_mutex", "plan_fsync"})
                for name, ns in truth.times.items():
                    # The program's own readings of the clock enclose the call, and what happens
                    # between them and the call: it may be preempted there.
                    self.assertLessEqual(totals[name], ns * 1.001 + 50e3, name)
                    self.assertGreater(totals[name], ns * 0.85 - 5e6, name)

    def test_why_the_time_went(self):
        data, truth = self.record("dynamic")
        report = lib.report_json(data)
        if not report["window"]["switches"]:
            self.skipTest("no context switches in the recording (perf_event_open not allowed)")
        wall = lib.report_folded(data)
        off = ("[blocked]", "[preempted]", "[yielded]", "[runqueue]", "[off]", "[recorder]")
        for name, ms in (("plan_sleep", 80), ("plan_mutex", 70)):
            # It may have had to wait for a CPU before and after.
            blocked = time_under(wall, name, ("[blocked]",))
            waited = time_under(wall, name, off)
            self.assertGreater(blocked, ms * 0.9e6, f"{name}: blocked")
            self.assertGreater(waited, truth.times[name] * 0.9, f"{name}: off the CPU")
        asleep = [frames for frames, _ in wall
                  if "plan_sleep" in frames and frames[-1] == "[blocked]"]
        self.assertTrue(any("nanosleep" in frame for frames in asleep for frame in frames[-2:]),
                        f"the system call that slept: {asleep}")
        self.assertEqual(sum(v for _, v in wall), sum(t["wall_ns"] for t in report["threads"]))
        self.assertEqual(sum(v for frames, v in wall if frames[-1] in off),
                         sum(t["off_ns"] for t in report["threads"]))

    def test_computing_does_not_block(self):
        """It may be preempted; and the simulator waits for the recorder, which is told apart."""
        data, truth = self.record("static")
        blocked = time_under(lib.report_folded(data), "plan_busy", ("[blocked]", "[off]"))
        self.assertLess(blocked, truth.times["plan_busy"] * 0.02)

    def test_a_recorder_that_stands_still(self):
        """The program fills its buffer and waits: that is not its own doing, and is told."""
        data = self.file("stopped.data")
        program = lib.program("plan", "static", ["1500", "1", "1", "1"])
        with lib.background([lib.PTFLAME, "record", "--backend", "sim", "-o", data, "--",
                             *program.command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            text=True) as process:
            # It writes beside the file until it is done.
            lib.wait_until(lambda: sum(os.path.getsize(name) for name in glob.glob(data + ".tmp.*"))
                           > 2 << 20, what="trace data")
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGCONT)
            _, err = process.communicate(timeout=60)
        waited = re.search(r"waited (\d+\.\d+) s for the recorder", err)
        self.assertTrue(waited, err)
        if not lib.report_json(data)["window"]["switches"]:
            self.skipTest("no context switches in the recording (perf_event_open not allowed)")
        stacks = lib.report_folded(data)
        recorder = time_under(stacks, "plan_busy", ("[recorder]",))
        self.assertGreater(recorder, 0.2e9)
        self.assertLessEqual(recorder, float(waited.group(1)) * 1e9 + 10e6)
        self.assertLess(time_under(stacks, "plan_busy", ("[blocked]", "[off]")), 0.05e9)

    def test_threads_wait_for_each_other(self):
        """handover: each thread's wall-clock time is there, on and off the CPU."""
        data = self.file("handover.data")
        truth = lib.Truth(lib.record(data, lib.program("handover").command, clock="real"))
        report = lib.report_json(data)
        self.assertEqual(lib.identity_errors(report), [])
        self.assertEqual(len(report["threads"]), truth.threads)
        calls = {f["name"]: f["calls"] for f in report["functions"]}
        for name, count in truth.calls.items():
            self.assertEqual(calls[name], count, name)


class Workers(lib.TestCase):
    """workers.c: four threads with a plan of 30 % computing, 40 % asleep, 20 % waiting for a mutex,
    10 % in fsync. What a loaded machine makes of the plan the program measures itself: by the clock
    for waiting, by the clock of CPU time for computing."""

    MS = 1500
    PLAN = {"part_busy": 0.3, "part_sleep": 0.4, "part_mutex": 0.2, "part_fsync": 0.1}
    CALL = {"part_sleep": "clock_nanosleep", "part_mutex": "futex", "part_fsync": "fsync"}
    POINTS = 0.03  # of the plan
    OFF = ("[blocked]", "[preempted]", "[recorder]")

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def record(self, variant, *arguments):
        """(the program's truth, folded stacks by thread name) of a recording with switches."""
        data = self.file("workers.data")
        program = lib.program("workers", variant, [str(self.MS), *arguments])
        truth = lib.Truth(lib.record(data, program.command, clock="real"))
        report = lib.report_json(data)
        if not report["window"]["switches"]:
            self.skipTest("no context switches in the recording (perf_event_open not allowed)")
        self.assertEqual(len(report["threads"]), truth.threads)
        stacks = {}
        for frames, value in lib.report_folded(data):
            stacks.setdefault(frames[0], []).append((frames[1:], value))
        return truth.times, stacks

    def test_the_plan(self):
        for variant in ("static", "dynamic"):
            times, threads = self.record(variant)
            for number in range(4):
                with self.subTest(variant=variant, thread=number):
                    self.check_worker(times, threads, f"worker{number}")

    def check_worker(self, times, threads, name):
        stacks, whole = threads[name], self.MS * 1e6
        self.assertEqual(
            {part for part in self.PLAN if time_under(stacks, part)}, set(self.PLAN))
        for part, share in self.PLAN.items():
            wall = times[f"{name}:{part}"]
            self.assertAlmostEqual(time_under(stacks, part) / whole, wall / whole,
                                   delta=self.POINTS, msg=f"{part}: wall, plan {share}")
        # On the right stack: each part under `work`, and no other part's time in it.
        for frames, _ in stacks:
            for part in self.PLAN:
                if part in frames:
                    self.assertEqual(frames[frames.index(part) - 1], "work")
        on = sum(v for frames, v in stacks
                 if "part_busy" in frames and frames[-1] not in self.OFF)
        self.assertAlmostEqual(on / whole, self.PLAN["part_busy"], delta=self.POINTS)
        blocked = time_under(stacks, "part_busy", ("[blocked]",))
        self.assertLess(blocked / whole, self.POINTS / 3)
        all_on = sum(v for frames, v in stacks if frames[-1] not in self.OFF)
        self.assertAlmostEqual(all_on / whole, times[f"{name}:cpu"] / whole, delta=self.POINTS)
        for part, call in self.CALL.items():
            self.check_wait(stacks, part, call, times[f"{name}:{part}"] / whole)

    def check_wait(self, stacks, part, call, measured):
        """Off the CPU in the right system call. The program's own measure is the plan's share on a
        quiet machine; on another one it may be delayed."""
        whole = self.MS * 1e6
        blocked = [(frames, v) for frames, v in stacks
                   if part in frames and frames[-1] == "[blocked]"]
        in_call = sum(v for frames, v in blocked if frames[-2] == f"syscall:{call}_[k]")
        elsewhere = sum(v for _, v in blocked) - in_call
        self.assertLess(elsewhere / whole, self.POINTS, part)
        if part != "part_fsync":
            self.assertGreater(in_call / whole, self.PLAN[part] - self.POINTS, part)
            self.assertAlmostEqual(in_call / whole, measured, delta=self.POINTS, msg=part)
        else:  # where no disk is behind it fsync need not wait: then it computes
            on = sum(v for frames, v in stacks if part in frames and frames[-1] not in self.OFF)
            self.assertAlmostEqual((in_call + on) / whole, measured, delta=self.POINTS, msg=part)

    def test_two_on_one_cpu(self):
        """Each computes half the time at most, and is preempted the rest."""
        times, threads = self.record("dynamic", "rivals")
        for name in ("worker0", "worker1"):
            stacks, whole = threads[name], times[f"{name}:rival_busy"]
            preempted = time_under(stacks, "rival_busy", ("[preempted]",)) / whole
            recorder = time_under(stacks, "rival_busy", ("[recorder]",)) / whole
            waited = 1 - times[f"{name}:cpu"] / whole
            self.assertAlmostEqual(preempted + recorder, waited, delta=self.POINTS)
            self.assertLess(time_under(stacks, "rival_busy", ("[blocked]",)) / whole, 0.01)
            self.assertLess(recorder, 0.2)
            self.assertGreater(preempted + recorder, 0.5 - self.POINTS)


if __name__ == "__main__":
    lib.main()
