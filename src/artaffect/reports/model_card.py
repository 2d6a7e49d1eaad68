"""The card of a model folder: Markdown for people, with the metadata that the Hugging Face hub reads."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from artaffect.data.published import dataset_name, language_codes
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.encoder_list import hub_name
from artaffect.models.folder import NEEDS
from artaffect.reports.findings import protocol_line
from artaffect.reports.pages import render
from artaffect.reports.tables import evaluation_tables, headlines, overall_label
from artaffect.runtime import printable

_INPUTS = {"both": "image and caption", "image": "image"}
"""What the detailed model uses; a distilled student uses captions."""
_TAGS = ("art", "emotion-recognition", "affective-computing", "culture", "multimodal")


def model_card(
    result: EvaluationResult,
    description: Mapping[str, Any],
    needs: Sequence[str] = (),
    initial_card: str = "",
) -> str:
    """The README of a model folder.

    The scores of each culture are tables in the text, and evaluation results in the metadata.

    Args:
        description: the content of ``config.json``.
        needs: where the encoders come from that the folder does not hold.
        initial_card: the card of the model that the training began with. It is quoted, because its head is
            part of the new model: its licence and its sources must be named.
    """
    data = description["data"]
    synthetic = bool(data.get("synthetic") or result.protocol.get("synthetic"))
    dataset = printable(dataset_name({**data, **({"synthetic": True} if synthetic else {})}))
    return render(
        "model_card.md.j2",
        metadata=_metadata(result, description, dataset, synthetic).to_yaml(),
        config=description,
        labels=result.labels,
        license=_license(description),
        needs=needs,
        needs_heading=NEEDS,
        initial_card=quoted(ModelCard(initial_card).text) if initial_card else "",
        dataset=dataset,
        synthetic=synthetic,
        protocol=protocol_line(result),
        tables=evaluation_tables(result),
    )


def _metadata(
    result: EvaluationResult, description: Mapping[str, Any], dataset: str, synthetic: bool
) -> ModelCardData:
    inputs = _INPUTS.get(result.detailed, "caption")
    task = "text-classification" if inputs == "caption" else "image-classification"
    scores = result[result.detailed]
    groups = {overall_label(scores): scores.overall, **scores.by_culture}
    groups = {printable(name): group for name, group in groups.items()}
    identifier = re.sub(r"[^a-z0-9._-]+", "-", dataset.lower()).strip("-.") or "unknown"
    return ModelCardData(
        language=language_codes(description.get("languages", ())) or None,
        license=_license(description),
        base_model=_base_models(description["encoders"].values()) or None,
        pipeline_tag=task,
        datasets=[identifier],
        library_name="artaffect",
        tags=[*_TAGS, *(["synthetic"] if synthetic else [])],
        model_name="artaffect",
        eval_results=[
            EvalResult(
                task_type=task,
                task_name=f"emotion recognition from {inputs}",
                dataset_type=identifier,
                dataset_name=f"{dataset} ({group})",
                dataset_config=group,
                dataset_split=printable(result.protocol["split"]),
                dataset_args={"synthetic": True} if synthetic else None,
                metric_type=metric.name,
                metric_value=round(group_scores.metrics[metric.name].value, 4),
            )
            for group, group_scores in groups.items()
            for metric in headlines(group_scores.metrics)
        ],
    )


def quoted(text: str) -> str:
    """A Markdown text as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _license(description: Mapping[str, Any]) -> str:
    return printable(str(description.get("recipe", {}).get("license", "unknown")))


def _base_models(encoders: Iterable[str]) -> list[str]:
    """The encoders that the hub has, by their names there."""
    return [name for encoder in encoders if (name := hub_name(encoder))]
