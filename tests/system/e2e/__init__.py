# SPDX-License-Identifier: LGPL-2.1-or-later
"""End-to-end tests: the real daemon, volumectl and bus, with a simulated CloudStack behind them."""
