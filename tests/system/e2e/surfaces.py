# SPDX-License-Identifier: LGPL-2.1-or-later
"""One way to ask, three ways to be heard.

Whatever the daemon can be asked is a row of the method table, and each row is reachable over REST,
over D-Bus and with volumectl. A surface here takes a row's name and its arguments, asks in its own
way, and gives the answer in the one form of shapes.py; so a test is written once and runs on all.

Names and paths come from the table's source. Arguments by position come from the daemon's own
introspection, so that what is tested is what it says of itself.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from support.py import manual, shapes
from support.py.harness import FINAL, NAME, ROOT, TOP, BusError, Monitor
from support.py.programs import program


@dataclass(frozen=True)
class Method:
    name: str
    member: str
    object_member: str | None
    command: str | None         # None, like path: the method is on the bus alone
    verb: str | None
    path: str | None
    changes: bool               # it answers with an operation
    makes: bool                 # it answers with an object that there is from then on
    many: bool
    list_key: str | None
    bus_object: str | None      # "VOLUME": on D-Bus it answers with that object's path
    scope: str

    @property
    def path_arguments(self):
        return re.findall(r"{(\w+)}", self.path)


@dataclass(frozen=True)
class Object:
    id: str             # the field that names it
    shape: shapes.Shape
    path: str           # where REST shows it


OBJECTS = {"VOLUME": Object("volume_id", shapes.VOLUME, "/api/v1/volumes/"),
           "OPERATION": Object("id", shapes.OPERATION, "/api/v1/operations/"),
           "EXPORT": Object("volume_id", shapes.EXPORT, "/api/v1/exports/")}


@cache
def methods():
    """The rows of the method table, by name."""
    source = (TOP / "src/spec/methods.c").read_text()
    rows = re.findall(r"^\t\[METHOD_\w+\] = {\n(.*?)^\t},", source, re.MULTILINE | re.DOTALL)
    found = [Method(
        name=_text(row, "name"), member=_text(row, "member"),
        object_member=_text(row, "object_member"), command=_text(row, "command"),
        verb=(_word(row, "verb") or "").removeprefix("HTTP_") or None, path=_text(row, "path"),
        changes=_word(row, "answer") == "ANSWER_OPERATION",
        makes=_word(row, "answer") == "ANSWER_CREATED",
        many=_word(row, "answer") == "ANSWER_MANY", list_key=_text(row, "list_key"),
        bus_object=(_word(row, "bus_object") or "").removeprefix("SCOPE_") or None,
        scope=_word(row, "scope").removeprefix("SCOPE_")) for row in rows]
    return {method.name: method for method in found}


def on_every_surface():
    """The rows that REST, D-Bus and volumectl have; the others are on the bus alone."""
    return {name: method for name, method in methods().items() if method.path}


def commands_without_a_method():
    """The commands of volumectl that are not one question and one answer, and that help shows."""
    source = (TOP / "src/volumectl/main.c").read_text()
    return set(re.findall(r'\.name = "([\w-]+)",\s+(?:\.arguments = "[^"]*",\s+)?\.summary =\s+"', source))


def _text(row, member):
    found = re.search(rf'\.{member} = "([^"]*)"', row)
    return found and found[1]


def _word(row, member):
    found = re.search(rf"\.{member} = (\w+)", row)
    return found and found[1]


@cache
def interface(word):
    """The introspection XML of one of the daemon's interfaces, as the program prints it."""
    return subprocess.run([program("volume-daemon"), "--introspect", f"{NAME}.{word}"],
                          capture_output=True, text=True, check=True).stdout


@cache
def bus_arguments(word, member):
    """Names and types of a D-Bus method's arguments: [("volume_id", "s"), ("options", "a{sv}")]."""
    method = ElementTree.fromstring(interface(word)).find(f".//method[@name='{member}']")
    return [(a.get("name"), a.get("type")) for a in method.findall("arg[@direction='in']")]


def object_path(kind, id):
    """The path of a volume's, operation's or export's object: what is no letter or digit is escaped."""
    escaped = "".join(c if c.isalnum() and (i or not c.isdigit()) else f"_{ord(c):02x}"
                      for i, c in enumerate(id))
    return f"{ROOT}/{kind}/{escaped}"


