#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares whole function tables with what readelf, objdump and perf say of the same files.

Usage: check_elf_symbols.py DUMP-PROGRAM. Programs are compiled in all the ways that change tables
(PLT flavours, static, 32 bit, stripped, debug files); the machine's own libc, libstdc++ and
redis-server are compared, too, where they are. perf's choice of symbols is learnt from a perf.data
made here, with one sample for each address of interest.
"""
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

SKIP = 77
PID = 1000
BASE = 0x7F0000000000  # where the made-up recording maps the file
NONE = "[unknown]"

C_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((noinline, cold)) static void fail(const char *s) { puts(s); exit(3); }
int twice(int x) { return 2 * x; }
int alias_of_twice(int x) __attribute__((alias("twice")));
int __twice_too(int x) __attribute__((weak, alias("twice")));
static int chosen_impl(int x) { return x + 1; }
static void *choose(void) { return chosen_impl; }
int chosen(int x) __attribute__((ifunc("choose")));
__asm__(".text\n.globl no_size\n.type no_size,@function\nno_size: nop\nnop\nret\n"
	"plain_label: ret\n.hidden hidden_label\n.globl hidden_label\nhidden_label: ret\n"
	".globl outer\n.type outer,@function\nouter: nop\nnop\n.globl inner\n.type inner,@function\n"
	"inner: nop\nret\n.size inner,.-inner\nnop\nret\n.size outer,.-outer\n");
int hot(int n)
{
	for (int i = 0; i < n; i++)
		if (__builtin_expect(n % 7 == 5, 0)) {
			fail("five");
			puts(getenv("X"));
		} else
			n ^= rand();
	return n;
}
int main(int argc, char **argv)
{
	int v[] = {3, 1, 2};
	void *(*volatile indirect)(size_t) = malloc; /* takes its slot of .plt.got */
	qsort(v, 3, sizeof(v[0]), compare);
	printf("%d %d %zu %p %f\n", hot(argc), chosen(v[0]), strlen(argv[0]), indirect(3),
		cos(argc));
	return twice(malloc(argc) != NULL);
}
"""

# i386 code is linked without a C library, which is often missing for it.
FREE_SOURCE = """
int outside(int), other(int), (*pointer)(int);
static int __attribute__((noinline)) inside(int x) { return outside(x) + other(x + 1); }
int use(int x) { pointer = other; return inside(x) * 3; }
"""

CXX_SOURCE = r"""
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>
namespace shapes {
struct Shape { virtual ~Shape() {} virtual double area() const = 0; };
struct Square : Shape { Square(double x) : side(x) {} double area() const override
	{ if (side < 0) throw std::runtime_error("negative"); return side * side; } double side; };
template <class T> T sum(const std::vector<T> &v) { T s{}; for (auto &x : v) s += x; return s; }
}
int main(int argc, char **argv)
{
	std::map<std::string, std::vector<double>> m;
	try {
		shapes::Square s(argc - 3);
		m["a"].push_back(s.area());
		std::cout << shapes::sum(m["a"]) << std::endl;
	} catch (const std::exception &e) {
		std::cerr << e.what() << std::endl;
	}
	return 0;
}
"""


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, errors="replace").stdout


class Range:
    def __init__(self, line):
        start, end, self.kind, function, self.raw, self.name = line.split("\t")
        self.start, self.end, self.function = (int(x, 16) for x in (start, end, function))


class Table:
    """Our ranges of one file."""

    def __init__(self, dump, path, *options):
        lines = output(dump, *options, path).splitlines()
        self.path, self.debug_path = path, lines[0].split("\t")[2]
        self.ranges = [Range(line) for line in lines[1:]]
        self.segments = []
        for line in output("readelf", "-lW", path).splitlines():
            words = line.split()
            if words and words[0] == "LOAD":
                self.segments.append([int(words[i], 16) for i in (1, 2, 4)])

    def find(self, vaddr):
        return next((r for r in self.ranges if r.start <= vaddr < r.end), None)

    def offset(self, vaddr):
        return next(vaddr - v + o for o, v, size in self.segments if v <= vaddr < v + size)


class Failures(list):
    def check(self, ok, *text):
        if not ok:
            self.append(" ".join(str(t) for t in text))


def check_shape(table, failures):
    end = 0
    for r in table.ranges:
        failures.check(end <= r.start < r.end, table.path, "bad range", hex(r.start))
        end = r.end


def check_plt(table, failures):
    """objdump names PLT stubs; those of IFUNCs in the file itself only by number."""
    count = 0
    for line in output("objdump", "-d", table.path).splitlines():
        match = re.match(r"([0-9a-f]+) <(.+)@plt>:", line)
        if not match:
            continue
        vaddr, name = int(match[1], 16), match[2]
        ours = table.find(vaddr)
        count += 1
        if name.startswith("*ABS*"):
            failures.check(ours and ours.start == vaddr and ours.raw.endswith("@plt"), table.path,
                           line, "has no stub")
        else:
            failures.check(ours and ours.start == vaddr and ours.raw == name.split("@")[0] + "@plt",
                           table.path, line, "ours", ours and (hex(ours.start), ours.raw))
    return count


