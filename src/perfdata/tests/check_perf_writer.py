#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""perf reads what the writer wrote: all records as our reader has them, the header, and the trace,
which it decodes into the calls and returns that are in it.

Usage: check_perf_writer.py WRITE-PROGRAM DUMP-PROGRAM
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import check_perf_reader

ASSEMBLY = """
    .globl _start, callee
    .type _start, @function
    .type callee, @function
_start:
    call callee
first:
    nop
    call callee
second:
    mov $60, %eax
    syscall
    .size _start, . - _start
callee:
    ret
    .size callee, . - callee
"""


def build(tmp):
    """A program with its code at offset 0x1000; its path and symbols."""
    source, program = tmp / "program.s", tmp / "program"
    source.write_text(ASSEMBLY, encoding="ascii")
    subprocess.run(["cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none",
                    "-Wl,-Ttext=0x401000", "-o", program, source], check=True)
    lines = subprocess.run(["nm", program], check=True, text=True, stdout=subprocess.PIPE).stdout
    return program, {line.split()[2]: int(line.split()[0], 16) for line in lines.splitlines()}


def branches(path):
    """[(from, to)] of the calls and returns that perf decodes, and its words."""
    run = subprocess.run(["perf", "script", "-G", "--itrace=cr", "-F", "ip,addr", "-i", path],
                         text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    found = re.findall(r"^\s*([0-9a-f]+) =>\s+([0-9a-f]+)\s*$", run.stdout, re.M)
    return [(int(a, 16), int(b, 16)) for a, b in found], run.stdout


def main():
    write, dump = sys.argv[1:]
    try:
        subprocess.run(["perf", "--version"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        print("perf is not installed: skipped")
        sys.exit(check_perf_reader.SKIP)
    fails = []
    with tempfile.TemporaryDirectory() as name:
        tmp = pathlib.Path(name)
        program, symbols = build(tmp)
        path = tmp / "written.data"
        subprocess.run([write, path, program, "401000", f"{symbols['_start']:x}"], check=True)
        check_perf_reader.check("written", dump, path, "", fails)
        got, text = branches(path)
        callee = symbols["callee"]
        expected = [(symbols["first"] - 5, callee), (callee, symbols["first"]),
                    (symbols["second"] - 5, callee), (callee, symbols["second"])]
        begin, end = [(0, symbols["_start"])], [(symbols["second"] + 5, 0)]
        if got != begin + expected + end:
            fails.append(f"perf decodes {got}, not {expected}: {text}")
    for fail in fails:
        print(fail)
    sys.exit(1 if fails else 0)


if __name__ == "__main__":
    main()
