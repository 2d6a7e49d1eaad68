"""Labels of one's own, from a table in any format to a report, a prediction, an export and the service."""

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputTypeError
from artaffect.server.app import create_app
from tests.conftest import Command
from tests.tables import Row, write_excel, write_json_lines, write_text

pytestmark = pytest.mark.slow

LABELS = ("calm", "dread", "joy")
FELT = {
    **dict.fromkeys(("amusement", "excitement", "awe"), "joy"),
    **dict.fromkeys(("anger", "disgust", "fear", "sadness"), "dread"),
    **dict.fromkeys(("contentment", "something else"), "calm"),
}


@pytest.fixture
def rows(sample_table: AnnotationTable) -> list[Row]:
    """The sample, as a museum's visitors might have filled it in."""
    return [
        {
            "Datei": row.image,
            "Beschreibung": row.caption,
            "Gefühl": FELT[row.emotion].title() if i % 3 else FELT[row.emotion],
            "Land": f"{row.culture} Österreich",
            "Teil": row.split,
        }
        for i, row in enumerate(sample_table)
    ]


COLUMN_OF = {
    **{"image": "Datei", "caption": "Beschreibung", "label": "Gefühl"},
    **{"culture": "Land", "split": "Teil"},
}
COLUMNS = [part for kind, name in COLUMN_OF.items() for part in ("--column", f"{kind}={name}")]


@pytest.fixture
def images(sample_table: AnnotationTable) -> Path:
    assert sample_table.images is not None
    return sample_table.images


@pytest.fixture
def table(artaffect: Command, tmp_path: Path, rows: list[Row], images: Path) -> Path:
    """The rows, imported from three formats with the same result."""
    files = (
        write_text(tmp_path / "own.csv", rows, "utf-16", ";"),
        write_json_lines(tmp_path / "own.jsonl", rows),
        write_excel(tmp_path / "own.xlsx", rows),
    )
    tables = []
    for file in files:
        out = file.with_suffix(f"{file.suffix}.parquet")
        code, _, err = artaffect(
            "import", "table", file, "--images", images, "--out", out, *COLUMNS
        )
        assert code == 0 and "labels of its own: calm, dread, joy" in err
        tables.append(AnnotationTable.load(out))
        assert tables[-1].labels.names == LABELS and len(tables[-1]) == len(rows)
    first, *others = [table.strings("emotion") for table in tables]
    assert others == [first, first]
    return out


@pytest.fixture
def run(artaffect: Command, tmp_path: Path, encoder_folders: dict[str, Path], table: Path) -> Path:
    settings = [
        f"image.encoder={encoder_folders['resnet']}",
        f"caption.encoder={encoder_folders['bert']}",
        "image.penalty=[0.1]",
        "image.train.epochs=4",
        "caption.train.epochs=3",
        "caption.hidden=[16]",
        "fusion.form=logits",
        "caption.train.min_steps=0",
        "folds=2",
    ]
    changes = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "run"
    code, out, err = artaffect("train", "--data", table, "--out", run, *changes)
    assert code == 0 and "baseline" in out, err
    config = json.loads((run / "config.json").read_text("utf-8"))
    assert config["labels"]["names"] == list(LABELS)
    return run


def test_own_labels_from_three_formats_to_the_service(
    artaffect: Command, tmp_path: Path, table: Path, run: Path, rows: list[Row], images: Path
) -> None:
    check_scores(artaffect, tmp_path, table, run)
    check_explanations(artaffect, run)
    check_export(artaffect, tmp_path, run, rows, images)
    foreign = tmp_path / "foreign.parquet"
    known = {"calm": "contentment", "dread": "fear", "joy": "excitement"}
    aa.read_table(tmp_path / "own.csv", images, COLUMN_OF, map_labels=known).save(foreign)
    code, _, err = artaffect("evaluate", run, "--data", foreign)
    assert code == 1 and "the model knows only calm, dread, joy" in err


def check_scores(artaffect: Command, folder: Path, table: Path, run: Path) -> None:
    scores, report = folder / "scores", folder / "report"
    code, out, _ = artaffect("evaluate", run, "--data", table, "--json", "--out", scores)
    confusion = json.loads(out)["confusion"]["overall"]
    assert code == 0 and np.shape(confusion) == (3, 3) and np.sum(confusion) == 132
    assert "dread" in (scores / "report.html").read_text("utf-8")
    arguments = ("--data", table, "--out", report, "--least", 2, "--explanations", 0)
    code, _, err = artaffect("report", run, *arguments)
    assert code == 0, err
    told = json.loads((report / "report.json").read_text("utf-8"))
    assert told["labels"] == list(LABELS)
    distances = told["runs"][0]["distributions"]["both"]["overall"]
    assert "manhattan_distance" in distances
    assert "earth_movers_distance" not in distances, "the valence of these labels is unknown"


def check_explanations(artaffect: Command, run: Path) -> None:
    code, out, _ = artaffect("predict", run, "--caption", "black sky", "--json")
    first = json.loads(out)["predictions"][0]
    assert code == 0 and tuple(first["probabilities"]) == LABELS and first["top"] in LABELS
    explain = ("explain", run, "--caption", "black sky", "--json", "--no-check", "--emotion")
    code, out, _ = artaffect(*explain, "dread")
    assert code == 0 and json.loads(out)["explanations"][0]["explained_emotion"] == "dread"
    code, _, err = artaffect(*explain, "fear")
    assert code == 1 and "unknown label 'fear'" in err and "Known: calm, dread, joy" in err


