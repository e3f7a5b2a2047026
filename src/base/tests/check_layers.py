#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Checks that includes go one way between the layers of src/ and that file names are unique."""
import pathlib
import re
import sys

LAYERS = ["base", "perfdata", "symbol", "image", "pt", "sched", "stack", "profile", "output",
          "record", "cli"]
STRANGERS = {("symbol", "perfdata")}  # pairs that the order would allow
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
MESSAGE = re.compile(r"\b(v?printf|puts|perror|exit|abort)\s*\(|\bv?fprintf\s*\(\s*std(err|out)")


def check_file(root, path, errors):
    layer = path.relative_to(root / "src").parts[0]
    text = path.read_text()
    for bracket, name in INCLUDE.findall(text):
        first = name.split("/")[0]
        if bracket == '"' and first not in LAYERS:
            errors.append(f"{path}: \"{name}\" does not name its layer")
        elif bracket == '"' and LAYERS.index(first) > LAYERS.index(layer):
            errors.append(f"{path}: layer {layer} includes {name}, a layer above it")
        elif bracket == '"' and (layer, first) in STRANGERS:
            errors.append(f"{path}: {layer} and {first} do not know each other")
    if layer != "cli" and "tests" not in path.parts and MESSAGE.search(text):
        errors.append(f"{path}: only cli/ and tools/ print or exit")


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    errors, names = [], {}
    files = [p for p in sorted((root / "src").rglob("*.[ch]"))]
    for path in files:
        check_file(root, path, errors)
        if path.name in names:
            errors.append(f"{path}: another file has this name: {names[path.name]}")
        names[path.name] = path
    for path in sorted((root / "include").rglob("*.h")):
        for bracket, name in INCLUDE.findall(path.read_text()):
            if bracket == '"' or name.split("/")[0] in LAYERS:
                errors.append(f"{path}: include/ may include only itself and libc, not {name}")
    unknown = [d.name for d in (root / "src").iterdir() if d.is_dir() and d.name not in LAYERS]
    errors += [f"src/{name}: not a layer" for name in unknown]
    print("\n".join(errors) or f"{len(files)} files, includes go one way")
    return 1 if errors or not files else 0


if __name__ == "__main__":
    sys.exit(main())
