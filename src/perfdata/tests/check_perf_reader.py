#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the records that the reader delivers with those of perf script -D, one by one.

Usage: check_perf_reader.py DUMP-PROGRAM. The files: traces of real hardware where they are at hand
(PTF_SHARED, else ../shared beside the source tree), and recordings of a shell script that the local
perf makes in each form: a file, compressed, a directory, a pipe.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SKIP = 77
SCRIPT = "for i in 1 2 3; do /bin/true; done; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"
# What the local perf records, and how the reader must call that form.
FORMS = [
    ("plain", "-g -e cpu-clock -e dummy --switch-events --namespaces", ""),
    ("cpus", "-a --sample-cpu -e cpu-clock --switch-events", ""),
    ("unlike events", "-e cpu-clock -e task-clock/call-graph=fp/ -e dummy --switch-events", ""),
    ("compressed", "-e cpu-clock -z", "compressed"),
    ("highly compressed", "-e cpu-clock -z=22 --switch-events -e dummy", "compressed"),
    ("directory", "-e cpu-clock --threads", "directory"),
    ("compressed directory", "-e cpu-clock -z --threads", "directory compressed"),
    ("pipe", "-e cpu-clock -e dummy --switch-events", "pipe"),
    ("compressed pipe", "-e cpu-clock -z", "pipe compressed"),
    ("build-ids in maps", "-e cpu-clock --buildid-mmap", ""),
    ("data maps", "-e cpu-clock --data", ""),
]
# perf's name of records whose fields the reader does not give, by their type.
PLAIN = {"THROTTLE": 5, "UNTHROTTLE": 6, "BPF_EVENT": 18, "CGROUP": 19, "TEXT_POKE": 20,
         "AUX_OUTPUT_HW_ID": 21, "ATTR": 64, "TRACING_DATA": 66, "BUILD_ID": 67,
         "FINISHED_ROUND": 68, "ID_INDEX": 69, "CPU_MAP": 74, "EVENT_UPDATE": 78, "FEATURE": 80,
         "FINISHED_INIT": 82}
# Records that only perf writes stand in the file, not in time.
OF_PERF = re.compile(r"\S+ \S+ \S+ (?:6[4-9]|[78]\d|AUXTRACE(?:_INFO)?|TIME_CONV|THREAD_MAP)\b")
RECORD = re.compile(r"(?:(-?\d+) )?(-?\d+) (0x[0-9a-f]+|0) \[(?:0x[0-9a-f]+|0)\]: PERF_RECORD_(.*)")
IN_LINES_BELOW = {"AUXTRACE_INFO": 16, "TIME_CONV": 3}


def normal(text):
    """Blanks apart, the same words: perf pads some of its fields."""
    return " ".join(text.split())


def body_of(text, following):
    """perf's words for a record, as the dump program has them."""
    text = text.replace(": unhandled!", "")
    name = re.match(r"[A-Z0-9_]+", text).group()
    if name in PLAIN:
        return str(PLAIN[name])
    if name in IN_LINES_BELOW:
        text += " " + " ".join(following[:IN_LINES_BELOW[name]]).replace("...", "")
    if name == "SAMPLE":
        for line in following:
            entry = re.match(r"\.\.\.\.\. +\d+: ([0-9a-f]{16})$", line)
            if entry:
                text += " " + entry[1]
            elif not line.startswith("... FP chain"):
                break
    if name == "NAMESPACES":
        text = text.split("[")[0]
    if name == "THREAD_MAP":
        text = text.split(" thread:")[0]
    if name == "AUX":
        text = text.split(" [")[0]
    if name in ("MMAP", "MMAP2", "COMM"):
        return text.rstrip()
    return normal(text)


def is_pipe(path):
    """A pipe's header is 16 bytes."""
    return path.is_file() and path.read_bytes()[8:16] == (16).to_bytes(8, "little")


