"""Versions of MetalFF and of the packages that compute its numbers, for every record of results."""

from importlib import metadata

from metalff import __version__


def versions(*packages: str) -> dict[str, str]:
    """``{"metalff": …}`` and the version of each named package that is installed."""
    found = {"metalff": __version__}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
