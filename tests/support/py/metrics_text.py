# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader of Prometheus' text format that is stricter than promtool, which accepts much that breaks dashboards.

It refuses series that come twice, families that are torn apart, ids as labels, and histograms whose buckets fall, have no
end or do not add up.
"""

import math
import re
from collections import defaultdict

_SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def read(text):
    """{(name, ((label, value), ...)): number} of all samples, once the text has been found faultless."""
    assert text.endswith("\n") and "\r" not in text
    samples, types, family = {}, {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in types, f"the family {family} is torn apart, or there twice"
            assert len(line.split(" ")) > 4, f"{family} says nothing of itself"
            types[family] = None
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and types[family] is None, f"the type of {name} stands elsewhere"
            types[family] = kind
        else:
            name, labels, number = _parse(line)
            assert family and types[family] and name in {family + end for end in _SUFFIXES[types[family]]}, \
                f"{name} stands in the family {family}"
            assert (name, labels) not in samples, f"{line} comes twice"
            samples[name, labels] = number
    for family, kind in types.items():
        if kind == "histogram":
            _check_histogram(family, samples)
        elif kind == "counter":
            assert family.endswith("_total")
            assert all(number >= 0 for (name, _), number in samples.items() if name == family)
    return samples


def _parse(line):
    found = _SAMPLE.fullmatch(line)
    assert found, f"no sample: {line}"
    name, inner, number = found.groups()
    labels, at = [], 0
    while inner and at < len(inner):
        label = _LABEL.match(inner, at)
        assert label, f"a label in {line}"
        labels.append((label[1], label[2]))
        at = label.end()
    assert len({label for label, _ in labels}) == len(labels), f"a label comes twice: {line}"
    assert not any(_UUID.search(value) for _, value in labels), f"an id makes series without end: {line}"
    assert not math.isnan(float(number)), line
    return name, tuple(labels), float(number)


def _check_histogram(family, samples):
    buckets = defaultdict(list)
    for (name, labels), number in samples.items():
        if name == family + "_bucket":
            assert labels[-1][0] == "le", labels
            buckets[labels[:-1]].append((float(labels[-1][1]), number))
    for end in ("_sum", "_count"):
        series = {labels for name, labels in samples if name == family + end}
        assert buckets and set(buckets) == series, f"{family}{end} has other series than its buckets"
    for labels, found in buckets.items():
        bounds, counts = zip(*found)
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, (family, labels, bounds)
        assert list(counts) == sorted(counts), (family, labels, counts)
        assert counts[-1] == samples[family + "_count", labels], (family, labels)
        assert samples[family + "_sum", labels] >= 0, (family, labels)


def value(samples, name, **labels):
    """The sample with these labels and no others."""
    return samples[name, next(found for sample, found in samples
                              if sample == name and dict(found) == {k: str(v) for k, v in labels.items()})]


def total(samples, name, **labels):
    """The sum of all samples that have these labels."""
    return sum(number for (sample, found), number in samples.items()
               if sample == name and labels.items() <= dict(found).items())


def names(samples):
    return {name for name, _ in samples}
