#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kvnode as its clients see it: the commands, redis-cli and redis-benchmark, and bad input."""
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import kv_testlib as lib


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = lib.Cluster("--election-ms", "1000", "--large-value", "1000")
        cls.cluster.__enter__()
        cls.leader = cls.cluster.leader()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__()

    def setUp(self):
        self.client = self.cluster.client()

    def tearDown(self):
        self.client.close()

    def test_every_command(self):
        ask = self.client.ask
        self.assertEqual(ask("PING"), "PONG")
        self.assertEqual(ask("ECHO", "x\r\ny"), b"x\r\ny")
        self.assertEqual(ask("SET", "a", "1"), "OK")
        self.assertEqual(ask("GET", "a"), b"1")
        self.assertIsNone(ask("GET", "nobody"))
        self.assertEqual(ask("INCR", "a"), 2)
        self.assertEqual(ask("MSET", "b", "x", "c", "y" * 5000), "OK")
        self.assertEqual(ask("MGET", "a", "b", "c", "nobody"), [b"2", b"x", b"y" * 5000, None])
        self.assertEqual(ask("EXISTS", "a", "b", "nobody"), 2)
        self.assertEqual(ask("DEL", "b", "nobody"), 1)
        self.assertEqual(ask("CONFIG", "GET", "save"), [b"save", b""])
        self.assertEqual(ask("ROLE")[0], b"master")
        with self.assertRaisesRegex(lib.Reply, "not an integer"):
            ask("INCR", "c")
        with self.assertRaisesRegex(lib.Reply, "unknown command"):
            ask("FLUSHEVERYTHING")
        with self.assertRaisesRegex(lib.Reply, "wrong number of arguments"):
            ask("GET")

    def test_scan_is_ordered_and_whole(self):
        names = [f"scan{i:04}".encode() for i in range(500)]
        for name in names:
            self.client.send("SET", name, "x")
        for _ in names:
            self.client.read()
        found, cursor = [], b"0"
        while True:
            cursor, keys = self.client.ask("SCAN", cursor, "COUNT", "33")
            found += keys
            if cursor == b"0":
                break
        self.assertEqual([k for k in found if k.startswith(b"scan")], names)
        self.assertEqual(len(found), self.client.ask("DBSIZE"))

    def test_pipelined_reads_see_writes_before_them(self):
        for i in range(200):
            self.client.send("SET", "p", i)
            self.client.send("GET", "p")
        for i in range(200):
            self.assertEqual(self.client.read(), "OK")
            self.assertEqual(self.client.read(), str(i).encode())

    def test_followers_redirect_writes_and_serve_reads(self):
        follower = self.cluster.follower()
        self.client.ask("SET", "f", "here")
        with self.cluster.client(follower) as other:
            self.assertEqual(other.ask("GET", "f"), b"here")
            with self.assertRaisesRegex(
                    lib.Reply, f"MOVED 0 127.0.0.1:{self.cluster.ports[self.leader]}"):
                other.ask("SET", "f", "there")

    def test_locks(self):
        with self.cluster.client() as first, self.cluster.client() as second:
            self.assertEqual(first.ask("LOCK", "row"), "OK")
            second.send("LOCK", "row")
            second.socket.settimeout(0.3)
            with self.assertRaises(OSError):
                second.socket.recv(1)
            second.socket.settimeout(5)
            with self.assertRaisesRegex(lib.Reply, "not held"):
                self.client.ask("UNLOCK", "row")
            self.assertEqual(first.ask("UNLOCK", "row"), "OK")
            self.assertEqual(second.socket.recv(5), b"+OK\r\n")
            self.client.send("LOCK", "row")
            second.close()  # what it held goes to who waits
            self.assertEqual(self.client.read(), "OK")
            self.assertEqual(self.client.ask("UNLOCK", "row"), "OK")

    @unittest.skipUnless(shutil.which("redis-cli"), "no redis-cli")
    def test_redis_tools(self):
        follower = str(self.cluster.ports[self.cluster.follower()])
        leader = str(self.cluster.ports[self.leader])
        run = lambda *a: subprocess.run(a, capture_output=True, text=True, timeout=60).stdout
        self.assertEqual(run("redis-cli", "-c", "-p", follower, "set", "cli", "5").strip(), "OK")
        self.assertEqual(run("redis-cli", "-c", "-p", follower, "incr", "cli").strip(), "6")
        self.assertIn("cli", run("redis-cli", "-p", leader, "--scan").split())
        text = run("redis-benchmark", "-p", leader, "-t", "set,get", "-n", "5000", "-q")
        self.assertEqual(text.count("requests per second"), 2, text)

    def test_bad_input(self):
        port = self.cluster.ports[self.leader]
        for bad in [b"*1\r\n:1\r\n", b"*99999999\r\n", b"*1\r\n$-5\r\n", b"\x00" * 70000,
                    b"*1\r\n$3\r\nabcdef\r\n", b"*2\r\n$4\r\nRAFT\r\n$2\r\n99\r\n",
                    os.urandom(5000) + b"\n", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$99999999\r\n"]:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(bad)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                try:
                    while piece := s.recv(65536):
                        answer += piece
                except ConnectionResetError:
                    pass
                self.assertNotIn(b"+OK", answer)
        with self.assertRaisesRegex(lib.Reply, "too long"):
            self.client.ask("SET", b"k" * 70000, "x")
        # Another member's stream of nonsense ends that connection only.
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"*2\r\n$4\r\nRAFT\r\n$1\r\n%d\r\n" % self.cluster.follower())
            self.assertEqual(s.recv(5), b"+OK\r\n")
            s.sendall(os.urandom(10000))
        self.assertEqual(self.client.ask("PING"), "PONG")
        self.assertEqual(self.client.ask("SET", "alive", "1"), "OK")

    def test_idle_and_half_open_clients(self):
        port = self.cluster.ports[self.leader]
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
        try:
            for s in idle[:300]:
                s.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\n")  # and nothing more
            self.assertEqual(self.client.ask("SET", "busy", "1"), "OK")
            self.assertGreaterEqual(
                int(self.cluster.info(self.leader)["connected_clients"]), 1000)
        finally:
            for s in idle:
                s.close()
        self.assertEqual(self.client.ask("GET", "busy"), b"1")

    def test_large_values(self):
        value = os.urandom(9 << 20)
        self.assertEqual(self.client.ask("SET", "large", value), "OK")
        self.assertEqual(self.client.ask("GET", "large"), value)
        self.assertEqual(self.client.ask("DEL", "large"), 1)


