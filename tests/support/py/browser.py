# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's Chromium, led by support/js/browser.mjs."""

import json
import os
import subprocess
from pathlib import Path

from .npm import npm_folder

_SCRIPT = Path(__file__).resolve().parents[1] / "js/browser.mjs"
PHONE = {"viewport": {"width": 390, "height": 844}, "deviceScaleFactor": 2, "isMobile": True, "hasTouch": True}


class Browser:
    """One browser with one page."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", _SCRIPT, npm_folder() / "node_modules"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "HOME": "/nonexistent"})

    def run(self, script, **values):
        """Run a piece of JavaScript; the values are constants in it."""
        constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
        self._process.stdin.write(json.dumps(constants + script) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{script}\n{answer['error']}"
        return answer["value"]

    def open(self, address, **options):
        self.run("await open(address, options)", address=address, options=options)

    def text(self, selector):
        return self.run("return await page.innerText(selector)", selector=selector)

    def wait(self, selector, text):
        """Wait until an element has this text in it."""
        self.run("await page.locator(selector).filter({hasText: text}).first().waitFor()", selector=selector, text=text)

    def take_complaints(self):
        """What the page has complained of: console, exceptions, requests that failed, its own policy."""
        return self.run("return complaints.splice(0)")

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
