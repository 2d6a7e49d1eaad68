"""The model that comes with artaffect: captions only, no cultures, and it says where it learned."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

import artaffect as aa
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.errors import InputError
from artaffect.labels import ARTEMIS
from artaffect.models.folder import CARD, check_folder, read_config
from artaffect.models.hub import STARTER_FOLDER, resolve_run
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import ModelPredictor
from artaffect.server.app import create_app
from tests.conftest import Command

LARGEST = 5 * 2**20
CAPTION = "I feel calm and happy when I look at these flowers."


@pytest.fixture(scope="module")
def starter() -> ModelPredictor:
    return aa.load_predictor("starter")


def test_the_folder_is_small_thin_and_complete() -> None:
    assert sum(file.stat().st_size for file in STARTER_FOLDER.iterdir()) <= LARGEST
    assert check_folder(STARTER_FOLDER)
    assert read_config(STARTER_FOLDER)["references"]["caption"]["name"] == "e5_small"


def test_the_card_names_sources_licences_labels_and_prior() -> None:
    card = (STARTER_FOLDER / CARD).read_text("utf-8")
    for needed in ("Demszky", "Muhammad", "CC BY 4.0", "| joy | ", "34,372", "not from art"):
        assert needed in card


def test_every_answer_says_where_the_model_learned(starter: ModelPredictor) -> None:
    (answer,) = starter.predict(caption=CAPTION)
    assert answer.culture == "any" and not starter.cultures
    assert answer.note == starter.description.caveat and "not from art" in answer.note


def test_feelings_that_are_named_are_recognised(starter: ModelPredictor) -> None:
    captions = {
        "I am afraid of the dark water, it is terrifying.": "fear",
        "It makes me want to cry, she lost her child.": "sadness",
        "The rotten food disgusts me.": "disgust",
        "This is hilarious, it makes me laugh.": "amusement",
    }
    answers = starter.predict_proba(captions=list(captions))
    assert [ARTEMIS.names[i] for i in answers.argmax(1)] == list(captions.values())


def test_an_image_alone_is_refused_with_help(starter: ModelPredictor, picture: Path) -> None:
    with pytest.raises(InputError, match="reads captions only.*artaffect train"):
        starter.predict(image=picture)
    assert len(starter.predict(image=picture, caption=CAPTION)) == 1


def test_a_culture_gets_the_one_prediction_and_a_note(starter: ModelPredictor) -> None:
    anyone = starter.predict(caption=CAPTION)["any"]
    arabic = starter.predict(caption=CAPTION, cultures="arabic")["arabic"]
    assert arabic.probabilities == anyone.probabilities
    assert arabic.note is not None and "knows no cultures" in arabic.note


def test_commands_take_the_name(artaffect: Command, tmp_path: Path) -> None:
    code, out, _ = artaffect("predict", "starter", "--caption", CAPTION)
    assert code == 0 and "not from art" in " ".join(out.split())
    code, _, err = artaffect("predict", "starter", "--caption", CAPTION, "--culture", "arabic")
    assert code != 0 and "--new-culture" in err
    items, answers = tmp_path / "items.csv", tmp_path / "answers.csv"
    items.write_text(f"id,caption\na,{CAPTION}\n", "utf-8")
    code, _, err = artaffect("predict-collection", "starter", items, "--out", answers)
    assert code == 0, err
    assert "any" in answers.read_text("utf-8")


def test_a_model_folder_of_that_name_is_preferred(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_run("starter") == STARTER_FOLDER
    Path("starter").mkdir()
    assert resolve_run("starter") == STARTER_FOLDER
    Path("starter").rmdir()
    shutil.copytree(tiny_run, "starter")
    assert resolve_run("starter") == Path("starter")


def test_the_service_serves_it(starter: ModelPredictor) -> None:
    with TestClient(create_app(starter)) as client:
        model = client.get("/v1/model").json()
        assert model["cultures"] == [] and "not from art" in model["caveat"]
        answer = client.post("/v1/predict", data={"caption": CAPTION})
        assert answer.json()["predictions"][0]["culture"] == "any"


@pytest.mark.slow
def test_it_beats_its_prior_on_real_captions(real_data: Path) -> None:
    table = read_artelingo(real_data / "artemis" / "annotations.csv", keep_unpictured=True)
    table = table.of_split("val")
    rows = np.random.default_rng(0).permutation(len(table))[:500]
    result = evaluate_run(STARTER_FOLDER, table.select(np.sort(rows)), "val")
    assert result.baseline is not None
    assert result["caption"].log_loss.interval[1] < result.baseline.log_loss.interval[0]
