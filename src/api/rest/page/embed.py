#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the files of the status page as one table of C: embed.py OUTPUT FILE..."""

import sys
from pathlib import Path

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8"}


def row(file):
    path = "/" if file.name == "index.html" else f"/{file.name}"
    data = file.read_bytes()
    lines = [data[i:i + 24] for i in range(0, len(data), 24)]
    octets = "\n".join("\t\t" + "".join(f"{octet}, " for octet in line) for line in lines)
    return (f'\t{{ "{path}", "{TYPES[file.suffix]}", {len(data)},\n\t  (const unsigned char[]){{\n{octets}\n\t  }} }},\n')


output, *files = map(Path, sys.argv[1:])
output.write_text('#include "api/rest/status_page.h"\n\nconst struct page_file page_files[] = {\n'
                  + "".join(map(row, files)) + "\t{ 0 },\n};\n", encoding="utf-8")