def id_of_path(path):
    return re.sub("_([0-9a-f]{2})", lambda hit: chr(int(hit[1], 16)), path.rsplit("/", 1)[1])


class Refused(Exception):
    """An error answer: REST's code word, and the text."""

    def __init__(self, word, text):
        super().__init__(f"{word}: {text}")
        self.word, self.text = word, text


class Surface:
    """`ask()` gives the answer of a method, `change()` the id of the operation it began, and
    `ended()` that operation when it has ended. `answered` are the methods that have answered."""

    def __init__(self, world):
        self.world = world
        self.answered = set()

    def ask(self, name, /, **arguments):
        answer = self._ask(methods()[name], arguments)
        self.answered.add(name)
        return answer

    def change(self, name, /, **arguments):
        assert methods()[name].changes
        return self.ask(name, **arguments)

    def done(self, name, /, **arguments):
        """Begin a change, wait for its end, and return the operation."""
        return shapes.check_ended(self.ended(self.change(name, **arguments)))

    def completed(self, name, /, **arguments):
        record = self.done(name, **arguments)
        assert record["status"] == "completed", f"{record}\n{self.world.daemon.tail}"
        return record

    def close(self):
        pass

    def device_elsewhere(self, _vm, _volume):
        """What is shown in the place of a device on another machine."""
        return ""


class Rest(Surface):
    def device_elsewhere(self, vm, volume):
        return f"remote-vm-{vm}-{volume}"

    def _ask(self, method, arguments):
        path = method.path
        rest = dict(arguments)
        for argument in method.path_arguments:
            path = path.replace(f"{{{argument}}}", quote(str(rest.pop(argument)), safe=""))
        if method.verb == "GET":
            answer = self.world.daemon.rest("GET", path + ("?" + urlencode(rest) if rest else ""))
        else:
            answer = self.world.daemon.rest(method.verb, path, rest or None)
        if answer.status >= 400:
            error = shapes.ERROR.check(answer.json)
            assert answer.status == shapes.STATUS_OF[error["code"]], answer
            raise Refused(error["code"], error["error"])
        if method.changes:
            assert answer.status == 201
            record = shapes.OPERATION.check(answer.json)
            assert answer.headers["Location"] == f"/api/v1/operations/{record['id']}"
            return record["id"]
        assert answer.status == (201 if method.makes else 200)
        if method.makes and method.bus_object:
            made = OBJECTS[method.bus_object]
            assert answer.headers["Location"] == made.path + answer.json[made.id]
        if not method.list_key:
            return answer.json
        assert answer.json["count"] == len(answer.json[method.list_key])
        return answer.json[method.list_key]

    def ended(self, id):
        return self.world.daemon.ended(id)


class OnBus(Surface):
    """busctl, and signals instead of questions."""

    def __init__(self, world):
        super().__init__(world)
        self.monitor = Monitor(world.bus)

    def close(self):
        self.monitor.close()

    def _ask(self, method, arguments):
        try:
            answer = self.world.bus.manager(
                method.member, *self._encoded(method, "Manager", method.member, arguments))
            if method.changes:
                return id_of_path(answer)
            manual.check_answer(method.member, answer)
            return self._object(method.bus_object, answer) if method.bus_object else answer
        except BusError as error:
            assert error.word in shapes.WORD_OF_BUS_NAME, error
            raise Refused(shapes.WORD_OF_BUS_NAME[error.word], error.text) from error

    def on_object(self, name, id, /, **arguments):
        """Call a method on the volume's, operation's or export's own object."""
        method = methods()[name]
        word = method.scope.capitalize()
        return self.world.bus.call(
            object_path(word.lower(), id), f"{NAME}.{word}", method.object_member,
            *self._encoded(method, word, method.object_member, arguments))[0]

    def _encoded(self, method, word, member, arguments):
        """Signature and words of the arguments, as busctl takes them."""
        rest, words, signature = dict(arguments), [], ""
        for name, kind in bus_arguments(word, member):
            signature += kind
            if name == "options":
                words += [len(rest)]
                for key, value in rest.items():
                    words += [key, *_variant(value)]
                rest = {}
            else:
                words.append(rest.pop(name))
        assert not rest, f"{member} has no way to take {rest}"
        return signature, *words

    def _object(self, scope, path):
        """An object's properties under the names they have everywhere else."""
        kind = OBJECTS[scope]
        properties = self.world.bus.properties(path, f"{NAME}.{scope.capitalize()}")
        assert properties.pop("InterfaceVersion") == 1
        record = {re.sub("(?!^)([A-Z])", r"_\1", name).lower(): value
                  for name, value in properties.items()}
        # A property cannot be absent; where the record would leave it out it is empty.
        for name in kind.shape.sometimes | kind.shape.added:
            if not record.get(name, True):
                del record[name]
        assert record[kind.id] == id_of_path(path)
        return record

    def ended(self, id):
        path, told, *_, details = self.monitor.completed(id).arguments
        assert told == id and path == object_path("operation", id)
        return _in_words_of_rest(details)


