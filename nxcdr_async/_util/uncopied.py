"""What cannot be copied, nor go to another process. Pure."""

from typing import ClassVar, NoReturn


class Uncopied:
    """The base of what holds a connection, a task or a lock, which a copy would lack or share.

    `pickle`, `copy.copy` and `copy.deepcopy` refuse it with a TypeError, as they do whatever they cannot copy.
    """

    __slots__ = ()

    _instead: ClassVar[str] = "make a new one where it is needed"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse: pickling and copying both come here.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: {self._instead}")
