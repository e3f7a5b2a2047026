#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kvcluster: nodes of a kvnode cluster on loopback.

    kvcluster start [--dir DIR] [--nodes N] [--port P] [--under CMD] [--under-id ID] [-- OPTION...]
    kvcluster show  [--dir DIR]
    kvcluster stop  [--dir DIR]

start prints each node's id, address, process and role once there is a leader. --under puts CMD in
front of the nodes' command lines (`--under 'ptflame sim --'`), or of one node's with --under-id;
what follows `--` is given to every kvnode.
"""
import argparse
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def ask(port, *words, timeout=2.0):
    """Sends a command and returns the raw reply, or None when nobody answers."""
    request = b"*%d\r\n" % len(words)
    for word in words:
        request += b"$%d\r\n%s\r\n" % (len(word), word.encode())
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.settimeout(timeout)
            s.sendall(request)
            return s.recv(65536).decode(errors="replace")
    except OSError:
        return None


def info(port):
    """INFO as a dictionary, empty when nobody answers."""
    reply = ask(port, "INFO") or ""
    return dict(line.split(":", 1) for line in reply.splitlines() if ":" in line)


def state_file(directory):
    return pathlib.Path(directory) / "cluster.json"


def load(directory):
    try:
        return json.loads(state_file(directory).read_text())
    except FileNotFoundError:
        sys.exit(f"kvcluster: no cluster in {directory}")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def node_command(args, node, peers):
    kvnode = os.environ.get("KVNODE") or str(HERE / "kvnode")
    command = [kvnode, "--id", str(node["id"]), "--data", node["data"],
               "--listen", f"127.0.0.1:{node['port']}", "--peers", peers, *args.options]
    if args.under and args.under_id in (0, node["id"]):
        command = shlex.split(args.under) + command
    return command


def start(args):
    directory = pathlib.Path(args.dir).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if state_file(directory).exists() and any(is_alive(n["pid"]) for n in load(directory)):
        sys.exit(f"kvcluster: the cluster in {directory} runs already")
    nodes = [{"id": i, "port": args.port + i, "data": str(directory / f"node{i}")}
             for i in range(1, args.nodes + 1)]
    peers = ",".join(f"{n['id']}=127.0.0.1:{n['port']}" for n in nodes)
    for node in nodes:
        with open(directory / f"node{node['id']}.log", "ab") as log:
            node["pid"] = subprocess.Popen(
                node_command(args, node, peers), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True).pid
    state_file(directory).write_text(json.dumps(nodes))
    give_up = time.monotonic() + args.wait
    while time.monotonic() < give_up:
        if any(info(n["port"]).get("role") == "leader" for n in nodes):
            return show(args)
        dead = [n["id"] for n in nodes if not is_alive(n["pid"])]
        if dead:
            break
        time.sleep(0.1)
    print(f"kvcluster: no leader; see the logs in {directory}", file=sys.stderr)
    return 1


def show(args):
    print("id  address          pid      role           term  commit  keys")
    for node in load(args.dir):
        state = info(node["port"])
        keys = state.get("db0", "keys=-").split(",")[0].split("=")[1]
        pid = state.get("process_id", node["pid"])
        print(f"{node['id']:<3} 127.0.0.1:{node['port']:<6} {pid!s:<8} "
              f"{state.get('role', 'no answer'):<14} {state.get('raft_term', '-'):<5} "
              f"{state.get('raft_commit', '-'):<7} {keys}")
    return 0


def stop(args):
    nodes = load(args.dir)
    pids = [int(info(n["port"]).get("process_id", n["pid"])) for n in nodes]
    pids += [n["pid"] for n in nodes]
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids) and time.monotonic() < give_up:
        for pid in pids:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        time.sleep(0.05)
    state_file(args.dir).unlink()
    return 0


def main():
    argv, options = sys.argv[1:], []
    if "--" in argv:
        at = argv.index("--")
        argv, options = argv[:at], argv[at + 1:]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "show", "stop"])
    parser.add_argument("--dir", default="kvcluster.data")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--port", type=int, default=7400)
    parser.add_argument("--under", default="")
    parser.add_argument("--under-id", type=int, default=0)
    parser.add_argument("--wait", type=float, default=60, help="seconds until there is a leader")
    args = parser.parse_args(argv)
    args.options = options
    return {"start": start, "show": show, "stop": stop}[args.action](args)


if __name__ == "__main__":
    sys.exit(main())
