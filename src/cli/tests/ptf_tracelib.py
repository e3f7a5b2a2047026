# SPDX-License-Identifier: BSD-2-Clause
"""Recordings written by hand: perf.data records and Intel PT packets, for what no machine does on
demand (threads that move between CPUs, clocks that disagree, records that are lost). Times are
nanoseconds of the perf clock and of the TSC; a core cycle is one of them.

Layouts: include/uapi/linux/perf_event.h, tools/perf/Documentation/perf.data-file-format.txt,
tools/perf/util/{intel-pt.c,trace-event-info.c}, Intel SDM volume 3 "Intel Processor Trace"."""

import os
import struct

import ptf_testlib as lib

PT_TYPE = 8
RATIO = 10  # TSC ticks and core cycles of a bus cycle
IDS = {"intel_pt//u": 1, "dummy:u": 2, "sched:sched_switch": 3, "sched:sched_waking": 4}
SWITCH_ID, WAKING_ID = 316, 319  # of the tracepoints

_IP, _TID, _TIME, _CPU, _PERIOD, _RAW, _IDENTIFIER = (1 << b for b in (0, 1, 2, 7, 8, 10, 16))
_SAMPLE = _IDENTIFIER | _IP | _TID | _TIME | _CPU | _PERIOD
_COMMON = (
    "format:\n"
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
    "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n")
_SWITCH_FORMAT = (
    f"name: sched_switch\nID: {SWITCH_ID}\n" + _COMMON +
    "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
    "\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n"
    "\tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;\n"
    "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n"
    "\tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;\n"
    "\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n"
    "\tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;\n\n"
    'print fmt: "prev_pid=%d prev_state=%ld ==> next_pid=%d", REC->prev_pid, REC->prev_state, '
    "REC->next_pid\n")
_WAKING_FORMAT = (
    f"name: sched_waking\nID: {WAKING_ID}\n" + _COMMON +
    "\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
    "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n"
    "\tfield:int prio;\toffset:28;\tsize:4;\tsigned:1;\n"
    "\tfield:int target_cpu;\toffset:32;\tsize:4;\tsigned:1;\n\n"
    'print fmt: "pid=%d", REC->pid\n')


def _block(text):
    return struct.pack("<Q", len(text)) + text.encode()


def tracing_data():
    page = ("\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
            "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
            "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
            "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n")
    return (b"\x17\x08\x44tracing0.6\0\0\x08" + struct.pack("<I", 4096) +
            b"header_page\0" + _block(page) + b"header_event\0" + _block("# header\n") +
            struct.pack("<II", 0, 1) + b"sched\0" + struct.pack("<I", 2) +
            _block(_SWITCH_FORMAT) + _block(_WAKING_FORMAT) +
            struct.pack("<II", 0, 0) + struct.pack("<Q", 0))


class Code:
    """Where the code of a program of testdata/programs is that is never run."""

    def __init__(self, name):
        self.path = os.path.abspath(os.path.join(lib.PROGRAM_DIR, name))
        symbols = lib.run(["nm", self.path]).stdout.split("\n")
        for line in symbols:
            address, _, name = line.split() if line.count(" ") == 2 else ("0", "", "")
            if name.isidentifier():
                setattr(self, name, int(address, 16))


class Stages(Code):
    """testdata/programs/stages.S"""

    def __init__(self):
        super().__init__("stages")


