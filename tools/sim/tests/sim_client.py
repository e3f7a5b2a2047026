#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A small client of the simulator's control protocol (include/ptflame/sim_protocol.h).

Records a process and what it forks into a directory: TID.pt (raw packets) for each thread and
events.json (everything else). Also the library of the tests beside it.
"""
import argparse
import json
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import sys
import time

START, STOP, THREAD_ACK = 1, 2, 3
NAMES = {16: "hello", 17: "process", 18: "thread", 19: "started", 20: "mmap", 21: "comm",
         22: "fork", 23: "exec", 24: "exit", 25: "aux", 26: "stopped", 27: "stack"}
TASK = ("<Qiiiiii", ["time_ns", "pid", "tid", "ppid", "ptid", "real_pid", "real_tid"])
TIME = ("<QQQ", ["time_ns", "aux_bytes", "lost_bytes"])
LAYOUT = {
    "stack": ("<Qii17QQ", ["time_ns", "pid", "tid"] + [f"r{i}" for i in range(17)] + ["addr"]),
    "hello": ("<IIiidII", ["version", "clock", "real_pid", "pid", "dilation", "waiting", ""]),
    "process": TASK, "thread": TASK, "fork": TASK, "exit": TASK, "started": TIME, "stopped": TIME,
    "mmap": ("<QiiQQQIIQII", ["time_ns", "pid", "tid", "addr", "len", "pgoff", "maj", "min", "ino",
                              "prot", "flags"]),
    "comm": ("<QiiII", ["time_ns", "pid", "tid", "exec", ""]),
    "exec": ("<QiiII", ["time_ns", "pid", "tid", "simulated", ""]),
    "aux": ("<QIIiiQQ", ["offset", "size", "flags", "pid", "tid", "waited_from_ns",
                         "waited_to_ns"]),
}


def socket_path(pid):
    return f"/tmp/ptflame-sim-{os.getuid()}/{pid}.sock"


class Connection:
    """One recorded process."""

    def __init__(self, pid, timeout=20.0, delay=0.0):
        self.pid, self.buffer, self.delay = pid, b"", delay
        end = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(socket_path(pid))
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)

    def start(self, lossy=0, buffer_size=0, timing=0, psb_period=0, noretcomp=0):
        self.send(START, struct.pack("<IIIIII", lossy, buffer_size, timing, psb_period, noretcomp,
                                     0))

    def stop(self):
        self.send(STOP, b"")

    def send(self, kind, body):
        try:
            self.sock.sendall(struct.pack("<II", kind, len(body)) + body)
        except OSError:
            pass

    def read(self):
        """Messages that have arrived: list of dicts, or None at the end."""
        if self.delay:
            time.sleep(self.delay)
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        self.buffer += data
        messages = []
        while len(self.buffer) >= 8:
            kind, size = struct.unpack_from("<II", self.buffer)
            if len(self.buffer) < 8 + size:
                break
            messages.append(self.parse(NAMES.get(kind, str(kind)), self.buffer[8:8 + size]))
            self.buffer = self.buffer[8 + size:]
        return messages

    def parse(self, name, body):
        layout, fields = LAYOUT[name]
        size = struct.calcsize(layout)
        message = {k: v for k, v in zip(fields, struct.unpack_from(layout, body)) if k}
        message["type"] = name
        if name in ("aux", "stack"):
            message["bytes"] = body[size:]
        elif body[size:]:
            message["name"] = body[size:].rstrip(b"\0").decode()
        if name == "thread" and message["time_ns"]:
            self.send(THREAD_ACK, struct.pack("<i", message["real_tid"]))
        return message


class Recording:
    """Records a process and its descendants until all are gone, or told to stop.

    A stream's name is the thread id, TID.1 when an earlier program had the id, and so on.
    """

    def __init__(self, pid, delay=0.0, **options):
        self.options, self.delay = options, delay
        self.events, self.stacks, self.streams, self.lost = [], [], {}, set()
        self.maps = {}  # name of stream: mappings of its program (mmap messages)
        self.selector = selectors.DefaultSelector()
        self.open = {}
        self.attach(pid)

    def attach(self, pid):
        connection = Connection(pid, delay=self.delay)
        connection.start(**self.options)
        connection.executes = False
        connection.names, connection.maps = {}, []
        self.open[pid] = connection
        self.selector.register(connection.sock, selectors.EVENT_READ, connection)

    def name(self, connection, tid):
        """The stream of a thread; a new name in every program."""
        if tid not in connection.names:
            name, n = str(tid), 0
            while name in self.streams:
                n += 1
                name = f"{tid}.{n}"
            connection.names[tid] = name
            self.streams[name] = bytearray()
            self.maps[name] = connection.maps
        return connection.names[tid]

    def handle(self, connection, message):
        kind = message["type"]
        if kind == "aux":
            name = self.name(connection, message["tid"])
            data = self.streams[name]
            assert message["offset"] == len(data), (message["offset"], len(data))
            data += message["bytes"]
            if message["flags"] & 1:
                self.lost.add(name)
            return
        if kind == "stack":
            assert message["tid"] not in connection.names, "a stack behind the thread's data"
            self.stacks.append(message)
            return
        self.events.append(message)
        if kind == "mmap":
            connection.maps.append(message)
        elif kind == "exit":
            connection.names.pop(message["tid"], None)  # the id may come again
        elif kind == "fork":
            self.attach(message["real_pid"])
        elif kind == "exec":
            connection.executes = message["simulated"]

    def run(self, seconds=None, stop_after=None):
        begin = time.monotonic()
        stopped = False
        while self.open:
            now = time.monotonic() - begin
            if stop_after is not None and now >= stop_after and not stopped:
                stopped = True
                for connection in self.open.values():
                    connection.stop()
            if seconds is not None and now > seconds:
                raise TimeoutError("the recording did not end")
            for key, _ in self.selector.select(0.05):
                self.serve(key.data, stopped)

    def serve(self, connection, stopped):
        messages = connection.read()
        for message in messages or []:
            self.handle(connection, message)
        done = stopped and any(m["type"] == "stopped" for m in messages or [])
        if messages is not None and not done:
            return
        self.selector.unregister(connection.sock)
        connection.sock.close()
        del self.open[connection.pid]
        if connection.executes:
            self.attach(connection.pid)

    def save(self, directory):
        directory = pathlib.Path(directory)
        directory.mkdir(exist_ok=True)
        for name, data in self.streams.items():
            (directory / f"{name}.pt").write_bytes(bytes(data))
        (directory / "events.json").write_text(json.dumps(self.events, indent=1))


def command(plugin, guest, clock="real", wait=-1, log=None, qemu="qemu-x86_64", argv0=None):
    option = f"{plugin},clock={clock},wait={wait},dilation=1"
    if log:
        option += f",log={log}"
    seed = ["-seed", "1"] if clock == "insn" else []
    return [qemu, "-plugin", option, *seed, *(["-0", argv0] if argv0 else []), *guest]


def record(plugin, guest, directory, clock="real", seconds=60, delay=0.0, stop_after=None,
           popen=None, **options):
    """Runs a guest command under the simulator and records it whole. Returns (status, Recording)."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command(plugin, guest, clock, log=directory), **(popen or {}))
    recording = Recording(process.pid, delay=delay, **options)
    recording.run(seconds, stop_after)
    status = process.wait(seconds)
    recording.save(directory)
    return status, recording


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--clock", default="real")
    parser.add_argument("-o", required=True)
    parser.add_argument("guest", nargs="+")
    args = parser.parse_args()
    status, recording = record(args.plugin, args.guest, args.o, args.clock)
    for tid, data in recording.streams.items():
        print(tid, len(data), "bytes")
    sys.exit(status)


if __name__ == "__main__":
    main()
