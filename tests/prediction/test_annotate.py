"""People's votes go out as tasks, come back as a table, and say what to ask next."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, OutputExistsError, TableError
from artaffect.labels import ARTEMIS
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.label_studio import CONFIGURATION, TASKS, _configuration
from artaffect.prediction.collection.next_votes import expected_information
from artaffect.prediction.collection.works import read_works
from tests.conftest import Command
from tests.exports import CULTURES, LABELS, SCRIPTS, write_answers
from tests.killing import killed_while_writing


@pytest.fixture
def answers(tmp_path: Path, picture: Path) -> Path:
    rows = [
        {
            "id": f"obj {n}",
            "image": picture.name if n else "",
            "title": title,
            "description": "=1+1",
        }
        for n, title in enumerate(SCRIPTS)
    ]
    table = tmp_path / "records.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    out = tmp_path / "answers.parquet"
    write_answers(read_items(table), out)
    return out


def vote(tasks: list[dict[str, Any]], labels: dict[int, list[list[str]]]) -> list[dict[str, Any]]:
    """What Label Studio exports (https://labelstud.io/guide/export) once people have voted on some tasks."""
    exported = []
    for number, task in enumerate(tasks):
        annotations = [
            {
                "id": 10 * number + who,
                "completed_by": {"id": who, "email": f"{who}@museum.example"} if who else 0,
                "was_cancelled": chosen == ["skip"],
                "result": [
                    {
                        **{"from_name": "label", "to_name": "title", "type": "choices"},
                        **{"id": "x", "origin": "manual", "value": {"choices": chosen}},
                    }
                ],
                "created_at": "2026-11-26T10:00:00Z",
            }
            for who, chosen in enumerate(labels.get(number, []))
        ]
        exported.append({"id": number, **task, "annotations": annotations})
    return exported


def test_tasks_are_what_label_studio_reads(
    answers: Path, tmp_path: Path, artaffect: Command
) -> None:
    out = tmp_path / "tasks"
    code, _, err = artaffect("annotate", "export", answers, "--to", "label-studio", "--out", out)
    assert code == 0, err
    assert "wrote tasks about 4 works for arabic, chinese" in err
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}" in err
    works = read_works(answers, {}, None)
    for c, culture in enumerate(CULTURES):
        config = ElementTree.parse(out / culture / CONFIGURATION).getroot()
        names = {node.get("name") for node in config.iter() if node.get("name")}
        choices = config.find("Choices")
        assert choices is not None and choices.get("toName") in names
        assert [choice.get("alias") for choice in choices] == list(LABELS)
        variables = {node.get("value", "")[1:] for node in config if node.get("value")}
        tasks = json.loads((out / culture / TASKS).read_text("utf-8"))
        assert len(tasks) == 4
        for i, task in enumerate(tasks):
            assert variables <= task["data"].keys() and task["data"]["culture"] == culture
            (prediction,) = task["predictions"]
            (result,) = prediction["result"]
            assert result["value"]["choices"] == [LABELS[works.tops[i, c]]]
            assert {result["from_name"], result["to_name"]} <= names
            top = float(works.probabilities[i, c].max())
            assert prediction["score"] == pytest.approx(top, abs=1e-6)
            assert prediction["model_version"] == "first abababababab"
        images = [task["data"]["image"] for task in tasks]
        assert "" in images and "/data/local-files/?d=picture.jpg" in images
    with pytest.raises(OutputExistsError, match="add --overwrite"):
        aa.export_tasks(answers, out)


def test_labels_are_asked_in_the_language_of_the_culture() -> None:
    arabic = ElementTree.fromstring(_configuration(ARTEMIS, "arabic", True))
    assert arabic.get("style") == "direction: rtl"
    shown = {choice.get("alias"): choice.get("value") for choice in arabic.iter("Choice")}
    assert shown["fear"] == "خوف" and list(shown) == list(ARTEMIS.names)
    other = ElementTree.fromstring(_configuration(ARTEMIS, "spanish", False))
    assert other.get("style") is None and other.find("Image") is None
    assert [choice.get("value") for choice in other.iter("Choice")] == list(ARTEMIS.names)


def test_votes_come_back_with_annotator_and_culture(
    answers: Path, tmp_path: Path, artaffect: Command
) -> None:
    out, export = tmp_path / "tasks", tmp_path / "export.json"
    aa.export_tasks(answers, out, ["Chinese", "chinese"])
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["chinese"]
    tasks = json.loads((out / "chinese" / TASKS).read_text("utf-8"))
    chosen = {0: [["fear"]], 1: [["awe"], ["fear"], ["skip"]], 3: [["something else"], []]}
    export.write_text(json.dumps(vote(tasks, chosen)), "utf-8")
    votes = tmp_path / "votes.jsonl"
    code, _, err = artaffect("annotate", "import", export, "--out", votes)
    assert code == 0, err
    assert "read 4 votes of 2 annotators (chinese 4)" in err
    assert "left out 1: skipped by the annotator" in err
    assert "left out 1: not exactly one label" in err
    table = aa.read_table(votes, columns={"language": None})
    rows = table.to_pandas()
    assert sorted(rows["emotion"]) == ["awe", "fear", "fear", "something else"]
    assert set(rows["culture"]) == {"chinese"}
    ids = [task["data"]["item"] for task in tasks]
    assert set(rows["artwork_id"]) == {ids[0], ids[1], ids[3]}
    assert set(rows["annotator"]) == {"0", "1@museum.example"}


