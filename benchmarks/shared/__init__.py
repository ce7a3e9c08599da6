"""What the benchmarks share: the emulator in a process of its own, requests by hand, limits, and how results look.

And what looks for leaks, which the soak shares too.
"""
