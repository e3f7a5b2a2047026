#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Programs that people run: a Redis and a memcached server under load, attached to and detached
from, and sqlite3 recorded from its start."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import ptf_testlib as lib


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server(lib.TestCase):
    """What holds for every server that waits for its clients in epoll_wait."""

    def lost_share(self, report):
        wall = sum(t["wall_ns"] for t in report["threads"])
        return sum(t["lost_ns"] for t in report["threads"]) / wall

    def check_event_loops(self, data, least):
        """Each thread waits at the same depth at every visit of its loop: one path, and as many
        visits as `least` in at least one thread."""
        paths = {}
        for frames, calls in lib.report_folded(data, "--by", "thread", "--weight", "calls"):
            if "epoll_wait" in frames:
                path = tuple(frames[1 : frames.index("epoll_wait") + 1])
                visits = paths.setdefault(frames[0], {})
                visits[path] = visits.get(path, 0) + calls
        self.assertTrue(paths, "no thread calls epoll_wait")
        for thread, visits in paths.items():
            self.assertEqual(len(visits), 1, f"{thread}: {visits}")
        self.assertGreater(max(sum(v.values()) for v in paths.values()), least)

    def check_stack_rules(self, data):
        """No return that fits no frame: every one is explained by a rule."""
        stats = lib.run([lib.PTFLAME, "report", "-i", data, "--stats", "-o",
                         self.file("x.folded")]).stderr
        found = re.search(r"^ *(\d+)  unmatched_return", stats, re.M)
        self.assertEqual(int(found.group(1)), 0, stats)


