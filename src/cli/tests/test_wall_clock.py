#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The real clock: a program that spends its time by a plan, and says how long each part took,
against the report; on and off the CPU."""

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
        off = ("[blocked]", "[preempted]", "[yielded]", "[runqueue]", "[off]")
        for name in ("plan_sleep", "plan_mutex"):
            blocked = time_under(wall, name, ("[blocked]",))
            self.assertGreater(blocked, truth.times[name] * 0.9, f"{name}: blocked")
        asleep = [frames for frames, _ in wall
                  if "plan_sleep" in frames and frames[-1] == "[blocked]"]
        self.assertTrue(any("nanosleep" in frame for frames in asleep for frame in frames[-2:]),
                        f"the system call that slept: {asleep}")
        self.assertEqual(sum(v for _, v in wall), sum(t["wall_ns"] for t in report["threads"]))
        self.assertEqual(sum(v for frames, v in wall if frames[-1] in off),
                         sum(t["off_ns"] for t in report["threads"]))

    def test_computing_does_not_block(self):
        """It may be preempted; and where the recorder gets no processor for long, the simulator
        waits for it, which a second try on a less busy machine should not see."""
        shares = []
        for _ in range(4):
            data, truth = self.record("static")
            blocked = time_under(lib.report_folded(data), "plan_busy", ("[blocked]",))
            shares.append(blocked / truth.times["plan_busy"])
            if shares[-1] < 0.05:
                return
        self.fail(f"share of plan_busy that is blocked: {shares}")

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


if __name__ == "__main__":
    lib.main()
