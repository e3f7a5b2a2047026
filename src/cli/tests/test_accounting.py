#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Where the time of every thread goes, in recordings written by hand (ptf_tracelib): who lived when,
who ran where, why a thread was off, in the ordinary case and where records are late, lost or not
there. perf itself decodes the same files: it must see the same threads in the same code."""

import collections
import json
import os
import random
import re

import ptf_testlib as lib
import ptf_tracelib as tracelib

PID, ONE, TWO, THREE = 10, 11, 12, 13
BOTH = ((PID, ONE), (PID, TWO))
IDLE = (0, 0)
START, END = 10_000, 20_000
KERNEL = "[kernel]_[k]"


class Accounting(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.code = tracelib.Stages()

    def recording(self, **options):
        """Of a process with the threads `one` and `two`."""
        made = tracelib.Recording(window=(START, END), **options)
        made.program(PID, ONE, "one", self.code)
        made.comm(PID, TWO, "two")
        return made

    def round(self, stream, function, on, off):
        """A round of alpha or beta from a call of leaf on, which returns halfway, to its system
        call."""
        stream.on(function, on).tnt("1", (on + off) // 2).off(off)

    def report(self, recording, *options):
        """(threads by tid, {(tid, frame, ...): ns}) of a recording; both must agree."""
        path = recording.write(self.file("perf.data"), END - 1)
        return self.read(path, *options)

    def read(self, path, *options):
        """The same of a file."""
        results = [self.read_with(path, "--engine", engine, *options) for engine in lib.engines()]
        for result in results[1:]:
            self.assertEqual(results[0], result)
        return results[0]

    def read_with(self, path, *options):
        report = lib.report_json(path, *options)
        threads = collections.defaultdict(list)
        for thread in report["threads"]:
            threads[thread["tid"]].append(thread)
        stacks = collections.Counter()
        for frames, value in lib.report_folded(path, "--by", "thread", *options):
            stacks[(int(frames[0].rpartition("/")[2]), *frames[1:])] += value
        self.assertEqual(sum(stacks.values()), sum(t["wall_ns"] for t in report["threads"]))
        self.window = report["window"]
        return threads, stacks

    def assert_times(self, thread, on, kernel, off, lost=0, start=START, end=END):
        self.assertEqual(
            {k: thread[k] for k in ("on_ns", "kernel_ns", "off_ns", "lost_ns", "start_ns",
                                    "end_ns")},
            {"on_ns": on, "kernel_ns": kernel, "off_ns": off, "lost_ns": lost, "start_ns": start,
             "end_ns": end})

    def threads_in_perf(self, path):
        """{(tid, function)} where perf sees branches in a function."""
        lib.need_program("perf")
        out = lib.run(["perf", "script", "-i", path, "--itrace=b", "-F", "tid,flags,ip,sym"]).stdout
        found = set()
        for line in out.splitlines():
            if match := re.match(r"\s*(\d+)\s+(?:call|return|jmp|tr end.*?)\s+[0-9a-f]+ (\w+)",
                                 line):
                found.add((int(match.group(1)), match.group(2)))
        return found


class Lives(Accounting):
    def test_a_thread_that_never_ran(self):
        """It has its name, and was off all the time; so was one whose own buffer is empty but for
        a PSB."""
        recording = self.recording()
        recording.goes(10_400, PID, ONE)
        self.round(recording.stream(tid=ONE).psb(10_000), self.code.alpha, 10_100, 10_300)
        recording.stream(tid=TWO).psb(10_000)
        recording.comm(PID, THREE, "three")
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=200, kernel=200, off=9600)
        for tid, name in ((TWO, "two"), (THREE, "three")):
            self.assert_times(threads[tid][0], on=0, kernel=0, off=10_000)
            self.assertEqual(threads[tid][0]["comm"], name)
        self.assertEqual(stacks[(THREE, "[unknown]", KERNEL, "[blocked]")], 10_000)

    def test_a_thread_that_was_never_switched(self):
        """No switch of it, but code: it ran all the time."""
        recording = self.recording()
        recording.goes(10_400, PID, ONE)
        self.round(recording.stream(tid=ONE).psb(10_000), self.code.alpha, 10_100, 10_300)
        self.round(recording.stream(tid=TWO).psb(10_000), self.code.beta, 12_000, 13_000)
        threads, _ = self.report(recording)
        self.assert_times(threads[TWO][0], on=1000, kernel=9000, off=0)

    def test_start_and_exit_inside_the_window(self):
        recording = self.recording()
        recording.goes(10_100, PID, ONE)
        recording.fork(11_000, PID, THREE, ONE)
        recording.comm(PID, THREE, "three", 11_150)
        recording.comes(11_100, PID, THREE)
        recording.goes(11_500, PID, THREE)
        recording.comes(11_700, PID, THREE)
        recording.exit(12_000, PID, THREE)
        recording.goes(12_050, PID, THREE)
        stream = recording.stream(tid=THREE).psb(11_110)
        self.round(stream, self.code.alpha, 11_200, 11_400)
        stream.on(self.code.alpha + 7, 11_800).tnt("1", 11_850).off(11_900)
        threads, stacks = self.report(recording)
        self.assertEqual(threads[THREE][0]["comm"], "three")
        self.assert_times(threads[THREE][0], on=300, kernel=400, off=300, start=11_000, end=12_000)
        self.assertEqual(stacks[(THREE, "alpha", KERNEL, "[preempted]")], 100)  # waits for a CPU
        self.assertEqual(stacks[(THREE, "alpha", KERNEL, "[blocked]")], 200)

    def test_a_thread_id_that_is_used_again(self):
        """Two lives on one CPU, each with its own time and code."""
        recording = self.recording(per_cpu=True)
        recording.comm(PID, THREE, "first")
        recording.cpu_switch(10_990, 11_000, 0, IDLE, (PID, THREE))
        recording.exit(12_000, PID, THREE)
        recording.cpu_switch(12_010, 12_020, 0, (PID, THREE), IDLE)
        recording.fork(14_000, PID, THREE, ONE)
        recording.comm(PID, THREE, "second", 14_010)
        recording.cpu_switch(14_090, 14_100, 0, IDLE, (PID, THREE))
        stream = recording.stream(cpu=0).psb(10_500)
        self.round(stream, self.code.alpha, 11_100, 11_500)
        self.round(stream, self.code.beta, 14_200, 15_000)
        path = recording.write(self.file("perf.data"), END - 1)
        threads, stacks = self.read(path)
        first, second = threads[THREE]
        self.assertEqual((first["comm"], second["comm"]), ("first", "second"))
        self.assert_times(first, on=400, kernel=600, off=1000, end=12_000)
        self.assert_times(second, on=800, kernel=5100, off=100, start=14_000)
        self.assertEqual(stacks[(THREE, "alpha")] + stacks[(THREE, "alpha", "leaf")], 400)
        self.assertEqual(stacks[(THREE, "beta")] + stacks[(THREE, "beta", "leaf")], 800)

    def test_switches_before_the_first_packet_and_behind_the_last(self):
        recording = self.recording()
        recording.comes(10_200, PID, ONE)
        recording.goes(10_300, PID, ONE, preempted=True)
        recording.comes(10_600, PID, ONE)
        recording.goes(12_000, PID, ONE)
        recording.comes(15_000, PID, ONE)
        recording.goes(15_100, PID, ONE)
        self.round(recording.stream(tid=ONE).psb(10_700), self.code.alpha, 11_000, 11_800)
        threads, stacks = self.report(recording)
        off = 200 + 300 + 3000 + 4900
        self.assert_times(threads[ONE][0], on=800, kernel=10_000 - off - 800, off=off)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[preempted]")], 300)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[blocked]")], 8100)


class Cpus(Accounting):
    """One buffer for each CPU."""

    def test_two_threads_take_turns(self):
        recording = self.recording(per_cpu=True)
        stream = recording.stream(cpu=0).psb(10_050)
        recording.cpu_switch(10_060, 10_080, 0, IDLE, BOTH[0])
        self.round(stream, self.code.alpha, 10_100, 10_300)
        recording.cpu_switch(10_400, 10_420, 0, *BOTH)
        self.round(stream, self.code.beta, 10_500, 10_900)
        recording.cpu_switch(11_000, 11_020, 0, *reversed(BOTH))
        stream.on(self.code.alpha + 7, 11_100).tnt("1", 11_200).off(11_300)
        recording.cpu_switch(11_400, 11_420, 0, BOTH[0], IDLE)
        path = recording.write(self.file("perf.data"), END - 1)
        threads, stacks = self.read(path)
        self.assert_times(threads[ONE][0], on=400, kernel=20 + 100 + 80 + 100, off=9300)
        self.assert_times(threads[TWO][0], on=400, kernel=80 + 100, off=9420)
        self.assertEqual({(k[0], k[1]) for k in stacks}, {(ONE, "alpha"), (TWO, "beta")})
        self.assertEqual({s for s in self.threads_in_perf(path) if s[1] != "leaf"},
                         {(ONE, "alpha"), (TWO, "beta")})

    def test_strangers(self):
        """perf records the switches of whole CPUs even where it records one process: the threads of
        others that they tell of are none of ours."""
        recording = self.recording(per_cpu=True)
        stream = recording.stream(cpu=0).psb(10_050)
        recording.cpu_switch(10_060, 10_080, 0, (90, 91), BOTH[0])
        self.round(stream, self.code.alpha, 10_100, 10_300)
        recording.cpu_switch(10_400, 10_420, 0, BOTH[0], (90, 92), preempted=True)
        threads, stacks = self.report(recording)
        self.assertEqual(set(threads), {ONE, TWO})
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[preempted]")], 9600)

    def test_a_thread_moves_between_cpus(self):
        """Its stack goes with it: what was called on one CPU returns on another."""
        recording = self.recording(per_cpu=True)
        first, second = (recording.stream(cpu=cpu).psb(10_000) for cpu in (0, 1))
        recording.cpu_switch(10_060, 10_080, 0, IDLE, BOTH[0])
        first.on(self.code.filtered, 10_100).tnt("1", 10_200)
        first.off_async(self.code.outside, 10_400)  # in the middle of `outside`, just entered
        recording.cpu_switch(10_450, 10_460, 0, BOTH[0], IDLE, preempted=True)
        recording.cpu_switch(10_690, 10_700, 1, IDLE, BOTH[0])
        # The other CPU has not seen the call that it returns from: no compressed return.
        second.on(self.code.outside, 10_800).tnt("1", 10_900)
        second.tip(self.code.filtered + 10, 11_000)
        second.off_async(self.code.filtered + 10, 11_200)
        recording.cpu_switch(11_300, 11_310, 1, BOTH[0], IDLE)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=300 + 400, kernel=20 + 50 + 100 + 100,
                          off=80 + 250 - 10 + 10 + 8700)
        interrupted = (ONE, "filtered", "outside", "[interrupt]_[k]", "[preempted]")
        self.assertEqual(stacks[interrupted], 250)
        self.assertGreater(stacks[(ONE, "filtered", "outside", "leaf")], 0)
        self.assertEqual(stacks[(ONE, "filtered", "[interrupt]_[k]", "[blocked]")], 8700)
        self.assertEqual({k[1] for k in stacks if k[0] == ONE}, {"filtered"})

    def test_several_threads_without_switches(self):
        recording = self.recording(per_cpu=True)
        self.round(recording.stream(cpu=0).psb(10_050), self.code.alpha, 10_100, 10_300)
        path = recording.write(self.file("perf.data"), END - 1)
        result = lib.run([lib.PTFLAME, "report", "-i", path], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("2 threads and no context switches", result.stderr)
        self.assertIn("--switch-events", result.stderr)

    def test_one_thread_without_switches(self):
        """Then it is clear whose code it is."""
        recording = tracelib.Recording(per_cpu=True, window=(START, END))
        recording.program(PID, ONE, "one", self.code)
        self.round(recording.stream(cpu=0).psb(10_050), self.code.alpha, 10_100, 10_300)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=200, kernel=9800, off=0)
        self.assertEqual(stacks[(ONE, "alpha", "[kernel+off]_[k]")], 9800)
        self.assertFalse(self.window["switches"])


class Skew(Accounting):
    """The times of switches and of packets disagree: packets say that a thread runs while the
    records say that it does not yet, or no more. Which code is whose must not depend on it."""

    def check(self, first, second, out, into, stream=None):
        """A switch from ONE, who runs `first` (on, off) in alpha, to TWO, who runs `second` in beta,
        that the records tell at `out` and `into`."""
        recording = self.recording(per_cpu=True)
        packets = recording.stream(cpu=0).psb(10_000)
        recording.cpu_switch(10_005, 10_010, 0, IDLE, BOTH[0])
        if stream:
            stream(packets)
        else:
            self.round(packets, self.code.alpha, *first)
            self.round(packets, self.code.beta, *second)
        recording.cpu_switch(out, into, 0, *BOTH)
        # Far behind it, another one.
        recording.cpu_switch(15_000, 15_010, 0, *reversed(BOTH))
        packets.on(self.code.alpha + 7, 15_100).tnt("1", 15_200).off(15_300)
        threads, stacks = self.report(recording)
        of = collections.defaultdict(set)
        for stack in stacks:
            of[stack[0]].add(stack[1])
        self.assertEqual(of, {ONE: {"alpha"}, TWO: {"beta"}})
        return threads

    def test_records_and_packets_agree(self):
        self.check((10_100, 10_200), (10_300, 10_400), 10_250, 10_260)

    def test_switch_in_behind_the_first_packet(self):
        threads = self.check((10_100, 10_200), (10_300, 11_000), 10_310, 10_320)
        # What the records call off is off; the code is still TWO's.
        self.assertEqual(threads[TWO][0]["on_ns"], 680)

    def test_switch_in_behind_several_packets(self):
        def packets(stream):
            self.round(stream, self.code.alpha, 10_100, 10_200)
            stream.on(self.code.beta, 10_300)
            for time in range(10_301, 10_340):
                stream.cyc(1)
                stream.time = time
            stream.tnt("1", 10_800).off(11_000)
        self.check(None, None, 10_320, 10_330, stream=packets)

    def test_switch_out_before_the_last_packet(self):
        threads = self.check((10_100, 10_900), (11_000, 11_400), 10_880, 10_890)
        self.assertEqual(threads[ONE][0]["on_ns"], 780 + 200)

    def test_the_clock_stood_still(self):
        """Without CYC packets nothing tells the time when the trace goes on: what is known then is
        the time at which it stopped, long before the switch."""
        def packets(stream):
            self.round(stream, self.code.alpha, 10_100, 10_200)
            stream.on(self.code.beta)
            stream.tsc(12_100).tnt("1", 12_200).off(12_300)
        self.check(None, None, 12_000, 12_010, stream=packets)

    def test_a_segment_that_begins_in_the_middle(self):
        """A PSB between the first packet of the new thread and the record of its switch-in."""
        def packets(stream):
            self.round(stream, self.code.alpha, 10_100, 10_200)
            stream.on(self.code.beta, 10_300)
            stream.psb(10_305, self.code.beta)
            stream.tnt("1", 10_800).off(11_000)
        self.check(None, None, 10_310, 10_320, stream=packets)

    def test_an_overflow_that_covers_a_switch(self):
        """Where the trace goes on nothing has told the time yet."""
        def packets(stream):
            stream.on(self.code.alpha, 10_100).tnt("1", 10_150)
            stream.ovf(11_000, self.code.beta).tnt("1", 11_100).off(11_300)
        threads = self.check(None, None, 10_600, 10_610, stream=packets)
        self.assertGreater(threads[ONE][0]["lost_ns"], 0)

    def test_a_short_stretch_between_two_switches(self):
        """ONE runs so shortly that both of its switches lie within its neighbours' packets."""
        recording = self.recording(per_cpu=True)
        packets = recording.stream(cpu=0).psb(10_000)
        recording.cpu_switch(10_005, 10_010, 0, IDLE, BOTH[1])
        self.round(packets, self.code.beta, 10_100, 11_000)
        self.round(packets, self.code.alpha, 11_020, 11_040)
        packets.on(self.code.beta + 7, 11_060).tnt("1", 11_500).off(12_000)
        recording.cpu_switch(10_990, 10_995, 0, *reversed(BOTH))
        recording.cpu_switch(11_065, 11_070, 0, *BOTH)
        _, stacks = self.report(recording)
        self.assertEqual({k[:2] for k in stacks}, {(ONE, "alpha"), (TWO, "beta")})

    def test_a_thread_moves_and_its_switch_out_comes_late(self):
        """The clock of the CPU it leaves is ahead: in there at 10 490, out here at 10 500."""
        recording = self.recording(per_cpu=True)
        first, second = (recording.stream(cpu=cpu).psb(10_000) for cpu in (0, 1))
        recording.cpu_switch(10_060, 10_080, 0, IDLE, BOTH[0])
        self.round(first, self.code.alpha, 10_100, 10_400)
        recording.cpu_switch(10_480, 10_490, 1, IDLE, BOTH[0])
        recording.cpu_switch(10_500, 10_510, 0, BOTH[0], IDLE)
        second.on(self.code.alpha + 7, 10_600).tnt("1", 10_800).off(11_000)
        recording.cpu_switch(11_300, 11_310, 1, BOTH[0], IDLE)
        threads, _ = self.report(recording)
        self.assert_times(threads[ONE][0], on=700, kernel=20 + 90 + 110 + 300, off=80 + 8700)

    def test_two_cpus_show_the_same_time(self):
        """The packets of both CPUs claim an instant: it counts once, and nothing gets negative."""
        recording = self.recording(per_cpu=True)
        first, second = (recording.stream(cpu=cpu).psb(10_000) for cpu in (0, 1))
        recording.cpu_switch(10_060, 10_080, 0, IDLE, BOTH[0])
        self.round(first, self.code.alpha, 10_100, 10_400)
        recording.cpu_switch(10_410, 10_420, 0, BOTH[0], IDLE)
        recording.cpu_switch(10_340, 10_350, 1, IDLE, BOTH[0])
        second.on(self.code.alpha + 7, 10_360).tnt("1", 10_800).off(11_000)
        recording.cpu_switch(11_300, 11_310, 1, BOTH[0], IDLE)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=900, kernel=20 + 300, off=80 + 8700)
        self.assertGreaterEqual(min(stacks.values()), 0)


