# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists: who sees what, filters, and pages.

A caller sees its own things. An administrator sees those of all accounts, or of all of its domain,
with `listall`, and a root administrator anything at all by its id. Things of a project show only where `projectid` asks for them; -1 stands
for every project that the caller may look into, and with `listall` for the caller's own things too.
"""

from .command import ALL_PROJECTS, truth
from .errors import GENERIC, PARAM_ERROR, ApiError, invalid


def visible(call, rows):
    """Those rows the caller sees."""
    account, args, accounts = call.account, call.args, call.world.accounts
    rows = [row for row in rows if not row.removed]
    if args.id or args.ids:
        rows = [row for row in rows if row is args.id or (args.ids and row in args.ids)]
        if account.is_root:
            return rows
    wanted = {owner.id for owner in accounts.values()
              if _wants(account, owner, args.projectid, truth(args.listall))}
    return [row for row in rows if row.owner in wanted]


def _wants(account, owner, projects, listall):
    if projects and projects != ALL_PROJECTS:
        return owner is projects
    if owner.project:
        return projects == ALL_PROJECTS and account.may_use(owner)
    if owner is account:
        return listall or not projects
    return listall and account.may_use(owner)


def referring(rows, **references):
    """Those rows that refer to the given entities, where there are such."""
    for attribute, entity in references.items():
        if entity:
            rows = [row for row in rows if getattr(row, attribute) == entity.id]
    return rows


def by_id(call, rows):
    args = call.args
    return [row for row in rows if (not args.id or row is args.id)
            and (not args.ids or row in args.ids)]


def listed(call, key, rows, shape):
    """One page. `count` is the number of all matches; no matches at all leave nothing."""
    settings = call.sim.settings
    first, size = _page(call.args, settings.page_size)
    if not rows:
        return {}
    page = rows[first:] if size is None else rows[first:first + size]
    count = len(page) if settings.count_is_page else len(rows)
    if settings.endless_list and key == "volume" and size:
        page = [rows[index % len(rows)] for index in range(first, first + size)]
        count = first + 2 * size
    answer = {"count": count}
    if page:
        answer[key] = [shape(row) for row in page]
    return answer


def _page(args, limit):
    """(first, size); size None is unlimited."""
    page, size = args.page, args.pagesize
    if page is None and size is None:
        return 0, limit
    if page is None and size == -1:
        return 0, None
    if page is None:
        raise ApiError(PARAM_ERROR, '"page" parameter is required when "pagesize" is specified',
                       GENERIC)
    if size is None:
        raise ApiError(PARAM_ERROR, '"pagesize" parameter is required when "page" is specified',
                       GENERIC)
    if size > limit:
        raise invalid(f"Page size can't exceed max allowed page size value: {limit}")
    return (max(page, 1) - 1) * max(size, 0), max(size, 0)