class Forward(unittest.TestCase):
    def test_writes_are_passed_on(self):
        with lib.Cluster("--election-ms", "1000", "--forward") as cluster:
            follower = cluster.follower()
            with cluster.client(follower) as client:
                self.assertEqual(client.ask("SET", "a", "1"), "OK")
                self.assertEqual(client.ask("INCR", "a"), 2)
                self.assertEqual(client.ask("GET", "a"), b"2")


class Life(unittest.TestCase):
    def test_stops_on_sigterm_and_keeps_everything(self):
        with lib.Cluster() as cluster:
            with cluster.client() as client:
                for i in range(100):
                    client.ask("SET", f"k{i}", i)
            for node in cluster.ids:
                self.assertEqual(cluster.kill(node, signal.SIGTERM), 0, cluster.log(node))
            for node in cluster.ids:
                cluster.start(node)
            with cluster.client() as client:
                for i in range(100):
                    self.assertEqual(client.ask_patiently("GET", f"k{i}"), str(i).encode())

    def test_a_late_node_gets_a_snapshot(self):
        with lib.Cluster("--election-ms", "1000", "--snapshot-entries", "500",
                         "--segment-bytes", "65536", "--large-value", "2000") as cluster:
            late = cluster.follower()
            cluster.kill(late)
            with cluster.client() as client:
                for i in range(3000):
                    client.send("SET", f"k{i}", f"{i}" * (1 if i % 10 else 1000))
                for i in range(3000):
                    client.read()
            info = cluster.info(cluster.leader())
            give_up = time.monotonic() + 20
            while int(info["raft_log_base"]) < 2000 and time.monotonic() < give_up:
                time.sleep(0.1)
                info = cluster.info(cluster.leader())
            self.assertGreater(int(info["raft_log_base"]), 1000)  # the log alone cannot do it
            cluster.start(late)
            cluster.wait_applied(late, int(info["raft_commit"]))
            with cluster.client(late) as client:
                self.assertEqual(client.ask_patiently("DBSIZE"), 3000)
                self.assertEqual(client.ask("GET", "k2990"), b"2990" * 1000)
            # And it starts again from what it was sent.
            self.assertEqual(cluster.kill(late, signal.SIGTERM), 0, cluster.log(late))
            for how in ["entry", "block", "stream"]:
                cluster.start(late, "--recover", how)
                cluster.wait_applied(late, int(info["raft_commit"]))
                with cluster.client(late) as client:
                    self.assertEqual(client.ask_patiently("DBSIZE"), 3000)
                cluster.kill(late)

    def test_two_nodes_cannot_share_a_directory(self):
        with lib.Cluster() as cluster:
            cluster.leader()
            second = subprocess.run(cluster.command(1), capture_output=True, text=True, timeout=60)
            self.assertEqual(second.returncode, 1)
            self.assertIn("in use", second.stderr)


if __name__ == "__main__":
    lib.main()