class LostRecords(Accounting):
    def test_a_lost_switch_out(self):
        """In twice in a row: what is between counts as running, which is what is known."""
        recording = self.recording()
        recording.comes(10_100, PID, ONE)
        recording.lost(10_600, PID, ONE, 1)
        recording.comes(10_700, PID, ONE)
        recording.goes(11_000, PID, ONE)
        stream = recording.stream(tid=ONE).psb(10_100)
        self.round(stream, self.code.alpha, 10_200, 10_300)
        stream.on(self.code.alpha + 7, 10_800).tnt("1", 10_850).off(10_900)
        threads, _ = self.report(recording)
        self.assert_times(threads[ONE][0], on=200, kernel=700, off=100 + 9000)
        result = lib.run([lib.PTFLAME, "report", "-i", self.file("perf.data"), "--stats"])
        self.assertRegex(result.stderr, r"\b1  lost_records")
        self.assertIn("1 records were lost", result.stderr)

    def test_a_lost_switch_in(self):
        """Out twice in a row: off until the second; then its own reason."""
        recording = self.recording()
        recording.goes(10_400, PID, ONE)
        recording.lost(10_600, PID, ONE, 1)
        recording.goes(11_000, PID, ONE, preempted=True)
        recording.comes(11_500, PID, ONE)
        stream = recording.stream(tid=ONE).psb(10_100)
        self.round(stream, self.code.alpha, 10_200, 10_300)
        stream.on(self.code.alpha + 7, 11_600).tnt("1", 11_700).off(11_800)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=300, kernel=200 + 100 + 100 + 8200, off=1100)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[blocked]")], 600)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[preempted]")], 500)


