# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of kvnode share: a cluster whose nodes can be killed and started one by one.

Environment: PTF_BUILD_ROOT (build directory), PTF_SOURCE_ROOT, KV_BIN (directory of kvnode and
kvload, default the build's), KV_SECONDS (length of each kill test, default 12).
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(os.environ.get("PTF_BUILD_ROOT", "build")).resolve()
BIN = pathlib.Path(os.environ.get("KV_BIN") or ROOT / "kvtarget")
SECONDS = int(os.environ.get("KV_SECONDS", "12"))


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Reply(Exception):
    """An error reply."""


class Client:
    """A connection that speaks RESP2."""

    def __init__(self, port, host="127.0.0.1", timeout=5):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(out)

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection is closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Reply(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        raise ConnectionError(f"no RESP: {line!r}")

    def ask(self, *words):
        self.send(*words)
        return self.read()

    def ask_patiently(self, *words, seconds=30):
        """The same while there is no leader yet."""
        give_up = time.monotonic() + seconds
        while True:
            try:
                return self.ask(*words)
            except Reply as error:
                if time.monotonic() > give_up or "MOVED" in str(error):
                    raise
                time.sleep(0.05)


class Cluster:
    """Three nodes on loopback in a temporary directory."""

    def __init__(self, *options, nodes=3, directory=None, under=()):
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="kv-test-"))
        self.ids = list(range(1, nodes + 1))
        self.ports = dict(zip(self.ids, free_ports(nodes)))
        self.options = list(options) or ["--election-ms", "1000"]
        self.under = list(under)
        self.processes = {}

    def __enter__(self):
        for node in self.ids:
            self.start(node)
        return self

    def __exit__(self, *unused):
        for node in list(self.processes):
            self.kill(node)
        shutil.rmtree(self.directory, ignore_errors=True)

    def data(self, node):
        return self.directory / f"node{node}"

    def log(self, node):
        return (self.directory / f"log{node}").read_text(errors="replace")

    def command(self, node):
        peers = ",".join(f"{i}=127.0.0.1:{self.ports[i]}" for i in self.ids)
        return [*self.under, str(BIN / "kvnode"), "--id", str(node), "--data",
                str(self.data(node)), "--listen", f"127.0.0.1:{self.ports[node]}", "--peers",
                peers, *self.options]

    def start(self, node, *options):
        with open(self.directory / f"log{node}", "ab") as log:
            self.processes[node] = subprocess.Popen(
                [*self.command(node), *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, node, how=signal.SIGKILL):
        process = self.processes.pop(node)
        process.send_signal(how)
        return process.wait(60)

    def info(self, node):
        try:
            with Client(self.ports[node], timeout=2) as client:
                text = client.ask("INFO").decode()
        except OSError:
            return {}
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def leader(self, seconds=60):
        """The id of the node that leads, once there is one."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            for node in self.processes:
                if self.info(node).get("role") == "leader":
                    return node
            time.sleep(0.05)
        logs = "\n".join(self.log(node) for node in self.ids)
        raise AssertionError(f"no leader within {seconds} s\n{logs}")

    def follower(self):
        leader = self.leader()
        return next(node for node in self.processes if node != leader)

    def client(self, node=None):
        return Client(self.ports[node or self.leader()])

    def addresses(self):
        return [f"127.0.0.1:{port}" for port in self.ports.values()]

    def load(self, *options):
        """kvload in the background."""
        return subprocess.Popen(
            [str(BIN / "kvload"), "--quiet", *map(str, options), *self.addresses()],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_applied(self, node, index, seconds=60):
        give_up = time.monotonic() + seconds
        while int(self.info(node).get("raft_applied", 0)) < index:
            if time.monotonic() > give_up:
                raise AssertionError(f"node {node} stays behind {index}: {self.info(node)}")
            time.sleep(0.05)


def rate(text):
    """Operations per second that kvload printed."""
    for line in text.splitlines():
        if "/s," in line:
            return float(line.split(" s: ")[1].split("/s")[0])
    raise AssertionError(f"kvload said: {text}")


def main():
    unittest.main(verbosity=2)
