#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Benchmark: `ptflame report` against `perf script --itrace=cr` on the same recording.

Prints the ratio of whole-process times (medians of RUNS, in turn) and MB/s of trace data; fails
below GOAL. Run it by `meson test --benchmark`, on a quiet machine.
"""

import os
import statistics
import subprocess
import sys
import time

import ptf_testlib as lib

RUNS = 3
GOAL = 5.0
NUMBERS = 200000  # sorted: gives more than 20 MB of trace
MIN_BYTES = 20_000_000


def seconds(command):
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def main():
    if not lib.shutil.which("perf"):
        print("skipped: perf is not installed")
        return 77
    with lib.tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "sort.data")
        program = os.path.join(lib.PROGRAM_DIR, "sort.dynamic")
        subprocess.run([lib.PTFLAME, "record", "-o", data, "--", program, str(NUMBERS)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = os.path.getsize(data)
        report = [lib.PTFLAME, "report", "-i", data]
        one = [*report, "-j", "1"]
        perf = ["perf", "script", "-i", data, "--itrace=cr"]
        times = {"report": [], "report -j 1": [], "perf script": []}
        for _ in range(RUNS):
            for name, command in (("report", report), ("report -j 1", one),
                                  ("perf script", perf)):
                times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:12} {median:7.2f} s  {size / 1e6 / median:6.1f} MB/s")
    ratio = medians["perf script"] / medians["report"]
    single = medians["perf script"] / medians["report -j 1"]
    print(f"{size / 1e6:.1f} MB: report is {ratio:.1f} times as fast as perf script "
          f"({single:.1f} times on one thread); the goal is {GOAL:.0f}")
    return 0 if size >= MIN_BYTES and ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
