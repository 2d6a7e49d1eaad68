"""The model card: what a model folder says of itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from artaffect.metrics.evaluation import EvaluationResult
from artaffect.report.evaluation import protocol_line
from artaffect.report.tables import tables_of

_SEEN = {"both": "image and caption", "image": "image"}
"""What the model that is shown looks at; a distilled student reads captions."""
_PUBLISHED = ("accuracy", "macro_f1", "log_loss")


def model_card(result: EvaluationResult, config: Mapping[str, Any]) -> str:
    """The README of a model folder: Markdown, headed by what the Hugging Face hub reads from it.

    The scores per culture stand in the text as tables, and in the head as the hub's evaluation results.
    """
    fusion = config["fusion"]["form"] if config["fusion"] else "none, one modality"
    encoders = "; ".join(f"{name} encoder: `{value}`" for name, value in config["encoders"].items())
    source = Path(str(config["data"].get("source", "unknown"))).name
    scores = "\n".join(table.to_markdown() for table in tables_of(result))
    return f"""---
{_metadata(result, source).to_yaml()}
---
# An artaffect model

Which of nine emotions an artwork evokes, from an image, a caption or both, for readers of these
cultures: {", ".join(config["cultures"])}.

- {encoders[:1].upper()}{encoders[1:]}; combination: {fusion}.
- Trained on: `{source}`, {config["rows"]["train"]:,} annotations.
- artaffect {config["version"]}

```python
from artaffect import load_predictor

predictor = load_predictor("path/to/this/folder")  # or its name on the Hugging Face hub
for reading in predictor.predict(caption="A storm tears at the mast.").by_culture:
    print(reading.culture, reading.top)
```

## Scores

{protocol_line(result)}

{scores}

## Limits

The model repeats what its annotators said, with their biases. A culture here is the public that wrote
the captions of one language in the training data, no more. It says what readers report to feel; it does
not read the feelings of any person.
"""


def _metadata(result: EvaluationResult, source: str) -> ModelCardData:
    shown = str(result.protocol["shown"])
    seen = _SEEN.get(shown, "caption")
    scores = [
        EvalResult(
            task_type="text-classification" if seen == "caption" else "image-classification",
            task_name=f"emotion recognition from {seen}",
            dataset_type=Path(source).stem.lower() or "unknown",
            dataset_name=f"{source} ({group})",
            dataset_config=group,
            dataset_split=str(result.protocol["split"]),
            metric_type=metric,
            metric_value=round(found.metrics[metric].value, 4),
        )
        for group, found in result.models[shown].items()
        for metric in _PUBLISHED
    ]
    return ModelCardData(
        library_name="artaffect",
        tags=["art", "emotion-recognition", "affective-computing", "culture", "multimodal"],
        model_name="artaffect",
        eval_results=scores,
    )
