"""The other end of `beside.child`: runs functions of a benchmark, named on stdin, and tells on stdout what they return.

First of all it tells whose code it imports.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import nxcdr_async
from shared.emulation import Told


def main(module: str) -> None:
    """Answer until stdin ends."""
    benchmark = import_module(module)
    print(json.dumps(str(Path(nxcdr_async.__file__).parents[1])), flush=True)
    for line in sys.stdin:
        name, told, arguments = json.loads(line)
        print(json.dumps(getattr(benchmark, name)(Told(**told), *arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
