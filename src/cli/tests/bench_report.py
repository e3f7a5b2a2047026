#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Benchmark: `ptflame report` with both engines, decoding alone, libipt's block decoder alone and
`perf script --itrace=cr`, all on the same recording of a sort with CYC timing.

Each is run RUNS times, in turn; medians of CPU seconds (one thread each, so that a loaded machine
gives the same ratios) and MB/s of trace. Fails below the GOALS. With PTF_BENCH_NUMBERS=800000 the
trace has 100 MB. The traces of real hardware, where they are, are decoded LOOPS times over in one
process.

Run it by `meson test --benchmark`.
"""

import os
import resource
import statistics
import subprocess
import sys
import time

import ptf_testlib as lib

RUNS = 5
LOOPS = 200
NUMBERS = os.environ.get("PTF_BENCH_NUMBERS", "200000")  # sorted: 25 MB of trace
MIN_BYTES = 20_000_000
# How many times as fast `report -j 1` with the fast engine must be as ...
GOALS = {"report, libipt": 3, "libipt's blocks": 2, "perf script": 15}
# ... and decoding alone as libipt's block decoder alone.
DECODE_GOAL = 4

BENCH = os.path.join(lib.BUILD_ROOT, "src/profile/bench_engines")


def run(command):
    """(CPU seconds, wall seconds, standard output)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, text)


def decode_seconds(mode, loops, data, *symfs):
    """(bytes, CPU seconds) of decoding alone, without reading the file and its symbols."""
    size, _, seconds = run([BENCH, mode, str(loops), data, *symfs])[2].split()
    return int(size), float(seconds)


def compare(data):
    size = os.path.getsize(data)
    report = [lib.PTFLAME, "report", "-i", data]
    commands = {
        "report": [*report, "-j", "1"],
        "report, libipt": [*report, "-j", "1", "--engine", "libipt"],
        "perf script": ["perf", "script", "-i", data, "--itrace=cr"],
    }
    if not lib.shutil.which("perf"):
        print("perf is not installed: not compared with it")
        del commands["perf script"]
    times = {name: [] for name in [*commands, "decoding alone", "libipt's blocks"]}
    walls = {"1 thread": [], "2 threads": []}
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(run(command)[0])
        times["decoding alone"].append(decode_seconds("fast", 1, data)[1])
        times["libipt's blocks"].append(decode_seconds("blocks", 1, data)[1])
        walls["1 thread"].append(run([*report, "-j", "1"])[1])
        walls["2 threads"].append(run([*report, "-j", "2"])[1])
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:7.2f} s of CPU  {size / 1e6 / median:7.1f} MB/s  "
              f"report is {median / medians['report']:6.1f} times as fast")
    one, two = (statistics.median(values) for values in walls.values())
    print(f"{size / 1e6:.1f} MB; wall: {one:.2f} s on one thread, {two:.2f} s on two "
          f"({one / two:.2f} times as fast)")
    ok = size >= MIN_BYTES
    for name, goal in GOALS.items():
        if name in medians and medians[name] < goal * medians["report"]:
            print(f"less than {goal} times as fast as {name}")
            ok = False
    if medians["libipt's blocks"] < DECODE_GOAL * medians["decoding alone"]:
        print(f"decoding alone: less than {DECODE_GOAL} times as fast as libipt's blocks")
        ok = False
    return ok


def hardware():
    """Small traces, over and over with everything in caches, as libxdc's benchmark does it."""
    for name in ("unzip", "foo"):
        data = os.path.join(lib.HWTRACES, name + ".perf.data")
        if not os.path.exists(data):
            print(f"{name}: no traces of real hardware here")
            continue
        found = {}
        for mode in ("fast", "blocks"):
            size, seconds = decode_seconds(mode, LOOPS, data, lib.HWTRACES)
            found[mode] = size / 1e6 / seconds
        print(f"{name}, {LOOPS} times: {found['fast']:.0f} MB/s, libipt's blocks "
              f"{found['blocks']:.0f} MB/s ({found['fast'] / found['blocks']:.1f} times as fast)")


def main():
    if not lib.shutil.which("qemu-x86_64"):
        print("skipped: qemu-x86_64 is not installed")
        return 77
    with lib.tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "sort.data")
        program = os.path.join(lib.PROGRAM_DIR, "sort.dynamic")
        subprocess.run([lib.PTFLAME, "record", "--backend", "sim", "-o", data, "--", program,
                        NUMBERS],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ok = compare(data)
    hardware()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