def fdes_of(table):
    fdes = set()
    for line in output("readelf", "--debug-dump=no-follow-links,frames", table.path).splitlines():
        match = re.search(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", line)
        if match:
            fdes.add((int(match[1], 16), int(match[2], 16)))
    return fdes


def check_fdes(table, failures):
    """Every FDE that no symbol and no stub covers is a function, and there are no others."""
    fdes = fdes_of(table)
    ours = [r for r in table.ranges if r.kind == "fde"]
    starts = {r.start for r in ours}
    for r in ours:  # whole, or up to the next symbol: __restore_rt's begins a byte early
        failures.check(any(s == r.start and (e == r.end or (e > r.end and table.find(r.end)))
                           for s, e in fdes), table.path, "FDE made up:", hex(r.start))
    for start, _ in sorted(fdes):
        found = table.find(start)
        failures.check(found and (found.kind != "fde" or start in starts), table.path, "FDE",
                       hex(start), "is no function")
    return len(ours)


def align(data):
    return data + b"\0" * (-len(data) % 8)


def record(kind, body):
    return struct.pack("<IHH", kind, 2, 8 + len(body)) + body


def write_perf_data(target, path, offsets):
    """A perf.data with samples at these offsets of the file, which is mapped once at BASE."""
    sample_type, sample_id_all = 1 | 2 | 4, 1 << 18
    attr = struct.pack("<IIQQQQQ", 1, 128, 0, 1000, sample_type, 0, sample_id_all)
    attr = attr.ljust(128, b"\0") + struct.pack("<QQ", 0, 0)
    trailer = struct.pack("<IIQ", PID, PID, 1)
    size = (os.path.getsize(path) + 4095) & ~4095
    data = record(3, struct.pack("<II", PID, PID) + align(b"program\0") + trailer)
    data += record(10, struct.pack("<IIQQQIIQQII", PID, PID, BASE, size, 0, 8, 1, 1234, 0, 5, 2) +
                   align(os.fsencode(path) + b"\0") + trailer)
    data += b"".join(record(9, struct.pack("<QIIQ", BASE + o, PID, PID, 2)) for o in offsets)
    header = b"PERFILE2" + struct.pack("<QQQQQQQQ", 104, len(attr), 104, len(attr),
                                       104 + len(attr), len(data), 0, 0) + b"\0" * 32
    target.write_bytes(header + attr + data)


def perf_symbols(work, path, offsets):
    data = work / "symbols.perf.data"
    write_perf_data(data, path, offsets)
    lines = output("perf", "script", "-i", str(data), "-F", "ip,sym,symoff").splitlines()
    return [line.strip().partition(" ")[2] for line in lines if line.strip()]


def addresses_by_name(table):
    """Where the names of all symbols are, aliases too."""
    addresses = {}
    path = table.path if table.debug_path == "-" else table.debug_path
    for line in output("readelf", "-sW", path).splitlines():
        words = line.split()
        if len(words) == 8 and re.fullmatch("[0-9a-f]{8,16}", words[1]):
            addresses.setdefault(words[7], set()).add(int(words[1], 16))
    return addresses


def same_as_perf(ours, vaddr, name, addresses, fdes):
    """perf 6.1 shows cold parts under their own name, and knows PLT stubs only of the plainest
    kind: objdump is asked for these. Which of nested symbols perf finds depends on its tree."""
    if ours.kind == "plt" or ours.raw in ("inner", "outer"):
        return True
    if ours.kind == "fde" or (name == NONE and ours.start in fdes and ours.start != ours.function):
        return name == NONE  # an FDE, or a cold part that has no symbol
    shown, plus, offset = name.rpartition("+")
    if not plus:
        return False
    part = re.fullmatch(r"(.*)\.cold(\.\d+)?", shown)
    if part:
        return ours.function in addresses[part[1]] and int(offset, 16) == vaddr - ours.start
    return shown == ours.name and int(offset, 16) in (vaddr - ours.function, vaddr - ours.start)


def check_perf(table, work, failures):
    points = sorted({v for r in table.ranges for v in (r.start, (r.start + r.end) // 2, r.end - 1)})
    names = perf_symbols(work, table.path, [table.offset(v) for v in points])
    failures.check(len(names) == len(points), table.path, "perf printed", len(names), "lines for",
                   len(points))
    addresses, fdes = addresses_by_name(table), {start for start, _ in fdes_of(table)}
    by_start = iter(table.ranges)
    ours = next(by_start)
    for vaddr, name in zip(points, names):
        while vaddr >= ours.end:
            ours = next(by_start)
        failures.check(same_as_perf(ours, vaddr, name, addresses, fdes), table.path, hex(vaddr), "ours", ours.name,
                       "perf", name)
    return len(points)


def compile_programs(work):
    """name -> path of a program, for each way of linking that the compiler here can do."""
    (work / "c.c").write_text(C_SOURCE)
    (work / "cxx.cc").write_text(CXX_SOURCE)
    (work / "free.c").write_text(FREE_SOURCE)
    i386 = ["gcc", "-m32", "-O2", "-nostdlib", str(work / "free.c")]
    cc = ["gcc", "-O2", "-fno-builtin-cos", str(work / "c.c")]
    ways = {
        "lazy": cc + ["-Wl,-z,lazy"],
        "now": cc + ["-Wl,-z,now"],
        "ibt-lazy": cc + ["-fcf-protection", "-Wl,-z,ibtplt", "-Wl,-z,lazy"],
        "ibt-now": cc + ["-fcf-protection", "-Wl,-z,ibtplt", "-Wl,-z,now"],
        "no-pie": cc + ["-no-pie"],
        "static": cc + ["-static"],
        "static-pie": cc + ["-static-pie"],
        "lld": cc + ["-fuse-ld=lld"],
        "gold": cc + ["-fuse-ld=gold"],
        "i386-lazy": i386 + ["-shared", "-fPIC", "-Wl,-z,lazy"],
        "i386-now": i386 + ["-shared", "-fPIC", "-Wl,-z,now"],
        "i386-ibt": i386 + ["-shared", "-fPIC", "-fcf-protection", "-Wl,-z,ibtplt"],
        "clang": ["clang"] + cc[1:],
        "c++": ["g++", "-O2", str(work / "cxx.cc")],
        "c++-static": ["g++", "-O2", "-static", str(work / "cxx.cc")],
    }
    programs = {}
    for name, command in ways.items():
        path = work / name
        libm = ["-lm"] if str(work / "c.c") in command else []
        if shutil.which(command[0]) and subprocess.run(
                command + ["-o", str(path)] + libm, stderr=subprocess.DEVNULL).returncode == 0:
            programs[name] = str(path)
        else:
            print(f"{name}: cannot be linked here, left out")
    return programs


def check_named(table, failures):
    """What the test program is known to have, whatever perf of this machine thinks."""
    by_name = {}
    for r in table.ranges:
        by_name.setdefault(r.raw, []).append(r)
    failures.check("alias_of_twice" in by_name, table.path, "the longest global alias is not taken")
    failures.check("twice" not in by_name and "__twice_too" not in by_name, table.path,
                   "an alias has a range of its own")
    failures.check("hidden_label" not in by_name, table.path, "a hidden label is a function")
    failures.check("plain_label" in by_name, table.path, "a label is no function")
    for name in by_name:
        failures.check(".cold" not in name, table.path, name, "is a function")
    failures.check(len(by_name.get("hot", [])) == 2, table.path, "hot has no cold part")
    outer, inner = by_name["outer"], by_name["inner"]
    failures.check(len(outer) == 2 and outer[0].end == inner[0].start and
                   inner[0].end == outer[1].start, table.path, "nested symbols are not cut")
    failures.check(by_name["no_size"][0].end == by_name["plain_label"][0].start, table.path,
                   "a symbol without a size does not end with the next")


def symbols_of(table):
    return {(r.start, r.end, r.raw) for r in table.ranges if r.kind == "symbol"}


def check_debug_files(dump, work, program, failures):
    """Names come from debug files where the file has none."""
    want = symbols_of(Table(dump, program))
    debug, linked, bare = work / "x.debug", work / "linked", work / "bare"
    output("objcopy", "--only-keep-debug", program, str(debug))
    output("objcopy", "--strip-all", program, str(bare))
    output("objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", program, str(linked))
    table = Table(dump, str(linked))
    failures.check(symbols_of(table) == want, "debuglink: other symbols")
    failures.check(table.debug_path == str(debug), "debuglink: taken from", table.debug_path)

    stripped = Table(dump, str(bare))
    failures.check(stripped.debug_path == "-", "bare: taken from", stripped.debug_path)
    failures.check(not any(r.raw == "main" for r in stripped.ranges), "bare: main has a name")
    failures.check(any(r.kind == "fde" for r in stripped.ranges), "bare: no FDE functions")
    check_fdes(stripped, failures)

    build_id = re.search(r"Build ID: ([0-9a-f]+)", output("readelf", "-n", program))[1]
    place = work / "symfs/usr/lib/debug/.build-id" / build_id[:2]
    place.mkdir(parents=True)
    shutil.move(debug, place / f"{build_id[2:]}.debug")
    table = Table(dump, str(bare), f"--symfs={work}/symfs")
    failures.check(symbols_of(table) == want, "build-id: other symbols")

    other = work / "other"
    output("gcc", "-O1", "-o", str(other), str(work / "c.c"), "-lm")
    output("objcopy", "--only-keep-debug", str(other), str(debug))
    failures.check(Table(dump, str(linked)).debug_path == "-", "debuglink: other build is taken")


def check_cold_parts(dump, work, program, failures):
    """Cold parts of a stripped program are those functions' that symbols say, or on their own."""
    bare = work / "cold-bare"
    output("objcopy", "--strip-all", program, str(bare))
    stripped = Table(dump, str(bare))
    joined = alone = 0
    for r in Table(dump, program).ranges:
        ours = stripped.find(r.start)
        if r.kind != "symbol" or not ours:
            continue
        if ours.function == ours.start:
            alone += r.start != r.function and ours.start == r.start
        elif ours.start == r.start:
            joined += 1
            failures.check(ours.function == r.function, program, "part", hex(r.start), "is given to",
                           hex(ours.function), "not to", r.name, hex(r.function))
    print(f"{program}: without symbols, {joined} cold parts join their functions, {alone} do not")
    failures.check(joined > 4 * alone, program, "too few cold parts are recognised")


def check_debugdata(dump, work, program, failures):
    """.gnu_debugdata made as the manual of GDB says."""
    dynamic = {line.split()[2] for line in
               output("nm", "-D", "--format=posix", "--defined-only", program).splitlines()}
    want = symbols_of(Table(dump, program))
    mini, packed = work / "mini", work / "packed"
    output("objcopy", "--only-keep-debug", program, str(mini))
    output("objcopy", "-S", "--remove-section=.comment", str(mini), "--keep-symbol=main",
           "--keep-symbol=hot", "--keep-symbol=alias_of_twice")
    output("xz", "-kf", str(mini))
    output("objcopy", "--strip-all", f"--add-section=.gnu_debugdata={mini}.xz", program,
           str(packed))
    have = symbols_of(Table(dump, str(packed)))
    expected = {r for r in want if r[2] in ("main", "hot", "alias_of_twice")}
    failures.check({"main", "alias_of_twice"} <= {r[2] for r in have}, "debugdata: no symbols")
    failures.check({r for r in have if r[2] == "main"} == {r for r in expected if r[2] == "main"},
                   "debugdata: main lies elsewhere")
    failures.check(len(dynamic) >= 0 and "no_size" not in {r[2] for r in have},
                   "debugdata: a name out of nowhere")


def check_without_sections(dump, work, program, failures):
    """Without section headers program headers lead to .eh_frame."""
    bare = work / "no-sections"
    data = bytearray(pathlib.Path(program).read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    bare.write_bytes(data)
    table = Table(dump, str(bare))
    with_sections = Table(dump, str(work / "bare"))
    ours = {r.start for r in table.ranges}
    failures.check({r.start for r in with_sections.ranges if r.kind == "fde"} <= ours,
                   "no sections: FDEs are missing")


def check_file(dump, path, work, has_perf, failures):
    table = Table(dump, path)
    failures.check(table.ranges, path, "has no functions")
    check_shape(table, failures)
    stubs, fdes = check_plt(table, failures), check_fdes(table, failures)
    points = check_perf(table, work, failures) if has_perf else 0
    print(f"{path}: {len(table.ranges)} ranges, {stubs} PLT stubs, {fdes} FDEs without symbol, "
          f"{points} addresses as perf has them")
    return table


def main():
    dump = sys.argv[1]
    for tool in ("gcc", "readelf", "objdump", "objcopy", "xz", "nm"):
        if not shutil.which(tool):
            print(f"{tool} is not installed: skipped")
            return SKIP
    has_perf = bool(shutil.which("perf"))
    if not has_perf:
        print("perf is not installed: its choice of symbols is not compared")
    failures = Failures()
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        programs = compile_programs(work)
        for name, path in programs.items():
            table = check_file(dump, path, work, has_perf, failures)
            if name in ("lazy", "now", "ibt-now", "no-pie", "static"):
                check_named(table, failures)
        for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/redis-server",
                     "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib64/ld-linux-x86-64.so.2",
                     "/lib32/libc.so.6"):
            if os.path.exists(path):
                check_file(dump, path, work, has_perf, failures)
        check_debug_files(dump, work, programs["now"], failures)
        check_cold_parts(dump, work, programs["static"], failures)
        if "c++-static" in programs:
            check_cold_parts(dump, work, programs["c++-static"], failures)
        check_debugdata(dump, work, programs["now"], failures)
        check_without_sections(dump, work, programs["now"], failures)
    print("\n".join(failures[:40]) or "all as expected")
    if len(failures) > 40:
        print(f"... and {len(failures) - 40} more")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
