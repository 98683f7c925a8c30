# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the jobs about tags do: a key is on a resource once, and all resources change or none."""

from .errors import internal, invalid
from .work import Work
from .world import Tag

_RESOURCES = {"volume": ("Volume", "volumes"), "snapshot": ("Snapshot", "snapshots"),
              "uservm": ("UserVm", "machines")}


class _TagWork(Work):
    def __init__(self, call):
        super().__init__(call)
        self.kind, self.rows = None, []
        self.pairs = _pairs(call.params)

    def check(self):
        args = self.call.args
        self.kind, rows = _RESOURCES.get(args.resourcetype.lower(), (args.resourcetype, None))
        if rows is None:
            raise invalid(f"Invalid resource type {args.resourcetype}")
        for id in args.resourceids.split(","):
            row = getattr(self.world, rows).get(id.strip())
            if row is None or row.removed:
                raise invalid(f"Unable to find resource by id {id} and type {self.kind}")
            self.call.account.check_use(self.world.accounts[row.owner])
            self.rows.append(row)


class CreateTags(_TagWork):
    def check(self):
        super().check()
        for key, value in self.pairs.items():
            if not value:
                raise invalid(f"Value for the key {key} is either null or empty")
            for row in self.rows:
                if any(tag.key == key for tag in self.world.tags_of(row.id)):
                    raise internal(f"tag {key} already on {self.kind} with id {row.id}")

    def finish(self):
        for key, value in self.pairs.items():
            self.world.tags += [Tag(key, value, row.id, self.kind, row.owner)
                                for row in self.rows]
        return super().finish()


class DeleteTags(_TagWork):
    """Without pairs, all tags of the resources; a pair without a value goes by its key."""

    def check(self):
        super().check()
        if not self._doomed():
            raise internal("Failed to delete tags")

    def finish(self):
        doomed = self._doomed()
        self.world.tags = [tag for tag in self.world.tags if tag not in doomed]
        return super().finish()

    def _doomed(self):
        tags = [tag for row in self.rows for tag in self.world.tags_of(row.id)]
        return [tag for tag in tags if not self.pairs or (
            tag.key in self.pairs and self.pairs[tag.key] in ("", tag.value))]


def _pairs(params):
    """`tags[0].key` and `tags[0].value`, and so on: a dict."""
    keys = [name for name in params if name.startswith("tags[") and name.endswith("].key")]
    return {params[name]: params.get(name.removesuffix("key") + "value", "") for name in keys}
