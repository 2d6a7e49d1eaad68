"""Show an evaluation: on the terminal, as one self-contained page, and as a model card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from artaffect.evaluation.evaluator import EvaluationResult
from artaffect.evaluation.figures import figures_of
from artaffect.evaluation.page import Section, save_page
from artaffect.evaluation.tables import TextTable, tables_of
from artaffect.runtime import atomic_file


def print_result(result: EvaluationResult, console: Console | None = None) -> None:
    """Print every table."""
    print_tables(tables_of(result), console)
    (console or Console()).print(protocol_line(result), soft_wrap=True)


def print_tables(tables: Sequence[TextTable], console: Console | None = None) -> None:
    """Print tables in full, however narrow the terminal is."""
    console = console or Console()
    if console.width < 120:  # a number cut short is worse than a wrapped line
        console = Console(file=console.file, width=120)
    for table in tables:
        drawn = Table(title=table.title, title_justify="left", title_style="bold")
        for i, heading in enumerate(table.header):
            drawn.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def protocol_line(result: EvaluationResult) -> str:
    """How the numbers were got, in one sentence."""
    p = result.protocol
    line = (
        f"Split {p['split']}: {p['rows']:,} captions of {p['artworks']:,} paintings; "
        f"intervals {p['interval']}; baseline: {p['baseline']}."
    )
    if p["rows_without_picture_left_out"]:
        line += f" {p['rows_without_picture_left_out']:,} captions without a picture are left out."
    if p.get("chosen_on_this_split"):
        line += " The model was chosen on this split, which flatters it a little."
    return line


def save_metrics(result: EvaluationResult, path: Path) -> None:
    """Write everything as JSON."""
    with atomic_file(path) as temporary:
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        temporary.write_text(text, "utf-8")


def save_report(result: EvaluationResult, path: Path, title: str) -> None:
    """Write one HTML page that needs no other file and no network."""
    section = Section("", [protocol_line(result)], figures_of(result), tables_of(result))
    save_page(path, title, [section])


def model_card(result: EvaluationResult, config: Mapping[str, Any]) -> str:
    """The README of a model folder, in Markdown."""
    fusion = config["fusion"]["form"] if config["fusion"] else "none, one modality"
    encoders = "; ".join(f"{name} encoder: `{value}`" for name, value in config["encoders"].items())
    source = Path(str(config["data"].get("source", "unknown"))).name
    scores = "\n".join(table.to_markdown() for table in tables_of(result))
    return f"""# An artaffect model

Which of nine emotions an artwork evokes, from an image, a caption or both, for readers of these
cultures: {", ".join(config["cultures"])}.

- {encoders[:1].upper()}{encoders[1:]}; combination: {fusion}.
- Trained on: `{source}`, {config["rows"]["train"]:,} annotations.
- artaffect {config["version"]}

```python
from artaffect import PredictionInput, load_predictor

predictor = load_predictor("path/to/this/folder")
prediction = predictor.predict([PredictionInput(caption="A storm tears at the mast.")])[0]
for reading in prediction.readings:
    print(reading.culture, reading.emotions.top)
```

## Scores

{protocol_line(result)}

{scores}

## Limits

The model repeats what its annotators said, with their biases. A culture here is the public that wrote
the captions of one language in the training data, no more. It says what readers report to feel; it does
not read the feelings of any person.
"""
