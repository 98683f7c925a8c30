# SPDX-License-Identifier: LGPL-2.1-or-later
"""Refusals, in the words and numbers of the real server.

An error answer carries two numbers. `errorcode` is also the HTTP status and says what family the
refusal belongs to; `cserrorcode` names the server's exception class. Both are coarse (431/4350
covers half of all business rules), which is why clients end up reading `errortext` and why the
texts here have to be exact wherever a client could reasonably depend on them.
"""

BAD_REQUEST = 400
UNAUTHORIZED = 401
PARAM_ERROR = 431
UNSUPPORTED = 432
INTERNAL = 530
ACCOUNT = 531
ALLOCATION = 535

GENERIC = 9999
CLOUD_RUNTIME = 4250
INVALID_PARAMETER = 4350
PERMISSION_DENIED = 4365
RESOURCE_ALLOCATION = 4370

AUTH_TEXT = "unable to verify user credentials and/or request signature"

# What a scripted refusal says when the script gives only the number.
DEFAULT_TEXTS = {
    400: "Bad request",
    401: AUTH_TEXT,
    429: "The given user has reached his/her account api limit, please retry after [500] ms.",
    431: "Unable to execute API command due to invalid value.",
    432: "The API does not exist or is not available for the account.",
    503: "Maintenance or shutdown has been initiated on this management server. "
         "Can not accept new jobs",
    530: "Internal error executing command, please contact your system administrator",
    531: "Caller does not have permission to operate with provided resource.",
    533: "Insufficient capacity",
    534: "Resource unavailable",
    535: "Maximum number of resources of type 'volume' for account has been exceeded.",
}


class ApiError(Exception):
    """One refusal. `envelope` overrides the `<command>response` key of the answer."""

    def __init__(self, code, text, cserrorcode=None, envelope=None):
        super().__init__(text)
        self.code = code
        self.text = text
        self.cserrorcode = cserrorcode
        self.envelope = envelope

    def body(self, command):
        inner = {"uuidList": [], "errorcode": self.code}
        if self.cserrorcode is not None:
            inner["cserrorcode"] = self.cserrorcode
        inner["errortext"] = self.text
        return {self.envelope or f"{command.lower()}response": inner}


def invalid(text):
    """A broken business rule: the server's InvalidParameterValueException."""
    return ApiError(PARAM_ERROR, text, INVALID_PARAMETER)


def internal(text):
    return ApiError(INTERNAL, text, CLOUD_RUNTIME)


def unauthorized(envelope=None):
    return ApiError(UNAUTHORIZED, AUTH_TEXT, envelope=envelope)


def denied(text):
    return ApiError(ACCOUNT, text, PERMISSION_DENIED)


def forbidden(command, account):
    """The account's role does not allow the command."""
    return ApiError(UNSUPPORTED, f"The API [{command}] does not exist or is not available for the "
                                 f"account {account}.", GENERIC, envelope="errorresponse")


def no_api():
    """listApis: the command is unknown, or the account's role does not allow it."""
    return ApiError(INTERNAL, "Api Discovery plugin was unable to find an api by that name or "
                              "process any apis", GENERIC)


def no_new_jobs(code, text):
    """The server is about to stop, or is maintained."""
    return ApiError(code, text, CLOUD_RUNTIME if code == INTERNAL else GENERIC)


def missing(command, name):
    return ApiError(PARAM_ERROR, f"Unable to execute API command {command.lower()} "
                                 f"due to missing parameter {name}", GENERIC)


def bad_value(command, name, value):
    """A UUID the server has never known, or what is none."""
    return ApiError(
        PARAM_ERROR,
        f"Unable to execute API command {command.lower()} due to invalid value. "
        f"Invalid parameter {name} value={value} due to incorrect long value format, or entity "
        "does not exist or due to incorrect parameter annotation for the field in api cmd class.",
        GENERIC)


def bad_number(command, name, value):
    return ApiError(PARAM_ERROR, f"Unable to execute API command {command.lower()} due to invalid "
                                 f"value {value} for parameter {name}", GENERIC)


def too_long(command, name, length):
    return ApiError(PARAM_ERROR, f"Unable to execute API command {command.lower()} due to invalid "
                                 f"value. Value greater than max allowed length {length} for "
                                 f"param: {name}", GENERIC)


def removed(kind, number):
    """The id of a row that was removed: it is still found, but stands for nothing."""
    return invalid(f"Unable to find UUID for id [{number}] of type [{kind}]")


def repeated_uuid(value):
    return invalid(f"UUID: {value} already exists so can't create/update with custom id")


def repeated_job(code, job):
    """The refusal of a client-chosen job id that was used before."""
    if code == PARAM_ERROR:
        return repeated_uuid(job)
    return ApiError(INTERNAL, "Entity already exists ", GENERIC)


def outside_basic_plane(name):
    """The database keeps three bytes of a character and says so with its statement."""
    return internal("DB Exception on: com.mysql.cj.jdbc.ClientPreparedStatement: SELECT volumes.id "
                    f"FROM volumes WHERE volumes.name = '{name}' AND volumes.removed IS NULL")
