# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the whole program share: where things are, the test programs and their truth,
recording, reports, perf as the other opinion, and a small reader of perf.data.

Every test_*.py can be run alone: `PTF_BUILD_ROOT=build src/cli/tests/test_x.py [-v] [NAME...]`.
Environment:
    PTF_BUILD_ROOT   build directory (default: ./build, else the source root's)
    PTF_SOURCE_ROOT  source directory (default: where this file is)
    PTF_BIN          the ptflame to test (default: the build's)
    PTF_ASAN_BIN     a ptflame built with sanitizers, for the tests that feed it damaged files
    PTF_SHARED       directory with `hwtraces/` (default: ../shared beside the source root)
    PTF_KEEP         keep temporary directories and print their names
"""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE_ROOT = os.environ.get(
    "PTF_SOURCE_ROOT", os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
)


def _default_build_root():
    here = os.path.abspath("build")
    return here if os.path.isdir(here) else os.path.join(SOURCE_ROOT, "build")


BUILD_ROOT = os.environ.get("PTF_BUILD_ROOT") or _default_build_root()
PTFLAME = os.environ.get("PTF_BIN") or os.path.join(BUILD_ROOT, "src/cli/ptflame")
PROGRAM_DIR = os.path.join(BUILD_ROOT, "testdata/programs")
SHARED = os.environ.get("PTF_SHARED") or os.path.join(SOURCE_ROOT, "../shared")
HWTRACES = os.path.abspath(os.path.join(SHARED, "hwtraces"))

# ---------------------------------------------------------------------------------------------
# The test programs


class Program:
    """A program of testdata/programs in one of its variants."""

    def __init__(self, name, variant, args, single, steady, processes):
        self.name = name
        self.variant = variant
        self.args = list(args)
        self.single = single  # one thread
        self.steady = steady  # the same instructions in every run with the instruction clock
        self.processes = processes

    @property
    def file(self):
        return f"{self.name}.{self.variant}"

    @property
    def path(self):
        return os.path.join(PROGRAM_DIR, self.file)

    @property
    def comm(self):
        """The name the kernel gives its first thread."""
        return self.file[:15]

    @property
    def command(self):
        return [self.path, *self.args]

    def __repr__(self):
        return self.file


_BOTH = ("static", "dynamic")
#   name: (variants, arguments, single-threaded, steady, processes)
_TABLE = {
    "recursion": (_BOTH, (), True, True, 1),
    "tailcalls": (_BOTH, (), True, True, 1),
    "sort": (_BOTH, (), True, True, 1),
    "deep": (_BOTH, (), True, True, 1),
    "latency": (_BOTH, ("300",), True, True, 1),
    "longjumps": (_BOTH, (), True, True, 1),
    "exceptions": (_BOTH, (), True, True, 1),
    "idioms": (_BOTH, (), True, True, 1),
    "rep": (_BOTH, (), True, True, 1),
    "coroutines": (_BOTH, (), True, True, 1),
    "faults": (_BOTH, (), True, True, 1),
    "signals": (_BOTH, (), True, False, 1),
    "plugins": (("dynamic",), (), True, True, 1),
    "timer": (_BOTH, (), True, False, 1),
    "handover": (_BOTH, (), False, False, 1),
    "threadnames": (_BOTH, (), False, False, 1),
    "manythreads": (_BOTH, (), False, False, 1),
    "plan": (_BOTH, (), False, False, 1),
    "forks": (_BOTH, (), False, False, 6),
    "execs": (_BOTH, (), False, False, 5),
    "bindings": (_BOTH, (), True, True, 1),
    "bindings_ibt": (_BOTH, (), True, True, 1),
    "bindings_now": (_BOTH, (), True, True, 1),
    "jump_coroutines": (_BOTH, (), True, True, 1),
    "generators": (_BOTH, (), True, True, 1),
    "signal_throws": (_BOTH, (), True, False, 1),
    "thunks": (_BOTH, (), True, True, 1),
    "thunks_extern": (_BOTH, (), True, True, 1),
    "thunks_inline": (_BOTH, (), True, True, 1),
    "thunks_return": (_BOTH, (), True, True, 1),
    "unwinds": (_BOTH, (), False, False, 1),
    "waits": (_BOTH, (), False, False, 1),
}
# Not in the table, because perf cannot decode code that no file holds: jit.


def programs(names=None, where=lambda program: True):
    """Every variant of the named test programs (all of them when None) for which `where` holds."""
    found = []
    for name in names or _TABLE:
        variants, args, single, steady, processes = _TABLE[name]
        for variant in variants:
            program = Program(name, variant, args, single, steady, processes)
            if where(program):
                found.append(program)
    return found


def program(name, variant="dynamic", args=None):
    _, own_args, single, steady, processes = _TABLE.get(name, (_BOTH, (), True, True, 1))
    return Program(name, variant, own_args if args is None else args, single, steady, processes)


class Truth:
    """What a test program printed about itself (testdata/programs/program.h)."""

    def __init__(self, text):
        self.calls = {}  # function name -> entries
        self.threads = None  # number, child processes included
        self.names = {}  # thread name -> threads of that name, only those the program chose
        self.times = {}  # function name -> ns
        self.paths = {}  # "main;f;marker" -> entries of marker there
        for line in text.splitlines():
            match = re.fullmatch(r"(calls|threads|thread|time|path) (?:(.*) )?(\d+)", line)
            if not match:
                continue
            kind, name, number = match.group(1), match.group(2), int(match.group(3))
            if kind == "threads":
                self.threads = number
            else:
                {"calls": self.calls, "thread": self.names, "time": self.times,
                 "path": self.paths}[kind][name] = number


# ---------------------------------------------------------------------------------------------
# Running things


def run(command, timeout=120, check=True, **options):
    """subprocess.run with its own process group, which is killed when time is up. Returns the
    CompletedProcess with text output; with `check`, any other exit status than 0 is an
    AssertionError that shows the command and what it printed."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(
        command, text=True, errors="replace", start_new_session=True, **options
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        out, err = process.communicate()
        raise AssertionError(
            f"no end after {timeout} s: {' '.join(command)}\n{tail(out)}\n{tail(err)}"
        ) from None
    except BaseException:
        kill_group(process)
        raise
    result = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check and result.returncode != 0:
        raise AssertionError(describe(result))
    return result


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def tail(text, lines=30):
    return "\n".join((text or "").splitlines()[-lines:])


def describe(result):
    return (
        f"exit status {result.returncode}: {' '.join(map(str, result.args))}\n"
        f"stdout: {tail(result.stdout)}\nstderr: {tail(result.stderr)}"
    )


@contextlib.contextmanager
def background(command, **options):
    """A process of its own group, killed with everything that it started at the end."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
    finally:
        kill_group(process)
        process.wait()


def wait_until(condition, timeout=20, interval=0.05, what="condition"):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(interval)


def limited_run(command, cpu_seconds, timeout, **options):
    """Runs a command and measures it alone: (CompletedProcess, seconds of CPU, peak bytes). The
    kernel ends a process that uses twice the allowed CPU time (SIGXCPU), and we one that is not
    done after `timeout` seconds (SIGKILL)."""
    limits = ["prlimit", f"--cpu={int(cpu_seconds * 2) + 1}", "--core=0", "--"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            limits + command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True, **options
        )
        timer = threading.Timer(timeout, kill_group, (process,))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    result = subprocess.CompletedProcess(command, process.returncode, *texts)
    return result, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def need_program(name):
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed")
    return path


def need_simulator():
    need_program("qemu-x86_64")


def need_hwtraces():
    if not os.path.isdir(HWTRACES):
        raise unittest.SkipTest(f"no traces of real hardware at {HWTRACES}")
    return HWTRACES


class TestCase(unittest.TestCase):
    """A test with a temporary directory of its own (self.dir)."""

    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ptflame-test-")
        if os.environ.get("PTF_KEEP"):
            print(f"{self.id()}: {self.dir}", file=sys.stderr)
        else:
            self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.dir, name)


def main():
    """unittest.main that says at the end what was skipped and why."""
    program = unittest.main(exit=False, verbosity=1)
    for test, reason in program.result.skipped:
        print(f"skipped: {test.id()}: {reason}", file=sys.stderr)
    whole = [test for test, _ in program.result.skipped  # not one subtest of a test that ran
             if isinstance(test, unittest.TestCase) and not hasattr(test, "test_case")]
    if program.result.wasSuccessful() and program.result.skipped and \
            program.result.testsRun == len(whole):
        sys.exit(77)  # meson: skipped
    sys.exit(not program.result.wasSuccessful())


# ---------------------------------------------------------------------------------------------
# ptflame


def record(output, command, clock="insn", timeout=180, options=()):
    """Records a command under the simulator. Returns what the command printed."""
    result = run(
        [PTFLAME, "record", "--backend", "sim", "--clock", clock, "-o", output, *options,
         "--", *command],
        timeout=timeout,
    )
    return result.stdout


def report_json(data, *options, timeout=300):
    """`ptflame report -f json` as a dictionary, whose sums hold (identity_errors)."""
    result = run([PTFLAME, "report", "-i", data, "-f", "json", *options], timeout=timeout)
    report = json.loads(result.stdout)
    if wrong := identity_errors(report, part="--under" in options):
        raise AssertionError(f"the sums of {data} do not hold:\n" + "\n".join(wrong[:20]))
    return report


def seconds(ns):
    """Exact seconds, as --time and --at take them."""
    return "%d.%09d" % divmod(ns, 10**9)


def stacks_at(data, ns, *options):
    """Where each thread is `ns` after the start of the recording: thread id -> what `ptflame stacks`
    tells in JSON."""
    result = run([PTFLAME, "stacks", "-i", data, "--at", seconds(ns), "-f", "json", *options])
    return {thread["tid"]: thread for thread in json.loads(result.stdout)["threads"]}


def stack_names(thread):
    """Names of a stack's functions, innermost first."""
    return [frame["name"] for frame in thread["frames"]]


def is_sanitized(binary):
    """Is it built with AddressSanitizer (which makes it slower and larger)?"""
    try:
        with open(binary, "rb") as file:
            return b"__asan_init" in file.read()
    except OSError:
        return False


def engines():
    """The decoders that this ptflame has."""
    result = run([PTFLAME, "report", "-i", "/dev/null", "--engine", "fast"], check=False)
    return ["libipt"] if "engine" in result.stderr else ["fast", "libipt"]


def compare_engines(data, *symfs, timeout=600):
    """Runs both engines over a recording; the result's status is 0 when all items are equal."""
    program = os.path.join(BUILD_ROOT, "src/profile/compare_engines")
    return run([program, data, *symfs], timeout=timeout, check=False)


def report_folded(data, *options, timeout=300):
    """`ptflame report` as a list of ([comm, frame, ...], value)."""
    result = run([PTFLAME, "report", "-i", data, *options], timeout=timeout)
    return parse_folded(result.stdout)


def parse_folded(text):
    stacks = []
    for line in text.splitlines():
        stack, _, value = line.rpartition(" ")
        if not stack or not re.fullmatch(r"\d+", value):
            raise AssertionError(f"not a folded line: {line!r}")
        stacks.append((stack.split(";"), int(value)))
    return stacks


def identity_errors(report, part=False):
    """What is wrong with the sums of a JSON report (DESIGN: accounting); [] when all is well. Of a part
    (--under), threads' times are those inside."""
    wrong = []
    window = report["window"]
    if window["start_ns"] is None:  # no timing in the trace: nothing claims to be a time
        return [f"{entry.get('comm') or entry.get('name')}: {key} without timing"
                for entry in report["threads"] + report["functions"]
                for key in entry if key.endswith("_ns") and entry[key] is not None]
    if not window["start_ns"] <= window["end_ns"]:
        wrong.append(f"window ends before it starts: {window}")
    wall = 0
    for thread in report["threads"]:
        name = f"thread {thread['tid']} ({thread['comm']})"
        parts = [thread[k] for k in ("on_ns", "kernel_ns", "off_ns", "lost_ns")]
        if thread["wall_ns"] != sum(parts):
            wrong.append(f"{name}: wall {thread['wall_ns']} is not on+kernel+off+lost = {parts}")
        if not part and thread["wall_ns"] != thread["end_ns"] - thread["start_ns"]:
            wrong.append(f"{name}: wall {thread['wall_ns']} is not end - start")
        if not window["start_ns"] <= thread["start_ns"] <= thread["end_ns"] <= window["end_ns"]:
            wrong.append(f"{name}: {thread['start_ns']}..{thread['end_ns']} not within {window}")
        if min(parts) < 0:
            wrong.append(f"{name}: negative time {parts}")
        wall += thread["wall_ns"]
    selfs = 0
    for function in report["functions"]:
        parts = [function[k] for k in
                 ("on_self_ns", "kernel_self_ns", "off_self_ns", "lost_self_ns")]
        if function["self_ns"] != sum(parts):
            wrong.append(f"{function['name']}: self {function['self_ns']} is not {parts}")
        if function["self_ns"] > function["total_ns"]:
            wrong.append(f"{function['name']}: self {function['self_ns']} > total "
                         f"{function['total_ns']}")
        selfs += function["self_ns"]
    if selfs != wall:
        wrong.append(f"sum of self over functions {selfs} is not sum of wall {wall} "
                     f"(difference {selfs - wall})")
    return wrong


# ---------------------------------------------------------------------------------------------
# ELF and perf.data, as little as is needed


class Elf:
    """Program and section headers of a 64-bit ELF file."""

    def __init__(self, path):
        self.path = path
        self.loads = []  # (offset, vaddr, filesz)
        self.plt_ranges = []  # (first, end) addresses of the sections of PLT stubs
        self._plt_names = None
        with open(path, "rb") as file:
            header = file.read(64)
            if header[:4] != b"\x7fELF" or header[4] != 2:
                raise ValueError(f"{path} is no 64-bit ELF file")
            phoff, = struct.unpack_from("<Q", header, 32)
            phentsize, phnum = struct.unpack_from("<HH", header, 54)
            file.seek(phoff)
            table = file.read(phentsize * phnum)
            self._sections(file, header)
        for i in range(phnum):
            kind, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", table, i * phentsize)
            if kind == 1:
                self.loads.append((offset, vaddr, filesz))

    def _sections(self, file, header):
        shoff, = struct.unpack_from("<Q", header, 40)
        shentsize, shnum, shstrndx = struct.unpack_from("<HHH", header, 58)
        file.seek(shoff)
        table = file.read(shentsize * shnum)
        if shstrndx >= shnum or len(table) < shentsize * shnum:
            return
        at = [struct.unpack_from("<IIQQQQ", table, i * shentsize) for i in range(shnum)]
        file.seek(at[shstrndx][4])
        names = file.read(at[shstrndx][5])
        for name, _, _, address, _, size in at:
            if names[name : names.index(b"\0", name)] in (b".plt", b".plt.got", b".plt.sec"):
                self.plt_ranges.append((address, address + size))

    def in_plt(self, vaddr):
        return any(first <= vaddr < end for first, end in self.plt_ranges)

    def plt_name(self, vaddr):
        """What objdump calls the stub, or "*ABS*+0x...@plt" or None when it has no name for it."""
        if self._plt_names is None:
            text = run(["objdump", "-d", "-j", ".plt", "-j", ".plt.got", "-j", ".plt.sec",
                        self.path], check=False).stdout
            self._plt_names = {int(address, 16): name for address, name in
                               re.findall(r"^([0-9a-f]+) <(.*@plt)>:$", text, re.MULTILINE)}
        return self._plt_names.get(vaddr)

    def vaddr(self, offset):
        """Virtual address of a file offset. A mapping is of whole pages, so the segment may begin
        a little behind the offset."""
        for start, vaddr, size in self.loads:
            if start <= offset < start + size:
                return offset - start + vaddr
        return None


_elves = {}


def elf(path):
    if path not in _elves:
        try:
            _elves[path] = Elf(path)
        except (OSError, ValueError):
            _elves[path] = None
    return _elves[path]


RECORD_AUXTRACE = 71
Section = collections.namedtuple("Section", "offset size")


class PerfData:
    """Header and records of a perf.data file (linux: tools/perf/Documentation/perf.data-file)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        magic, self.header_size, self.attr_size = struct.unpack_from("<8sQQ", self.bytes, 0)
        if magic != b"PERFILE2":
            raise ValueError(f"{path} is no perf.data file")
        self.attrs = Section(*struct.unpack_from("<QQ", self.bytes, 24))
        self.data = Section(*struct.unpack_from("<QQ", self.bytes, 40))
        flags = [struct.unpack_from("<Q", self.bytes, 72 + 8 * i)[0] for i in range(4)]
        self.features = {}  # bit -> Section
        at = self.data.offset + self.data.size
        for bit in range(256):
            if flags[bit // 64] >> bit % 64 & 1:
                self.features[bit] = Section(*struct.unpack_from("<QQ", self.bytes, at))
                at += 16

    def aux_ranges(self):
        """(first, end) offsets of AUX data in the file."""
        found = []
        for at, kind, record in self._walk():
            if kind == RECORD_AUXTRACE:
                first = at + len(record)
                found.append((first, first + struct.unpack_from("<Q", record, 8)[0]))
        return found

    def records(self):
        """(type, misc, record's bytes, AUX bytes behind it) in file order."""
        for at, kind, record in self._walk():
            misc, aux = struct.unpack_from("<H", record, 4)[0], b""
            if kind == RECORD_AUXTRACE:
                first = at + len(record)
                aux = self.bytes[first : first + struct.unpack_from("<Q", record, 8)[0]]
            yield kind, misc, record, aux

    def _walk(self):
        at, end = self.data.offset, self.data.offset + self.data.size
        while at + 8 <= end:
            kind, _, size = struct.unpack_from("<IHH", self.bytes, at)
            if size < 8:
                raise ValueError(f"record of {size} bytes at {at}")
            record = self.bytes[at : at + size]
            yield at, kind, record
            at += size
            if kind == RECORD_AUXTRACE:
                at += struct.unpack_from("<Q", record, 8)[0]

    def data_bytes(self):
        return self.bytes[self.data.offset : self.data.offset + self.data.size]


# ---------------------------------------------------------------------------------------------
# perf

Branch = collections.namedtuple(
    "Branch", "tid flags ip sym symoff dso addr to_sym to_symoff to_dso to_vaddr"
)
Mapping = collections.namedtuple("Mapping", "start end pgoff name")

_PLACE = r"([0-9a-f]+) (.*?)(?:\+0x([0-9a-f]+))? \((.*?)\)"
_LINE = re.compile(
    r"\s*(\d+)/(\d+)\s+(.*?)\s+" + _PLACE + r"(?: => *" + _PLACE + r")?\s*$"
)
_MMAP = re.compile(
    r"PERF_RECORD_MMAP2? (-?\d+)/-?\d+: \[(0x[0-9a-f]+)\((0x[0-9a-f]+)\) @ (0x[0-9a-f]+|0) ?.*?\]"
    r": \S+ (.*)$"
)
_FORK = re.compile(r"PERF_RECORD_FORK\((\d+):\d+\):\((\d+):\d+\)")


class AddressSpaces:
    """Which files are mapped where, in each process: turns addresses into the ELF's. What was
    mapped before an execve stays below what came after: perf may print the last call before it
    later."""

    def __init__(self, symfs=""):
        self.symfs = symfs
        self.spaces = collections.defaultdict(list)  # pid -> Mappings, newest first

    def event(self, line):
        """One line of perf script with --show-mmap-events --show-task-events."""
        if match := _MMAP.search(line):
            pid, start, length, pgoff, name = match.groups()
            start = int(start, 16)
            self.spaces[int(pid)].insert(
                0, Mapping(start, start + int(length, 16), int(pgoff, 16), name))
        elif match := _FORK.search(line):
            pid, parent = map(int, match.groups())
            if pid != parent:
                self.spaces[pid] = list(self.spaces[parent])

    def vaddr(self, pid, address):
        """Virtual address in the mapped ELF file, or None."""
        for mapping in self.spaces[pid]:
            if mapping.start <= address < mapping.end:
                file = elf(self.symfs + mapping.name)
                return file.vaddr(address - mapping.start + mapping.pgoff) if file else None
        return None


class PerfScript:
    """The calls and returns that perf decodes from a file. `errors` are the decoder's error lines,
    `odd` lines that this parser did not understand: both must be empty for a good trace."""

    def __init__(self, path, symfs="", timeout=600):
        need_program("perf")
        self.errors, self.odd = [], []
        self.branches = self.returns = 0
        self.calls = collections.Counter()  # Branch -> lines
        self.spaces = AddressSpaces(symfs)
        command = ["perf", "script", "-i", path, "--itrace=cre",
                   "--show-mmap-events", "--show-task-events",
                   "-F", "pid,tid,flags,ip,sym,symoff,addr,dso"]
        if symfs:
            command += ["--symfs", symfs]
        with tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL,
                text=True, errors="replace", start_new_session=True,
                env={**os.environ, "LC_ALL": "C"},
            )
            timer = threading.Timer(timeout, kill_group, (process,))
            timer.start()
            try:
                with process.stdout:
                    self._read(process.stdout)
                status = process.wait()
            finally:
                timer.cancel()
                kill_group(process)
                process.wait()
            err.seek(0)
            self.stderr = err.read()
        if status != 0:
            self.errors.append(f"perf script: exit status {status}")
        self.errors += [line for line in self.stderr.splitlines()
                        if re.search(r"error|failed|invalid|AUX data lost", line, re.IGNORECASE)]

    def _read(self, lines):
        """The same branches come millions of times: each text is looked at once, between two
        events that change what is mapped."""
        seen = collections.Counter()
        for line in lines:
            if "PERF_RECORD_" in line:
                self._branches(seen)
                seen.clear()
                self.spaces.event(line)
            else:
                seen[line] += 1
        self._branches(seen)

    def _branches(self, seen):
        for line, count in seen.items():
            if "instruction trace error" in line:
                self.errors.append(line.strip())
            elif match := _LINE.match(line):
                self._branch(match, count)
            else:
                self.odd.append(line.rstrip())

    def _branch(self, match, count):
        self.branches += count
        pid, tid, flags, *place = match.groups()
        # Also "tr end call" for a call whose target is not traced any more.
        kind = flags.split()[-1:]
        if kind == ["return"]:
            self.returns += count
        if kind != ["call"]:
            return
        ip, sym, off, dso, addr, to_sym, to_off, to_dso = place
        address = int(addr or "0", 16)
        self.calls[Branch(
            int(tid), " ".join(flags.split()), int(ip, 16), sym, int(off or "0", 16), dso, address,
            to_sym, int(to_off or "0", 16), to_dso, self.spaces.vaddr(int(pid), address),
        )] += count
