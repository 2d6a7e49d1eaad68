"""The search for the settings of heads on frozen encoders."""

import json
from pathlib import Path

import pytest

import artaffect as aa
from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError
from artaffect.training.search_space import Range, ends, read_search
from tests.conftest import Command

SPACE = """
[search]
"caption.hidden" = [[], [8], [16]]
"caption.dropout" = { low = 0.1, high = 0.7 }
"caption.train.epochs" = { low = 2, high = 6 }
"image.penalty" = { low = 0.03, high = 3.0, log = true }
"""


@pytest.fixture
def recipe(encoder_folders: dict[str, Path], tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(
        f"""# a comment
kind = "separate"
folds = 2
[image]
encoder = "{encoder_folders["resnet"]}"
penalty = [0.1]
[image.train]
epochs = 3
[caption]
encoder = "{encoder_folders["bert"]}"
[caption.train]
epochs = 1
[fusion]
form = "logits"
{SPACE}"""
    )
    return path


def test_the_search_space_of_a_recipe_is_read_and_checked(recipe: Path) -> None:
    spaces = read_search(str(recipe))
    assert spaces["image"] == {"image.penalty": Range(0.03, 3.0, log=True)}
    assert spaces["caption"]["caption.hidden"] == [[], [8], [16]]
    assert {"caption.train.epochs": 6} in ends(spaces["caption"])
    assert list(read_search(str(recipe), ["caption"])) == ["caption"]
    load_recipe(str(recipe), SeparateConfig)  # training takes no notice of it
    assert set(read_search("compact")) == {"image", "caption"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"caption.dropout" = { low = 0.7, high = 0.1 }', "low must be below high"),
        ('"caption.dropout" = { low = 0, high = 1, log = true }', "log = true needs low above 0"),
        ('"caption.dropout" = 0.3', "expected a list of at least two choices, or a range"),
        ('"caption.dropout" = [0.3]', "search.caption.dropout: expected a list"),
        ('"fusion.latent" = [8, 16]', "only settings of a head can be searched"),
        ('"caption.encoder" = ["a", "b"]', "only settings of a head can be searched"),
        ("", "has no search space"),
    ],
)
def test_a_malformed_space_is_refused(recipe: Path, line: str, message: str) -> None:
    recipe.write_text(recipe.read_text().replace(SPACE, f"\n[search]\n{line}\n"))
    with pytest.raises(ConfigError, match=message):
        read_search(str(recipe))


def test_a_search_is_kept_resumed_and_written_as_a_recipe(
    recipe: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    out = tmp_path / "search"
    first = aa.tune(sample_table, out, recipe, trials=3)
    assert {s: r.trials for s, r in first.sources.items()} == {"image": 3, "caption": 3}
    assert all(r.after <= r.before for r in first.sources.values())
    again = aa.tune(sample_table, out, recipe, trials=8, sources="caption")
    result = again.sources["caption"]
    assert result.trials == 8 and result.before == first.sources["caption"].before
    assert result.after <= first.sources["caption"].after < result.before
    assert aa.tune(sample_table, out, recipe, trials=8, sources="caption").sources[
        "caption"
    ].after == (result.after)

    text = (out / "recipe.toml").read_text("utf-8")
    assert "# a comment" in text and "[search]" in text
    config = load_recipe(str(out / "recipe.toml"), SeparateConfig)
    for key, value in result.settings.items():
        setting: object = config
        for name in key.split("."):
            setting = getattr(setting, name)
        assert setting == (tuple(value) if isinstance(value, list) else value)
    # the recipe that was written scores what the search says
    alone = ["fusion.form=logits", "folds=2"]
    model = aa.train(sample_table, tmp_path / "run", out / "recipe.toml", alone)
    log = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["training_log"]
    assert log["caption"]["validation_log_loss"] == pytest.approx(result.after, abs=1e-6)
    assert model.labels

    with pytest.raises(ConfigError, match="holds a search of other settings or data"):
        aa.tune(sample_table, out, recipe, {"culture": "off"}, trials=3)


def test_a_search_that_cannot_begin_names_the_reason(
    recipe: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    with pytest.raises(ConfigError, match="has no search space for sound"):
        aa.tune(sample_table, tmp_path / "x", recipe, sources="sound")
    fine_tuned = {"caption.training": "fine-tuned", "held_out": 0.1}
    with pytest.raises(
        ConfigError, match="caption is fine-tuned: set caption.training to 'frozen'"
    ):
        aa.tune(sample_table, tmp_path / "x", recipe, fine_tuned)
    recipe.write_text(recipe.read_text().replace("high = 0.7", "high = 1.5"))
    with pytest.raises(ConfigError, match="caption.dropout: Input should be less than 1, got 1.5"):
        aa.tune(sample_table, tmp_path / "x", recipe)
    with pytest.raises(ConfigError, match="searched without an initial model"):
        aa.tune(sample_table, tmp_path / "x", recipe, {"initial": "starter"})
    with pytest.raises(InputError, match="at least 1, got 0"):
        aa.tune(sample_table, tmp_path / "x", recipe, trials=0)
    assert not (tmp_path / "x").exists()


def test_the_command_prints_before_and_after(
    artaffect: Command, recipe: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    sample_table.save(tmp_path / "t.parquet")
    given = ("tune", recipe, "--data", tmp_path / "t.parquet", "--out", tmp_path / "search")
    code, printed, err = artaffect(*given, "--trials", 2, "--source", "image")
    assert code == 0, err
    assert "log-loss before" in printed and "recipe.toml" in err
    code, printed, err = artaffect(*given, "--trials", 2, "--source", "image", "--json")
    assert json.loads(printed)["sources"]["image"]["trials"] == 2
