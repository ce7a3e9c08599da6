"""How many examples hypothesis tries: a fifth each day, all with `--hypothesis-profile full`, as `nox -s slow` does."""

from hypothesis import settings

IN_FULL = 100
ELSE = 20


def examples(number: int) -> settings:
    """Return settings for as many examples in full, and for a smaller share of them in the tests of each day."""
    return settings(max_examples=max(1, number * settings().max_examples // IN_FULL))