def check_export(
    artaffect: Command, folder: Path, run: Path, rows: list[Row], images: Path
) -> None:
    code, _, err = artaffect("export", run, "--out", folder / "onnx")
    assert code == 0, err
    graphs = aa.load_predictor(folder / "onnx")
    expected = aa.load_predictor(run).predict(caption="black sky").by_culture[0]
    answer = graphs.predict(caption="black sky").by_culture[0]
    np.testing.assert_allclose(answer.distribution.values, expected.distribution.values, atol=1e-4)
    items, answers = write_json_lines(folder / "items.jsonl", rows[::12]), folder / "answers.jsonl"
    code, _, err = artaffect(
        "predict-collection", run, items, "--root", images, "--out", answers, *COLUMNS[:4]
    )
    assert code == 0, err
    assert set(LABELS) < set(json.loads(answers.read_text("utf-8").splitlines()[0]))
    with TestClient(create_app(graphs)) as client:
        body = client.post("/v1/predict", data={"caption": "black sky"}).json()
        assert tuple(body["predictions"][0]["probabilities"]) == LABELS
        emotions = client.get("/v1/model").json()["emotions"]
        assert [(e["name"], e["sentiment"]) for e in emotions] == [(name, None) for name in LABELS]
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        assert schemas["Emotion"]["enum"] == list(LABELS)


def test_a_map_says_what_labels_stand_for(tmp_path: Path, log_messages: list[str]) -> None:
    rows: list[Row] = [
        {"id": str(i), "text": "x", "label": label}
        for i, label in enumerate(("Happiness", "sadness", "boredom", "calm"))
    ]
    file = write_text(tmp_path / "t.csv", rows)

    def read(**options: object) -> AnnotationTable:
        return aa.read_table(file, culture="x", **options)  # type: ignore[arg-type]

    table = read()
    assert table.labels.name == "artemis" and table.strings("emotion") == ["sadness"]
    assert "which lacks boredom, calm, happiness: these rows are dropped" in "".join(log_messages)
    assert table.report is not None and table.report.dropped == {"unknown emotion": 3}
    assert read(labels="data").labels.names == ("boredom", "calm", "happiness", "sadness")
    mapped = read(map_labels={"happiness": "contentment", "Calm": "contentment"})
    assert mapped.strings("emotion") == ["contentment", "sadness", "contentment"]
    lines = tmp_path / "map.toml"
    lines.write_text('happiness = "up"\ncalm = "up"\nsadness = "down"\nboredom = "down"\n')
    two = read(map_labels=lines)
    assert two.labels.names == ("down", "up") and two.strings("emotion") == [
        "up",
        "down",
        "down",
        "up",
    ]
    with pytest.raises(ConfigError, match="the map leads to the label 'up', which is not one of"):
        read(labels="ekman", map_labels=lines)
    with pytest.raises(ConfigError, match="happiness: expected a label in quotes, .* or several"):
        lines.write_text("happiness = 1")
        read(map_labels=lines)


def test_a_label_may_stand_for_any_of_several(artaffect: Command, tmp_path: Path) -> None:
    labels = ("Happiness", "sadness", "calm", "sadness")
    rows: list[Row] = [
        {"id": str(i), "text": f"text {i}", "label": label} for i, label in enumerate(labels)
    ]
    file, lines = write_text(tmp_path / "t.csv", rows), tmp_path / "map.toml"
    lines.write_text('happiness = ["Awe", "contentment"]\ncalm = "contentment"\n')
    by_file = aa.read_table(file, culture="x", map_labels=lines)
    joined = {"happiness": "contentment|awe", "calm": ["contentment"]}
    by_text = aa.read_table(file, culture="x", map_labels=joined)
    assert by_file.strings("emotion") == by_text.strings("emotion")
    assert by_file.strings("emotion") == ["awe|contentment", "sadness", "contentment", "sadness"]
    assert by_file.partial_labels == ("awe|contentment",)
    index = [by_file.labels.index(name) for name in ("sadness", "contentment", "sadness")]
    assert by_file.emotion_codes().tolist() == [9, *index]
    assert by_file.report is not None and by_file.report.partial_labels == 1
    assert by_file.with_exact_labels().strings("emotion") == ["sadness", "contentment", "sadness"]
    out = tmp_path / "table.parquet"
    code, printed, err = artaffect(
        "import", "table", file, "--out", out, "--culture", "x", "--map-label", lines
    )
    assert code == 0 and "rows whose label is one of several: 1" in err
    code, printed, _ = artaffect("stats", out)
    assert code == 0 and "one of awe or contentment" in printed
    with pytest.raises(ConfigError, match="from 'calm' to any of all labels, which says nothing"):
        aa.read_table(file, culture="x", map_labels={"calm": "a|b"})
    with pytest.raises(ConfigError, match="'calm' = 'a|': a label is empty"):
        aa.read_table(file, culture="x", map_labels={"calm": "a|"})
    with pytest.raises(InputTypeError, match="map a str to a str or a list of str, got 'calm': 3"):
        aa.read_table(file, culture="x", map_labels={"calm": 3})  # type: ignore[dict-item]