def test_a_table_is_asked_about_without_answers(
    sample_table: AnnotationTable, tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    sample_table.save(path)
    summary = aa.export_tasks(path, tmp_path / "tasks")
    assert summary.items == len(set(sample_table.strings("artwork_id")))
    assert summary.cultures == ("arabic", "chinese", "english")
    task = json.loads((tmp_path / "tasks" / "english" / TASKS).read_text("utf-8"))[0]
    assert "predictions" not in task
    assert summary.document_root is not None
    relative = task["data"]["image"].partition("?d=")[2].replace("%28", "(").replace("%29", ")")
    assert (Path(summary.document_root) / relative).is_file()


@pytest.mark.parametrize(
    "text", ["{}", "[1]", '[{"data": {}}]', "no json", '[{"id": 1, "label": "x"}]']
)
def test_what_is_no_export_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(TableError, match="is no export of Label Studio .* not as JSON-MIN"):
        aa.import_votes(path, tmp_path / "votes.jsonl")
    path.write_text("[]")
    with pytest.raises(TableError, match="holds no vote"):
        aa.import_votes(path, tmp_path / "votes.jsonl")
    with pytest.raises(InputError, match=r"expected NAME\.jsonl"):
        aa.import_votes(path, tmp_path / "votes.csv")


def test_one_draw_tells_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    for alpha in (np.array([0.5, 1.5]), np.array([3.0, 1.0, 0.2])):
        p = rng.dirichlet(alpha, 400_000).clip(1e-300)
        mean = alpha / alpha.sum()
        expected = -(mean * np.log2(mean)).sum() + (p * np.log2(p)).sum(1).mean()
        assert expected_information(alpha[None])[0] == pytest.approx(expected, abs=5e-3)


def test_what_is_known_is_not_asked_again(
    answers: Path, tmp_path: Path, artaffect: Command
) -> None:
    first = aa.next_votes(answers, count=8)
    assert len(first) == 8 and [q.bits for q in first] == sorted(
        (q.bits for q in first), reverse=True
    )
    best = first[0]
    votes = tmp_path / "votes.jsonl"
    lines = [{"artwork": best.item, "label": "awe", "culture": best.culture}] * 6
    votes.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    again = {(q.item, q.culture): q for q in aa.next_votes(answers, votes, count=8)}
    settled = again[best.item, best.culture]
    assert settled.votes == 6 and settled.top == "awe"
    assert settled.bits < best.bits / 2
    code, out, _ = artaffect("annotate", "next", answers, "--votes", votes, "--count", 1)
    assert code == 0 and out.startswith(f"{first[1].bits:.3f} bits  {first[1].item}  ask ")
    votes.write_text('{"artwork": "obj 1", "label": "joy", "culture": "arabic"}', "utf-8")
    with pytest.raises(TableError, match="line 1: 'joy' is no label of the answers"):
        aa.next_votes(answers, votes)
    votes.write_text('{"artwork": "other", "label": "awe", "culture": "arabic"}', "utf-8")
    with pytest.raises(TableError, match="none of its votes is on a work"):
        aa.next_votes(answers, votes)


def test_only_the_questions_that_tell_most_are_handed_over(
    answers: Path, tmp_path: Path, artaffect: Command
) -> None:
    out = tmp_path / "tasks"
    best = aa.next_votes(answers, cultures=["Arabic"], count=2)
    assert [q.culture for q in best] == ["arabic", "arabic"]
    code, _, err = artaffect(
        *("annotate", "export", answers, "--out", out, "--most", 2, "--culture", "arabic")
    )
    assert code == 0 and "wrote tasks about 2 works for arabic" in err
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["arabic"]
    tasks = json.loads((out / "arabic" / "tasks.json").read_text("utf-8"))
    assert [task["data"]["item"] for task in tasks] == [q.item for q in best]
    code, _, err = artaffect("annotate", "export", answers, "--out", tmp_path / "t", "--votes", out)
    assert code == 2 and "needs --most" in err
    with pytest.raises(InputError, match="no culture 'norse'; their cultures: arabic, chinese"):
        aa.next_votes(answers, cultures=["norse"])
    with pytest.raises(TableError, match="none of the questions is for chinese"):
        aa.export_tasks(answers, tmp_path / "none", ["chinese"], questions=best)


def test_a_kill_leaves_nothing_half_written(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "tasks"
    assert killed_while_writing(tmp_path, partial(aa.export_tasks, answers, out))
    assert not out.exists()
