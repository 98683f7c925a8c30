# SPDX-License-Identifier: LGPL-2.1-or-later
"""Accounts: whose things are whose, and who may do what.

The cloud begins with one account, a root administrator who owns the machines that are there. Tests
add users, narrow their roles, set their limits and make projects. A project is an account as well:
it has members instead of keys, and it owns volumes and machines like any other.

An administrator of the domain ROOT is a root administrator, for whom no limits hold. Of another
domain, it is the administrator of that domain, and has limits like an ordinary user.
"""

from dataclasses import dataclass, field

from . import ids
from .errors import ALLOCATION, RESOURCE_ALLOCATION, ApiError, denied


@dataclass
class Domain:
    id: str
    number: int
    name: str


@dataclass
class Account:
    id: str
    number: int                 # the database key, which leaks into texts
    name: str
    domain: Domain
    user: str                   # the id of its only user
    api_key: str | None = None
    secret_key: str | None = None
    admin: bool = False
    forbidden: tuple = ()       # commands that its role does not allow
    limit_gib: int | None = None        # of primary storage
    limit_volumes: int | None = None
    limit_snapshots: int | None = None
    project: str | None = None  # the project's id, if it is one
    members: list = field(default_factory=list)     # names of accounts

    def __str__(self):
        return (f'Account [{{"accountName":"{self.name}","id":{self.number},'
                f'"uuid":"{self.id}"}}]')

    def owns(self, owner):
        """Does this account, or a project that it belongs to, own what `owner` owns?"""
        return owner is self or (owner.project is not None and self.name in owner.members)

    @property
    def is_root(self):
        return self.admin and self.domain.name == "ROOT"

    def may_use(self, owner):
        return self.owns(owner) or self.is_root or (self.admin and owner.domain is self.domain)

    def check_use(self, owner):
        if not self.may_use(owner):
            raise denied(f"{self} does not have permission to operate with resource")

    def row(self):
        """The owner's fields of a row."""
        who = {"project": self.name, "projectid": self.project} if self.project else \
            {"account": self.name}
        return {**who, "domainid": self.domain.id, "domain": self.domain.name}


def check_limits(owner, volumes, more_bytes, more_volumes=0):
    """Refuse what would take an owner of these volumes over its limits."""
    if owner.is_root:
        return
    if owner.limit_volumes is not None and len(volumes) + more_volumes > owner.limit_volumes:
        raise _exceeded(owner, "volume", owner.limit_volumes, len(volumes), more_volumes)
    used = sum(volume.size for volume in volumes)
    if owner.limit_gib is not None and used + more_bytes > owner.limit_gib * ids.GIB:
        raise _exceeded(owner, "primary_storage",
                        *(f"({amount / ids.GIB:.2f} GB) {amount}"
                          for amount in (owner.limit_gib * ids.GIB, used, more_bytes)))


def check_snapshots(owner, snapshots):
    """Refuse one more snapshot, if these are as many as its owner may have."""
    used = len([s for s in snapshots if not s.removed])
    if not owner.is_root and owner.limit_snapshots is not None and used >= owner.limit_snapshots:
        raise _exceeded(owner, "snapshot", owner.limit_snapshots, used, 1)


def _exceeded(owner, what, limit, used, more):
    whose, scope = ("Project", "Project Id") if owner.project else ("Account", "Domain Id")
    return ApiError(
        ALLOCATION,
        f"Maximum amount of resources of Type = '{what}' for {whose} Name = {owner.name} in "
        f"{scope} = {owner.domain.number} is exceeded: {whose} Resource Limit = {limit}, "
        f"Current {whose} Resource Amount = {used}, Requested Resource Amount = {more}.",
        RESOURCE_ALLOCATION)
