"""What a model was trained on, and how: the facts that stand above a report's figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artaffect.data.published import dataset_name
from artaffect.runtime import printable
from artaffect.settings import flatten


@dataclass(frozen=True)
class RunCard:
    """Facts about a training run."""

    facts: Sequence[tuple[str, str]]
    """Name and value, for readers."""
    settings: Sequence[tuple[str, str]]
    """Every setting of the recipe, as ``--set`` takes it."""
    synthetic: bool


def run_card(description: Mapping[str, Any]) -> RunCard:
    """The card of a model folder.

    Args:
        description: the content of its ``config.json``; what it lacks is left out.
    """
    data, recipe = description.get("data", {}), description.get("recipe", {})
    synthetic = bool(description.get("synthetic") or data.get("synthetic"))
    name = dataset_name({**data, **({"synthetic": True} if synthetic else {})})
    known = {
        "Data": f"{name} (synthetic)" if synthetic else name,
        "Training": _amount("train", description),
        "Validation": _amount("val", description),
        "Cultures": ", ".join(description.get("cultures", ())),
        "Languages": ", ".join(description.get("languages", ())),
        "Encoders": ", ".join(f"{k}: {v}" for k, v in description.get("encoders", {}).items()),
        "Combination": (description.get("fusion") or {}).get("form", "none, one modality"),
        "Seed": str(recipe["seed"]) if "seed" in recipe else "",
        "Trained": _time(description.get("trained", "")),
        "artaffect": description.get("version", ""),
        "Licence": recipe.get("license", ""),
        "Digest of the data": str(data.get("digest", ""))[:16],
    }
    facts = [(key, printable(str(value))) for key, value in known.items() if value]
    settings = [
        (key, printable(json.dumps(value, ensure_ascii=False))) for key, value in flatten(recipe)
    ]
    return RunCard(facts, settings, synthetic)


def _amount(split: str, description: Mapping[str, Any]) -> str:
    rows = description.get("rows", {}).get(split)
    if rows is None:
        return ""
    artworks = description.get("data", {}).get("artworks", {}).get(split)
    of = "" if artworks is None else f" of {artworks:,} paintings"
    return f"{rows:,} annotations{of}"


def _time(text: str) -> str:
    """An ISO time as people read it; another text stays as it is."""
    day, separator, time = text.partition("T")
    return f"{day}, {time[:5]} UTC" if separator and time.endswith("+00:00") else text
