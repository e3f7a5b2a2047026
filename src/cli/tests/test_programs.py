#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every test program, recorded once with the instruction clock and looked at from all sides:

    SimulatorAlone   perf decodes the recording without an error, and counts the calls that the
                     program counted itself: the recording is right, whatever `report` says
    PerfCalls        `report` counts as many call instructions into every function as perf
    OwnCounters      `report` counts the entries that the program counted itself
    Markers          the depth of the stack is right again after every hard thing, with both clocks
                     and with segments so short that each of them lies on a segment's border
    Segments         the call tree is the same wherever segments are cut, and with -j 1 and 2
    Stacks           every function stands under a caller that the source allows
    Accounting       the sums of the report hold, and the threads are those that ran

PTF_VARIANT=static or dynamic runs one half, PTF_PROGRAMS=NAME,NAME a selection.
"""

import collections
import os
import re
import shutil
import sys
import tempfile
import unittest

import ptf_testlib as lib

# Functions that are not, or not only, entered by a call instruction: perf's calls say nothing of
# their number.
NOT_BY_CALL = {
    "tailcalls": {"chain_add", "chain_mul", "chain_rotate", "is_even", "is_odd"},
    "faults": {"on_segv", "on_ill"},
    "signals": {"on_outer", "on_inner", "on_alternate", "on_escape", "on_chain", "on_trap",
                "injected", "on_last"},
    "timer": {"on_alarm"},
    "idioms": {"target"},
    "coroutines": {"context_task"},
    "generators": {"count_up", "first_runner", "second_runner", "third_runner", "even_worker",
                   "odd_worker"},
    "plugins": {"other_plugin_last"},
    **dict.fromkeys(("bindings", "bindings_ibt", "bindings_now"), {"chosen_plain"}),
    **dict.fromkeys(("thunks", "thunks_extern", "thunks_inline", "thunks_return"),
                    {"add_one", "times_three"}),
    "signal_throws": {"on_fault"},
    "jump_coroutines": {"trampoline"},
}

# Who may stand directly above a function: its callers in the source; for one entered by a tail
# jump, the callers of those that jump to it; for a signal handler, what it interrupted.
ALL = None
ABOVE = {
    "recursion": {"fib": {"main", "fib"}, "ackermann": {"main", "ackermann"}},
    "tailcalls": {name: {"main"} for name in (
        "chain_start", "chain_add", "chain_mul", "chain_rotate", "is_even", "is_odd", "length_of")},
    "sort": {"fill": {"main"}, "checksum": {"main"}, "compare_ints": ALL},
    "latency": {
        "from_left": {"main"}, "from_right": {"main"}, "request": {"from_left", "from_right"},
        "slow_path": {"request"}, "spin": {"request", "slow_path"},
    },
    "longjumps": {
        "round_trip": {"main"}, "short_trip": {"main"}, "descend": {"round_trip", "descend"},
        "climb": {"main", "climb"},
        "jump_out": {"short_trip"}, "after": {"round_trip", "short_trip"},
    },
    "exceptions": {
        "catches": {"main"}, "throws_again": {"catches"}, "thrower": {"passes_through", "must_not_throw"},
        "passes_through": {"throws_again", "passes_through"}, "guard_leave": {"passes_through"},
        "catches_range": {"main"},
        "shape_area": {"(anonymous namespace)::Square::area", "(anonymous namespace)::Strip::area"},
    },
    "handover": {"player": ALL, "take_turn": {"player"}, "work_on": {"take_turn"}},
    "coroutines": {
        "run_contexts": {"main"}, "run_fibers": {"main"}, "context_task": ALL,
        "context_work": {"context_task"}, "context_yield": {"context_task"},
        "fiber_task": {"fiber_entry"}, "fiber_work": {"fiber_task"}, "fiber_yield": {"fiber_task"},
    },
    "faults": {
        "touch": {"main"}, "trap": {"main"}, "before_store": {"touch", "trap"},
        "after_store": {"touch", "trap"}, "on_segv": {"touch"}, "on_ill": {"trap"},
        "open_page": {"on_segv"},
    },
    "signals": {
        "nested_round": {"main"}, "escape_round": {"main"},
        "escape_from": {"escape_round", "escape_from"},
        "send": {"nested_round", "on_outer", "escape_from", "on_chain", "escape_chain",
                 "escape_alternate", "main"},
        "handler_work": {"on_inner", "on_outer", "on_alternate", "on_escape", "nested_round",
                         "escape_round", "trap_round"},
        "on_chain": {"syscall"}, "on_trap": {"trap_round"}, "injected": {"trap_round"},
        "on_last": {"syscall"},
        "on_outer": {"syscall"}, "on_inner": {"syscall"}, "on_alternate": {"syscall"},
        "on_escape": {"syscall"},
    },
    "timer": {
        "round_of_work": {"main"}, "middle": {"round_of_work"}, "leaf": {"middle"},
        "count_tick": {"on_alarm"},
        "on_alarm": {"main", "round_of_work", "middle", "leaf", "__setitimer", "setitimer"},
    },
    "rep": {name: {"main"} for name in (
        "rep_movs", "rep_stos", "rep_cmps", "rep_scas", "count_down")},
    "forks": {
        "parent_work": {"main"}, "child_body": {"main"}, "grandchild": {"child_body"},
        "child_work": {"child_body", "grandchild"},
    },
    "execs": {
        "run_by_fork": {"main"}, "run_by_spawn": {"main"}, "run_by_vfork": {"main"},
        "reap": {"run_by_fork", "run_by_spawn", "run_by_vfork"},
    },
    "plan": {name: {"main"} for name in ("plan_busy", "plan_sleep", "plan_mutex", "plan_fsync")},
    "plugins": {
        "with_plugin": {"main"}, "tiny_plugin_run": {"with_plugin", "with_mapping"},
        "tiny_plugin_helper": {"tiny_plugin_run"},
    },
    "threadnames": {"spin": {"names_itself", "named_by_prctl", "renamed", "named_by_main",
                             "nameless"}},
    "manythreads": {"short_life": ALL, "step": {"short_life"}},
    "idioms": {
        **{name: {"main"} for name in ("retpoline_call", "push_return", "memory_call",
                                       "odd_returns", "rarely_cold")},
        "own_address": {"main", "own_address"},
        "returns_prefixed": {"odd_returns"}, "returns_with_pop": {"odd_returns"},
        "report_rare": {"rarely_cold"},
        "target": {"retpoline_call", "main", "memory_call", "rarely_cold"},
    },
}
# Functions that run on stacks other than the first thread's, without main below them.
ROOTLESS = {
    "coroutines": {"context_task", "context_work", "context_yield", "fiber_task", "fiber_work",
                   "fiber_yield"},
    "handover": {"player", "take_turn", "work_on"},
    "threadnames": {"spin"},
    "manythreads": {"short_life", "step"},
}

_variant = os.environ.get("PTF_VARIANT")
_names = os.environ.get("PTF_PROGRAMS")
PROGRAMS = lib.programs(
    _names.split(",") if _names else None, lambda p: _variant in (None, "", p.variant)
)


SHORT = 300  # bytes of a segment, when it is to be short


class Recording:
    """A program's recording and what was found in it, each made when first asked for."""

    directory = None
    made = {}

    @classmethod
    def of(cls, program):
        if program.file not in cls.made:
            cls.made[program.file] = cls(program)
        return cls.made[program.file]

    def __init__(self, program, name="data", **how):
        self.program = program
        self.path = os.path.join(Recording.directory, f"{program.file}.{name}")
        self.failure = self._perf = self._report = None
        try:
            self.truth = lib.Truth(lib.record(self.path, program.command, **how))
        except AssertionError as failure:
            self.failure = failure

    @classmethod
    def in_pieces(cls, program, clock):
        """One that is cut into very short segments."""
        key = (program.file, clock)
        if key not in cls.made:
            cls.made[key] = cls(program, f"{clock}.data", clock=clock,
                                options=["--psb-period", str(SHORT)])
        return cls.made[key]

    def ready(self):
        if self.failure:
            raise AssertionError(f"{self.program}: not recorded: {self.failure}")
        return self

    @property
    def perf(self):
        if not self._perf:
            self._perf = lib.PerfScript(self.path)
        return self._perf

    @property
    def report(self):
        if not self._report:
            self._report = lib.report_json(self.path)
        return self._report


