#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Copies the disk of an attached volume to standard output. The command behind -- has the disk open
# as file 3; volume-daemon has proven it, so it cannot be another disk, whatever its name is by now.
#
#     ./open_device.sh VOLUME > image

[ $# -eq 1 ] || { echo "Usage: open_device.sh VOLUME" >&2; exit 2; }

exec volumectl open "$1" --read-only -- sh -c 'exec dd bs=1M status=none <&3'
