"""What a reproduction would take: counted by hand where it can be, and measured without writing anything."""

from pathlib import Path

import pytest

import artaffect as aa
from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.models.text_encoders import create_text_encoder
from artaffect.training.plan import Plan, plan_recipes
from tests.conftest import Command


@pytest.fixture(scope="module")
def recipes(encoder_folders: dict[str, Path]) -> dict[str, SeparateConfig]:
    image = [f"image.encoder={encoder_folders['resnet']}", "image.train.epochs=3"]
    text = [f"caption.encoder={encoder_folders['bert']}", "caption.train.epochs=2"]
    compact = [*image, *text, "fusion.form=logits", "folds=2", "image.penalty=[0.1, 1.0]"]
    compact.append("caption.train.min_steps=0")
    return {
        "image": load_recipe("paper-resnet50", SeparateConfig, [*image, "image.workers=0"]),
        "text": load_recipe("paper-text", SeparateConfig, text),
        "compact": load_recipe("compact", SeparateConfig, compact),
        "lacking": load_recipe("paper-vit", SeparateConfig, ["image.encoder=hf:nobody/nothing"]),
        "done": load_recipe("paper-vgg16", SeparateConfig),
    }


@pytest.fixture(scope="module")
def plan(sample_table: AnnotationTable, recipes: dict[str, SeparateConfig]) -> Plan:
    return plan_recipes(sample_table, recipes, finished=["done"])


def test_rows_and_steps_of_each_part_follow_from_the_table(
    plan: Plan, sample_table: AnnotationTable
) -> None:
    train = sample_table.of_split("train")
    paintings, captions = len(train.codes("artwork_id")[0]), len(train)
    val = sample_table.of_split("val")
    both = (paintings + len(val.codes("artwork_id")[0]), captions + len(val))
    parts = {(part.stage, part.part): part for part in plan.parts}
    assert list(parts) == [
        ("image", "train image source"),
        ("text", "train caption source"),
        ("compact", "encode images"),
        ("compact", "fit image heads"),
        ("compact", "encode captions"),
        ("compact", "train caption heads"),
        ("compact", "combine"),
        ("lacking", "image source"),
    ]
    image, text = parts["image", "train image source"], parts["text", "train caption source"]
    assert (image.rows, image.epochs, image.batch_size) == (paintings, 3, 64)
    assert (image.steps, text.steps) == (3 * -(-paintings // 64), 2 * -(-captions // 64))
    encoded = parts["compact", "encode images"], parts["compact", "encode captions"]
    assert tuple(part.rows for part in encoded) == both
    heads = parts["compact", "fit image heads"]
    fits = 2 + 2  # penalties and folds
    assert (heads.rows, heads.batch_size) == (paintings, paintings)
    assert (heads.epochs, heads.steps) == (fits, fits)
    heads = parts["compact", "train caption heads"]
    assert heads.rows == captions and heads.steps == heads.epochs * -(-captions // 256)


def test_every_measured_part_has_hours_and_memory(
    plan: Plan, encoder_folders: dict[str, Path]
) -> None:
    measured = [part for part in plan.parts if not part.problem]
    assert all(part.hours and part.gigabytes for part in measured)
    assert plan.hours == pytest.approx(sum(part.hours or 0 for part in measured))
    text = next(part for part in measured if part.stage == "text")
    encoder = create_text_encoder(str(encoder_folders["bert"]))
    weights = sum(weight.numel() for weight in encoder.parameters())
    # weight, gradient, two moments and the best epoch's copy; a head and activations come on top
    assert text.gigabytes is not None and text.gigabytes * 1e9 > 20 * weights


def test_what_cannot_be_measured_and_what_is_done_already_is_said(plan: Plan) -> None:
    assert plan.finished == ["done"]
    notes = plan.notes()
    assert notes[0].startswith("lacking: image source was not measured: ")
    assert "nobody/nothing" in notes[0]
    assert notes[1] == "done: the run is finished, and is used as it is"
    (table,) = plan.tables()
    assert table.rows[-2][-2:] == ["–", "–"] and table.rows[-1][0] == "all"


def test_a_plan_of_finished_runs_is_empty_and_writes_nothing(
    artaffect: Command, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    sample_table.save(tmp_path / "table.parquet")
    out = tmp_path / "out"
    stages = ("paper-resnet50", "paper-vgg16", "paper-vit", "paper-text", "paper-fusion", "compact")
    for name in stages:
        (out / "runs" / name).mkdir(parents=True)
        (out / "runs" / name / "SHA256SUMS").touch()
    before = sorted(out.rglob("*"))
    code, text, err = artaffect(
        *("reproduce", "--quick", "--plan", "--json"),
        *("--data", tmp_path / "table.parquet", "--out", out),
    )
    assert code == 0 and '"parts": []' in text and '"hours": 0' in text
    assert err.count("the run is finished") == 6
    assert sorted(out.rglob("*")) == before
    with pytest.raises(InputError, match="a plan needs a table"):
        aa.plan_reproduction(None, out)
