"""Both subtasks of ArtEmotion-28 on the command line, from the release to checked zip files."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from artaffect.shared_task.sample import CSV_FILE, write_artemotion28
from tests.conftest import Command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("semeval") / "a28"
    write_artemotion28(folder, artworks=60, rows=9_000)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def test_both_subtasks_run_from_the_release_to_a_scored_zip(
    artaffect: Command, release: Path, workspace: Path, encoder_folders: dict[str, Path]
) -> None:
    table, run, items = workspace / "a28.parquet", workspace / "run", workspace / "items"
    images = release / "images"
    code, _, err = artaffect(
        "import", "artemotion28", release / CSV_FILE, "--images", images, "--out", table
    )
    assert code == 0, err
    settings = [
        f"image.encoder={encoder_folders['resnet']}",
        f"caption.encoder={encoder_folders['bert']}",
        "image.penalty=[0.01]",
        "image.train.epochs=6",
        "caption.train.epochs=1",
        "caption.hidden=[8]",
        "caption.train.min_steps=0",
        "fusion.form=logits",
        "fusion.per_culture=off",
        "folds=2",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    code, _, err = artaffect("train", "--data", table, "--out", run, *sets)
    assert code == 0, err

    assert artaffect("semeval", "items", "--data", table, "--out", items)[0] == 0
    first, second = items / "st1_items.csv", items / "st2_items.csv"
    zip1, zip2 = workspace / "st1.zip", workspace / "st2.zip"
    code, out, err = artaffect(
        "semeval", "emotions", run, "--items", first, "--images", images, "--out", zip1, "--json"
    )
    assert code == 0, err
    assert "the image changes" in err
    result = json.loads(out)
    assert set(result) == {"predictions_text.csv", "predictions_multimodal.csv"}
    languages = result["predictions_text.csv"]["languages"]
    mean = sum(scores["macro_f1"] for scores in languages.values()) / len(languages)
    assert result["predictions_text.csv"]["mean"]["macro_f1"] == pytest.approx(mean)

    divergences = {}
    for model, more in {
        "copy": (),
        "regression": (),
        "with run": ("--run", run, "--images", images),
    }.items():
        name = "regression" if more else model
        code, out, err = artaffect(
            "semeval", "shares", "--data", table, "--items", second, "--out", zip2,
            "--model", name, "--json", *more,
        )  # fmt: skip
        assert code == 0, err
        divergences[model] = json.loads(out)["divergence"]
    code, out, _ = artaffect("semeval", "baselines", "--data", table, "--json")
    baselines = json.loads(out)["subtask_2"]
    assert 0 < json.loads(out)["subtask_1"]["majority"] < 0.3
    assert baselines["copy"] == pytest.approx(divergences["copy"], abs=1e-6)
    assert baselines["regression"] == pytest.approx(divergences["regression"], abs=1e-5)
    assert divergences["regression"] < divergences["copy"]

    for path, task_file in ((zip1, first), (zip2, second)):
        code, _, err = artaffect("semeval", "check", path, "--items", task_file)
        assert code == 0 and "complete and well formed" in err
        code, out, _ = artaffect("semeval", "score", path, "--items", task_file)
        assert code == 0 and ("mean" in out or "mean over targets" in out)
    with zipfile.ZipFile(zip1) as archive:
        assert sorted(archive.namelist()) == ["predictions_multimodal.csv", "predictions_text.csv"]


def test_the_older_rules_are_a_setting(artaffect: Command, release: Path, workspace: Path) -> None:
    table, run, items = workspace / "a28.parquet", workspace / "run", workspace / "old"
    older = ("--set", "labels=sentiment")
    assert artaffect("semeval", "items", "--data", table, "--out", items, *older)[0] == 0
    code, out, err = artaffect(
        "semeval", "emotions", run, "--items", items / "st1_items.csv", "--images", release / "images",
        "--out", workspace / "old.zip", "--json", *older,
    )  # fmt: skip
    if code:  # the image may change no label when there are so few captions
        assert "both files have the same label" in err
    else:
        assert 0 < json.loads(out)["predictions_text.csv"]["mean"]["macro_f1"] <= 1


def test_images_that_cannot_be_used_cost_their_own_artworks(
    artaffect: Command, release: Path, workspace: Path
) -> None:
    run, items, images = workspace / "run", workspace / "items", workspace / "images"
    shutil.copytree(release / "images", images)
    first, second, *_ = (path for path in sorted(images.rglob("*.jpg")) if is_needed(path, items))
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    paths = ("--images", images, "--out", workspace / "partly.zip")
    code, _, err = artaffect("semeval", "emotions", run, "--items", items / "st1_items.csv", *paths)
    assert code == 0 and f"{first.name}: no such image" in err
    assert "2 of " in err and "their captions are labelled without an image" in err
    code, _, err = artaffect(
        "semeval", "shares", "--data", workspace / "a28.parquet",
        "--items", items / "st2_items.csv", "--run", run, *paths,
    )  # fmt: skip
    assert code == 0 and "images cannot be used" in err and "priors are used" in err


def is_needed(image: Path, items: Path) -> bool:
    """Whether both task files name an artwork."""
    return all(image.stem in (items / f"st{n}_items.csv").read_text("utf-8") for n in (1, 2))


def test_bad_input_gets_one_clear_line(artaffect: Command, release: Path, workspace: Path) -> None:
    table, run = workspace / "a28.parquet", workspace / "run"
    items = workspace / "bad.csv"
    header = "painting,source_language,source_p_positive,target_language\n"
    out = workspace / "bad.zip"
    common = ("semeval", "shares", "--data", table, "--items", items, "--out", out)
    items.write_text(header + "x,English,0.4,Klingon\n")
    code, _, err = artaffect(*common)
    assert code == 1 and "has no votes in 'Klingon'" in err
    items.write_text(header + "x,English,40,Thai\n")
    code, _, err = artaffect(*common)
    assert code == 1 and "line 2: column source_p_positive must be a number from 0 to 1" in err
    items.write_text(header + "x,English,0.4,Thai\n")
    code, _, err = artaffect(*common, "--model", "blnd")
    assert code == 1 and "unknown model 'blnd'. Did you mean 'blend'?" in err
    code, _, err = artaffect(*common, "--run", run)
    assert code == 1 and "--run works with the model regression only, and needs --images" in err
    assert not out.exists()
    items.write_text("id,image_name,language,caption\n1,Baroque/gone.jpg,Thai,words\n")
    code, _, err = artaffect(
        "semeval", "emotions", run, "--items", items, "--images", release / "images",
        "--out", workspace / "bad.zip",
    )  # fmt: skip
    assert code == 1
    assert "1 of 1 images cannot be used (the first: Baroque/gone.jpg: no such image)" in err
    assert "Traceback" not in err


def test_a_model_of_the_hub_is_named_with_hf(
    artaffect: Command, release: Path, workspace: Path
) -> None:
    table, items, out = workspace / "a28.parquet", workspace / "items", workspace / "bad.zip"
    common = ("--images", release / "images", "--out", out)
    for arguments in (
        ("emotions", "hf:nobody/nothing", "--items", items / "st1_items.csv"),
        (
            "shares",
            "--run",
            "hf:nobody/nothing",
            "--data",
            table,
            "--items",
            items / "st2_items.csv",
        ),
    ):
        code, _, err = artaffect("semeval", *arguments, *common)
        assert code == 1 and "nobody/nothing" in err and "Traceback" not in err
        assert not out.exists()
