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

GENERIC = 9999
INVALID_PARAMETER = 4350
CLOUD_RUNTIME = 4250

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


def missing(command, name):
    return ApiError(PARAM_ERROR, f"Unable to execute API command {command.lower()} "
                                 f"due to missing parameter {name}", GENERIC)


def bad_value(command, name, value):
    """A value that is no number where one is due, or a UUID the server has never known."""
    return ApiError(
        PARAM_ERROR,
        f"Unable to execute API command {command.lower()} due to invalid value. "
        f"Invalid parameter {name} value={value} due to incorrect long value format, or entity "
        "does not exist or due to incorrect parameter annotation for the field in api cmd class.",
        GENERIC)
