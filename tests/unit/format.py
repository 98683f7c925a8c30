#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layout of C files is that of .clang-format.

Each place that differs is printed, with the command that mends all.

Use: format.py CLANG_FORMAT SOURCE_ROOT.
"""

import pathlib
import subprocess
import sys

FOLDERS = ("src", "subprojects", "tests")


def main(clang_format, root):
    files = sorted(str(path.relative_to(root)) for folder in FOLDERS
                   for path in (root / folder).glob("**/*.[ch]"))
    assert len(files) > len(FOLDERS), f"hardly any C files below {root}"
    check = subprocess.run([clang_format, "--dry-run", "-Werror", *files], cwd=root, check=False)
    if check.returncode:
        print(f"mend it: (cd {root} && git ls-files '*.c' '*.h' | xargs {clang_format} -i)", file=sys.stderr)
    return check.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
