"""Numbers of things, in words. Pure."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return how many there are of something, as people write it.

    >>> counted(1, "call"), counted(1200, "call"), counted(0, "reply", "replies")
    ('1 call', '1,200 calls', '0 replies')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
