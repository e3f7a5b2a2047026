#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Damaged files: `report` and the like, of a file cut off or with a byte changed, end with status 0
or 1 and, then, a message; they never crash, never take long and never take much memory.

With PTF_ASAN_BIN a ptflame built with sanitizers is tested instead (it may take more).
PTF_ROBUST_TRUNCATIONS (200) and PTF_ROBUST_FLIPS (2000) are the numbers for each file, PTF_ROBUST_SEED the seed."""

import multiprocessing.pool
import os
import random
import sys
import time

import ptf_testlib as lib

BINARY = os.environ.get("PTF_ASAN_BIN") or lib.PTFLAME
SANITIZED = lib.is_sanitized(BINARY)
TRUNCATIONS = int(os.environ.get("PTF_ROBUST_TRUNCATIONS", "200"))
FLIPS = int(os.environ.get("PTF_ROBUST_FLIPS", "2000"))
SEED = int(os.environ.get("PTF_ROBUST_SEED", "20240601"))

# Functions for `calls` and `report --under`, by recording.
WATCHED = {"tailcalls": "is_even", "handover": "take_turn", "forks": "child_work"}

CPU_SECONDS = 8 if SANITIZED else 2
WALL_SECONDS = 60 if SANITIZED else 20  # the machine may be busy with other things
MEMORY = (1500 if SANITIZED else 500) << 20
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:quarantine_size_mb=16:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1",
}


def damaged(rng, data):
    """(description, bytes): first every truncation, then every flip. Half of the flips hit what is
    not AUX data: headers, records, features."""
    aux = data.aux_ranges()
    content = data.bytes
    for _ in range(TRUNCATIONS):
        size = rng.randrange(len(content))
        yield f"cut to {size} bytes", content[:size]
    outside = [i for i in range(len(content)) if not any(a <= i < b for a, b in aux)]
    for i in range(FLIPS):
        place = rng.choice(outside) if i % 2 and outside else rng.randrange(len(content))
        change = rng.randrange(1, 256)
        changed = bytearray(content)
        changed[place] ^= change
        yield f"byte {place} ^ {change:#x}", bytes(changed)


class Piece:
    """Bytes of a file without a header that says where its parts are (pipe mode)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()

    def aux_ranges(self):
        return []


class Robustness(lib.TestCase):
    def verdict(self, job):
        """What is wrong with the report of a damaged file, or None."""
        name, number, how, content = job
        path = self.file(f"{name}.{number}")
        with open(path, "wb") as file:
            file.write(content)
        function = WATCHED.get(name, "main")
        commands = [["report"], ["report", "-f", "json"],
                    ["report", "-f", "json", "--engine", "libipt"], ["calls", "-F", function],
                    ["report", "-f", "json", "--paths", "--under", function, "--slowest", "9%"],
                    ["report", "-f", "json", "--time", "0.00001,0.00005"],
                    ["stacks", "-f", "json", "--at", "0.00002"],
                    ["syscalls", "-f", "json", "--by-caller"]]
        command = [BINARY, *commands[number % len(commands)], "-i", path, "-j", "1"]
        start = time.monotonic()
        result, cpu, memory = lib.limited_run(command, CPU_SECONDS, WALL_SECONDS, env=ENVIRONMENT)
        wall = time.monotonic() - start
        wrong = None
        if result.returncode not in (0, 1):
            wrong = f"exit status {result.returncode} after {wall:.1f} s"
        elif result.returncode == 1 and not result.stderr.strip():
            wrong = "exit status 1 without a message"
        elif cpu > CPU_SECONDS:
            wrong = f"{cpu:.1f} s of CPU"
        elif memory > MEMORY:
            wrong = f"{memory >> 20} MB"
        if not wrong:
            os.unlink(path)
            return None
        return f"{name}: {how}: {' '.join(command[1:])}: {wrong}\n{lib.tail(result.stderr, 25)}"

    def check(self, name, data):
        rng = random.Random(f"{SEED} {name}")
        jobs = ((name, i, how, content) for i, (how, content) in enumerate(damaged(rng, data)))
        start = time.monotonic()
        wrong, done = [], 0
        with multiprocessing.pool.ThreadPool(2) as pool:
            for verdict in pool.imap_unordered(self.verdict, jobs, chunksize=1):
                done += 1
                if verdict:
                    wrong.append(verdict)
                if len(wrong) >= 10:
                    pool.terminate()
                    break
        seconds = time.monotonic() - start
        print(f"{name}: {len(data.bytes)} bytes, {done} damaged files in {seconds:.0f} s "
              f"({done / seconds:.0f}/s)", file=sys.stderr)
        if wrong:
            keep = os.path.join(lib.BUILD_ROOT, "damaged")
            self.keep(keep)
            self.fail(f"{len(wrong)} bad ends (files kept in {keep}):\n" + "\n".join(wrong))

    def keep(self, directory):
        os.makedirs(directory, exist_ok=True)
        for file in os.listdir(self.dir):
            os.replace(self.file(file), os.path.join(directory, file))

    def recorded(self, program, clock):
        lib.need_simulator()
        path = self.file("original")
        lib.record(path, program.command, clock=clock)
        return lib.PerfData(path)

    def test_recording_with_calls(self):
        self.check("tailcalls", self.recorded(lib.program("tailcalls", "static"), "insn"))

    def test_recording_with_threads_and_switches(self):
        self.check("handover", self.recorded(lib.program("handover", "dynamic", ["10"]), "real"))

    def test_recording_with_processes(self):
        self.check("forks", self.recorded(lib.program("forks", "static"), "insn"))

    def test_hardware(self):
        path = os.path.join(lib.need_hwtraces(), "arcus-df-01-poc.perf.data")
        self.check("arcus", lib.PerfData(path))

    def test_hardware_stream(self):
        path = os.path.join(lib.need_hwtraces(), "perf.data.piped.intel_pt-4.14")
        self.check("piped", Piece(path))

    def test_no_perf_data_at_all(self):
        """Files of another kind are refused with a message that names the file."""
        with open(lib.PTFLAME, "rb") as file:
            elf = file.read(100_000)
        for name, content in (("empty", b""), ("zeros", b"\0" * 4096), ("text", b"hello\n" * 100),
                              ("elf", elf),
                              ("magic", b"PERFILE2"), ("swapped", b"2ELIFREP" + b"\0" * 200)):
            with self.subTest(name):
                path = self.file(name)
                with open(path, "wb") as file:
                    file.write(content)
                result = lib.run([BINARY, "report", "-i", path], check=False, env=ENVIRONMENT)
                self.assertEqual(result.returncode, 1, lib.describe(result))
                self.assertIn(name, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_missing_file(self):
        result = lib.run([BINARY, "report", "-i", self.file("absent")], check=False,
                         env=ENVIRONMENT)
        self.assertEqual(result.returncode, 1, lib.describe(result))
        self.assertIn("absent", result.stderr)


if __name__ == "__main__":
    lib.main()
