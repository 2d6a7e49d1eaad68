"""Both subtasks of ArtEmotion-28 through the command line, from a release to checked zips."""

import json
import zipfile
from pathlib import Path

import pytest

from artaffect.shared_task.sample import FILE, write_artemotion28
from tests.conftest import Command


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("semeval") / "a28"
    write_artemotion28(folder, paintings=60, rows=9_000)
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def test_from_the_release_to_two_zips(
    artaffect: Command, release: Path, workplace: Path, encoder_folders: dict[str, Path]
) -> None:
    table, run, items = workplace / "a28.parquet", workplace / "run", workplace / "items"
    images = release / "images"
    code, _, err = artaffect(
        "import", "artemotion28", release / FILE, "--images", images, "--out", table
    )
    assert code == 0, err
    settings = [
        f"image.encoder={encoder_folders['resnet']}",
        f"caption.encoder={encoder_folders['bert']}",
        "image.penalty=[0.01]",
        "image.train.epochs=6",
        "caption.train.epochs=1",
        "caption.hidden=[8]",
        "fusion.logits.epochs=2",
        "fusion.form=logits",
        "fusion.per_culture=off",
        "folds=2",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    code, _, err = artaffect("train", "--data", table, "--out", run, *sets)
    assert code == 0, err

    assert artaffect("semeval", "items", "--data", table, "--out", items)[0] == 0
    first, second = items / "st1_items.csv", items / "st2_items.csv"
    zip1, zip2 = workplace / "st1.zip", workplace / "st2.zip"
    code, out, err = artaffect(
        "semeval", "emotions", run, "--items", first, "--images", images, "--out", zip1, "--json"
    )
    assert code == 0, err
    assert "the image changes" in err
    scores = json.loads(out)
    assert set(scores) == {"predictions_text.csv", "predictions_multimodal.csv"}
    languages = scores["predictions_text.csv"]["languages"]
    mean = sum(one["macro_f1"] for one in languages.values()) / len(languages)
    assert scores["predictions_text.csv"]["mean"]["macro_f1"] == pytest.approx(mean)

    found = {}
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
        found[model] = json.loads(out)["divergence"]
    code, out, _ = artaffect("semeval", "baselines", "--data", table, "--json")
    baselines = json.loads(out)["subtask 2"]
    assert 0 < json.loads(out)["subtask 1"]["majority"] < 0.3
    assert baselines["copy"] == pytest.approx(found["copy"], abs=1e-6)
    assert baselines["regression"] == pytest.approx(found["regression"], abs=1e-5)
    assert found["regression"] < found["copy"]

    for path, asked in ((zip1, first), (zip2, second)):
        code, _, err = artaffect("semeval", "check", path, "--items", asked)
        assert code == 0 and "complete and well formed" in err
        assert artaffect("semeval", "score", path, "--items", asked)[0] == 0
    with zipfile.ZipFile(zip1) as archive:
        assert sorted(archive.namelist()) == ["predictions_multimodal.csv", "predictions_text.csv"]


def test_the_older_rules_are_a_setting(artaffect: Command, release: Path, workplace: Path) -> None:
    table, run, items = workplace / "a28.parquet", workplace / "run", workplace / "old"
    older = ("--set", "labels=sentiment")
    assert artaffect("semeval", "items", "--data", table, "--out", items, *older)[0] == 0
    code, out, err = artaffect(
        "semeval", "emotions", run, "--items", items / "st1_items.csv", "--images", release / "images",
        "--out", workplace / "old.zip", "--json", *older,
    )  # fmt: skip
    if code:  # so few captions that the image turns no sentiment
        assert "both runs give all" in err
    else:
        assert 0 < json.loads(out)["predictions_text.csv"]["mean"]["macro_f1"] <= 1


def test_bad_input_gets_one_clear_line(artaffect: Command, release: Path, workplace: Path) -> None:
    table, run = workplace / "a28.parquet", workplace / "run"
    items = workplace / "bad.csv"
    header = "painting,source_language,source_p_positive,target_language\n"
    common = (
        "semeval",
        "shares",
        "--data",
        table,
        "--items",
        items,
        "--out",
        workplace / "bad.zip",
    )
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
    assert code == 1 and "--run is for the model regression, and needs --images" in err
    assert not (workplace / "bad.zip").exists()
    items.write_text("id,image_name,language,caption\n1,Baroque/gone.jpg,Thai,words\n")
    code, _, err = artaffect(
        "semeval", "emotions", run, "--items", items, "--images", release / "images",
        "--out", workplace / "bad.zip",
    )  # fmt: skip
    assert code == 1 and "1 pictures cannot be used" in err and "gone.jpg" in err
    assert "Traceback" not in err