class Kernel(Code):
    """testdata/programs/kernel.S, and what `perf record --kcore` would leave of it. It ran at its own
    addresses plus `moved`."""

    TEXT, MODULE, SIZE = 0xffffffff81000000, 0xffffffffc0001000, 0x1000

    def __init__(self, moved=0):
        super().__init__("kernel")
        self.moved = moved
        self.names = {name: address + moved for name, address in vars(self).items()
                      if isinstance(address, int) and address >> 63}
        self.__dict__.update(self.names)

    def _bytes(self, start):
        for offset, address, size in lib.elf(self.path).loads:
            if address <= start < address + size:
                with open(self.path, "rb") as file:
                    file.seek(offset + start - address)
                    return file.read(size - (start - address))
        raise AssertionError(f"nothing at {start:#x} in {self.path}")

    def kallsyms(self):
        """As root sees it; of an entry with two names perf takes the last one."""
        lines = [f"{0:016x} A fixed_percpu_data"]
        for name, address in sorted(self.names.items(), key=lambda item: item[1]):
            module = "\t[ptmod]" if address >= self.MODULE else ""
            if name == "schedule":
                lines.append(f"{address:016x} t __alias_of_schedule")
            lines.append(f"{address:016x} {'t' if module else 'T'} {name}{module}")
        return "\n".join(lines) + "\n"

    def write_kcore_dir(self, directory):
        os.makedirs(directory)
        parts = [(start + self.moved, self._bytes(start)) for start in (self.TEXT, self.MODULE)]
        headers = contents = b""
        for start, code in parts:
            code += bytes(-len(code) % 0x1000)
            headers += struct.pack("<IIQQQQQQ", 1, 7, 0x1000 + len(contents), start, 0, len(code),
                                   len(code), 0x1000)
            contents += code
        ident = b"\x7fELF\x02\x01\x01" + bytes(9)
        header = ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(parts), 0,
                                     0, 0)
        with open(os.path.join(directory, "kcore"), "wb") as file:
            file.write((header + headers).ljust(0x1000, b"\0") + contents)
        with open(os.path.join(directory, "kallsyms"), "w") as file:
            file.write(self.kallsyms())
        with open(os.path.join(directory, "modules"), "w") as file:
            file.write(f"ptmod 4096 0 - Live 0x{self.MODULE + self.moved:016x}\n")


class Stream:
    """The packets of one AUX buffer; each method adds one, at a time where it has one. Time is told
    by a CYC packet right before, which is exact."""

    def __init__(self, tid=-1, cpu=-1):
        self.tid, self.cpu = tid, cpu
        self.bytes = b""
        self.time = None

    def add(self, packet, time=None):
        if time is not None and time != self.time:
            self.cyc(time - self.time)
            self.time = time
        self.bytes += packet
        return self

    def cyc(self, cycles):
        low, cycles = cycles & 0x1f, cycles >> 5
        self.bytes += bytes([low << 3 | (4 if cycles else 0) | 3])
        while cycles:
            low, cycles = cycles & 0x7f, cycles >> 7
            self.bytes += bytes([low << 1 | (1 if cycles else 0)])

    @staticmethod
    def _ip(opcode, ip):
        return bytes([opcode | 3 << 5]) + struct.pack("<Q", ip)[:6]

    def tsc(self, time):
        """The time anew, from here on."""
        self.time = time
        return self.add(b"\x19" + struct.pack("<Q", time)[:7])

    def psb(self, time, ip=None):
        """PSB+; the trace is on at ip, or off."""
        self.add(b"\x02\x82" * 8)
        self.tsc(time)
        self.add(b"\x02\x03" + bytes([RATIO, 0]) + b"\x99\x01")  # CBR, MODE.Exec 64 bit
        if ip is not None:
            self.add(self._ip(0x1d, ip))
        return self.add(b"\x02\x23")

    def on(self, ip, time=None):
        """TIP.PGE; without a time nothing tells it until the next packet that does."""
        return self.add(self._ip(0x11, ip), time)

    def tnt(self, bits, time=None):
        """Branches, '1' taken (also a return to where it was called from)."""
        while bits:
            some, bits = bits[:6], bits[6:]
            value = int("1" + some, 2) << 1
            self.add(bytes([value]), None if bits else time)
        return self

    def tip(self, ip, time=None):
        return self.add(self._ip(0x0d, ip), time)

    def off(self, time=None):
        """TIP.PGD without an address: at a system call."""
        return self.add(b"\x01", time)

    def off_to(self, ip, time=None):
        """TIP.PGD with the address where untraced code begins."""
        return self.add(self._ip(0x01, ip), time)

    def off_async(self, ip, time=None):
        """Interrupt, fault, signal: FUP with the address that was to be next, TIP.PGD."""
        self.add(self._ip(0x1d, ip), time)
        return self.add(b"\x01")

    def ovf(self, time, ip=None):
        """Packets were lost; the trace goes on at ip, or is off."""
        self.add(b"\x02\xf3")
        if ip is not None:
            self.add(self._ip(0x1d, ip))
        return self.tsc(time)


