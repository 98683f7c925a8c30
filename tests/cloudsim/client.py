# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain, correct client for the API: what tests use to ask the cloud directly."""

import json
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from .sign import format_expires, sign

# Whatever proxy the environment names, the cloud is on this machine.
_opener = build_opener(ProxyHandler({}))


class Refused(Exception):
    """The server said no. `status` is HTTP's, `error` the inside of the envelope."""

    def __init__(self, status, envelope, error):
        super().__init__(f"{status} {error.get('errortext')}")
        self.status, self.envelope, self.error = status, envelope, error
        self.text = error.get("errortext")


class JobFailed(Exception):
    """A job ended badly. `job` is the answer of queryAsyncJobResult."""

    def __init__(self, job):
        self.job = job
        self.result = job.get("jobresult")
        super().__init__(f"{job['jobresultcode']} {(self.result or {}).get('errortext')}")


class Client:
    def __init__(self, url, api_key, secret_key):
        self.url, self.api_key, self.secret_key = url, api_key, secret_key

    def signed(self, command, **params):
        """All parameters of a request, signature included."""
        params = {"command": command, "response": "json", "apikey": self.api_key,
                  "signatureversion": "3", "expires": format_expires(time.time() + 600),
                  **{name: str(value) for name, value in params.items()}}
        return params | {"signature": sign(params, self.secret_key)}

    def call(self, command, **params):
        """Call a command and return the inside of its answer. Raises Refused."""
        data = urlencode(self.signed(command, **params)).encode()
        try:
            with _opener.open(self.url, data, timeout=180) as response:
                status, body = response.status, response.read()
        except HTTPError as error:
            with error:
                status, body = error.code, error.read()
        (envelope, inner), = json.loads(body).items()
        if status != 200:
            raise Refused(status, envelope, inner)
        return inner

    def wait(self, job, timeout=180.0):
        """Poll a job to its end and return its `jobresult`. Raises JobFailed."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self.call("queryAsyncJobResult", jobid=job)
            if answer["jobstatus"] == 1:
                return answer["jobresult"]
            if answer["jobstatus"] != 0:
                raise JobFailed(answer)
            time.sleep(0.01)        # the API has no way to be told
        raise TimeoutError(f"job {job} is still pending")

    def run(self, command, **params):
        """Call an asynchronous command and wait for its job."""
        return self.wait(self.call(command, **params)["jobid"])
