from hypothesis import given, strategies as st

from nxcdr_async.webhook.http import path_below


@given(st.sampled_from(["", "/api", "/a/b"]), st.sampled_from(["/", "/calls", "/a"]))
def test_a_prefix_counts_whether_or_not_the_framework_took_it_off(prefix: str, path: str) -> None:
    assert path_below(prefix + path, prefix) == path
    assert path_below(prefix + path, f"{prefix}/") == path
    assert path_below(f"{prefix}{path}/", prefix) == path
    assert path_below(prefix, prefix) == "/"


def test_a_prefix_ends_at_a_slash() -> None:
    assert path_below("/apicalls", "/api") == "/apicalls"


def test_what_only_a_proxy_sees_of_a_prefix_need_not_be_in_the_path() -> None:
    for path in ("/outside/push/calls", "/push/calls", "/calls"):
        assert path_below(path, "/outside/push", "/outside") == "/calls"
