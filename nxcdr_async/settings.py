"""The settings of a session that an environment holds. Pure: the environment is an argument."""

from collections.abc import Collection, Mapping
from typing import Any

from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.errors import ConfigurationError

SECRET_VARIABLES = ("NXCDR_ACCESS_SECRET", "NXCDR_FLASH_SECRETKEY", "PGPASSWORD")
"""The variables nobody else should read, but for those that may name a proxy with a password."""


def may_hold_secret(variable: str) -> bool:
    """Tell whether a variable is one that nobody else should read."""
    return variable in SECRET_VARIABLES or variable.lower().endswith("_proxy")


def settings_from(environment: Mapping[str, str], *, given: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments for a session: region, gateway, credentials and flash_app, as far as they are set.

    Args:
        environment: the variables.
        given: names of arguments that need not be looked for.

    Raises:
        ConfigurationError: half a key pair.
    """
    try:
        return _found(environment, given)
    except ConfigurationError as refused:
        del environment  # a traceback may show variables, and these hold secrets
        raise refused.with_traceback(None) from None


def _found(environment: Mapping[str, str], given: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _value(environment, variable)
        for name, variable in (("region", "NXCDR_REGION"), ("gateway", "NXCDR_GATEWAY"))
        if name not in given and environment.get(variable)
    }
    if "credentials" not in given and (pair := _pair(environment, "NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")):
        found["credentials"] = Credentials(*pair)
    if "flash_app" not in given and (pair := _pair(environment, "NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")):
        found["flash_app"] = FlashApp(*pair)
    return found


def _value(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable, "")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(
            f"{variable} begins and ends with a quotation mark, which belongs to the value: leave both out, as what "
            "set it (docker --env-file, a list under environment in a compose file) does not take them away"
        )
    return value


def _pair(environment: Mapping[str, str], first: str, second: str) -> tuple[str, str] | None:
    pair = _value(environment, first), _value(environment, second)
    if all(pair):
        return pair
    if any(pair):
        missing = second if pair[0] else first
        raise ConfigurationError(f"{missing} is not set, though its other half is: set both")
    return None