class NoSwitches(Accounting):
    def test_kernel_and_off_are_one(self):
        recording = self.recording()
        for tid, function in ((ONE, self.code.alpha), (TWO, self.code.beta)):
            self.round(recording.stream(tid=tid).psb(10_000), function, 10_100, 10_300)
        threads, stacks = self.report(recording)
        self.assertFalse(self.window["switches"])
        self.assert_times(threads[ONE][0], on=200, kernel=9800, off=0)
        self.assertEqual(stacks[(ONE, "alpha", "[kernel+off]_[k]")], 9800)
        self.assertEqual(stacks[(TWO, "beta", "[kernel+off]_[k]")], 9800)
        result = lib.run([lib.PTFLAME, "report", "-i", self.file("perf.data")])
        self.assertIn("no context switches were recorded", result.stderr)


class Filtered(Accounting):
    """An address filter: tracing stops where code leaves it. The time outside is the traced code's,
    on its CPU as far as is known."""

    def flow(self, recording):
        """`filtered` calls `outside` (1), which calls `leaf` back; tail_out jumps there (2)."""
        code = self.code
        stream = recording.stream(tid=ONE).psb(10_000, code.filtered)
        stream.tnt("1", 10_100)  # leaf returns
        stream.off_to(code.outside, 10_200)  # (1)
        stream.on(code.leaf, 10_300).off_to(code.outside + 5, 10_400)
        stream.on(code.filtered + 10, 11_000)
        stream.tnt("1", 11_100).tnt("1", 11_200)  # leaf, and in tail_out
        stream.off_to(code.outside, 11_300)  # (2)
        stream.on(code.leaf, 11_400).off_to(code.outside + 5, 11_500)
        stream.on(code.filtered + 20, 12_000)
        stream.off_to(code.outside + 9, 12_100)  # filtered returns into the dark
        recording.goes(15_000, PID, ONE)
        return stream

    def test_time_outside(self):
        recording = self.recording(filter="filter 0x1000/0x1000@/stages")
        self.flow(recording)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=5000, kernel=0, off=5000)
        self.assertEqual(stacks[(ONE, "filtered", "[filtered]")], 700 + 600)
        self.assertEqual(stacks[(ONE, "[unknown]", "[filtered]")], 2900)  # whoever called it
        self.assertEqual(stacks[(ONE, "[unknown]", "[filtered]", "[blocked]")], 5000)
        self.assertFalse([k for k in stacks if KERNEL in k and k[0] == ONE])

    def test_before_the_first_code(self):
        recording = self.recording(filter="filter 0x1000/0x1000@/stages")
        recording.goes(15_000, PID, ONE)
        stream = recording.stream(tid=ONE).psb(10_000)
        stream.on(self.code.leaf, 10_300).off_to(self.code.outside + 5, 10_400)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=5000, kernel=0, off=5000)
        self.assertEqual(stacks[(ONE, "leaf", "[filtered]")], 300)

    def test_calls(self):
        recording = self.recording(filter="filter 0x1000/0x1000@/stages")
        self.flow(recording)
        report = lib.report_json(recording.write(self.file("perf.data"), END - 1))
        calls = {f["name"]: (f["calls"], f["jump_calls"]) for f in report["functions"]}
        self.assertEqual(calls["leaf"], (5, 2))  # two by code that is not traced
        self.assertEqual(calls["tail_out"], (1, 0))
        self.assertEqual(calls["outside"], (1, 0))  # seen to be called
        depth = max(len(frames) for frames, _ in lib.report_folded(self.file("perf.data")))
        self.assertEqual(depth, 4)  # one; filtered; tail_out; leaf: nothing piles up
        stats = lib.run([lib.PTFLAME, "report", "-i", self.file("perf.data"), "--stats"]).stderr
        self.assertRegex(stats, r"\b0  async_entry")  # such calls are no signals

    def test_without_a_filter(self):
        """Why else the trace would stop there nobody knows: it is not the traced code's time."""
        recording = self.recording()
        self.flow(recording)
        threads, stacks = self.report(recording)
        self.assertEqual(threads[ONE][0]["off_ns"], 5000)
        self.assertLess(threads[ONE][0]["on_ns"], 1000)
        self.assertFalse([k for k in stacks if "[filtered]" in k])


