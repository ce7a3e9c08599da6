"""How Sphinx builds these pages: `nox -s docs` does, with every warning an error."""

from collections.abc import Iterator
from importlib import import_module

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

from nxcdr_async import __version__

project = "nxcdr_async"
author = "The nxcdr_async founders"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_title = f"nxcdr_async {release}"

myst_fence_as_directive = ["mermaid"]  # written as GitHub draws it
myst_heading_anchors = 3

default_role = "code"  # docstrings are written in plain backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # what `Attributes:` tells is told once

# Only `nox -s docs -- links` asks: not every machine can reach other sites.
linkcheck_ignore = [
    r"http://127\.0\.0\.1.*",  # the emulator of a reader
    r"https://[a-z0-9-]+\.(nxlink\.ai|nxcloud\.com).*",  # the vendor's gateways answer signed requests only
]

PUBLIC_MODULES = (
    "nxcdr_async",
    "nxcdr_async.prometheus",
    "nxcdr_async.pydantic",
    "nxcdr_async.sinks.protocol",
    "nxcdr_async.testing",
    "nxcdr_async.webhook",
)


def public_names() -> Iterator[str]:
    """Yield every public name, and the methods and properties of each class, as the reference calls them."""
    for module_name in PUBLIC_MODULES:
        module = import_module(module_name)
        for name in module.__all__:
            yield f"{module_name}.{name}"
            thing = getattr(module, name)
            if isinstance(thing, type) and not issubclass(thing, Exception):
                members = (key for key, value in vars(thing).items() if callable(value) or isinstance(value, property))
                yield from (f"{module_name}.{name}.{member}" for member in members if not member.startswith("_"))


def warn_of_names_without_reference(_: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that `reference.md` lacks."""
    told = env.domains.python_domain.objects
    for name in public_names():
        if name not in told:
            getLogger(__name__).warning("%s is public, and not in reference.md", name)


def setup(app: Sphinx) -> None:
    """Have the reference checked whenever the pages are built."""
    app.connect("env-check-consistency", warn_of_names_without_reference)
