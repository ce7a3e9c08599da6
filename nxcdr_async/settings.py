"""The settings of a session that an environment holds. Pure: the environment is an argument."""

from collections.abc import Collection, Mapping
from typing import Any

from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.errors import ConfigurationError

SECRET_VARIABLES = ("NXCDR_ACCESS_SECRET", "NXCDR_FLASH_SECRETKEY", "PGPASSWORD")
"""The variables nobody else should read."""


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
        name: environment[variable]
        for name, variable in (("region", "NXCDR_REGION"), ("gateway", "NXCDR_GATEWAY"))
        if environment.get(variable)
    }
    if "credentials" not in given and (pair := _pair(environment, "NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")):
        found["credentials"] = Credentials(*pair)
    if "flash_app" not in given and (pair := _pair(environment, "NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")):
        found["flash_app"] = FlashApp(*pair)
    return found


def _pair(environment: Mapping[str, str], first: str, second: str) -> tuple[str, str] | None:
    pair = environment.get(first, ""), environment.get(second, "")
    if all(pair):
        return pair
    if any(pair):
        missing = second if pair[0] else first
        raise ConfigurationError(f"{missing} is not set, though its other half is: set both")
    return None