def _in_words_of_rest(record):
    """An operation as the bus shows it: what REST shows in words of its own is put into them."""
    if record.get("error_code"):
        record = {**record, "error_code": shapes.WORD_OF_BUS_NAME[record["error_code"]]}
    return record


def _variant(value):
    if isinstance(value, bool):
        return ["b", str(value).lower()]
    if isinstance(value, int):
        return ["x", value]
    if isinstance(value, dict):
        return ["a{sv}", len(value), *(w for k, v in value.items() for w in (k, *_variant(v)))]
    return ["s", value]


class Ctl(Surface):
    OPTIONS = {"volume_id": "volume", "vm_id": "vm", "test_vm_id": "test-vm", "oma_vm_id": "oma-vm",
               "disk_offering_id": "offering",
               "zone_id": "zone", "operation_id": "operation", "id": "snapshot"}

    def _ask(self, method, arguments):
        rest = dict(arguments)
        words = [method.command, *(rest.pop(name) for name in self._positional(method))]
        for name, value in rest.items():
            words += [f"--{self.OPTIONS.get(name, name.replace('_', '-'))}={_written(value)}"]
        waits = method.changes or method.name == "operation.cancel"
        done = self.world.daemon.ctl(*words, "--json", *(["--no-wait"] if waits else []))
        # The exit code of health follows the health, which is the answer.
        if done.returncode and not (method.name == "health.get" and done.stdout):
            raise Refused(self._word(done), done.stderr)
        answer = json.loads(done.stdout)
        return answer["id"] if method.changes else answer

    def _positional(self, method):
        """The arguments without an option, as the usage line gives them: resize VOLUME SIZE."""
        usage = self.world.daemon.ctl("help", method.command).stdout.splitlines()[0]
        names = {option: name for name, option in self.OPTIONS.items()}
        words = takewhile(lambda word: re.fullmatch("[A-Z-]+", word),
                          usage.split(f" {method.command}", 1)[1].replace("...", "").split())
        return [names.get(word.lower(), word.lower().replace("-", "_")) for word in words]

    def _word(self, done):
        assert done.stderr.startswith("volumectl: "), done
        return WORD_OF_EXIT_CODE.get(done.returncode, f"exit code {done.returncode}")

    def ended(self, id):
        done = self.world.daemon.ctl("wait", id, "--json")
        record = json.loads(done.stdout)
        assert record["status"] in FINAL
        assert (done.returncode == 0) == (record["status"] == "completed"), done
        return _in_words_of_rest(record)


def _written(value):
    """As people write it on a command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value) if isinstance(value, dict) else value


# 1 and 2 are volumectl's own, "something went wrong" and "wrong usage".
WORD_OF_EXIT_CODE = {
    3: "INVALID_REQUEST", 4: "UNAUTHORIZED", 5: "FORBIDDEN", 6: "NOT_FOUND", 7: "NOT_FOUND",
    9: "CONFLICT", 10: "CONFLICT", 11: "TOO_LARGE", 14: "TOO_MANY_REQUESTS",
    15: "CLOUDSTACK_ERROR", 16: "INTERNAL_ERROR", 17: "SERVICE_UNAVAILABLE", 18: "TIMEOUT"}

SURFACES = {"rest": Rest, "bus": OnBus, "volumectl": Ctl}
