"""The distributions: built, checked, installed beside nothing of the checkout, and used."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PREPARE = """
import pathlib, shutil
import artaffect as aa
assert pathlib.Path(aa.__file__).is_relative_to({site!r}), aa.__file__
from artaffect.data.sample.write import write_new_artwork
write_new_artwork(pathlib.Path("x.jpg"))
"""


def run(*command: object, cwd: Path, site: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def site(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone is installed; its dependencies are those of the tests."""
    target = tmp_path_factory.mktemp("site")
    (wheel,) = distributions.glob("*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel, cwd=target)
    return target


def test_the_distributions_pass_twine_and_hold_what_they_need(distributions: Path) -> None:
    files = sorted(distributions.iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"] or len(files) == 2
    run("-m", "twine", "check", "--strict", *files, cwd=distributions)
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CITATION.cff", "CONTRIBUTING.md", "pyproject.toml"} <= names
    assert "docs/python-guide.md" in names and "tests/conftest.py" in names


def python_guide() -> str:
    """Every Python block of the guide, in order."""
    text = (ROOT / "docs" / "python-guide.md").read_text("utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))


@pytest.mark.slow
def test_the_python_guide_runs_line_by_line_from_the_wheel(site: Path, tmp_path: Path) -> None:
    script = PREPARE.format(site=str(site)) + python_guide()
    (tmp_path / "guide.py").write_text(script + CONTRACT, "utf-8")
    run("guide.py", cwd=tmp_path, site=site)
    assert (tmp_path / "report" / "report.html").is_file() and (tmp_path / "why.html").is_file()
    version = run("-m", "artaffect.cli.main", "--version", cwd=tmp_path, site=site)
    assert re.fullmatch(r"artaffect \d+\.\d+\.\d+\n", version)


CONTRACT = """
import numpy as np

assert all(1 <= rows < 10**9 for rows in table.report.dropped.values()) and len(frame) > 0
assert 0 <= model.evaluation["both"]["arabic"].macro_f1.value <= 1
low, high = result["both"].accuracy.interval
assert low <= high
columns = ["model", "culture", "metric", "value", "low", "high", "support"]
assert list(result.to_frame().columns) == columns
assert [p.culture for p in prediction] == ["arabic"]
assert prediction["arabic"].top == max(
    prediction["arabic"].probabilities, key=prediction["arabic"].probabilities.get
)
assert matrix.shape == (2, len(aa.EMOTIONS)) and np.allclose(matrix.sum(1), 1)
assert predictor.predict(caption="A storm.", cultures="arabic")["arabic"].culture == "arabic"
assert len(aa.compare_cultures(table).to_frame())
assert summary.answered == 1 and pathlib.Path("answers.parquet").is_file()
assert "english" in repr(exported.predict(caption="A storm.")) and "<table" in prediction._repr_html_()
assert aa.evaluate("runs/first", table)["both"].accuracy.value >= 0
for broken, message in (
    (lambda: predictor.predict(caption="A storm.", cultures=[]), "cultures"),
    (lambda: predictor.predict(caption=3), "caption"),
    (lambda: predictor.predict(image=3), "image"),
    (lambda: aa.evaluate("runs/nowhere", table), "runs/nowhere"),
    (lambda: aa.train(3, "runs/x"), "table"),
    (lambda: aa.train(table, 3), "out"),
    (lambda: aa.report([], table), "runs"),
):
    try:
        broken()
    except aa.ArtAffectError as error:
        assert message in str(error), str(error)
    else:
        raise AssertionError(message)
"""
