#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Reads what write_outputs wrote with other people's parsers: check_outputs.py WRITE_OUTPUTS."""
import json
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

WRITER = sys.argv.pop(1)
SVG = "{http://www.w3.org/2000/svg}"
# Latencies, whole and by part; null when no call was timed.
LATENCY = dict.fromkeys(
    ["min_ns", "avg_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"] +
    [f"{what}_{part}_ns" for part in ("on", "kernel", "off")
     for what in ("avg", "p50", "p90", "p99", "p999")], (int, None))
# Objects of the JSON and the types of their members; None: may be null.
SHAPE = {
    "window": {"start_ns": int, "end_ns": int, "simulated": bool, "dilation": (float, None),
               "switches": bool, "resolution_ns": int},
    "decode": {"engine": str, "aux_bytes": int, "instructions": int, "calls": int, "returns": int,
               "psbs": int, "overflows": int, "errors": int, "lost_ns": int, "lost_bytes": int,
               "seconds": float},
    "threads": {"pid": int, "tid": int, "comm": str, "start_ns": int, "end_ns": int,
                "wall_ns": int, "on_ns": int, "kernel_ns": int, "off_ns": int, "lost_ns": int},
    "functions": {"name": str, "module": str, "address": str, "calls": int, "jump_calls": int,
                  "partial_calls": int, "timed_calls": int, "instructions": int, "self_ns": int,
                  "total_ns": int, "on_self_ns": int, "kernel_self_ns": int, "off_self_ns": int,
                  "lost_self_ns": int, "on_total_ns": int, "kernel_total_ns": int,
                  "off_total_ns": int, "lost_total_ns": int, **LATENCY},
}
PATH = {"stack": list, "depth": int,
        **{key: kind for key, kind in SHAPE["functions"].items()
           if key not in ("name", "module", "address")}}
STATES = ["on", "kernel", "off", "lost"]


def write(*arguments):
    return subprocess.run([WRITER, *arguments], check=True, stdout=subprocess.PIPE).stdout


class Folded(unittest.TestCase):
    def test_grammar_and_sum(self):
        """flamegraph.pl takes a line apart at its last blank, the stack at ';'."""
        text = write("folded").decode()
        total = 0
        for line in text.splitlines():
            match = re.fullmatch(r"([^;]+(?:;[^;]+)+) (\d+)", line)
            self.assertTrue(match, line)
            self.assertGreater(int(match[2]), 0)
            total += int(match[2])
        stacks = [line.rsplit(" ", 1)[0] for line in text.splitlines()]
        self.assertEqual(len(stacks), len(set(stacks)))
        threads = json.loads(write("json"))["threads"]
        self.assertEqual(total, sum(t["wall_ns"] for t in threads))


class Json(unittest.TestCase):
    def check_object(self, value, shape):
        self.assertEqual(list(value), list(shape))
        for key, kind in shape.items():
            kinds = kind if isinstance(kind, tuple) else (kind,)
            kinds = tuple(type(None) if k is None else k for k in kinds)
            self.assertIn(type(value[key]), kinds, key)

    def test_paths(self):
        """A path is a function below its callers; all paths of a function are the function."""
        plain, report = json.loads(write("json")), json.loads(write("json", "paths"))
        paths = report.pop("paths")
        self.assertEqual(report, plain)
        for path in paths:
            self.check_object(path, PATH)
            self.assertEqual(path["depth"], len(path["stack"]))
            self.assertEqual(path["total_ns"], path["self_ns"] + sum(
                p["total_ns"] for p in paths if p["stack"][:-1] == path["stack"]))
        for function in report["functions"]:
            mine = [p for p in paths if p["stack"][-1] == function["name"]]
            for key in ("calls", "timed_calls", "instructions", "self_ns", "off_self_ns"):
                self.assertEqual(function[key], sum(p[key] for p in mine), (function, key))
        stacks = [tuple(p["stack"]) for p in paths]
        self.assertEqual(len(stacks), len(set(stacks)))
        serve, = (p for p in paths if p["stack"] == ["main", "serve"])
        self.assertEqual([serve[k + "_ns"] for k in ("min", "avg", "p50", "max", "p99_off")],
                         [300, 400, 400, 500, 50])

    def test_shape(self):
        report = json.loads(write("json"))
        self.assertEqual(list(report), ["version"] + list(SHAPE))
        self.assertEqual(report["version"], 1)
        self.check_object(report["window"], SHAPE["window"])
        self.check_object(report["decode"], SHAPE["decode"])
        for key in "threads", "functions":
            self.assertGreater(len(report[key]), 2)
            for item in report[key]:
                self.check_object(item, SHAPE[key])

    def test_sums(self):
        report = json.loads(write("json"))
        for thread in report["threads"]:
            self.assertEqual(thread["wall_ns"], sum(thread[s + "_ns"] for s in STATES))
            self.assertEqual(thread["wall_ns"], thread["end_ns"] - thread["start_ns"])
        for function in report["functions"]:
            self.assertEqual(function["self_ns"], sum(function[s + "_self_ns"] for s in STATES))
            self.assertEqual(function["total_ns"], sum(function[s + "_total_ns"] for s in STATES))
            self.assertEqual(function["min_ns"] is None, function["timed_calls"] == 0)
            self.assertRegex(function["address"], r"^0x[0-9a-f]+$")
        self.assertEqual(sum(f["self_ns"] for f in report["functions"]),
                         sum(t["wall_ns"] for t in report["threads"]))


