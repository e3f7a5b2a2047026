#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a C file of text files: embed.py OUT.c FILE...

FILE name.ext becomes `const char ptf_embed_name_ext[]`, terminated. The text goes into the CDATA
section of an SVG, so it must be UTF-8 without the end of one.
"""
import pathlib
import re
import sys


def c_string(text):
    lines = []
    for line in text.splitlines(keepends=True):
        # Octal escapes end after three digits: what follows cannot be taken for a part of one.
        body = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}"
                       for b in line.encode())
        lines.append(f'\t"{body}"')
    return "\n".join(lines) or '\t""'


def main():
    out = ["/* SPDX-License-Identifier: BSD-2-Clause */"]
    for path in map(pathlib.Path, sys.argv[2:]):
        text = path.read_text(encoding="utf-8")
        if "]]>" in text or "\0" in text:
            sys.exit(f"{path}: cannot be embedded: it has ]]> or a zero byte")
        name = "ptf_embed_" + re.sub(r"\W", "_", path.name)
        out += ["", f"extern const char {name}[];", f"const char {name}[] =", c_string(text) + ";"]
    pathlib.Path(sys.argv[1]).write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
