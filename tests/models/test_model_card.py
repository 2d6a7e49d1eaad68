"""The card of a model folder, read by the library of the Hugging Face hub."""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard

from artaffect.config import Recipe, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.encoder_list import hub_name
from artaffect.models.folder import read_config, read_scores
from artaffect.reports.model_card import model_card
from artaffect.training.recipes import recipe_of
from artaffect.training.run import train_run


def test_the_hub_reads_what_the_card_says(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    train_run(sample_table, replace(tiny_config, license="cc-by-4.0"), tmp_path / "run")
    card = ModelCard.load(tmp_path / "run" / "README.md")
    data = card.data
    assert data.license == "cc-by-4.0" and sorted(data.language) == ["ar", "en", "zh"]
    assert data.pipeline_tag == "image-classification" and data.library_name == "artaffect"
    assert "synthetic" in data.tags and data.datasets == ["artaffect-sample"]
    assert "base_model" not in data.to_dict(), "tiny encoders in folders are not on the hub"
    scores = EvaluationResult.from_json(read_scores(tmp_path / "run"))["both"]
    results = {(r.dataset_config, r.metric_type): r for r in data.eval_results}
    assert {config for config, _ in results} == {"overall", "arabic", "chinese", "english"}
    for (config, metric), entry in results.items():
        group = scores.overall if config == "overall" else scores[config]
        assert entry.metric_value == round(group.metrics[metric].value, 4)
        assert entry.dataset_name == f"artaffect sample ({config})"
        assert entry.dataset_split == "val" and entry.dataset_args == {"synthetic": True}
    again = ModelCard(str(card)).data  # what was read can be written and read again
    assert again.to_dict() == data.to_dict()


def test_base_models_are_the_encoders_that_the_hub_has(tiny_run: Path) -> None:
    config, result = read_config(tiny_run), EvaluationResult.from_json(read_scores(tiny_run))
    description = {
        **config,
        "encoders": {"image": "resnet50", "caption": "e5_small"},
        "data": {"dataset": "ArtELingo", "source": "/home/me/artelingo_release.csv"},
        "recipe": recipe_of(load_recipe("compact", Recipe)),
    }
    real = replace(result, protocol={**result.protocol, "synthetic": False})
    text = model_card(real, description)
    data = ModelCard(text).data
    assert data.base_model == ["microsoft/resnet-50", "intfloat/multilingual-e5-small"]
    assert data.license == "unknown" and "Licence: not stated" in text
    assert data.datasets == ["artelingo"] and "synthetic" not in data.tags
    assert data.eval_results[0].dataset_name == "ArtELingo (overall)"
    assert "/home/me" not in text and "artelingo_release" not in text


def test_names_on_the_hub() -> None:
    assert hub_name("hf:OWNER/MODEL@main") == "OWNER/MODEL"
    assert hub_name("xlm-roberta-base") == "FacebookAI/xlm-roberta-base"
    assert hub_name("efficientnet_lite0_stages") is None and hub_name("folder/model") is None
