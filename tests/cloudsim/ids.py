# SPDX-License-Identifier: LGPL-2.1-or-later
"""Well-known identifiers.

The simulated cloud always starts with the same zone, offerings and machines, so a test can name
them without asking first. Everything the cloud invents later (volumes, jobs) comes from a seeded
generator and is therefore the same from run to run as well.
"""

ZONE = "1128bd56-b4d9-4ac6-a7b9-c715b187ce11"
OTHER_ZONE = "9c3f6a1e-52d7-4b0c-8e44-0d2f7b6a91c5"

OFFERING_CUSTOM = "7662b6ae-f00b-4268-973f-f3f87eaf82c5"
OFFERING_FIXED = "2fb1d7c4-6d0e-4f35-9b7a-84a5c3e9d012"
FIXED_SIZE_GIB = 5

APPLIANCE_VM = "5b0d3a7e-1c94-4e62-a8f3-6f2c9d41b780"
OTHER_VM = "c84e19f6-7a25-4d3b-9e01-b35d60f7a2c9"
STOPPED_VM = "e1f7a042-93bc-4c58-8d16-27a9405be3d6"

ROOT_DOMAIN = "3e8f62b1-09a4-4d7c-b5e2-f1c60d9384a7"
ADMIN = "8c1b57f0-64e3-49d9-a0b6-52e7d1f3c948"
ADMIN_USER = "d41f0e9b-2a76-4c85-8b13-90f6ce7a25d4"

API_KEY = "vmd-Test_ApiKey-0123456789"
SECRET_KEY = "vmd-Test_Secret-9876543210"

GIB = 1 << 30