def setUpModule():
    lib.need_simulator()
    Recording.directory = tempfile.mkdtemp(prefix="ptflame-test-")
    if os.environ.get("PTF_KEEP"):
        print(f"recordings: {Recording.directory}", file=sys.stderr)
    else:
        unittest.addModuleCleanup(shutil.rmtree, Recording.directory)


def table(lines, limit=40):
    """Lines as text, the first of them when they are many."""
    more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join(lines[:limit] + more)


def counts_diff(title, names, ours, theirs, others="perf"):
    """Lines for every key whose counts differ."""
    lines = []
    for key in sorted(set(ours) | set(theirs), key=str):
        if ours[key] != theirs[key]:
            lines.append(f"  {names.get(key, '?')} {key}: ptflame {ours[key]}, "
                         f"{others} {theirs[key]}")
    if not lines:
        return []
    return [f"{title}: {len(lines)} of {len(set(ours) | set(theirs))} differ", *lines]


class EveryProgram(unittest.TestCase):
    def each(self, check):
        for program in PROGRAMS:
            with self.subTest(program=program.file):
                check(Recording.of(program).ready())

    def none(self, recording, wrong):
        if wrong:
            self.fail(f"{recording.program}:\n{table(wrong)}")


class SimulatorAlone(EveryProgram):
    def test_perf_decodes_without_error(self):
        self.each(self.decodes)

    def decodes(self, recording):
        perf = recording.perf
        self.assertEqual(perf.errors[:10], [], "perf finds errors")
        self.assertEqual(perf.odd[:10], [], "lines of perf script that nobody understands")
        self.assertGreater(perf.branches, 100)

    def test_perf_counts_what_the_program_counted(self):
        self.each(self.counts)

    def counts(self, recording):
        program, truth = recording.program, recording.truth
        seen = collections.Counter()
        for branch, n in recording.perf.calls.items():
            seen[branch.to_sym] += n
        self.assertTrue(truth.calls, "the program counted nothing")
        for name, count in truth.calls.items():
            if name not in NOT_BY_CALL.get(program.name, ()):
                self.assertEqual(seen[name], count, f"calls of {name} in {program}")

    def test_perf_sees_every_thread(self):
        self.each(self.threads)

    def threads(self, recording):
        tids = {branch.tid for branch in recording.perf.calls}
        self.assertEqual(len(tids), recording.truth.threads)


