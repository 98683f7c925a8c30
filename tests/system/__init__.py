# SPDX-License-Identifier: LGPL-2.1-or-later
"""The suites that run whole programs."""
