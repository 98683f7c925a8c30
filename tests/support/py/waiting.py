# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for other programs: for their output, or until a probe succeeds. No test sleeps for a
guessed time.
"""

import threading
import time

# How long anything may take before it counts as not happening at all. Sanitizers are slow, and so
# are busy machines; a wait in vain is a failure anyway, and may be late.
DEADLINE = 180.0


def eventually(probe, what, deadline=DEADLINE):
    """Call `probe` until it returns something true, and return that."""
    until = time.monotonic() + deadline
    while not (found := probe()):
        assert time.monotonic() < until, f"{what}: not within {deadline} s"
        time.sleep(0.01)
    return found


class Lines:
    """The lines of a stream: a thread reads and keeps them, and a test can wait for one. A last line
    without its end is dropped: a program that is killed in the middle leaves such a line."""

    def __init__(self, stream, parse=lambda line: line):
        self._items = []
        self._ended = False
        self._changed = threading.Condition()
        self._reads = threading.Event()
        self._reads.set()
        self._thread = threading.Thread(target=self._read, args=(stream, parse), daemon=True)
        self._thread.start()

    def _read(self, stream, parse):
        with stream:
            for line in stream:
                self._reads.wait()
                if not line.endswith("\n"):
                    break
                item = parse(line[:-1])
                with self._changed:
                    self._items.append(item)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __len__(self):
        with self._changed:
            return len(self._items)

    def all(self, since=0):
        with self._changed:
            return self._items[since:]

    def wait(self, fits, since=0, deadline=DEADLINE):
        """The first item from number `since` on that fits."""
        found, seen = [], since

        def look():
            # Each item once: a line that comes is no reason to look at all the others again.
            nonlocal seen
            while not found and seen < len(self._items):
                found.extend(item for item in [self._items[seen]] if fits(item))
                seen += 1
            return found or self._ended

        with self._changed:
            self._changed.wait_for(look, deadline)
            assert found, ("it did not come before the " + ("end" if self._ended else "deadline")
                           + f"; there came {self._items[since:]}")
        return found[0]

    def pause(self):
        """Read no more, so that the other end's pipe fills, until go_on()."""
        self._reads.clear()

    def go_on(self):
        self._reads.set()

    def join(self):
        """Wait for the stream's end."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the stream does not end"