def perf_entries(recording):
    """Perf's calls by entry: ({(dso, vaddr): lines}, {(dso, vaddr): name}, trouble). Perf 6.1 gives
    PLT stubs no name or a wrong one: they are by their address, with objdump's name."""
    counts, names, nowhere = collections.Counter(), {}, []
    for branch, n in recording.perf.calls.items():
        if branch.addr == 0:  # traced no further: not entered
            continue
        vaddr = branch.to_vaddr
        if vaddr is None:
            nowhere.append(f"{branch.addr:#x} ({branch.to_dso})")
            continue
        elf = lib.elf(branch.to_dso)
        name = branch.to_sym
        if elf.in_plt(vaddr):
            name = elf.plt_name(vaddr)
        elif name != "[unknown]":
            vaddr -= branch.to_symoff  # a call to a label inside is a call of the function
        key = (branch.to_dso, hex(vaddr))
        counts[key] += n
        names[key] = name
    trouble = []
    if nowhere:
        trouble = [f"calls to {len(nowhere)} places where nothing is mapped: {nowhere[0]} ..."]
    return counts, names, trouble


def bare(name):
    """A C++ name without parameters, return type and version: perf shows it so."""
    name = re.sub(r"@.*$", "", name)
    name = re.sub(r" \[clone .*\]$", "", name)
    name = re.sub(r"^non-virtual thunk to ", "", name)
    depth, cut = 0, len(name)
    for i in range(len(name) - 1, -1, -1):  # the last group of parentheses at the outer level
        depth += {")": 1, "(": -1}.get(name[i], 0)
        if name[i] == "(" and depth == 0 and not name.startswith("(anonymous namespace)", i):
            cut = i
            break
    return name[:cut]


