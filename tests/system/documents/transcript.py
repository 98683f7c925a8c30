# SPDX-License-Identifier: LGPL-2.1-or-later
"""Output as a document shows it, compared with output as it came.

Ids, times, ports, devices and measured figures differ from run to run. The first time that a document shows an id, a
port or a device, it becomes the document's name of the one that came in this place; later it must be the same one, and
commands that name it get the one that came.
"""

import re

# What may differ: a name for the pattern, how the document has it, how it may come.
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SERIAL = "virtio-[0-9a-f]{20}"
_NAMED = rf"{_UUID}|{_SERIAL}|(?<!\w)/dev/(?!mapper|disk)\w+|(?<=:)\d{{5}}(?=/)|(?<=port )\s*\d{{5}}$"
_FREE = r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d+\.\d+"
_TOKEN = re.compile(f"(?P<named>{_NAMED})|(?P<free>{_FREE})")
# Steps of an operation: on a busy machine several come in one.
_STEP = re.compile(rf"\S+ op-{_UUID}: (pending|executing)\b")


def _pattern(token):
    if re.fullmatch(_UUID, token):
        return _UUID
    if re.fullmatch(_SERIAL, token):
        return _SERIAL
    if token.startswith("/dev/"):
        return r"\S*/dev/\w+"
    return r"\d+" if token.isdigit() else r"[\dTZ:.-]+"


class Transcript:
    def __init__(self):
        self._here = {}         # what the document calls so -> what it is here

    def here(self, command):
        """A command of the document with the names that things have here."""
        return re.sub(_NAMED, lambda found: self._here.get(found[0].strip(), found[0]), command)

    def _differs(self, shown, said):
        pattern, names, at = "", [], 0
        for token in _TOKEN.finditer(shown):
            pattern += self._fixed(shown[at:token.start()])
            name = token[0].strip()
            if token["named"] and name in self._here:
                pattern += r"\s*" + re.escape(self._here[name])
            else:
                pattern += rf"\s*({_pattern(name)})"
                names.append(name if token["named"] else None)
            at = token.end()
        found = re.fullmatch(pattern + self._fixed(shown[at:]), said.rstrip())
        if found:
            self._here |= {name: value for name, value in zip(names, found.groups(), strict=True) if name}
        return not found

    @staticmethod
    def _fixed(text):
        return r"\s+".join(map(re.escape, re.split(r"\s+", text)))

    def differences(self, shown, said):
        """What a reader sees otherwise, as texts. A line in parentheses is the document's own remark."""
        shown = [line for line in shown if line.strip() and not line.startswith("(") and not _STEP.match(line)]
        said = [line for line in said if line.strip() and not _STEP.match(line)]
        found = [f"shown: {line}\nsaid:  {other}" for line, other in zip(shown, said, strict=False)
                 if self._differs(line.rstrip(), other)]
        if len(shown) != len(said):
            found.append(f"{len(shown)} lines are shown, {len(said)} came:\n" + "\n".join(said))
        return found
