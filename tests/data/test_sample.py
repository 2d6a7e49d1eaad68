"""The sample follows its generative model, and its best possible scores are correct."""

import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.data.sample.generative_model import CULTURES, best_scores, cues, feelings
from artaffect.data.sample.painting_styles import PALETTES, STYLES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.data.sample.write import write_sample
from artaffect.errors import OutputExistsError
from artaffect.labels import EMOTIONS


def test_probabilities_sum_to_one() -> None:
    np.testing.assert_allclose(feelings().sum(-1), 1)
    np.testing.assert_allclose(cues().sum(-1), 1)


def test_more_inputs_never_lower_the_best_score() -> None:
    best = best_scores()
    for less, more in (
        ("nothing but the culture", "image and culture"),
        ("nothing but the culture", "caption and culture"),
        ("image", "image and culture"),
        ("image", "both"),
        ("caption", "caption and culture"),
        ("caption", "both"),
        ("both", "both and culture"),
        ("image and culture", "both and culture"),
        ("caption and culture", "both and culture"),
    ):
        assert best[less].accuracy <= best[more].accuracy
        assert best[less].log_loss > best[more].log_loss


def test_the_best_score_of_image_and_culture_matches_a_direct_sum() -> None:
    probabilities = feelings()
    best = best_scores()["image and culture"]
    assert best.accuracy == pytest.approx(probabilities.max(-1).mean())
    assert best.log_loss == pytest.approx(-(probabilities * np.log(probabilities)).sum(-1).mean())


def test_culture_does_not_help_if_cultures_do_not_differ() -> None:
    best = best_scores(culture_strength=0.0)
    assert best["image and culture"].log_loss == pytest.approx(best["image"].log_loss)
    assert best["both and culture"].accuracy == pytest.approx(best["both"].accuracy)


def test_emotions_in_a_sample_follow_the_generative_model() -> None:
    """Count the emotions of each culture in a sample and compare them with the exact shares."""
    from artaffect.data.sample.write import _plan, _rows

    rng = np.random.default_rng(3)
    rows = _rows(_plan(2160, rng), 4, rng)
    exact = feelings().mean((0, 1))
    for c, culture in enumerate(CULTURES):
        emotions = [row[1] for row in rows if row[2] == culture]
        shares = np.array([emotions.count(str(e)) for e in EMOTIONS]) / len(emotions)
        # five standard errors of the largest share
        assert np.abs(shares - exact[c]).max() < 5 * 0.5 / np.sqrt(len(emotions))


def test_the_sample_has_the_layout_of_artelingo_and_no_row_is_dropped(
    sample_folder: Path, sample_table: AnnotationTable
) -> None:
    header = (sample_folder / "artelingo_release_lite.csv").read_text("utf-8").splitlines()[0]
    assert header == "art_style,emotion,language,painting,split,utterance"
    report = sample_table.report
    assert report is not None
    assert report.read == report.kept == 72 * 12
    assert report.leaking_artworks == 0
    assert set(sample_table.strings("split")) == {"train", "val", "test"}


def test_the_sample_says_that_it_is_synthetic(sample_folder: Path) -> None:
    text = (sample_folder / "SYNTHETIC.md").read_text("utf-8")
    assert text.startswith("# Synthetic data")
    assert f"| both and culture | {best_scores()['both and culture'].accuracy:.3f} |" in text
    assert all(
        folder.name.startswith("Synthetic_") for folder in (sample_folder / "wikiart").iterdir()
    )


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_sample(tmp_path / name, 36, seed=5)
    files_of = [sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two")]
    for a, b in zip(*files_of, strict=True):
        assert a.is_dir() or a.read_bytes() == b.read_bytes()


def test_an_older_sample_is_replaced_only_on_request(tmp_path: Path) -> None:
    write_sample(tmp_path / "s", 36)
    with pytest.raises(OutputExistsError, match="add --overwrite"):
        write_sample(tmp_path / "s", 36)
    write_sample(tmp_path / "s", 36, overwrite=True)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("keep me")
    with pytest.raises(OutputExistsError, match="choose another name"):
        write_sample(tmp_path / "letters", 36, overwrite=True)
    assert (tmp_path / "letters" / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize("scene", SCENES)
def test_palettes_and_styles_change_a_scene(scene: str) -> None:
    def brightness(palette: str) -> float:
        image = paint(scene, palette, "Synthetic_Glazes", np.random.default_rng(0))
        return float(np.asarray(image).mean())

    assert brightness("dark") < brightness("bright")
    images = {
        np.asarray(paint(scene, "bright", style, np.random.default_rng(0))).tobytes()
        for style in STYLES
    }
    assert len(images) == len(STYLES)


def test_every_scene_and_emotion_has_captions_in_every_language() -> None:
    texts = tomllib.loads((files("artaffect.data.sample") / "captions.toml").read_text("utf-8"))
    assert set(texts) == set(CULTURES)
    for culture in CULTURES:
        assert set(texts[culture]["scenes"]) == set(SCENES)
        assert set(texts[culture]["feel"]) == set(texts[culture]["feel_plain"]) == set(EMOTIONS)
        assert all("{scene}" in way for ways in texts[culture]["feel"].values() for way in ways)
    arabic = "".join(s for ways in texts["arabic"]["scenes"].values() for s in ways)
    chinese = "".join(s for ways in texts["chinese"]["scenes"].values() for s in ways)
    assert sum("\u0600" <= c <= "\u06ff" for c in arabic) / len(arabic) > 0.7
    assert sum("\u4e00" <= c <= "\u9fff" for c in chinese) / len(chinese) > 0.7


def test_the_generative_model_covers_every_scene_palette_and_culture() -> None:
    assert feelings().shape == (len(SCENES), len(PALETTES), len(CULTURES), len(EMOTIONS))
