#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the function of every sample of a recording with what perf script says.

Usage: check_code_images.py DUMP-PROGRAM. The recorded program forks, executes itself anew and
loads one library in the place of another, and is busy in each of these lives. Samples by the clock
do for this: what is mapped where, when, is recorded as for a trace.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

SKIP = 77
FDE, MODULE, PLT = 3, 5, 2  # enum ptf_function_kind

PROGRAM = r"""
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

__attribute__((noinline)) static double busy(void)
{
	double sum = 0;
	struct timespec start, now;
	int values[512];

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < 512; i++)
			values[i] = rand();
		qsort(values, 512, sizeof(values[0]), compare);
		sum += cos(values[7]);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 60);
	return sum;
}

__attribute__((noinline)) void in_child(void) { busy(); }
__attribute__((noinline)) void in_parent(void) { busy(); }

static void from_library(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	void (*work)(unsigned long) = (void (*)(unsigned long))dlsym(library, "work");

	printf("%p\n", (void *)work);
	work(40000000);
	dlclose(library);
}

int main(int argc, char **argv)
{
	if (argc == 4) { /* executed by the child */
		busy();
		return 0;
	}
	from_library(argv[1]);
	from_library(argv[2]);
	from_library(argv[1]);
	if (fork() == 0) {
		in_child();
		execl(argv[0], argv[0], "a", "b", "c", (char *)NULL);
		_exit(1);
	}
	in_parent();
	wait(NULL);
	return 0;
}
"""

# Laid out alike, so that both are mapped at one address and only their names differ.
LIBRARY = r"""
volatile unsigned long sink;
__attribute__((noinline)) static void NAME(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sink += i;
}
void work(unsigned long n) { NAME(n); }
"""


def build(work):
    def compile_c(source, target, *options):
        path = work / "source.c"
        path.write_text(source)
        subprocess.run(["gcc", "-O2", "-o", str(target), str(path), *options, "-lm", "-ldl"],
                       check=True)

    compile_c(PROGRAM, work / "program")
    for name in ("first", "second"):
        compile_c(LIBRARY.replace("NAME", name), work / f"{name}.so", "-shared", "-fPIC")


def record(work):
    """The addresses of the three calls into libraries, or None where perf cannot record."""
    run = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock:u", "-c", "100000", "-o",
                          str(work / "perf.data"), str(work / "program"), str(work / "first.so"),
                          str(work / "second.so")], stdout=subprocess.PIPE, text=True)
    return run.stdout.split() if run.returncode == 0 else None


def perf_lines(work):
    out = subprocess.run(["perf", "script", "-i", str(work / "perf.data"), "--ns", "-F",
                          "pid,time,ip,sym,symoff,dso"], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    for line in filter(None, map(str.strip, out.splitlines())):
        match = re.fullmatch(r"(\d+) +(\d+)\.(\d{9}): +([0-9a-f]+) (.*) \((.*)\)", line)
        assert match, line
        yield (int(match[1]), int(match[2]) * 10**9 + int(match[3]), int(match[4], 16),
               match[5], match[6])


def our_lines(dump, work):
    out = subprocess.run([dump, str(work / "perf.data")], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    for line in out.splitlines():
        pid, time, ip, kind, name, offset, module = line.split("\t")
        yield int(pid), int(time), int(ip, 16), int(kind), f"{name}+0x{offset}", module


def agrees(kind, name, module, perf_name, perf_dso):
    if kind == PLT:  # perf of some versions knows them, others do not
        return module == perf_dso
    if kind in (FDE, MODULE):
        return perf_name == "[unknown]" and module == perf_dso
    # Debug files name versions, which are no part of a function's name.
    plain = re.sub(r"@.*(?=\+0x)", "", perf_name)
    return (name, module) == (plain, perf_dso)


def check(dump, work):
    build(work)
    places = record(work)
    if places is None:
        print("perf cannot record here: skipped")
        return SKIP
    ours, theirs = list(our_lines(dump, work)), list(perf_lines(work))
    failures = [f"{len(ours)} samples, perf has {len(theirs)}"] if len(ours) != len(theirs) else []
    seen = set()
    for (pid, time, ip, kind, name, module), perf in zip(ours, theirs):
        if (pid, time, ip) != perf[:3] or not agrees(kind, name, module, *perf[3:]):
            failures.append(f"{pid} {time} {ip:#x}: ours {name} {module}, perf's {perf}")
        seen.add((pid, name.split("+")[0]))
    pids = {pid for pid, _ in seen}
    names = {name for _, name in seen}
    if places[0] != places[1]:
        print("note: the second library was not mapped in the place of the first")
    if len(pids) != 2 or not {"first", "second", "compare"} <= names:
        failures.append(f"not all lives were sampled: {sorted(seen)}")
    print("".join(f"{failure}\n" for failure in failures[:20]), end="")
    print(f"{len(ours)} samples, libraries at {' '.join(places)}, {len(failures)} failures")
    return 1 if failures else 0


def main():
    with tempfile.TemporaryDirectory() as directory:
        return check(sys.argv[1], pathlib.Path(directory).resolve())


if __name__ == "__main__":
    sys.exit(main())
