"""Label sets, and distributions over their labels."""

import math
from pathlib import Path

import pytest

from artaffect.errors import ConfigError, UnknownNameError
from artaffect.labels import (
    ARTEMIS,
    EMOTIONS,
    LabelDistribution,
    LabelSet,
    Sentiment,
    choose_label_set,
    label_sets,
    load_label_set,
)


def test_the_default_set_has_the_nine_emotions_of_artemis_in_their_order() -> None:
    assert (
        *("amusement", "awe", "contentment", "excitement"),
        *("anger", "disgust", "fear", "sadness", "something else"),
    ) == EMOTIONS
    signs = [Sentiment.POSITIVE] * 4 + [Sentiment.NEGATIVE] * 4 + [Sentiment.OTHER]
    assert list(ARTEMIS.sentiments) == signs and ARTEMIS.valence == (1,) * 4 + (-1,) * 4 + (0,)
    assert ARTEMIS.names_of("fear") == {"english": "fear", "arabic": "خوف", "chinese": "恐惧"}


def test_the_built_in_sets_have_the_sizes_of_their_papers_and_survive_json() -> None:
    sizes = {name: len(labels) for name, labels in label_sets().items()}
    assert sizes == {
        **{"artemis": 9, "artelingo28": 10, "mikels": 8, "plutchik": 8, "ekman": 6},
        **{"brighter": 6, "wikiart-emotions": 20},
    }
    for labels in label_sets().values():
        assert LabelSet.from_json(labels.to_json()) == labels


@pytest.mark.parametrize(
    ("text", "label"),
    [(" Awe ", "awe"), ("other", "something else"), ("Something  Else", "something else")],
)
def test_labels_are_parsed_as_data_sets_spell_them(text: str, label: str) -> None:
    assert ARTEMIS.parse(text) == label


def test_an_unknown_label_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown label 'sadnes'. Did you mean 'sadness'"):
        ARTEMIS.parse("sadnes")


def test_a_set_is_read_from_a_file_with_what_it_says_of_each_label(tmp_path: Path) -> None:
    file = tmp_path / "visitors.toml"
    file.write_text('labels = ["joy", "calm"]')
    assert load_label_set(file) == LabelSet(("joy", "calm"), name="visitors")
    file.write_text(
        '[labels]\njoy = { valence = "positive", aliases = ["glad"], names = { Arabic = "فرح" } }\n'
        "dread = {}\n"
    )
    labels = load_label_set(file)
    assert labels.parse("GLAD") == "joy" and labels.names_of("joy")["arabic"] == "فرح"
    assert labels.valence is None, "the valence of dread is unknown"
    with pytest.raises(
        UnknownNameError, match="unknown label set 'artemi'. Did you mean 'artemis'"
    ):
        load_label_set("artemi")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = 3", "expected labels = "),
        ('labels = ["joy"]', "a label set needs 2 to 200 labels"),
        ('labels = ["joy", "Joy"]', "'Joy' stands for two labels"),
        ('labels = ["joy", "joy"]', "a label is listed twice"),
        ('labels = ["joy", " calm"]', "' calm' cannot be a label"),
        ('labels = ["joy", "a|b"]', "cannot be a label"),
        ('labels = ["joy", "culture"]', "a column of tables has that name"),
        ('[labels]\njoy = { valence = "good" }\ncalm = {}', "labels.*valence"),
        ('[labels]\njoy = { aliases = ["calm"] }\ncalm = {}', "'calm' stands for two labels"),
        ("labels = [", "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_no_label_set_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "labels.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_label_set(file)


def test_labels_without_a_set_take_the_first_that_knows_them_or_are_one() -> None:
    assert choose_label_set(["Awe", "other"]).name == "artemis"
    assert choose_label_set(["joy", "trust", "fear"]).name == "plutchik"
    assert choose_label_set(["joy", "calm"]).names == ("calm", "joy")
    assert choose_label_set(["awe", "calm"]).name == "artemis", "calm is an error"


def test_a_distribution_has_a_top_label_an_entropy_and_a_sentiment() -> None:
    uniform = LabelDistribution((1 / 9,) * 9)
    assert uniform.entropy == pytest.approx(math.log2(9))
    assert uniform.sentiment()[Sentiment.NEGATIVE] == pytest.approx(4 / 9)
    certain = LabelDistribution((0, 0, 0, 0, 0, 0, 1, 0, 0))
    assert (certain.top, certain.entropy) == ("fear", 0)
    assert certain.probabilities["fear"] == 1
    own = LabelDistribution((0.25, 0.75), LabelSet(("joy", "dread")))
    assert own.top == "dread"
    with pytest.raises(ValueError, match="does not say the valence"):
        own.sentiment()


def test_invalid_distributions_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 9 probabilities, got 2"):
        LabelDistribution((0.5, 0.5))
    with pytest.raises(ValueError, match="sum to 1"):
        LabelDistribution((0.5,) * 9)
