#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`ptflame record -- CMD` and `record -p` with simulated processes: exit statuses, signals, limits
and refusals. What the recordings hold is the matter of other tests."""

import os
import signal
import subprocess
import time
import unittest

import ptf_testlib as lib


class RecordCommand(lib.TestCase):
    def setUp(self):
        super().setUp()
        lib.need_simulator()
        self.output = self.file("out.data")

    def record(self, *options, timeout=60):
        return lib.run([lib.PTFLAME, "record", "--backend", "sim", "-o", self.output, *options],
                       check=False, timeout=timeout)

    def check_file(self):
        """The recording is whole: perf reads it, and finds the trace."""
        self.assertGreater(len([r for r in lib.PerfData(self.output).records() if r[3]]), 0)

    def simulated(self, *command):
        """A process under `ptflame sim` that can be recorded, as a context manager."""
        return lib.background([lib.PTFLAME, "sim", "--", *command])

    def attach(self, pid, *options):
        """`record -p` as soon as the process can be recorded."""
        lib.wait_until(lambda: os.path.exists(f"/tmp/ptflame-sim-{os.getuid()}/{pid}.sock"),
                       what="the simulator's socket")
        return self.record("-p", str(pid), *options)

    def test_exit_status_is_the_commands(self):
        for script, status in (("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)):
            result = self.record("--", "sh", "-c", script)
            self.assertEqual(result.returncode, status, lib.describe(result))
            self.check_file()

    def test_a_killed_process_leaves_a_recording(self):
        result = self.record("--", "sh", "-c", "kill -KILL $$")
        self.assertEqual(result.returncode, 128 + 9, lib.describe(result))
        self.assertIn("was killed", result.stderr)
        lib.PerfData(self.output)

    def test_what_cannot_be_recorded_is_not_run(self):
        mark = self.file("mark")
        start = time.monotonic()
        for output, command, says in (
            (self.file("no/such/directory"), ["touch", mark], "No such file"),
            (self.output, ["/no/such/program"], "No such file"),
            (self.output, ["/etc/passwd"], "Permission denied"),
        ):
            self.output = output
            result = self.record("--", *command)
            self.assertEqual(result.returncode, 1, lib.describe(result))
            self.assertIn(says, result.stderr)
            self.assertFalse(os.path.exists(mark))
        self.assertLess(time.monotonic() - start, 30)

    def test_the_duration_ends_a_command(self):
        start = time.monotonic()
        result = self.record("-d", "0.3", "--", "sleep", "100")
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual(result.returncode, 0, lib.describe(result))
        self.check_file()

    def test_the_size_ends_a_command(self):
        result = self.record("--max-size", "500K", "--", "sh", "-c", "while :; do :; done")
        self.assertEqual(result.returncode, 0, lib.describe(result))
        self.assertGreaterEqual(os.path.getsize(self.output), 500 << 10)
        self.check_file()

    def test_signals_end_an_attached_recording(self):
        with self.simulated("sh", "-c", "while :; do :; done") as process:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.attach(process.pid, "-d", "0.1")
                command = [lib.PTFLAME, "record", "-o", self.output, "-p", str(process.pid)]
                with lib.background(command, stderr=subprocess.PIPE, text=True) as recorder:
                    for line in recorder.stderr:
                        if "tracing is on" in line:
                            break
                    time.sleep(0.2)  # something to record
                    os.kill(recorder.pid, number)
                    _, err = recorder.communicate(timeout=30)
                self.assertEqual(recorder.returncode, 0, err)
                self.check_file()
            self.assertIsNone(process.poll(), "the program does not notice")

    def test_one_recorder_at_a_time(self):
        with self.simulated("sleep", "100") as process:
            self.attach(process.pid, "-d", "0.1")
            command = [lib.PTFLAME, "record", "-o", self.file("first"), "-p", str(process.pid)]
            with lib.background(command, stderr=subprocess.PIPE, text=True) as recorder:
                for line in recorder.stderr:
                    if "tracing is on" in line:
                        break
                result = self.attach(process.pid)
                recorder.stderr.close()
            self.assertEqual(result.returncode, 1)
            self.assertIn("another recorder", result.stderr)
            # The first was killed: the process can be recorded again.
            lib.wait_until(lambda: self.attach(process.pid, "-d", "0.1").returncode == 0,
                           what="the end of the first recording")

    def test_an_old_recording_is_kept(self):
        self.record("--", "true")
        with open(self.output, "rb") as first:
            old = first.read()
        self.record("--", "true")
        with open(self.output + ".old", "rb") as kept:
            self.assertEqual(kept.read(), old)

    def test_other_processes_are_refused(self):
        result = self.record("-p", str(os.getpid()))
        self.assertEqual(result.returncode, 1)
        self.assertIn("not simulated", result.stderr)
        for options in (["-a"], ["-C", "0"], ["--kernel", "--", "true"],
                        ["--snapshot", "--", "true"], ["--filter", "f", "--", "true"]):
            result = self.record(*options)
            self.assertEqual(result.returncode, 1, lib.describe(result))
            self.assertIn("no simulation of", result.stderr)


if __name__ == "__main__":
    unittest.main()
