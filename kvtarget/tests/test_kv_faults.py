#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Nothing acknowledged is lost: nodes are killed, disks fill up, bytes rot, networks are cut, and
kvload checks all the while that what its clients saw is linearizable."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import kv_testlib as lib


def load_options(seconds):
    return ["--threads", 12, "--duration", seconds, "--mix", "mixed", "--verify", "--keys", 60,
            "--interval-us", 2000, "--seed", random.randrange(1 << 30)]


class Kill(unittest.TestCase):
    def run_under_load(self, disturb, *options):
        with lib.Cluster("--election-ms", "300", "--segment-bytes", "200000",
                         "--snapshot-entries", "3000", *options) as cluster:
            cluster.leader()
            load = cluster.load(*load_options(lib.SECONDS))
            give_up = time.monotonic() + lib.SECONDS
            disturbed = 0
            while time.monotonic() < give_up:
                time.sleep(random.uniform(0.2, 1.5))
                disturb(cluster)
                disturbed += 1
            for node in cluster.ids:
                if node not in cluster.processes:
                    cluster.start(node)
            output, _ = load.communicate(timeout=180)
            print(f"{disturbed} times:", output.replace("\n", " | "))
            self.assertEqual(load.returncode, 0, output)
            self.assertIn("linearizable", output)
            operations = int(output.split("verify: ")[1].split(" ")[0])
            self.assertGreater(operations, 100)

    def restart(self, cluster, nodes):
        for node in nodes:
            if node in cluster.processes:
                cluster.kill(node)
        time.sleep(random.uniform(0, 0.5))
        for node in nodes:
            cluster.start(node)

    def test_leader(self):
        self.run_under_load(lambda c: self.restart(c, [c.leader()]))

    def test_follower(self):
        self.run_under_load(lambda c: self.restart(c, [c.follower()]))

    def test_all(self):
        self.run_under_load(lambda c: self.restart(c, c.ids))

    def test_any(self):
        def disturb(cluster):
            self.restart(cluster, random.sample(cluster.ids, random.choice([1, 1, 2, 3])))
        self.run_under_load(disturb, "--wal-sync", "each")

    def tear(self, node_directory):
        """What a write that was cut off leaves at the end of the log: half a record."""
        segment = sorted(node_directory.glob("wal-*"))[-1]
        data = segment.read_bytes()
        end = len(data.rstrip(b"\0"))
        end += -end % 8
        record = b"\x12\x34\x56\x78\x02\x01\x04\x00" + b"\x08\x00\x00\x00" + b"\x00\x10\x00\x00"
        with open(segment, "r+b") as file:
            file.seek(end)
            file.write(record + b"\x01" * 300)
            file.truncate(max(len(data), end + 8192))

    def test_torn_tail(self):
        def disturb(cluster):
            node = random.choice(list(cluster.processes))
            cluster.kill(node)
            self.tear(cluster.data(node))
            cluster.start(node)
        self.run_under_load(disturb)


class Disk(unittest.TestCase):
    def fill(self, cluster):
        with cluster.client() as client:
            for i in range(200):
                client.ask("SET", f"k{i}", "v" * 500)

    def test_a_rotten_byte_is_told(self):
        with lib.Cluster() as cluster:
            self.fill(cluster)
            node = cluster.follower()
            cluster.wait_applied(node, 150)
            cluster.kill(node)
            segment = sorted(cluster.data(node).glob("wal-*"))[0]
            with open(segment, "r+b") as file:
                file.seek(20000)
                byte = file.read(1)[0]
                file.seek(20000)
                file.write(bytes([byte ^ 4]))
            run = subprocess.run(cluster.command(node), capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(str(segment), run.stderr)
            self.assertRegex(run.stderr, r"at offset 0x[0-9a-f]+")
            # Told to, it goes on with what is intact, and gets the rest from the others.
            cluster.start(node, "--recover-prefix")
            cluster.wait_applied(node, 200)
            with cluster.client(node) as client:
                self.assertEqual(client.ask_patiently("GET", "k199"), b"v" * 500)

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_full_disk(self):
        directory = tempfile.mkdtemp(prefix="kv-full-")
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory], check=True)
        except (subprocess.CalledProcessError, FileNotFoundError):
            os.rmdir(directory)
            self.skipTest("mounting a tmpfs is not allowed")
        try:
            self.fill_disk(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)
            os.rmdir(directory)

    def fill_disk(self, directory):
        acknowledged = 0
        os.makedirs(pathlib.Path(directory) / "c", exist_ok=True)
        cluster = lib.Cluster("--election-ms", "300", "--segment-bytes", "65536", nodes=1,
                              directory=pathlib.Path(directory) / "c")
        cluster.start(1)
        with cluster.client() as client:
            with self.assertRaises((ConnectionError, lib.Reply)):
                for i in range(100000):
                    client.ask("SET", f"k{i}", "v" * 1000)
                    acknowledged = i + 1
        self.assertEqual(cluster.processes[1].wait(30), 1)
        self.assertIn("No space left", cluster.log(1))
        self.assertGreater(acknowledged, 100)
        del cluster.processes[1]
        subprocess.run(["mount", "-o", "remount,size=30m", directory], check=True)
        cluster.start(1)
        with cluster.client() as client:
            for i in range(acknowledged):
                self.assertEqual(client.ask_patiently("GET", f"k{i}"), b"v" * 1000)
        cluster.kill(1)
        shutil.rmtree(cluster.directory)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip"), "needs root and iproute2")