def demangled(name):
    if not name.startswith("_Z"):
        return name
    symbol, at, suffix = name.partition("@")
    plain = lib.run(["c++filt", "--no-verbose", symbol]).stdout
    return plain.strip() + at + suffix


def same_name(ours, theirs):
    if theirs is None or theirs.startswith("*ABS*"):  # a stub for an ifunc has no symbol
        return ours.endswith("@plt")
    if theirs == "[unknown]":
        return ours.startswith("[")
    return ours == theirs or (
        bare(demangled(ours)) == bare(demangled(theirs))
        and ours.endswith("@plt") == theirs.endswith("@plt")
    )


class PerfCalls(EveryProgram):
    def test_calls_of_every_function(self):
        self.each(self.calls)

    def calls(self, recording):
        theirs, names, trouble = perf_entries(recording)
        ours, misnamed = collections.Counter(), []
        for function in recording.report["functions"]:
            n = function["calls"] - function["jump_calls"]
            key = (function["module"], function["address"])
            if n or key in theirs:
                ours[key] += n
            if key in names and not same_name(function["name"], names[key]):
                misnamed.append(f"  {key}: ptflame {function['name']}, perf {names[key]}")
            names.setdefault(key, function["name"])
        self.assertGreater(len(theirs), 5)
        wrong = trouble + counts_diff("calls per function", names, ours, theirs)
        if misnamed:
            wrong += ["names:", *misnamed]
        self.none(recording, wrong)

    def test_big_trace(self):
        """More than 20 MB of trace: many chunks of AUX data, many PSBs."""
        if _variant == "dynamic" or _names:
            self.skipTest("done with PTF_VARIANT=static")
        recording = Recording(lib.program("sort", "static", ["180000"]), "big").ready()
        self.assertGreater(os.path.getsize(recording.path), 20e6)
        self.assertEqual(recording.perf.errors, [])
        self.assertEqual(recording.perf.odd, [])
        self.calls(recording)
        self.raw(recording)
        self.assertEqual(lib.identity_errors(recording.report), [])

    def test_sum_of_calls_and_returns(self):
        self.each(self.raw)

    def raw(self, recording):
        perf, decode = recording.perf, recording.report["decode"]
        self.assertEqual(decode["calls"], sum(perf.calls.values()), "decode.calls against perf's")
        self.assertEqual(decode["returns"], perf.returns, "decode.returns against perf's")
        self.assertEqual(decode["errors"], 0)
        self.assertEqual(decode["overflows"], 0)
        self.assertEqual(decode["lost_ns"], 0)


class OwnCounters(EveryProgram):
    def test_entries(self):
        self.each(self.entries)

    def entries(self, recording):
        seen = collections.Counter()
        for function in recording.report["functions"]:
            if os.path.basename(function["module"]) in (
                recording.program.file, "libtiny_plugin.so", "libother_plugin.so"
            ):
                seen[bare(function["name"])] += function["calls"]
        names = {name: name for name in recording.truth.calls}
        known = collections.Counter({name: seen[name] for name in names})
        wrong = counts_diff("entries", names, known, collections.Counter(recording.truth.calls),
                            "the program")
        self.assertTrue(names, "the program counted nothing")
        self.none(recording, wrong)

    def test_cold_parts_are_no_functions(self):
        self.each(self.cold)

    def cold(self, recording):
        cold = [f["name"] for f in recording.report["functions"]
                if f["name"].endswith(".cold") and f["calls"]]
        self.assertEqual(cold, [])


