# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab: the real daemon on a real kernel, in an appliance VM that QEMU emulates.

image.py builds what the VM boots from, vm.py runs the VM, agent.py talks to it, product.py is the
daemon installed in it. conftest.py puts these and a simulated cloud together, scene.py is what a
test gets to see of them. Most tests share an appliance that has the files of the build folder;
test_installed.py has appliances in which it installs the Debian packages.

    VOLD_BUILD=build /usr/bin/python3 -m pytest tests/system/lab
"""
