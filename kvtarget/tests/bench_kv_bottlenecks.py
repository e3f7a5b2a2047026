#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The six planted bottlenecks, slow against fast in one run, natively; with --profile also under
ptflame: the share of the planted function in the time that its thread is busy.

    bench_kv_bottlenecks.py [--profile] [NAME...]
"""
import os
import re
import signal
import subprocess
import sys
import time

import kv_testlib as lib

SECONDS = int(os.environ.get("KV_BENCH_SECONDS", "4"))
PTFLAME = os.environ.get("PTF_BIN") or str(lib.ROOT / "src/cli/ptflame")

# name: (flag, slow, fast), options of every node, options of kvload, what names the cause
CASES = {
    "wal-sync": ("each", "group", [], ["--threads", 50, "--pipeline", 16], r"sync_file|fdatasync"),
    "batch-size": ("scan", "cached",
                   ["--append-entries", 1, "--inflight", 20000, "--batch-bytes", 16 << 20],
                   ["--threads", 50, "--pipeline", 100], r"scan_batch_size"),
    "row-lock": ("list", "hash", [], ["--threads", 800, "--mix", "hotkey"], r"walk_for_waiting"),
    "store-lock": ("global", "sharded", ["--net-threads", 4],
                   ["--threads", 50, "--pipeline", 32, "--mix", "read", "--keys", 1000,
                    "--value-size", 16000],
                   r"lock_shard"),
    "value-alloc": ("malloc", "pool", ["--large-value", 0],
                    ["--threads", 50, "--pipeline", 32, "--mix", "read", "--keys", 1000,
                     "--value-size", 30000],
                    r"add_copied"),
}


def measure(name, choice, options, load):
    """Operations per second."""
    with lib.Cluster("--election-ms", "1000", f"--{name}", choice, *map(str, options)) as cluster:
        cluster.leader()
        if "read" in load:
            fill(cluster, load)
        run = cluster.load("--duration", SECONDS, *load)
        return lib.rate(run.communicate(timeout=300)[0])


def fill(cluster, load):
    size = load[load.index("--value-size") + 1] if "--value-size" in load else 100
    keys = load[load.index("--keys") + 1] if "--keys" in load else 100000
    cluster.load("--ops", 3 * keys, "--keys", keys, "--pipeline", 64,
                 "--value-size", size).communicate(timeout=300)


def profile(name, choice, options, load, cause):
    """The cause's share of the time that each thread was busy (idle waiting left out)."""
    with lib.Cluster("--election-ms", "5000", f"--{name}", choice, *map(str, options),
                     under=[PTFLAME, "sim", "--"]) as cluster:
        cluster.leader()
        if "read" in load:
            fill(cluster, load)
        load = [min(word, 200) if word == 800 else word for word in load]  # it is slow here
        run = cluster.load("--duration", 8, *load)
        time.sleep(3)
        leader = cluster.leader()
        data = str(cluster.directory / "ptflame.data")
        pid = cluster.info(leader)["process_id"]
        subprocess.run([PTFLAME, "record", "-p", pid, "-d", "2", "-o", data], check=True,
                       capture_output=True, text=True)
        run.communicate(timeout=300)
        return shares(data, cause)


# What a thread does not wait for because it has nothing to do.
WAITS = r"sync|lock_shard"


def shares(data, cause):
    report = subprocess.run([PTFLAME, "report", "-i", data, "--weight", "wall"], check=True,
                            capture_output=True, text=True).stdout
    totals, hits = {}, {}
    for line in report.splitlines():
        stack, value = line.rsplit(" ", 1)
        frames = stack.split(";")
        if frames[-1] in ("[blocked]", "[off]", "[preempted]") and not re.search(WAITS, stack):
            continue  # idle
        totals[frames[0]] = totals.get(frames[0], 0) + int(value)
        if any(re.search(cause, f) for f in frames[1:]):
            hits[frames[0]] = hits.get(frames[0], 0) + int(value)
    return {thread: hits[thread] / totals[thread] for thread in hits}


def recovery():
    """Restarts of one node from a snapshot of many keys, in each of the three ways."""
    keys, size = 150000, 2000
    with lib.Cluster("--snapshot-entries", "100000", "--large-value", "1000", nodes=1) as cluster:
        cluster.leader()
        cluster.load("--ops", keys * 2, "--keys", keys, "--value-size", size, "--pipeline", 64,
                     "--threads", 16).communicate(timeout=600)
        time.sleep(3)
        cluster.kill(1, signal.SIGTERM)
        for how in ("entry", "block", "stream"):
            cluster.start(1, "--recover", how)
            cluster.leader(120)
            line = [l for l in cluster.log(1).splitlines() if "recovered" in l][-1]
            print(f"recover {how:7}{line.split('recovered ')[1]}", flush=True)
            cluster.kill(1, signal.SIGTERM)


def main():
    with_profile = "--profile" in sys.argv
    names = [a for a in sys.argv[1:] if a != "--profile"] or [*CASES, "recover"]
    for name in names:
        if name == "recover":
            recovery()
            continue
        slow, fast, options, load, cause = CASES[name]
        rates = {choice: measure(name, choice, options, load) for choice in (slow, fast)}
        print(f"{name:12}{slow} {rates[slow]:.0f}/s, {fast} {rates[fast]:.0f}/s: "
              f"{rates[fast] / rates[slow]:.2f} times", flush=True)
        if with_profile:
            for choice in (slow, fast):
                found = profile(name, choice, options, load, cause)
                text = ", ".join(f"{t} {s:.1%}" for t, s in sorted(found.items()))
                print(f"{'':12}{choice}: {text or 'not there'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
