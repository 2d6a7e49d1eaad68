"""The package works without the folder ``shared_task/``."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import artaffect

PACKAGE = Path(artaffect.__file__).parent

USE_THE_PACKAGE = """
import sys
from pathlib import Path
import artaffect
from artaffect.cli.main import main

def run(*arguments):
    sys.argv = ["artaffect", *arguments]
    try:
        main()
    except SystemExit as exit:
        if exit.code:
            raise

image_encoder, text_encoder = sys.argv[1:]
print(artaffect.__file__)
run("--help")
run("sample", "--out", "data", "--paintings", "36", "--captions", "2")
file = "data/artelingo_release_lite.csv"
run("import", "artelingo", file, "--images", "data/wikiart", "--out", "table.parquet")
settings = [
    f"image.encoder={image_encoder}", f"caption.encoder={text_encoder}", "image.penalty=[0.1]",
    "image.train.epochs=1", "caption.train.epochs=1", "caption.hidden=[4]", "fusion.form=logits",
    "fusion.per_culture=off", "folds=2",
]
sets = [part for setting in settings for part in ("--set", setting)]
run("train", "--data", "table.parquet", "--out", "run", *sets)
image = str(next(Path("data/wikiart").rglob("*.jpg")))
run("predict", "run", "--image", image, "--caption", "A quiet sea.", "--culture", "english", "--json")
"""


@pytest.fixture(scope="module")
def package_without_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package from which ``shared_task/`` is deleted."""
    folder = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("shared_task", "__pycache__")
    shutil.copytree(PACKAGE, folder / "artaffect", ignore=ignore)
    # what remains of the folder when only its files are deleted
    (folder / "artaffect" / "shared_task" / "__pycache__").mkdir(parents=True)
    return folder


def run_python(
    code: str, *arguments: object, path: Path, cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path)},
    )


@pytest.mark.slow
def test_a_model_can_be_trained_and_used_without_the_shared_task(
    package_without_task: Path, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    result = run_python(
        USE_THE_PACKAGE,
        encoder_folders["resnet"],
        encoder_folders["bert"],
        path=package_without_task,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == str(package_without_task / "artaffect" / "__init__.py")
    assert "semeval" not in result.stdout and "predict-collection" in result.stdout
    answer = result.stdout[result.stdout.index("{\n") :]
    (prediction,) = json.loads(answer)["predictions"]
    assert prediction["culture"] == "english"
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_the_commands_of_the_missing_shared_task_are_refused_in_one_line(
    package_without_task: Path, tmp_path: Path
) -> None:
    code = "from artaffect.cli.main import main; main()"
    for arguments, message in (
        (("sample", "--out", "x", "--layout", "artemotion28"), "unknown layout 'artemotion28'"),
        (("import", "artemotion28", "x.csv", "--out", "x"), "No such command 'artemotion28'"),
        (("semeval", "check"), "No such command 'semeval'"),
    ):
        result = run_python(code, *arguments, path=package_without_task, cwd=tmp_path)
        assert result.returncode and message in result.stderr
        assert "Traceback" not in result.stderr


def test_only_the_command_line_imports_the_shared_task() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "shared_task"
        and re.search(r"^\s*(from|import) artaffect.shared_task", path.read_text("utf-8"), re.M)
    }
    assert users <= {"__init__.py", "cli/main.py"}