class Recording:
    """A perf.data; records are written in the order of the calls."""

    def __init__(self, os_release="6.1.0", per_cpu=False, filter="", tracepoints=False,
                 window=None, kernel=False):
        self.os_release, self.per_cpu, self.filter = os_release, per_cpu, filter
        self.kernel = kernel  # traced, too
        self.tracepoints, self.window = tracepoints, window
        self.data = bytearray()
        self.streams = []
        self._auxtrace_info()

    # ---- records

    def _record(self, kind, misc, body):
        self.data += struct.pack("<IHH", kind, misc, 8 + len(body)) + body

    def record(self, kind, misc, body, time, pid, tid, cpu=0):
        """A record of the kernel, with its sample_id."""
        self._record(kind, misc, body + struct.pack(
            "<iiQIIQ", pid, tid, time, cpu, 0, IDS["dummy:u"]))

    def _auxtrace_info(self):
        name = self.filter.encode()
        name += bytes(8 - len(name) % 8) if name else b""
        self._record(70, 0, struct.pack(
            "<II17Q", 1, 0, PT_TYPE, 0, 1, 0, 1, 0x400, 0x800, 2, 0, self.per_cpu, 0x200, 0x3c000,
            0, 0, 2, RATIO, len(name)) + name)

    def comm(self, pid, tid, name, time=0):
        text = name.encode()
        self.record(3, 0, struct.pack("<ii", pid, tid) + text + bytes(8 - len(text) % 8), time,
                    pid, tid)

    def fork(self, time, pid, tid, parent):
        self.record(7, 0, struct.pack("<iiiiQ", pid, pid, tid, parent, time), time, pid, parent)

    def exit(self, time, pid, tid):
        self.record(4, 0, struct.pack("<iiiiQ", pid, pid, tid, tid, time), time, pid, tid)

    def mmap(self, pid, path, address, length, offset, time=0):
        name = path.encode()
        self.record(10, 2, struct.pack("<iiQQQIIQQII", pid, pid, address, length, offset, 0, 0, 0,
                                       0, 5, 2) + name + bytes(8 - len(name) % 8), time, pid, pid)

    def kernel_mmap(self, name, address, length, offset):
        name = name.encode()
        self.record(1, 1, struct.pack("<iiQQQ", -1, 0, address, length, offset) + name +
                    bytes(8 - len(name) % 8), 0, -1, 0)

    def kernel_code(self, kernel):
        """The mappings of a Kernel."""
        text, module = (start + kernel.moved for start in (kernel.TEXT, kernel.MODULE))
        self.kernel_mmap("[kernel.kallsyms]_text", text, kernel.SIZE, text)
        self.kernel_mmap("[ptmod]", module, kernel.SIZE, 0)

    def program(self, pid, tid, name, code):
        """A process with the code of a Stages in it."""
        self.comm(pid, tid, name)
        for offset, address, size in lib.elf(code.path).loads:
            self.mmap(pid, code.path, address, (size + 0xfff) & ~0xfff, offset)

    def itrace_start(self, time, pid, tid):
        self.record(12, 0, struct.pack("<ii", pid, tid), time, pid, tid)

    def lost(self, time, pid, tid, count):
        self.record(2, 0, struct.pack("<QQ", IDS["dummy:u"], count), time, pid, tid)

    def comes(self, time, pid, tid, cpu=0):
        """SWITCH: onto a CPU."""
        self.record(14, 0, b"", time, pid, tid, cpu)

    def goes(self, time, pid, tid, cpu=0, preempted=False):
        self.record(14, 1 << 13 | preempted << 14, b"", time, pid, tid, cpu)

    def cpu_switch(self, out_time, in_time, cpu, before, after, preempted=False):
        """SWITCH_CPU_WIDE: both records of a switch between (pid, tid)s; (0, 0) is idle."""
        self.record(15, 1 << 13 | preempted << 14, struct.pack("<ii", *after), out_time, *before,
                    cpu)
        self.record(15, 0, struct.pack("<ii", *before), in_time, *after, cpu)

    def _tracepoint(self, name, time, pid, tid, cpu, raw):
        raw += bytes((8 - (len(raw) + 4) % 8) % 8)
        self._record(9, 1, struct.pack("<QQiiQIIQ", IDS[name], 0xffffffff81000000, pid, tid, time,
                                       cpu, 0, 1) + struct.pack("<I", len(raw)) + raw)

    def sched_switch(self, time, cpu, before, state, after):
        """before and after: (pid, tid); state: 0 when it could go on."""
        self._tracepoint("sched:sched_switch", time, *before, cpu, struct.pack(
            "<HBBi16siiq16sii", SWITCH_ID, 0, 0, before[1], b"before", before[1], 120, state,
            b"after", after[1], 120))

    def sched_waking(self, time, tid, waker=(0, 0), cpu=0):
        self._tracepoint("sched:sched_waking", time, *waker, cpu, struct.pack(
            "<HBBi16siii", WAKING_ID, 0, 0, waker[1], b"woken", tid, 120, cpu))

    # ---- the file

    def stream(self, tid=-1, cpu=-1):
        self.streams.append(Stream(tid, cpu))
        return self.streams[-1]

    def _aux(self, index, stream, time):
        """Returns where the AUXTRACE record stands in the data, and its size."""
        aux = stream.bytes + bytes(-len(stream.bytes) % 8)
        self.record(11, 0, struct.pack("<QQQ", 0, len(aux), 0), time, max(stream.tid, 0),
                    max(stream.tid, 0), max(stream.cpu, 0))
        at = len(self.data)
        self._record(71, 0, struct.pack("<QQQIiiI", len(aux), 0, index + 1, index, stream.tid,
                                        stream.cpu, 0))
        entry = (at, len(self.data) - at)
        self.data += aux
        return entry

    def _attrs(self):
        names = [n for n in IDS if self.tracepoints or not n.startswith("sched:")]
        flags = (not self.kernel) << 5 | 1 << 18  # exclude_kernel, sample_id_all
        for name in names:
            kind, config, sample, more = {
                "intel_pt//u": (PT_TYPE, 0x402, _SAMPLE, 0),
                "dummy:u": (1, 9, _SAMPLE, 1 << 8 | 1 << 9 | 1 << 13 | 1 << 23 | 1 << 26),
                "sched:sched_switch": (2, SWITCH_ID, _SAMPLE | _RAW, 0),
                "sched:sched_waking": (2, WAKING_ID, _SAMPLE | _RAW, 0)}[name]
            yield name, struct.pack("<IIQQQQQ", kind, 128, config, 1, sample, 0,
                                    flags | more) + bytes(80)

    def _features(self, index, data_at):
        def text(string):
            field = string.encode() + bytes(64 - len(string) % 64)
            return struct.pack("<I", len(field)) + field

        found = {4: text(self.os_release), 6: text("x86_64"), 7: struct.pack("<II", 4, 4)}
        attrs = list(self._attrs())
        found[12] = struct.pack("<II", len(attrs), 128) + b"".join(
            attr + struct.pack("<I", 1) + text(name) + struct.pack("<Q", IDS[name])
            for name, attr in attrs)
        if self.tracepoints:
            found[1] = tracing_data()
        found[18] = struct.pack("<Q", len(index)) + b"".join(
            struct.pack("<QQ", data_at + at, size) for at, size in index)
        if self.window:
            found[255] = struct.pack("<IIQQIIdII", 0x6d6c6670, 1, *self.window, 0, 0, 0.0, 1, 0)
        return found

    def write(self, path, end_time):
        """Writes the file; its AUX records come at end_time."""
        index = [self._aux(i, stream, end_time) for i, stream in enumerate(self.streams)]
        attrs = list(self._attrs())
        ids_at = 104
        attrs_at = ids_at + 8 * len(attrs)
        data_at = attrs_at + len(attrs) * 144
        section = b"".join(attr + struct.pack("<QQ", ids_at + 8 * i, 8)
                           for i, (_, attr) in enumerate(attrs))
        features = self._features(index, data_at)
        bits = [sum(1 << bit % 64 for bit in features if bit // 64 == i) for i in range(4)]
        at = data_at + len(self.data) + 16 * len(features)
        table = contents = b""
        for bit in sorted(features):
            table += struct.pack("<QQ", at + len(contents), len(features[bit]))
            contents += features[bit]
        with open(path, "wb") as file:
            file.write(struct.pack("<8sQQQQQQQQ", b"PERFILE2", 104, 144, attrs_at, len(section),
                                   data_at, len(self.data), 0, 0))
            file.write(struct.pack("<4Q", *bits))
            file.write(b"".join(struct.pack("<Q", IDS[name]) for name, _ in attrs))
            file.write(section + bytes(self.data) + table + contents)
        return path

    def write_pipe(self, path, end_time):
        """The same as `perf record -o -` writes it."""
        for i, stream in enumerate(self.streams):
            self._aux(i, stream, end_time)
        body, self.data = bytes(self.data), bytearray()
        for name, attr in self._attrs():
            self._record(64, 0, attr + struct.pack("<Q", IDS[name]))
        self._record(80, 0, struct.pack("<Q", 4) + self._features([], 0)[4])
        if self.tracepoints:
            formats = tracing_data()
            self._record(66, 0, struct.pack("<I", len(formats)))
            self.data += formats + bytes(-len(formats) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<8sQ", b"PERFILE2", 16) + bytes(self.data) + body)
        return path
