#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Samples inserted into recordings: perf reads them all, in the order of time, and everything else
as before. Arguments: insert_samples, then recordings with a dummy event; those that are not there
are skipped."""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

INSERT, *FILES = sys.argv[1:]
HEAD = re.compile(r"^(?:(-?\d+) )?(\d+)? ?0x[0-9a-f]+ \[0x[0-9a-f]+\]: (PERF_RECORD_\w+.*)$")


def perf(*args):
    result = subprocess.run(["perf", *args], capture_output=True, text=True, errors="replace",
                            check=False)
    assert result.returncode == 0, (args, result.stderr[-2000:])
    return result


def records(path):
    """(time, text) of each record, as perf dumps them, and perf's warnings."""
    result = perf("report", "-D", "-i", path)
    found = []
    for line in result.stdout.splitlines():
        match = HEAD.match(line)
        if match:
            found.append((int(match[2] or 0), re.sub(r"offset: 0x\w+|ref: .*", "", match[3])))
    return found, result.stderr + "".join(
        line for line in result.stdout.splitlines() if "out of order" in line)


def is_ours(record):
    return "PERF_RECORD_SAMPLE" in record[1] and ": 4242/" in record[1]


def check_header(path):
    """What perf does not miss: the index of trace data, and the events told a second time."""
    with open(path, "rb") as file:
        data = file.read()
    attr_size, attrs, attrs_size, at, size = struct.unpack_from("<QQQQQ", data, 16)
    features = int.from_bytes(data[72:104], "little")
    table, entries = at + size, {}
    for bit in range(256):
        if features >> bit & 1:
            entries[bit] = struct.unpack_from("<QQ", data, table)
            table += 16
    if 18 in entries:  # AUXTRACE: number, then offset and size of each record
        offset, _ = entries[18]
        count = struct.unpack_from("<Q", data, offset)[0]
        assert count, path
        for i in range(count):
            record, length = struct.unpack_from("<QQ", data, offset + 8 + 16 * i)
            assert struct.unpack_from("<IHH", data, record) == (71, 0, length), (path, i)
    offset, _ = entries[12]  # EVENT_DESC
    count, each = struct.unpack_from("<II", data, offset)
    assert count == attrs_size // attr_size and each == attr_size - 16
    offset += 8
    for i in range(count):
        event = data[attrs + i * attr_size:attrs + i * attr_size + each]
        assert data[offset:offset + each] == event, (path, i)
        ids, name = struct.unpack_from("<II", data, offset + each)
        offset += each + 8 + name + 8 * ids


def check(path, directory):
    copy = os.path.join(directory, "copy.data")
    shutil.copy(path, copy)
    before, warnings = records(copy)
    times = sorted(time for time, _ in before if time)
    # First, last, before and after everything, and two at one time.
    at = sorted([times[0] - 5, times[0], times[len(times) // 2], times[len(times) // 2],
                 times[len(times) // 3] + 1, times[-1], times[-1] + 7])
    samples = [f"4242:{7000 + i}:{time}:401000,40{i}123,403000" for i, time in enumerate(at)]
    subprocess.run([INSERT, copy, *samples], check=True)
    check_header(copy)
    after, new_warnings = records(copy)
    ours = [record for record in after if is_ours(record)]
    assert [time for time, _ in ours] == at, (path, ours, at)
    for i, (_, text) in enumerate(ours):
        assert f"4242/{7000 + i}: 0x401000" in text, text
    kept = [record for record in after if not is_ours(record)]
    assert sorted(kept) == sorted(before), path
    assert new_warnings.count("out of order") == warnings.count("out of order"), new_warnings
    chain = perf("report", "-D", "-i", copy).stdout.count("FP chain: nr:4")
    assert chain == len(at), chain
    decode = [perf("script", "-i", name, "--itrace=cr", "-F", "tid,time,event,ip,addr")
              for name in (path, copy)]
    lines = [[line for line in result.stdout.splitlines() if "branches" in line]
             for result in decode]
    assert lines[0] == lines[1], path
    # A second time: the event can have samples already.
    subprocess.run([INSERT, copy, samples[0]], check=True)
    assert len([r for r in records(copy)[0] if is_ours(r)]) == len(at) + 1
    print(f"{path}: {len(before)} records, {len(lines[0])} branches, {len(at)} samples added")


def refuse(path, directory):
    """What cannot be done leaves the file as it was."""
    with open(path, "rb") as file:
        data = file.read()
    for name, content in (("cut", data[:len(data) * 2 // 3]), ("empty", b""), ("other", b"x" * 999)):
        copy = os.path.join(directory, name)
        with open(copy, "wb") as file:
            file.write(content)
        status = subprocess.run([INSERT, copy, "1:1:5:401000"], stderr=subprocess.DEVNULL,
                                check=False).returncode
        with open(copy, "rb") as file:
            assert status == 1 and file.read() == content, name
    assert not [name for name in os.listdir(directory) if ".tmp." in name]


def main():
    if not shutil.which("perf"):
        print("perf is not installed")
        sys.exit(77)
    done = 0
    with tempfile.TemporaryDirectory() as directory:
        for path in FILES:
            if not os.path.exists(path):
                print(f"{path}: not there")
                continue
            check(path, directory)
            refuse(path, directory)
            done += 1
    sys.exit(0 if done else 77)


if __name__ == "__main__":
    main()