class Cut(unittest.TestCase):
    """Hosts of their own on a bridge: a cut takes a host's link down."""

    PREFIX = f"kv{os.getpid() % 100000}"

    def setUp(self):
        self.processes = {}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kv-cut-"))
        self.bridge = f"{self.PREFIX}b"
        try:
            ip("link", "add", self.bridge, "type", "bridge")
        except subprocess.CalledProcessError:
            self.skipTest("network namespaces are not allowed")
        self.addCleanup(self.remove)
        ip("addr", "add", "10.213.77.254/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for i in (1, 2, 3):
            ip("netns", "add", f"{self.PREFIX}-{i}")
            ip("link", "add", f"{self.PREFIX}v{i}", "type", "veth", "peer", "name", "eth0",
               "netns", f"{self.PREFIX}-{i}")
            ip("link", "set", f"{self.PREFIX}v{i}", "master", self.bridge, "up")
            ip("-n", f"{self.PREFIX}-{i}", "addr", "add", f"10.213.77.{i}/24", "dev", "eth0")
            ip("-n", f"{self.PREFIX}-{i}", "link", "set", "eth0", "up")
            ip("-n", f"{self.PREFIX}-{i}", "link", "set", "lo", "up")
            self.start(i)

    def remove(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        for i in (1, 2, 3):
            subprocess.run(["ip", "netns", "del", f"{self.PREFIX}-{i}"], capture_output=True)
            subprocess.run(["ip", "link", "del", f"{self.PREFIX}v{i}"], capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)
        shutil.rmtree(self.directory)

    def start(self, i):
        peers = ",".join(f"{n}=10.213.77.{n}:7000" for n in (1, 2, 3))
        with open(self.directory / f"log{i}", "ab") as log:
            self.processes[i] = subprocess.Popen(
                ["ip", "netns", "exec", f"{self.PREFIX}-{i}", str(lib.BIN / "kvnode"), "--id",
                 str(i), "--data", str(self.directory / f"node{i}"), "--listen",
                 f"10.213.77.{i}:7000", "--peers", peers, "--election-ms", "300"],
                stdout=log, stderr=log)

    def info(self, i):
        """INFO as asked within the node's own host, so that a cut does not hide it."""
        text = subprocess.run(
            ["ip", "netns", "exec", f"{self.PREFIX}-{i}", "redis-cli", "-h", f"10.213.77.{i}",
             "-p", "7000", "info"], capture_output=True, text=True, timeout=20).stdout
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def leader(self):
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            leaders = [(int(s["raft_term"]), i) for i in (1, 2, 3)
                       if (s := self.info(i)).get("role") == "leader"]
            if leaders:
                return max(leaders)[1]
            time.sleep(0.05)
        self.fail("no leader")

    @unittest.skipUnless(shutil.which("redis-cli"), "no redis-cli")
    def test_cuts(self):
        self.leader()
        load = subprocess.Popen(
            [str(lib.BIN / "kvload"), "--quiet", *map(str, load_options(lib.SECONDS)),
             *(f"10.213.77.{i}:7000" for i in (1, 2, 3))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        give_up = time.monotonic() + lib.SECONDS
        deposed = 0
        while time.monotonic() < give_up or not deposed:
            leader = self.leader()
            ip("link", "set", f"{self.PREFIX}v{leader}", "down")
            time.sleep(2)
            others = [self.info(i) for i in (1, 2, 3) if i != leader]
            # In the minority it has stepped down, and the others go on without it.
            if any(s.get("role") == "leader" for s in others):
                deposed += 1
                self.assertNotEqual(self.info(leader).get("role"), "leader")
            ip("link", "set", f"{self.PREFIX}v{leader}", "up")
            time.sleep(random.uniform(0.5, 1.5))
        output, _ = load.communicate(timeout=180)
        print(f"{deposed} leaders deposed:", output.replace("\n", " | "))
        self.assertEqual(load.returncode, 0, output)
        self.assertIn("linearizable", output)


if __name__ == "__main__":
    lib.main()