def perf_output(path, *args):
    """What perf prints; it reads a pipe as a pipe, for from a file it does not get far."""
    piped = is_pipe(path)
    with open(path if piped else os.devnull, "rb") as stream:
        reader = subprocess.Popen(["cat"], stdin=stream, stdout=subprocess.PIPE)
        run = subprocess.run(["perf", *args, "-i", "-" if piped else path], stdin=reader.stdout,
                             text=True, errors="replace", stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False)
        reader.stdout.close()
        reader.wait()
    return run.stdout.splitlines()


def perf_records(path):
    """[(cpu or None, time, offset, body)] of perf script -D, in its order."""
    lines = perf_output(path, "script", "-D")
    pipe_header = 16 if is_pipe(path) else 0  # perf counts from behind it
    records = []
    for i, line in enumerate(lines):
        found = RECORD.match(line)
        if found:
            cpu, time, offset, body = found.groups()
            if cpu is not None:
                cpu = int(cpu) - (1 << 32 if int(cpu) == 0xffffffff else 0)
            records.append((cpu, max(int(time), 0), int(offset, 16) + pipe_header,
                            body_of(body, lines[i + 1:i + 200])))
    return records


def our_records(dump, path):
    """The same of the dump program, and the lines about other things by their first word."""
    piped = path.suffix == ".pipe"  # others of this form are read as a file
    with open(path if piped else os.devnull, "rb") as stream:
        run = subprocess.run([dump, "-" if piped else path], stdin=stream, text=True,
                             errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             check=False)
    if run.returncode:
        sys.exit(f"{path}: {run.stderr}")
    records, others = [], {}
    for line in run.stdout.splitlines():
        if re.match(r"-?\d", line):
            cpu, time, offset, body = line.split(" ", 3)
            records.append((int(cpu), int(time), int(offset, 0), body))
        else:
            word, rest = line.split(" ", 1)
            others.setdefault(word, []).append(rest)
    return records, others


def show(record):
    return f"cpu {record[0]} {record[1]} {record[2]:#x} {record[3]}" if record else "nothing"


def compare(name, theirs, ours, fails):
    """The same records in the same order?"""
    for i in range(max(len(theirs), len(ours))):
        a = theirs[i] if i < len(theirs) else None
        b = ours[i] if i < len(ours) else None
        # perf prints a CPU only where the event has one, and 0 for records of its own.
        cpu = a and b and (a[0] is None or a[0] == b[0] or of_perf(b))
        if not cpu or a[1:] != b[1:]:
            fails.append(f"{name}: record {i}: perf has {show(a)}, the reader {show(b)}")
            return


def of_perf(record):
    return OF_PERF.match(f"- - - {record[3]}") is not None


def check_header(name, path, others, fails):
    theirs = {normal(line[2:]) for line in perf_output(path, "report", "--header-only")
              if line.startswith("# ")}
    for line in others.get("header", []):
        if normal(line) not in theirs:
            fails.append(f"{name}: header: perf does not say {line!r}")
    for key in ("hostname", "arch", "cmdline", "nrcpus avail", "os release", "cpudesc", "cpuid"):
        there = any(line.startswith(key + " : ") for line in theirs)
        if there and not any(line.startswith(key + " : ") for line in others.get("header", [])):
            fails.append(f"{name}: header: the reader does not say {key}")
    events = [re.match(r"event : name = ([^,]*), .*?id = { ([^}]*) }", line) for line in
              sorted(theirs) if line.startswith("event : ")]
    ours = {(line.split()[0], line.split(" ids ")[1]) for line in others.get("event", [])
            if " ids " in line}
    for event in filter(None, events):
        if (event[1], event[2].replace(",", "").strip()) not in ours:
            fails.append(f"{name}: header: event {event[1]} with ids {event[2]} is not there")


