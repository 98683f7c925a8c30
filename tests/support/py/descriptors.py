# SPDX-License-Identifier: LGPL-2.1-or-later
"""A D-Bus call that hands over an open file, which busctl cannot do: by libsystemd itself."""

import ctypes

from .harness import MANAGER, NAME, ROOT, BusError

CALL_DEADLINE_US = 60_000_000


class _Error(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("need_free", ctypes.c_int)]


def call_with_file(bus, member, fd):
    """Call a method of the Manager that takes an open file and options; a BusError if it refuses."""
    library = ctypes.CDLL("libsystemd.so.0")
    connection, message, error = ctypes.c_void_p(), ctypes.c_void_p(), _Error()

    def must(result):
        assert result >= 0, f"libsystemd: {result}"

    must(library.sd_bus_new(ctypes.byref(connection)))
    try:
        must(library.sd_bus_set_address(connection, bus.address.encode()))
        must(library.sd_bus_set_bus_client(connection, 1))
        must(library.sd_bus_start(connection))
        must(library.sd_bus_message_new_method_call(connection, ctypes.byref(message), NAME.encode(), ROOT.encode(),
                                                    MANAGER.encode(), member.encode()))
        must(library.sd_bus_message_append(message, b"ha{sv}", ctypes.c_int(fd), ctypes.c_int(0)))
        result = library.sd_bus_call(connection, message, ctypes.c_uint64(CALL_DEADLINE_US), ctypes.byref(error),
                                     None)
        if error.name:
            raise BusError(error.name.decode(), error.message.decode())
        must(result)
    finally:
        library.sd_bus_error_free(ctypes.byref(error))
        library.sd_bus_message_unref(message)
        library.sd_bus_flush_close_unref(connection)
