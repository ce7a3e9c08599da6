"""What a session did over time, drawn."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from attrs import define


@define(frozen=True)
class Sample:
    """One moment of a session.

    Attributes:
        at: seconds since the beginning.
        limit: requests that may be in flight.
        in_flight: requests in flight.
        refused: requests refused since the sample before.
        replies: good replies since the sample before.
        allowed: good replies a second the gateway allows.
    """

    at: float
    limit: int
    in_flight: int
    refused: int
    replies: int
    allowed: float


def draw(samples: Sequence[Sample], stages: Sequence[str], seconds_a_stage: float, file: Path) -> None:
    """Draw the limit, requests in flight, replies and refusals over time, as SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "the same samples make the same file"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    at = [sample.at for sample in samples]
    spans = [at[0], *(later - earlier for earlier, later in pairwise(at))]
    figure, (load, rate, refused) = plt.subplots(3, 1, sharex=True, figsize=(9, 6), height_ratios=(2, 2, 1))
    load.step(at, [sample.limit for sample in samples], where="post", color="tab:blue", label="limit")
    load.plot(at, [sample.in_flight for sample in samples], color="tab:orange", linewidth=1, label="in flight")
    load.set_ylabel("requests")
    load.legend(loc="upper left")
    rate.step(at, [sample.allowed for sample in samples], where="post", color="gray", linestyle="--", label="allowed")
    replies = [sample.replies / span for sample, span in zip(samples, spans, strict=True)]
    rate.plot(at, replies, color="tab:green", linewidth=1, label="good replies")
    rate.set_ylabel("a second")
    rate.legend(loc="upper left")
    refused.bar(at, [sample.refused for sample in samples], width=0.25, color="tab:red", label="refused")
    refused.set_ylabel("refused")
    refused.set_xlabel("seconds")
    for number, stage in enumerate(stages):
        for axes in (load, rate, refused):
            axes.axvline(number * seconds_a_stage, color="lightgray", linewidth=1)
        middle = (number + 0.5) * seconds_a_stage
        load.text(middle, 1.02, stage, transform=load.get_xaxis_transform(), ha="center")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
