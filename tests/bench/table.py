# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table that the bench prints, in Markdown: our figure, the reference that was measured beside it
on the same machine, their ratio, the aim, and whether it is met.
"""

import itertools
import platform
import os
import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Aim:
    """A limit of the ratio to the reference, of our own figure, or of what it is more than the reference."""

    of: str
    is_least: bool
    limit: float

    def is_met(self, figure):
        value = getattr(figure, self.of)
        return value >= self.limit if self.is_least else value <= self.limit

    def text(self, unit):
        sign = "≥" if self.is_least else "≤"
        if self.of == "ratio":
            return f"{sign} {self.limit:.3g}×"
        return f"{sign} {self.limit:g} {unit}{' over it' if self.of == 'difference' else ''}"


def ratio_at_least(limit):
    return Aim("ratio", True, limit)


def ratio_at_most(limit):
    return Aim("ratio", False, limit)


def at_most(limit):
    return Aim("ours", False, limit)


def at_most_over(limit):
    """Over the reference, in its unit."""
    return Aim("difference", False, limit)


@dataclass(frozen=True)
class Figure:
    """A line of the table. Of a row that is measured in pairs the ratio is the median of the pairs' ratios, which is
    not quite that of the medians."""

    what: str
    ours: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
    aim: Aim | None = None
    how: str = ""
    beside: str = ""    # what went on beside it, and is not in the figure

    @property
    def difference(self):
        return self.ours - self.reference

    def line(self):
        cells = [self.what, number(self.ours, self.unit), number(self.reference, self.unit),
                 "" if self.ratio is None else f"{self.ratio:.2f}",
                 self.aim.text(self.unit) if self.aim else "",
                 ("yes" if self.aim.is_met(self) else "**no**") if self.aim else "", self.beside, self.how]
        return f"| {' | '.join(cells)} |"


HEAD = ("| row | ours | reference | ratio | aim | met | not counted | measured |\n"
        "|---|---|---|---|---|---|---|---|")


def number(value, unit):
    """Three digits or all of its whole part."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def single(what, ours, unit, reference=None, **rest):
    """Of two figures that are compared as they are."""
    return Figure(what, ours, unit, reference, ours / reference if reference else None, **rest)


def paired(what, pairs, unit, **rest):
    """Of pairs (ours, reference) that were measured in turns: medians, and the median of their ratios."""
    ours, reference = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return Figure(what, ours, unit, reference, statistics.median(a / b for a, b in pairs), **rest)


def growth(what, by_size, aim=10):
    """How many times more the figure is at a size ten times larger: the worst of the steps. `aim` is 10 of what
    returns or holds that much more, and near 1 of what does not depend on the size."""
    sizes = sorted(by_size)
    steps = [by_size[b] / by_size[a] for a, b in itertools.pairwise(sizes)]
    how = ", ".join(f"{a:,} to {b:,}: {step:.2f}" for (a, b), step in zip(itertools.pairwise(sizes), steps))
    return Figure(f"{what}: growth by tenfold size", max(steps), "×", aim=at_most(aim), how=how)


def machine():
    """The machine, in a line."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{len(os.sched_getaffinity(0))} cores of {model}, {gib:.0f} GiB, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f}")