class Svg(unittest.TestCase):
    def setUp(self):
        self.root = ElementTree.fromstring(write("svg"))
        self.frames = []
        for g in self.root.iter(SVG + "g"):
            if g.get("class") == "frame":
                rect = g.find(SVG + "rect")
                self.frames.append({
                    "name": g.find(SVG + "title").text.split("\n")[0],
                    "x": int(g.get("data-x")), "w": int(g.get("data-w")),
                    "left": float(rect.get("x")), "width": float(rect.get("width")),
                    "y": int(rect.get("y")), "fill": rect.get("fill")})

    def test_frames_stand_on_their_parents(self):
        height = max(f["y"] for f in self.frames)
        self.assertEqual([f["name"] for f in self.frames if f["y"] == height], ["all"])
        for frame in self.frames:
            below = [f for f in self.frames if f["y"] == frame["y"] + 16 and f["x"] <= frame["x"]
                     and frame["x"] + frame["w"] <= f["x"] + f["w"]]
            self.assertEqual(len(below), 0 if frame["name"] == "all" else 1, frame)

    def test_frames_do_not_overlap(self):
        rows = {}
        for frame in self.frames:
            rows.setdefault(frame["y"], []).append((frame["x"], frame["x"] + frame["w"]))
        for row in rows.values():
            row.sort()
            for (_, end), (start, _) in zip(row, row[1:]):
                self.assertLessEqual(end, start)

    def test_pixels_are_shares_of_the_total(self):
        total = int(self.root.get("data-total"))
        self.assertEqual(total, sum(t["wall_ns"] for t in json.loads(write("json"))["threads"]))
        for frame in self.frames:
            self.assertAlmostEqual(frame["width"], 1180 * frame["w"] / total, delta=0.006)
            self.assertAlmostEqual(frame["left"], 10 + 1180 * frame["x"] / total, delta=0.006)
            self.assertGreaterEqual(frame["width"], 0.1)
            self.assertLessEqual(frame["left"] + frame["width"], 1190.02)

    def test_kinds_have_different_colours(self):
        """Kernel red, off-CPU blue, lost grey, user code warm and lighter than the kernel."""
        for frame in self.frames:
            red, green, blue = map(int, re.findall(r"\d+", frame["fill"]))
            if frame["name"].endswith("_[k]"):
                self.assertTrue(red > 200 and green < 130 and blue < 80, frame)
            elif frame["name"] in ("[blocked]", "[preempted]", "[yielded]", "[runqueue]", "[off]"):
                self.assertTrue(blue > red and blue > green, frame)
            elif frame["name"] == "[lost]":
                self.assertTrue(red == green == blue, frame)
            elif frame["name"] in ("main", "serve", "__libc_read"):
                self.assertTrue(red > green > blue and green >= 160, frame)

    def test_script_and_style_are_there(self):
        for tag in "script", "style":
            self.assertGreater(len(self.root.find(SVG + tag).text), 200)
        ids = {e.get("id") for e in self.root.iter() if e.get("id")}
        used = set(re.findall(r'element\("(\w+)"\)', self.root.find(SVG + "script").text))
        self.assertTrue(used)
        self.assertLessEqual(used, ids)


if __name__ == "__main__":
    unittest.main()
