import pickle

import pytest
from attrs.exceptions import FrozenInstanceError

from nxcdr_async import ConfigurationError, Credentials, FlashApp

SECRET = "TopSecret42"


def test_a_secret_never_shows_in_a_repr() -> None:
    for holder in (Credentials("AK1", SECRET), FlashApp("app", SECRET)):
        shown = f"{holder!r} {holder!s} {[holder]} {holder}"
        assert SECRET not in shown


def test_the_public_half_shows_in_a_repr() -> None:
    assert "AK1" in repr(Credentials("AK1", SECRET))
    assert "app" in repr(FlashApp("app", SECRET))


def test_md5_is_the_default_as_it_is_the_vendors() -> None:
    assert Credentials("AK1", SECRET).algorithm == "md5"


@pytest.mark.parametrize("algorithm", ["md 5", "sha1", "", None])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="use 'md5' or 'sha256'"):
        Credentials("AK1", SECRET, algorithm)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "algorithm"), [("MD5", "md5"), ("SHA256", "sha256"), ("Sha256", "sha256")])
def test_an_algorithm_may_be_spelled_in_any_case(name: str, algorithm: str) -> None:
    assert Credentials("AK1", SECRET, name) == Credentials("AK1", SECRET, algorithm)
    assert Credentials("AK1", SECRET, name).algorithm == algorithm


@pytest.mark.parametrize(
    "bad", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}é", f"{SECRET}\x00", f"{SECRET}\u200b", "", None]
)
@pytest.mark.parametrize("holder", [Credentials, FlashApp])
def test_what_no_header_can_carry_is_refused_without_showing_it(holder: type, bad: str) -> None:
    for pair in ((bad, "b"), ("a", bad)):
        with pytest.raises(ConfigurationError) as refused:
            holder(*pair)
        assert SECRET not in str(refused.value)


def test_the_refused_half_is_named() -> None:
    with pytest.raises(ConfigurationError, match="access_secret"):
        Credentials("AK1", "")
    with pytest.raises(ConfigurationError, match="appkey"):
        FlashApp("", SECRET)


def test_credentials_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Credentials("AK1", SECRET).access_secret = "other"  # type: ignore[misc]


def test_credentials_can_go_to_another_process() -> None:
    credentials = Credentials("AK1", SECRET, "sha256")
    assert pickle.loads(pickle.dumps(credentials)) == credentials
