# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts that tests of several suites share."""