class Redis(Server):
    SECONDS = 2

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()
        for name in ("redis-server", "redis-cli", "redis-benchmark"):
            lib.need_program(name)

    def info(self, section):
        text = lib.run(["redis-cli", "-p", str(self.port), "info", section], timeout=20,
                       check=False).stdout
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def commands_done(self):
        return int(self.info("stats")["total_commands_processed"])

    @contextlib.contextmanager
    def server(self):
        self.port = free_port()
        command = [lib.PTFLAME, "sim", "--", "redis-server", "--port", str(self.port),
                   "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--io-threads", "2", "--dir", self.dir]
        with open(self.file("server.log"), "w") as log, \
                lib.background(command, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log) as process:
            def ready():
                if process.poll() is not None:
                    with open(self.file("server.log")) as text:
                        self.fail(f"redis-server ended:\n{lib.tail(text.read())}")
                return "process_id" in self.info("server")

            lib.wait_until(ready, timeout=60, what="redis-server to answer")
            yield int(self.info("server")["process_id"])

    def load(self):
        return lib.background(
            ["redis-benchmark", "-p", str(self.port), "-t", "set,get,lpush", "-n", "100000000",
             "-c", "8", "-q"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def record(self):
        """Records a server under load: (file, pid, upper limit of commands in the window)."""
        data = self.file("redis.data")
        with self.server() as pid, self.load():
            start = self.commands_done()
            lib.wait_until(lambda: self.commands_done() > start + 100, what="load")
            before = self.commands_done()
            lib.run([lib.PTFLAME, "record", "-p", str(pid), "-d", str(self.SECONDS), "-o", data],
                    timeout=120)
            after = self.commands_done()
            lib.wait_until(lambda: self.commands_done() > after + 100, what="load after recording")
        return data, pid, after - before

    def test_under_load(self):
        data, pid, most = self.record()
        report = lib.report_json(data)
        stacks = lib.report_folded(data)
        with self.subTest("engines"):
            result = lib.compare_engines(data)
            self.assertEqual(result.returncode, 0, lib.describe(result))
        with self.subTest("accounting"):
            self.assertEqual(lib.identity_errors(report), [])
            length = report["window"]["end_ns"] - report["window"]["start_ns"]
            self.assertGreater(length, (self.SECONDS - 0.1) * 1e9)
            self.assertLess(length, (self.SECONDS + 1.5) * 1e9)
            self.assertEqual(report["decode"]["errors"], 0)
            self.assertEqual({t["pid"] for t in report["threads"]}, {pid})
            self.assertEqual(sum(v for _, v in stacks),
                             sum(t["wall_ns"] for t in report["threads"]))
        with self.subTest("thread names"):
            names = {t["comm"] for t in report["threads"]}
            self.assertIn("redis-server", names)
            self.assertIn("io_thd_1", names)
            self.assertEqual(len([n for n in names if n.startswith("bio_")]), 3, names)
            self.assertEqual([n for n in names if "qemu" in n], [])
            self.assertLessEqual({frames[0] for frames, _ in stacks}, names)
        with self.subTest("stacks"):
            self.stacks(stacks)
        with self.subTest("counts"):
            calls = {f["name"]: f["calls"] for f in report["functions"]}
            self.assertGreater(calls["processCommand"], 0)
            self.assertLessEqual(calls["processCommand"], most)
            self.assertGreater(calls["setCommand"] + calls.get("getCommand", 0), 0)
        with self.subTest("slow commands"):
            self.slow_commands(data, report)
        self.assertLess(self.lost_share(report), 0.01)
        self.check_event_loops(data, 20)
        self.check_stack_rules(data)

    def slow_commands(self, data, report):
        """The slowest commands and the others are all commands, to the nanosecond."""
        whole, = (f for f in report["functions"] if f["name"] == "processCommand")
        found = json.loads(lib.run([lib.PTFLAME, "calls", "-i", data, "-F", "processCommand",
                                    "-f", "json"]).stdout)
        for key in ("calls", "partial_calls", "timed_calls", "p50_ns", "p99_ns", "avg_off_ns"):
            self.assertEqual(found[key], whole[key], key)
        durations = [call["duration_ns"] for call in found["slowest"]]
        self.assertEqual(durations, sorted(durations, reverse=True))
        self.assertEqual(durations[0], whole["max_ns"])
        for call in found["slowest"]:
            self.assertEqual(sum(place["ns"] for place in call["places"]), call["duration_ns"])
        slowest, fastest = (lib.report_json(data, "--under", "processCommand", *choice)
                            for choice in (("--slowest", "1%"), ("--fastest", "99%")))
        wall = sum(t["wall_ns"] for part in (slowest, fastest) for t in part["threads"])
        if whole["partial_calls"]:  # they are neither slow nor fast
            self.assertLess(wall, whole["total_ns"])
        else:
            self.assertEqual(wall, whole["total_ns"])
        timed = [f["timed_calls"] for part in (slowest, fastest) for f in part["functions"]
                 if f["name"] == "processCommand"]
        self.assertEqual(sum(timed), whole["timed_calls"])
        self.assertGreaterEqual(timed[0], 0.01 * whole["timed_calls"])

    def stacks(self, stacks):
        main = [(frames, v) for frames, v in stacks if frames[0] == "redis-server"]
        self.assertTrue(main)
        total = sum(v for _, v in main)
        in_loop = sum(v for frames, v in main if "aeMain" in frames)
        self.assertGreater(in_loop, total * 0.9, "time of the main thread in its event loop")
        commands = [frames for frames, _ in main if "setCommand" in frames]
        self.assertTrue(commands, "no stack with setCommand")
        for frames in commands:
            order = [frames.index(f) for f in ("aeMain", "processCommand", "call", "setCommand")
                     if f in frames]
            self.assertEqual(len(order), 4, frames)
            self.assertEqual(order, sorted(order), frames)

    def test_waits_and_formats(self):
        """The formats agree: what is off the CPU in JSON is off the CPU in folded stacks."""
        data, _, _ = self.record()
        report = lib.report_json(data)
        off = lib.report_folded(data, "--weight", "off")
        self.assertEqual(sum(v for _, v in off), sum(t["off_ns"] for t in report["threads"]))
        calls = lib.report_folded(data, "--weight", "calls")
        self.assertEqual(sum(v for _, v in calls), sum(f["calls"] for f in report["functions"]))
        strange = self.file("flame.strange")
        result = lib.run([lib.PTFLAME, "report", "-i", data, "-o", strange], check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn(".strange", result.stderr)
        self.assertFalse(os.path.exists(strange))


class Memcached(Server):
    """Four worker threads; run by root it gives its rights up behind the simulator's back."""

    CLIENTS = 6
    SECONDS = 2

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()
        lib.need_program("memcached")

    @contextlib.contextmanager
    def server(self):
        self.port = free_port()
        command = [lib.PTFLAME, "sim", "--", "memcached", "-u", "nobody", "-t", "4",
                   "-l", "127.0.0.1", "-p", str(self.port)]
        with lib.background(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL) as process:
            def ready():
                if process.poll() is not None:
                    self.fail("memcached ended")
                with contextlib.suppress(OSError):
                    return self.stat("pid") is not None

            lib.wait_until(ready, timeout=60, what="memcached to answer")
            yield int(self.stat("pid"))

    def stat(self, name):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client, \
                client.makefile("rwb") as stream:
            stream.write(b"stats\r\n")
            stream.flush()
            for line in iter(stream.readline, b"END\r\n"):
                if line.split()[:2] == [b"STAT", name.encode()]:
                    return line.split()[2].decode()

    def client(self, number, stop):
        """Sets and gets until told to stop; counts its requests."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client, \
                client.makefile("rwb") as stream:
            while not stop.is_set():
                key = b"key-%d-%d" % (number, self.requests[number] % 100)
                stream.write(b"set %s 0 0 10\r\n0123456789\r\nget %s\r\n" % (key, key))
                stream.flush()
                for _ in range(4):  # STORED, VALUE, the value, END
                    stream.readline()
                self.requests[number] += 1

    @contextlib.contextmanager
    def load(self):
        stop = threading.Event()
        self.requests = [0] * self.CLIENTS
        clients = [threading.Thread(target=self.client, args=(i, stop))
                   for i in range(self.CLIENTS)]
        for client in clients:
            client.start()
        try:
            lib.wait_until(lambda: all(self.requests), what="load")
            yield
        finally:
            stop.set()
            for client in clients:
                client.join()

    def test_under_load(self):
        data = self.file("memcached.data")
        with self.server() as pid:
            with self.load():
                before = sum(self.requests)
                lib.run([lib.PTFLAME, "record", "-p", str(pid), "-d", str(self.SECONDS), "-o", data],
                        timeout=120)
                served = sum(self.requests) - before
        report = lib.report_json(data)
        self.assertEqual(lib.identity_errors(report), [])
        self.assertEqual(report["decode"]["errors"], 0)
        self.assertLess(self.lost_share(report), 0.01)
        names = [t["comm"] for t in report["threads"]]
        self.assertEqual(names.count("mc-worker"), 4, names)
        reads = {f["name"]: f["calls"] for f in report["functions"]}["read"]
        self.assertGreater(reads, 0)
        self.assertLess(reads, 3 * served + 100)
        self.check_event_loops(data, 20)
        self.check_stack_rules(data)


class Shell(Server):
    """Shells that become each other: forks, execs and longjmps of a stripped program."""

    SCRIPT = 'for i in 1 2 3; do x=$(echo $i); done; [ "$1" = 0 ] || exec bash -c "$0" "$0" $(($1-1))'

    @classmethod
    def setUpClass(cls):
        lib.need_simulator()
        lib.need_program("bash")

    def test_programs_executed_in_a_chain(self):
        data = self.file("shell.data")
        lib.record(data, ["bash", "-c", self.SCRIPT, self.SCRIPT, "3"], clock="real")
        report = lib.report_json(data)
        self.assertEqual(report["decode"]["errors"], 0)
        self.assertEqual(report["decode"]["lost_bytes"], 0)
        self.check_stack_rules(data)


SQL = """create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
insert into t select i, 'row ' || i from n;
select count(*), sum(a), max(b) from t where b like '%7%';"""


class Sqlite(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.need_simulator()
        lib.need_program("sqlite3")

    def test_from_start_to_end(self):
        command = ["sqlite3", ":memory:", SQL]
        data = self.file("sqlite.data")
        printed = lib.record(data, command, clock="real")
        self.assertEqual(printed, lib.run(command).stdout, "the program must not notice")
        report = lib.report_json(data)
        self.assertEqual(lib.identity_errors(report), [])
        self.assertEqual([t["comm"] for t in report["threads"]], ["sqlite3"])
        self.assertEqual(report["decode"]["errors"], 0)
        calls = {f["name"]: f["calls"] for f in report["functions"]}
        self.assertGreaterEqual(calls["sqlite3_step"], 3)
        self.assertEqual(calls["sqlite3_open_v2"], 1)
        stacks = [frames for frames, _ in lib.report_folded(data) if "sqlite3_step" in frames]
        self.assertTrue(stacks)
        for frames in stacks:
            self.assertIn("__libc_start_main", " ".join(frames[: frames.index("sqlite3_step")]))

    def test_status_is_the_commands(self):
        data = self.file("sqlite.data")
        command = ["sqlite3", ":memory:", "select nonsense"]
        result = lib.run([lib.PTFLAME, "record", "--backend", "sim", "-o", data, "--", *command],
                         check=False)
        self.assertEqual(result.returncode, lib.run(command, check=False).returncode)
        self.assertIn("nonsense", result.stderr)
        self.assertTrue(lib.report_folded(data))


if __name__ == "__main__":
    lib.main()