def below(frames, roots):
    """The frames from the outermost one of `roots` on."""
    for i, frame in enumerate(frames):
        if frame in roots:
            return frames[i:]
    return frames


class Markers(EveryProgram):
    """The paths of the programs' marker(): these and no others, as often as the program said."""

    def test_paths(self):
        self.each(self.paths)

    def paths(self, recording):
        truth = recording.truth
        if not truth.paths:
            return
        roots = {path.partition(";")[0] for path in truth.paths}
        seen = collections.Counter()
        for frames, count in lib.report_folded(recording.path, "--weight", "calls"):
            if frames[-1] == "marker":
                seen[";".join(bare(frame) for frame in below(frames[1:], roots))] += count
        self.none(recording, counts_diff("paths", {}, seen, collections.Counter(truth.paths),
                                         "the program"))

    def test_no_stack_is_given_up(self):
        self.each(self.given_up)

    def given_up(self, recording):
        stats = lib.run([lib.PTFLAME, "report", "-i", recording.path, "--stats"]).stderr
        fired = {name: int(n) for n, name in re.findall(r"^ +(\d+)  (\w+) ", stats, re.MULTILINE)}
        self.assertEqual([line for line in stats.splitlines() if re.match(r"\w+: ", line)], [])
        self.assertGreater(fired["tail_jump"], 0)
        self.assertEqual((fired["unmatched_return"], fired["gap_closed"]), (0, 0))

    def test_in_pieces(self):
        """Cut into short segments, with both clocks: the same, and as many entries as ever."""
        for program in PROGRAMS:
            for clock in ("insn", "real") if program.variant == "static" else ("insn",):
                with self.subTest(program=program.file, clock=clock):
                    recording = Recording.in_pieces(program, clock).ready()
                    self.paths(recording)
                    OwnCounters.entries(self, recording)
                    self.assertEqual(lib.identity_errors(recording.report), [])


class Segments(EveryProgram):
    def test_same_tree(self):
        for program in PROGRAMS:
            if program.steady and program.name != "deep":
                with self.subTest(program=program.file):
                    self.same(program)

    def same(self, program):
        whole, cut = Recording.of(program).ready(), Recording.in_pieces(program, "insn").ready()
        trees = [lib.run([lib.PTFLAME, "report", "-i", path, "--weight", "calls", "-j", jobs]).stdout
                 for path in (whole.path, cut.path) for jobs in ("1", "2")]
        self.assertGreater(cut.report["decode"]["psbs"], whole.report["decode"]["psbs"] + 10)
        for tree in trees[1:]:
            self.assertEqual(trees[0], tree)


