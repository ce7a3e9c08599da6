"""Limits: what a benchmark fails at. Pure: figures in, names of what was missed out."""

from collections.abc import Mapping, Sequence

from attrs import define


@define(frozen=True)
class Limit:
    """The most a figure may be.

    Attributes:
        figure: the figure's name.
        most: the highest value that passes.
        why: where the limit comes from.
    """

    figure: str
    most: float
    why: str

    def is_met(self, figures: Mapping[str, float]) -> bool:
        """Return whether the figure was measured and is low enough; what was not measured is not met, nor is NaN."""
        return self.figure in figures and figures[self.figure] <= self.most

    def in_words(self, figures: Mapping[str, float]) -> str:
        """Say how the figure and its limit compare."""
        value = f"{figures[self.figure]:.3f}" if self.figure in figures else "not measured"
        return f"{self.figure} is {value}, at most {self.most:g} allowed ({self.why})"


def missed(figures: Mapping[str, float], limits: Sequence[Limit]) -> list[str]:
    """Return a line for each limit that is missed."""
    return [limit.in_words(figures) for limit in limits if not limit.is_met(figures)]