def check_build_ids(name, path, others, fails):
    theirs = {normal(line) for line in perf_output(path, "buildid-list")}
    ours = {normal(line) for line in others.get("buildid", [])}
    if not ours <= theirs:
        fails.append(f"{name}: build-ids that perf does not have: {ours - theirs}")
    missing = " ".join(line for line in perf_output(path, "report", "--header-only")
                       if "missing features" in line).split()
    if not ours and not is_pipe(path) and "BUILD_ID" not in missing:
        fails.append(f"{name}: the file has build-ids, the reader none")


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def check_aux(name, path, theirs, others, fails):
    """The bytes of every piece, as the file has them behind perf's record."""
    chunks = [line.split() for line in others.get("aux", [])]
    places = sorted((offset + 0x30, body) for _, _, offset, body in theirs
                    if body.startswith("AUXTRACE size"))
    if len(chunks) != len(places):
        fails.append(f"{name}: {len(chunks)} pieces of trace, perf has {len(places)}")
    data = path.read_bytes() if path.is_file() else b""
    for (offset, size, value), (place, body) in zip(chunks, places):
        size = int(size, 0)
        if int(offset, 0) != place or f"size: {size:#x} " not in body or \
                fnv(data[place:place + size]) != int(value, 16):
            fails.append(f"{name}: trace at {offset}: perf has {place:#x} {body}")


def check(name, dump, path, form, fails):
    theirs = perf_records(path)
    ours, others = our_records(dump, path)
    if len(theirs) < 5:
        sys.exit(f"{name}: perf shows {len(theirs)} records of {path}")
    for kind in (False, True):
        a = [record for record in theirs if of_perf(record) == kind]
        b = [record for record in ours if of_perf(record) == kind]
        if kind:  # a directory's files are read in an order of perf's own
            a.sort(key=lambda record: record[2:])
            b.sort(key=lambda record: record[2:])
        compare(name, a, b, fails)
    if form is not None and others["form"][0].strip() != form:
        fails.append(f"{name}: form {others['form'][0]!r}, not {form!r}")
    if others["counts"] != [f"{len(ours)} records 0 skipped"] or "damage" in others:
        fails.append(f"{name}: {others['counts'][0]}, damage {others.get('damage')}")
    check_header(name, path, others, fails)
    check_build_ids(name, path, others, fails)
    check_aux(name, path, theirs, others, fails)
    print(f"{name}: {len(theirs)} records")


def record(tmp, name, options, form):
    """Records in a form, or None with a word when this perf or kernel cannot."""
    piped = form.startswith("pipe")
    path = tmp / (name.replace(" ", "-") + (".pipe" if piped else ".data"))
    command = ["perf", "record", "-F", "3000", *options.split(), "-o", "-" if piped else path,
               "--", "sh", "-c", SCRIPT]
    with open(path if piped else os.devnull, "wb") as out:
        run = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode or not path.exists():
        print(f"{name}: perf does not record this here: {run.stderr.strip().splitlines()[:1]}")
        return None
    return path


def main():
    dump = sys.argv[1]
    try:
        subprocess.run(["perf", "--version"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        print("perf is not installed: skipped")
        sys.exit(SKIP)
    root = pathlib.Path(os.environ.get("PTF_SOURCE_ROOT", pathlib.Path(__file__).parents[3]))
    traces = pathlib.Path(os.environ.get("PTF_SHARED", root.parent / "shared")) / "hwtraces"
    fails, done = [], 0
    for path in sorted(traces.glob("*perf.data*")):
        check(path.name, dump, path, None, fails)
        done += 1
    if not done:
        print(f"{traces}: no hardware traces there: skipped")
    with tempfile.TemporaryDirectory() as tmp:
        for name, options, form in FORMS:
            path = record(pathlib.Path(tmp), name, options, form)
            if path:
                check(name, dump, path, form, fails)
                done += 1
    for fail in fails:
        print(fail)
    sys.exit(1 if fails else 0 if done else SKIP)


if __name__ == "__main__":
    main()
