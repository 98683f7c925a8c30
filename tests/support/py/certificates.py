# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates as servers have them, in order or not, made by openssl.

An `Authority` signs certificates for 127.0.0.1. `FAULTS` are the four ways in which a certificate
is refused, each with the words that an error must have.
"""

import subprocess
from datetime import UTC, datetime, timedelta

_CONFIG = """\
[ca]
default_ca = here
[here]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = policy
x509_extensions = extensions
unique_subject = no
[policy]
commonName = supplied
[extensions]
subjectAltName = {names}
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_HOUR = timedelta(hours=1)

FAULTS = {
    "authority": ("signed by an authority that is not trusted here",),
    "name": ("for another name than 127.0.0.1",),
    "expired": ("its certificate has expired", "renew it"),
    "future": ("its certificate is not valid yet", "clock", "timedatectl set-ntp true"),
}


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """`file` is its own certificate."""

    def __init__(self, folder):
        folder.mkdir()
        self._folder = folder
        self.file, self._key = folder / "ca-cert.pem", folder / "ca-key.pem"
        (folder / "index.txt").touch()
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=authority",
                 "-keyout", self._key, "-out", self.file)

    def sign(self, name, names="IP:127.0.0.1", begins=-_HOUR, ends=48 * _HOUR):
        """Files of a certificate and of its key, valid from and to these times from now."""
        config, request = self._folder / f"{name}.cnf", self._folder / f"{name}.csr"
        cert, key = self._folder / f"{name}-cert.pem", self._folder / f"{name}-key.pem"
        now = datetime.now(UTC)
        config.write_text(_CONFIG.format(folder=self._folder, names=names))
        _openssl("req", "-new", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-cert", self.file,
                 "-keyfile", self._key, "-out", cert,
                 "-startdate", f"{now + begins:%Y%m%d%H%M%SZ}", "-enddate", f"{now + ends:%Y%m%d%H%M%SZ}")
        return cert, key

    def sign_with(self, fault, name="server"):
        """Like sign(), with one of FAULTS if it is not None; the authority fits all of them but one."""
        if fault == "authority":
            return Authority(self._folder / "stranger").sign(name)
        return self.sign(name, **{None: {}, "name": {"names": "DNS:cloud.example.org"},
                                  "expired": {"begins": -2 * _HOUR, "ends": -_HOUR},
                                  "future": {"begins": _HOUR}}[fault])


def joined(cert, key, file):
    """Certificate and key in one file."""
    file.write_bytes(cert.read_bytes() + key.read_bytes())
    return file
