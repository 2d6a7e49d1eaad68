"""A process of its own in which some packages are not installed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HIDE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {packages!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without(
    packages: Sequence[str], code: str, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code, with arguments, where ``packages`` cannot be found."""
    code = _HIDE.format(packages=tuple(packages)) + code
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)
