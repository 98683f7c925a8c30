# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of several suites share."""
