"""The sound of recordings: a WAV file of a soft tone, of which any part is computed when it is asked for."""

from functools import cache
from math import pi, sin
from struct import pack

_RATE = 8_000
"""Samples a second, of one byte each: a telephone's."""

_HEADER_BYTES = 44
_TONE_HZ, _LOUDNESS = 440, 60


def wav_bytes(seconds: int) -> int:
    """Return how many bytes the file of a recording has."""
    return _HEADER_BYTES + seconds * _RATE


def wav_part(seconds: int, first: int, last: int) -> bytes:
    """Return bytes [first, last) of the file of a recording."""
    head = _header(seconds)[first:last]
    offset, until = max(first - _HEADER_BYTES, 0), max(last - _HEADER_BYTES, 0)
    if offset == until:
        return head
    second = _one_second()
    start = offset % _RATE
    repeated = second * ((start + until - offset) // _RATE + 1)
    return head + repeated[start : start + until - offset]


def _header(seconds: int) -> bytes:
    samples = seconds * _RATE
    form = pack("<IHHIIHH", 16, 1, 1, _RATE, _RATE, 1, 8)
    return b"RIFF" + pack("<I", 36 + samples) + b"WAVEfmt " + form + b"data" + pack("<I", samples)


@cache
def _one_second() -> bytes:
    return bytes(128 + round(_LOUDNESS * sin(2 * pi * _TONE_HZ * sample / _RATE)) for sample in range(_RATE))
