#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Stacks that were there before the recording began: a recorder that attaches to a running program
knows every thread's whole stack from the first instant on."""

import collections
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import ptf_testlib as lib

DEPTH = 12000  # more than one record holds
OTHERS = {"sleep_on": 10, "poll_nothing": 20, "wait_for_nobody": 30}
THREAD_STARTS = {"__clone", "clone", "__clone3", "clone3"}


class Standing:
    """testdata/programs/standing.c, running."""

    def __init__(self, test, prefix, variant, depth=DEPTH):
        self.program = lib.program("standing", variant, [str(depth)])
        self.process = subprocess.Popen(
            [*prefix, *self.program.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True)
        test.addCleanup(self.process.stdin.close)
        test.addCleanup(self.process.stdout.close)
        test.addCleanup(self.process.wait)
        test.addCleanup(lib.kill_group, self.process)
        test.assertEqual(self.process.stdout.readline(), "ready\n")

    def finish(self):
        """Lets it end; what it printed about itself."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        text = self.process.stdout.read()
        assert self.process.wait(30) == 0, self.process.returncode
        return text


class Attached(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()

    def simulate(self, variant):
        return Standing(self, [lib.PTFLAME, "sim", "--"], variant)

    def record(self, standing, *target, seconds=20, end_after=0.3):
        """Records it while it goes back up; its words about itself."""
        data = self.file("data")
        target = target or ("-p", str(standing.process.pid))
        recorder = subprocess.Popen(
            [lib.PTFLAME, "record", *target, "-d", str(seconds), "-o", data],
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(recorder.stderr.close)
        self.addCleanup(recorder.wait)
        self.addCleanup(recorder.kill)
        time.sleep(end_after)
        text = standing.finish() if seconds > 5 else None
        _, errors = recorder.communicate(timeout=60)
        self.assertEqual(recorder.returncode, 0, errors)
        return data, text

    def stats(self, data):
        errors = lib.run([lib.PTFLAME, "report", "-i", data, "--stats", "-o",
                          self.file("x.folded")]).stderr
        return {m[2]: int(m[1]) for m in re.finditer(r"^ *(\d+) +(\w+)", errors, re.M)}

    def stacks(self, data):
        """Folded stacks by thread: {tid: [(frames, ns)]}, complete ones all of them."""
        threads = collections.defaultdict(list)
        for frames, ns in lib.report_folded(data, "--by", "thread"):
            threads[int(frames[0].rpartition("/")[2])].append((frames[1:], ns))
        for stacks in threads.values():
            for frames, _ in stacks:
                self.assertNotIn("[unknown]", frames)
                if frames[0] not in THREAD_STARTS:
                    self.assertEqual(frames[0], "_start", frames[:5])
                    self.assertIn("__libc_start_call_main", frames[:3], frames[:5])
        return threads

    def check_depths(self, threads, pid):
        depths = {}
        for tid, stacks in threads.items():
            bottom = set().union(*(frames for frames, _ in stacks)) & set(OTHERS)
            depth = max(frames.count("dive") for frames, _ in stacks)
            depths[bottom.pop() if bottom else tid] = depth
        swayer = set(depths) - set(OTHERS) - {pid}
        self.assertEqual(depths, {pid: DEPTH, **OTHERS, **{tid: 0 for tid in swayer}})
        self.assertEqual(len(swayer), 1)
        for frames, _ in threads[swayer.pop()]:
            self.assertLessEqual(frames.count("sway"), 40)
            if "sway" in frames:
                self.assertEqual(frames[frames.index("sway") - 1], "sway_on")

    def test_standing_threads(self):
        for variant in ("static", "dynamic"):
            with self.subTest(variant=variant):
                self.standing_threads(variant)

    def standing_threads(self, variant):
        standing = self.simulate(variant)
        data, text = self.record(standing)
        self.assertIn("interrupted 0\nearly 0\n", text)
        stats = self.stats(data)
        self.assertEqual((stats["known_stack"], stats["known_stack_anew"]), (5, 0))
        self.check_depths(self.stacks(data), standing.process.pid)
        report = lib.report_json(data)
        for thread in report["threads"]:
            parts = (thread[f"{part}_ns"] for part in ("on", "kernel", "off", "lost"))
            self.assertEqual(thread["wall_ns"], sum(parts))
        functions = {f["name"]: f for f in report["functions"]}
        # All were entered before the recording, none during it.
        self.assertEqual(functions["dive"]["calls"], 0)
        self.assertEqual(functions["dive"]["partial_calls"], DEPTH + sum(OTHERS.values()))
        self.assertEqual(functions["main"]["partial_calls"], 1)
        self.assertLessEqual(functions["sway"]["partial_calls"], 40)
        self.assertEqual(functions["sway"]["timed_calls"], functions["sway"]["calls"])

    def test_twice(self):
        standing = self.simulate("dynamic")
        for _ in range(2):
            data, _ = self.record(standing, seconds=1)
            self.assertEqual(self.stats(data)["known_stack"], 5)
            self.check_depths(self.stacks(data), standing.process.pid)

    def test_one_thread(self):
        standing = self.simulate("dynamic")
        data, _ = self.record(standing, "-t", str(standing.process.pid))
        threads = self.stacks(data)
        self.assertEqual(list(threads), [standing.process.pid])
        self.assertEqual(self.stats(data)["known_stack"], 1)

    def test_from_the_start(self):
        data = self.file("data")
        lib.record(data, lib.program("recursion", "static").command, clock="real")
        self.assertEqual(self.stats(data)["known_stack"], 0)

    def test_perf_reads_them(self):
        lib.need_program("perf")
        standing = self.simulate("dynamic")
        data, _ = self.record(standing)
        dump = lib.run(["perf", "report", "-D", "-i", data]).stdout
        chains = re.findall(
            r"PERF_RECORD_SAMPLE\(IP, 0x2\): (\d+)/(\d+):.*\n\.\.\. FP chain: nr:(\d+)", dump)
        lengths = collections.Counter()
        for _, tid, length in chains:
            lengths[int(tid)] += int(length) - 1  # the marker of user space
        self.assertEqual(len(chains), 6)  # the deep one takes two
        self.assertEqual(len(lengths), 5)
        main = lengths[standing.process.pid] - DEPTH
        self.assertTrue(4 <= main <= 12, main)
        script = lib.run(["perf", "script", "-i", data, "--itrace=cr", "-F", "event,ip,sym"])
        self.assertNotIn("out of order", script.stderr)
        self.assertGreater(script.stdout.count("branches:"), DEPTH)


class Native(lib.TestCase):
    """The copies that are made of a process on hardware, against gdb's idea of its stacks. No PT is
    needed: src/record/tests/dump_stacks.c prints them."""

    DUMP = os.path.join(lib.BUILD_ROOT, "src/record/dump_stacks")
    DEPTH = 300

    def dump(self, pid):
        """{tid: [ip, ...]}, and the longest stop in ns."""
        result = lib.run([self.DUMP, str(pid)], check=False)
        if result.returncode == 77:
            self.skipTest(result.stderr)
        self.assertEqual(result.returncode, 0, result.stderr)
        *stacks, refused, longest, clock = (line.split() for line in result.stdout.splitlines())
        if refused[1] != "0":
            self.skipTest("ptrace is not permitted here")
        for stack in stacks:
            self.assertTrue(int(clock[1]) <= int(stack[1]) <= int(clock[2]), (stack[:2], clock))
        return ({int(s[0]): [int(ip, 16) for ip in s[2:]] for s in stacks}, int(longest[1]))

    def gdb(self, pid):
        commands = ("set pagination off", "set backtrace limit unlimited",
                    "set backtrace past-main on", "set backtrace past-entry on",
                    'thread apply all frame apply all -q printf "pc %lx\\n", $pc')
        result = lib.run(["gdb", "-q", "-batch", "-p", str(pid),
                          *(word for c in commands for word in ("-ex", c))])
        stacks = {}
        for line in result.stdout.splitlines():
            if match := re.match(r"Thread \d+ .*\(LWP (\d+)\)", line):
                stack = stacks.setdefault(int(match[1]), [])
            elif match := re.fullmatch(r"pc ([0-9a-f]+)", line):
                stack.append(int(match[1], 16))
        return stacks

    def test_like_gdb(self):
        lib.need_program("gdb")
        for variant in ("static", "dynamic"):
            with self.subTest(variant=variant):
                standing = Standing(self, [], variant, self.DEPTH)
                ours, _ = self.dump(standing.process.pid)
                theirs = self.gdb(standing.process.pid)
                self.assertEqual(len(theirs), 5)
                self.assertEqual(set(ours), set(theirs))
                # One thread runs, or sleeps a moment; the others stand still.
                self.assertLessEqual(
                    [ours[tid] == theirs[tid] for tid in theirs].count(False), 1,
                    {tid: [[f"{ip:x}" for ip in s[tid][:4] + s[tid][-4:]] for s in (ours, theirs)]
                     for tid in theirs})
                lengths = sorted(map(len, ours.values()))
                self.assertGreater(lengths[-1], self.DEPTH)

    def test_behaviour_is_the_same(self):
        """Nobody's nanosleep, poll or futex ends early or with EINTR."""
        standing = Standing(self, [], "dynamic", self.DEPTH)
        stops = []
        for _ in range(20):
            stacks, stop = self.dump(standing.process.pid)
            self.assertEqual(len(stacks), 5)
            stops.append(stop)
        self.assertIn("interrupted 0\nearly 0\n", standing.finish())
        stops.sort()
        print(f"longest stop of 5 threads, in 20 copies: {stops[0] / 1e6:.3f} to "
              f"{stops[-1] / 1e6:.3f} ms, median {stops[10] / 1e6:.3f} ms", file=sys.stderr)
        self.assertLess(stops[0], 20e6)  # the machine may be busy with other things at times

    def test_deep(self):
        depth = 100000
        standing = Standing(self, [], "dynamic", depth)
        stacks, stop = self.dump(standing.process.pid)
        print(f"a stack of {depth} frames: stopped for {stop / 1e6:.3f} ms", file=sys.stderr)
        main = stacks[standing.process.pid]
        self.assertEqual(collections.Counter(main).most_common(1)[0][1], depth - 1)


class Strange(lib.TestCase):
    """Samples that say anything: never more than wrong frames."""

    INSERT = os.path.join(lib.BUILD_ROOT, "src/perfdata/insert_samples")

    def test_samples_of_all_kinds(self):
        lib.need_simulator()
        data = self.file("data")
        lib.record(data, lib.program("recursion", "dynamic").command)
        before = lib.report_json(data)
        tid = before["threads"][0]["tid"]
        start, end = before["window"]["start_ns"], before["window"]["end_ns"]
        middle = (start + end) // 2
        chains = ("0", "1,0,1", "ffffffffffffffff,fffffffffffffe00", "7fffffffffff,0,0,0",
                  "fffffffffffff000,fffffffffffff001", ",".join(["401000"] * 60))
        samples = [f"{tid}:{thread}:{when}:{chain}" for thread in (tid, 77) for chain in chains
                   for when in (1, start - 1, start, middle, middle + 1, end, end + 9, 1 << 63)]
        for number in range(0, len(samples), 48):
            some = sorted(samples[number:number + 48], key=lambda s: int(s.split(":")[2]))
            lib.run([self.INSERT, data, *some])
        after = lib.report_json(data)
        for report in (before, after):
            for thread in report["threads"]:
                parts = (thread[f"{part}_ns"] for part in ("on", "kernel", "off", "lost"))
                self.assertEqual(thread["wall_ns"], sum(parts))
        # What was executed is not changed by what somebody says of the stack.
        self.assertEqual({k: v for k, v in before["decode"].items() if k != "seconds"},
                         {k: v for k, v in after["decode"].items() if k != "seconds"})
        calls = [{f["name"]: f["calls"] for f in report["functions"] if f["calls"]}
                 for report in (before, after)]
        self.assertEqual(calls[0]["fib"], calls[1]["fib"])
        jobs = [lib.run([lib.PTFLAME, "report", "-i", data, "-j", j]).stdout for j in "14"]
        self.assertEqual(*jobs)


class IdleServer(lib.TestCase):
    """Every thread of an idle Redis server is complete from its first function on."""

    def test_redis(self):
        lib.need_simulator()
        lib.need_program("redis-server")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [lib.PTFLAME, "sim", "--", "redis-server", "--port", str(port), "--bind",
                   "127.0.0.1", "--save", "", "--appendonly", "no", "--io-threads", "3", "--dir",
                   self.dir]
        data = self.file("data")
        with lib.background(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL) as process:
            def answers():
                with contextlib.suppress(OSError), \
                        socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(b"PING\r\n")
                    return client.recv(7) == b"+PONG\r\n"
                return False

            lib.wait_until(answers, timeout=60, what="redis-server to answer")
            lib.run([lib.PTFLAME, "record", "-p", str(process.pid), "-d", "1", "-o", data])
            threads = len(os.listdir(f"/proc/{process.pid}/task"))
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        seen = collections.defaultdict(set)
        for frames, _ in lib.report_folded(data, "--by", "thread"):
            self.assertNotIn("[unknown]", frames)
            seen[frames[0]].add((frames[1], "main" in frames or "start_thread" in frames))
        # The simulator has helper threads.
        self.assertTrue(6 <= len(seen) < threads, (len(seen), threads))
        for thread, starts in seen.items():
            self.assertEqual(len(starts), 1, thread)
            start, rooted = starts.pop()
            self.assertTrue(start == "_start" or start in THREAD_STARTS, (thread, start))
            self.assertTrue(rooted, thread)


if __name__ == "__main__":
    lib.main()