class Tracepoints(Accounting):
    """sched_switch and sched_waking in the recording."""

    def sleeps(self, **options):
        """ONE sleeps in its system call, is woken, waits for the CPU; is then preempted by a
        stranger."""
        recording = self.recording(tracepoints=True, **options)
        stream = recording.stream(tid=ONE).psb(10_000)
        self.round(stream, self.code.alpha, 10_100, 10_300)
        stream.on(self.code.alpha + 7, 11_100).tnt("1", 11_200)
        stream.off_async(self.code.alpha + 5, 11_300)
        stream.on(self.code.alpha + 5, 12_100).off(12_200)
        return recording

    def told_by_tracepoints(self, recording, late=0):
        recording.sched_switch(10_400, 0, BOTH[0], 1, IDLE)
        recording.sched_waking(10_700, ONE, (90, 91), 1)
        recording.sched_switch(11_000 - late, 0, IDLE, 0, BOTH[0])
        recording.sched_switch(11_400, 0, BOTH[0], 0, (90, 91))
        recording.sched_switch(12_000 - late, 0, (90, 91), 1, BOTH[0])

    def told_by_switches(self, recording):
        recording.goes(10_402, PID, ONE)
        recording.comes(11_000, PID, ONE)
        recording.goes(11_402, PID, ONE, preempted=True)
        recording.comes(12_000, PID, ONE)

    def check(self, threads, stacks, queued=300):
        self.assertEqual(set(threads), {ONE, TWO})  # no stranger
        off = 600 + 600
        self.assert_times(threads[ONE][0], on=500, kernel=10_000 - off - 500, off=off)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[blocked]")], 600 - queued)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[runqueue]")], queued)
        self.assertEqual(stacks[(ONE, "alpha", "[interrupt]_[k]", "[preempted]")], 600)

    def test_alone(self):
        recording = self.sleeps()
        self.told_by_tracepoints(recording)
        self.check(*self.report(recording))
        self.assertTrue(self.window["switches"])

    def test_beside_switch_records(self):
        """Each switch counts once: the tracepoint comes first, and the record of the switch-in
        last."""
        recording = self.sleeps()
        self.told_by_tracepoints(recording, late=0)
        self.told_by_switches(recording)
        self.check(*self.report(recording))

    def test_before_linux_4_17(self):
        """The SWITCH records do not say why; the tracepoints do."""
        recording = self.sleeps(os_release="4.14.0")
        self.told_by_switches(recording)
        threads, stacks = self.report(recording)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[off]")], 598)
        self.told_by_tracepoints(recording)
        self.check(*self.report(recording))

    def test_from_a_pipe(self):
        recording = self.sleeps()
        self.told_by_tracepoints(recording)
        path = recording.write_pipe(self.file("pipe.data"), END - 1)
        threads, stacks = self.read(path)
        # The window of a pipe is that of its times.
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[runqueue]")], 300)
        self.assertEqual(stacks[(ONE, "alpha", KERNEL, "[blocked]")], 300)
        self.assertEqual(stacks[(ONE, "alpha", "[interrupt]_[k]", "[preempted]")], 600)
        self.assertEqual(set(threads), {ONE, TWO})

    def test_perf_reads_the_same(self):
        """perf's words for our samples."""
        lib.need_program("perf")
        recording = self.sleeps()
        self.told_by_tracepoints(recording)
        path = recording.write(self.file("perf.data"), END - 1)
        out = lib.run(["perf", "script", "-i", path, "-F", "event,trace"]).stdout
        told = re.findall(r"sched:(\w+):.*?(?:prev_)?pid=(\d+)(?:.*next_pid=(\d+))?", out)
        self.assertEqual(told, [
            ("sched_switch", str(ONE), "0"), ("sched_waking", str(ONE), ""),
            ("sched_switch", "0", str(ONE)), ("sched_switch", str(ONE), "91"),
            ("sched_switch", "91", str(ONE))])

    def test_who_runs_on_a_cpu(self):
        """Per-CPU buffers and no SWITCH records: sched_switch tells whose the code is."""
        recording = self.recording(tracepoints=True, per_cpu=True)
        stream = recording.stream(cpu=0).psb(10_050)
        recording.sched_switch(10_080, 0, IDLE, 0, BOTH[0])
        self.round(stream, self.code.alpha, 10_100, 10_300)
        recording.sched_switch(10_400, 0, BOTH[0], 1, BOTH[1])
        self.round(stream, self.code.beta, 10_500, 10_900)
        recording.sched_switch(11_000, 0, BOTH[1], 1, IDLE)
        threads, stacks = self.report(recording)
        self.assert_times(threads[ONE][0], on=200, kernel=20 + 100, off=80 + 9600)
        self.assert_times(threads[TWO][0], on=400, kernel=200, off=400 + 9000)
        self.assertEqual({k[:2] for k in stacks}, {(ONE, "alpha"), (TWO, "beta")})

    def test_of_the_threads_alone(self):
        """sched_switch opened for threads never tells when they come back: no accounting of off
        time, and no wrong one."""
        recording = self.sleeps()
        recording.sched_switch(10_400, 0, BOTH[0], 1, IDLE)
        recording.sched_switch(11_400, 0, BOTH[0], 0, (90, 91))
        threads, stacks = self.report(recording)
        self.assertFalse(self.window["switches"])
        self.assertEqual(set(threads), {ONE, TWO})
        self.assert_times(threads[ONE][0], on=500, kernel=9500, off=0)


