#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes seeds for fuzz_reply: each answer in the recordings of a real CloudStack, as each kind of question reads it.

Use: seeds.py FOLDER.
"""

import json
import re
import sys
from pathlib import Path

RECORDINGS = Path(__file__).resolve().parents[1] / "cloudsim/observed"
# As in fuzz_reply.c: the kinds of questions with the bits that matter to them, above the character '0'.
ANY, JOB_ID, CREATES, VOLUMES, PAGE, NAMED, JOB, JOBS, VMS, ZONE = 0, 1, 1 + 8, 2, 2 + 16, 2 + 32, 3, 4, 5, 6
VM_PAGE, ZONES, OFFERINGS, SNAPSHOTS = 5 + 16, 7 + 16, 64 + 16, 64 + 1
STATUSES = (200, 401, 429, 430, 431, 432, 503, 530, 531, 535, 302)


def body_of(row):
    """The recordings hold names in the place of ids; fuzz_reply.c knows the first three."""
    text = json.dumps({row["envelope"]: row["answer"]})
    return re.sub(r"<id(\d+)>", lambda found: f"0195a1f0-7c3e-7b11-8f00-{int(found[1]):012}", text)


def kinds_of(answer):
    if "volume" in answer or answer == {}:
        return VOLUMES, PAGE, NAMED
    if "virtualmachine" in answer:
        return VMS, VM_PAGE
    if "zone" in answer:
        return ZONE, ZONES
    if "diskoffering" in answer:
        return (OFFERINGS,)
    if "snapshot" in answer:
        return (SNAPSHOTS,)
    if "asyncjobs" in answer:
        return (JOBS,)
    if "jobstatus" in answer:
        return (JOB,)
    if "errorcode" in answer:
        return JOB_ID, CREATES, VOLUMES, JOB, VMS
    return ANY, JOB_ID


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    seeds = set()
    for recording in sorted(RECORDINGS.glob("*.jsonl")):
        for row in map(json.loads, recording.read_text().splitlines()):
            if not isinstance(row.get("answer"), dict) or row["status"] not in STATUSES:
                continue
            status = chr(STATUSES.index(row["status"]) + 12 * 4)    # printable: the index is taken modulo 12
            seeds |= {chr(ord("0") + kind) + status + body_of(row) for kind in kinds_of(row["answer"])}
    for number, seed in enumerate(sorted(seeds)):
        (folder / f"recorded-{number}").write_text(seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
