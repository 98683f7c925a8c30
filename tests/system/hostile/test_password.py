# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another program in the place of the database server: it does not get the password."""

import os
import subprocess
import tempfile

import pytest
from support.py.mariadb.impostor import Impostor
from support.py.mariadb.server import PASSWORD
from support.py.strangers import UID, Stranger

# In clear, to a key of the server's own, and in a form that is soon broken.
GIVING_AWAY = ["mysql_clear_password", "dialog", "sha256_password", "caching_sha2_password",
               "mysql_old_password"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem"], check=True, capture_output=True)
    return folder


@pytest.fixture
def log_of(make_world, tmp_path):
    """The log of a daemon that does not start with this database server."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)

    def start(server, options):
        # A user's name that is also the begin of a plugin's.
        world = make_world(start=False, store={"url": f"mariadb://mysql@{server}/volumes?{options}",
                                               "password_file": password})
        world.bus.start()
        return world.daemon.fails_to_start()

    return start


def options_of(tls, certificates):
    return f"tls={tls}" + (f"&ca={certificates / 'cert.pem'}" if tls == "verify" else "")


@pytest.mark.parametrize("tls", ["off", "on", "verify"])
def test_the_password_is_not_given_away(log_of, certificates, tls, figure):
    logins = answers = 0
    for plugin in GIVING_AWAY:
        with Impostor(plugin, certificates if tls != "off" else None) as impostor:
            text = log_of(f"127.0.0.1:{impostor.port}", options_of(tls, certificates))
        assert "asks for the password in a form that gives the password away" in text, plugin
        assert impostor.logins and not any(PASSWORD.encode() in login for login in impostor.logins)
        logins += len(impostor.logins)
        answers += sum(map(len, impostor.answers))
    figure(f"a program in the place of the database asks for its password in {len(GIVING_AWAY)} ways, tls={tls}",
           "no byte is answered", f"{answers} bytes after {logins} logins")
    assert answers == 0


@pytest.mark.parametrize("tls", ["on", "verify"])
def test_without_tls_the_server_learns_nothing(log_of, certificates, tls, figure):
    with Impostor("mysql_native_password") as impostor:
        text = log_of(f"127.0.0.1:{impostor.port}", options_of(tls, certificates))
    figure(f"a program in the place of the database offers no TLS, tls={tls}", "no login", f"{len(impostor.logins)} logins")
    assert "does not offer TLS" in text and impostor.logins == []


SOCKET_OF_ITS_OWN = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(argv[0])
listener.listen()
"""


def test_a_socket_of_another_user(log_of):
    with tempfile.TemporaryDirectory(prefix="vold-") as folder:
        os.chmod(folder, 0o777)
        path = f"{folder}/mysqld.sock"
        with Stranger(SOCKET_OF_ITS_OWN, path):
            text = log_of("localhost", f"socket={path}")
    assert f"{path} belongs to user {UID}" in text and "end the program" in text