class Chaos(Accounting):
    """Schedules made by chance, with clocks that disagree, records that are lost, tracepoints or
    not, and files with wrong bytes: nothing stops the report, and the sums hold (report_json)."""

    THREADS = (ONE, TWO, THREE)

    def schedule(self, chance, **options):
        """Three threads on two CPUs; what the records and packets of a CPU say is off by its skew,
        and some of it is missing."""
        recording = self.recording(per_cpu=True, tracepoints=True, **options)
        recording.comm(PID, THREE, "three")
        sources = chance.choice((("switch",), ("trace",), ("switch", "trace")))
        lossy = chance.random() < 0.5
        skews = [chance.randrange(0, 120), chance.randrange(0, 120)]
        ends = [START, START]
        free = {tid: START for tid in self.THREADS}  # when it left its CPU
        entry = {ONE: self.code.alpha, TWO: self.code.beta, THREE: self.code.alpha}
        streams = [recording.stream(cpu=cpu).psb(START) for cpu in (0, 1)]
        events = []  # records come in the order of their own times
        while min(ends) < END - 1500:
            cpu = ends.index(min(ends))
            ready = [tid for tid in self.THREADS if free[tid] <= ends[cpu]]
            if not ready:
                ends[cpu] += 50
                continue
            tid = chance.choice(ready)
            begin = ends[cpu] + chance.randrange(1, 30)
            on = begin + chance.randrange(1, 60)
            off = on + chance.randrange(4, 400)
            end = off + chance.randrange(1, 60)
            self.round(streams[cpu], entry[tid], on + skews[cpu], off + skews[cpu])
            if entry[tid] in (self.code.alpha, self.code.beta):
                entry[tid] += 7  # behind its system call
            events.append((begin + skews[cpu], cpu, tid, False, False))
            events.append((end + skews[cpu], cpu, tid, True, chance.random() < 0.5))
            ends[cpu] = free[tid] = end
        for time, cpu, tid, out, preempted in sorted(events):
            if lossy and chance.random() < 0.2:
                continue
            if "trace" in sources:
                pair = ((PID, tid), IDLE) if out else (IDLE, (PID, tid))
                recording.sched_switch(time - 1, cpu, pair[0], 0 if preempted else 1, pair[1])
                if not out and chance.random() < 0.5:
                    recording.sched_waking(time - chance.randrange(2, 40), tid)
            if "switch" in sources:
                (recording.goes if out else recording.comes)(
                    time, PID, tid, cpu, *([preempted] if out else []))
        return recording, sources, lossy

    def test_random_schedules(self):
        for seed in range(40):
            recording, sources, lossy = self.schedule(random.Random(seed))
            with self.subTest(seed=seed, sources=sources, lossy=lossy):
                threads, stacks = self.report(recording)
                self.assertEqual({t for t in threads}, set(self.THREADS))
                self.assertTrue(all(t[0]["wall_ns"] == END - START for t in threads.values()))
                self.assertGreaterEqual(min(stacks.values()), 0)
                if not lossy:  # whose code it is does not depend on the skew
                    of = {(k[0], k[1]) for k in stacks if k[1] in ("alpha", "beta")}
                    self.assertLessEqual(of, {(ONE, "alpha"), (TWO, "beta"), (THREE, "alpha")})

    def test_damaged_files(self):
        binary = os.environ.get("PTF_ASAN_BIN") or lib.PTFLAME
        recording, _, _ = self.schedule(random.Random(1), filter="filter 0x1000/0x1000@/stages")
        path = recording.write(self.file("perf.data"), END - 1)
        with open(path, "rb") as file:
            right = file.read()
        chance = random.Random(2)
        read = 0
        for number in range(150):
            wrong = bytearray(right)
            for _ in range(chance.randrange(1, 5)):
                wrong[chance.randrange(len(wrong))] = chance.randrange(256)
            if number % 5 == 0:
                del wrong[chance.randrange(len(wrong)):]
            with open(path, "wb") as file:
                file.write(wrong)
            result = lib.run([binary, "report", "-i", path, "-f", "json",
                              "--engine", chance.choice(lib.engines())], check=False, timeout=60)
            with self.subTest(number=number):
                self.assertIn(result.returncode, (0, 1), lib.describe(result))
                self.assertNotIn("Sanitizer", result.stderr)
                if result.returncode == 0:
                    self.assertEqual(lib.identity_errors(json.loads(result.stdout)), [])
                    read += 1
        self.assertGreater(read, 50)


if __name__ == "__main__":
    lib.main()
