"""A run's name is a folder, or a model on the hub only if it says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artaffect.errors import InputError, ModelFolderError
from artaffect.models.hub import copy_folder, resolve_run


def cached_run(run: Path, cache: Path, revision: str) -> None:
    """A copy of ``run`` as the hub's client leaves it in its cache."""
    repository = cache / "models--museum--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots").mkdir()
    copy_folder(run, repository / "snapshots" / commit)


def predict(name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artaffect.cli.main", "predict", name, "--caption", "waves"]
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cache)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "revision"), [("", "main"), ("@v2", "v2")])
def test_a_command_takes_a_model_on_the_hub(
    tiny_run: Path, tmp_path: Path, suffix: str, revision: str
) -> None:
    cached_run(tiny_run, tmp_path, revision)
    result = predict(f"hf:museum/tiny{suffix}", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "arabic" in result.stdout


def test_a_mistyped_path_never_becomes_a_download(tiny_run: Path, tmp_path: Path) -> None:
    cached_run(tiny_run, tmp_path, "main")
    result = predict("museum/tiny", tmp_path)
    assert result.returncode == 1
    assert "no such model folder" in result.stderr and "write hf:museum/tiny" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_an_answer_that_cannot_be_printed_is_an_error(tiny_run: Path) -> None:
    command = [sys.executable, "-m", "artaffect.cli.main", "predict", str(tiny_run)]
    with open("/dev/full", "wb") as full:
        given = dict(stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        result = subprocess.run([*command, "--caption", "waves"], **given)
    assert result.returncode == 1 and "No space left" in result.stderr


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    assert resolve_run("runs/first") == Path("runs/first")
    assert resolve_run(tmp_path / "runs" / "first") == tmp_path / "runs" / "first"
    (tmp_path / "hf:").mkdir()
    (tmp_path / "hf:" / "odd").mkdir()
    assert resolve_run("hf:/odd") == Path("hf:/odd")
    for name in ("none", "./none", "a/b/c", "~/none", tmp_path / "none"):
        assert resolve_run(name) == Path(name)


def test_names_that_cannot_be_resolved_get_a_hint() -> None:
    with pytest.raises(ModelFolderError, match=r"runs/frist: no such .* write hf:runs/frist"):
        resolve_run("runs/frist")
    with pytest.raises(ModelFolderError, match="is written hf:OWNER/MODEL"):
        resolve_run("hf:tiny")
    with pytest.raises(ModelFolderError, match="hf:museum/none cannot be downloaded"):
        resolve_run("hf:museum/none")
    with pytest.raises(InputError, match="run must be a folder or hf:OWNER/MODEL, got int"):
        resolve_run(3)  # type: ignore[arg-type]