class Stacks(EveryProgram):
    def test_callers(self):
        self.each(self.callers)

    def callers(self, recording):
        above = ABOVE.get(recording.program.name)
        if above is None:
            return
        rootless = ROOTLESS.get(recording.program.name, ())
        wrong, seen = collections.Counter(), set()
        stacks = lib.report_folded(recording.path, "--weight", "calls")
        for frames, count in stacks:
            names = [bare(frame) for frame in frames[1:]]
            for i, name in enumerate(names):
                if name not in above:
                    continue
                seen.add(name)
                caller = names[i - 1] if i else "(nothing)"
                if above[name] is not ALL and caller not in above[name]:
                    wrong[f"  {name} under {caller}"] += count
                if name not in rootless and "main" not in names[:i]:
                    wrong[f"  {name} without main: {';'.join(frames)[:200]}"] += count
        lines = [f"{line}: {count} calls" for line, count in wrong.most_common()]
        self.none(recording, lines)
        self.assertEqual(seen, set(above))

    def test_calls_of_paths(self):
        self.each(self.paths)

    def paths(self, recording):
        """Folded stacks by calls hold every entry once."""
        if recording.program.name == "deep":
            return  # 10,000 lines of up to 10,000 frames
        ours = collections.Counter()
        for frames, count in lib.report_folded(recording.path, "--weight", "calls"):
            ours[frames[-1]] += count
        theirs = collections.Counter()
        for function in recording.report["functions"]:
            theirs[function["name"].replace(";", ":")] += function["calls"]
        wrong = counts_diff("calls by path", {}, ours, +theirs, "the functions")
        self.none(recording, wrong)

    def test_longjmp_ends_ten_frames(self):
        for variant in ("static", "dynamic"):
            for program in PROGRAMS:
                if program.name == "longjumps" and program.variant == variant:
                    stacks = lib.report_folded(Recording.of(program).ready().path,
                                               "--weight", "calls")
                    self.assertEqual(max(frames.count("descend") for frames, _ in stacks), 10)

    def test_deep(self):
        path = os.path.join(Recording.directory, "deep.data")
        lib.record(path, lib.program("deep", "static", ["300"]).command)
        stacks = [(frames, n) for frames, n in lib.report_folded(path, "--weight", "calls")
                  if frames[-1] == "dive"]
        self.assertEqual(sorted(frames.count("dive") for frames, _ in stacks),
                         list(range(1, 301)))
        self.assertEqual({n for _, n in stacks}, {3})

    def test_very_deep(self):
        """100,000 frames, of which each returns; folded they would be 50 GB."""
        path = os.path.join(Recording.directory, "very-deep.data")
        lib.record(path, lib.program("deep", "static", ["100000"]).command)
        report = lib.report_json(path)
        dive = next(f for f in report["functions"] if f["name"] == "dive")
        self.assertEqual((dive["calls"], dive["partial_calls"], dive["timed_calls"]),
                         (300000, 0, 300000))
        # The outermost call of three takes a third of them all, the innermost a few instructions.
        self.assertAlmostEqual(3 * dive["max_ns"] / dive["total_ns"], 1, 3)
        self.assertLess(dive["min_ns"], 20)


class Accounting(EveryProgram):
    def test_sums(self):
        self.each(self.sums)

    def sums(self, recording):
        wrong = lib.identity_errors(recording.report)
        self.none(recording, wrong)
        self.assertGreater(sum(t["wall_ns"] for t in recording.report["threads"]), 0)

    def test_window_is_simulated(self):
        self.each(self.window)

    def window(self, recording):
        window = recording.report["window"]
        self.assertIs(window["simulated"], True)
        self.assertIs(window["switches"], False)

    def test_threads(self):
        self.each(self.threads)

    def threads(self, recording):
        program, truth = recording.program, recording.truth
        threads = recording.report["threads"]
        self.assertEqual(len(threads), truth.threads, f"threads of {program}")
        self.assertEqual(len({t["tid"] for t in threads}), len(threads), "tids are unique")
        self.assertEqual(len({t["pid"] for t in threads}), program.processes, "processes")
        names = collections.Counter(t["comm"] for t in threads)
        expected = collections.Counter(truth.names)
        expected[program.comm] += truth.threads - sum(truth.names.values())
        self.assertEqual(names, expected, f"thread names of {program}")

    def test_all_instructions_belong_to_functions(self):
        self.each(self.instructions)

    def instructions(self, recording):
        report = recording.report
        self.assertEqual(sum(f["instructions"] for f in report["functions"]),
                         report["decode"]["instructions"])


class Jit(unittest.TestCase):
    """Code that no file holds: what cannot be decoded shows as lost time, not as wrong calls."""

    def test_jit(self):
        for variant in [_variant] if _variant else ["static", "dynamic"]:
            with self.subTest(variant=variant):
                program = lib.program("jit", variant)
                recording = Recording(program).ready()
                truth, report = recording.truth, recording.report
                self.assertEqual(lib.identity_errors(report), [])
                calls = collections.Counter()
                for function in report["functions"]:
                    calls[function["name"]] += function["calls"]
                for name, count in truth.calls.items():
                    self.assertLessEqual(calls[name], count, name)
                self.assertGreater(calls["before_jit"], 0)
                if any(calls[name] != count for name, count in truth.calls.items()):
                    decode = report["decode"]
                    self.assertGreater(decode["errors"] + decode["lost_bytes"], 0,
                                       "calls are missing and nothing says so")


if __name__ == "__main__":
    lib.main()
