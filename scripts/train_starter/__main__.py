"""Make the starter, the model that comes with artaffect, from openly licensed texts with emotions.

    python scripts/train_starter --data FOLDER --out src/artaffect/starter

FOLDER holds ``goemotions_en.csv`` (GoEmotions, Demszky et al. 2020), ``brighter_track_a.csv`` and
``brighter_14_languages.csv`` (BRIGHTER, Muhammad et al. 2025), both CC BY 4.0. Rows of the split ``train``
teach; rows of the split ``dev`` chose LoRA over a frozen encoder. The training needs the extra ``lora``, and
takes a quarter of an hour on two cores with bfloat16; ``--run RUN`` keeps it, and uses it again.

The label frequencies of the sources differ, and so do those of BRIGHTER's languages. During training, each
source and language is a culture with a bias of its own, so that the weights need not explain them. The
starter keeps the weights, and takes the bias of GoEmotions, shifted to the published label frequencies.

    python scripts/train_starter --data FOLDER --transfer RUN

trains on GoEmotions alone, and prints the temperature at which that model predicts BRIGHTER best: by how
much a model is too sure of itself on texts of another kind. The result is ``TEMPERATURE``.

    python scripts/train_starter --card src/artaffect/starter

writes the model card again, for example with other ``scores.md``.
"""

import argparse
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jinja2 import Environment, StrictUndefined

import artaffect as aa
from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.data.label_maps import load_label_map
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.baseline import PriorBaseline
from artaffect.models.checkpoint import load_model, save_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import CARD, CHECKSUMS, SCORES, read_config, write_checksums
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.outputs import atomic_folder
from artaffect.prediction.evaluation import evaluate_rows, predict_proba
from artaffect.prediction.priors import TrainingPriors
from artaffect.reports.evaluation import save_metrics
from artaffect.training.objectives import label_loss

HERE = Path(__file__).parent
FILES = {
    "goemotions_en.csv": "goemotions.toml",
    "brighter_track_a.csv": "brighter.toml",
    "brighter_14_languages.csv": "brighter.toml",
}
"""The sources, each with its map of labels."""
LANGUAGES = {
    "arabic-algerian": "arabic (algerian)",
    "arabic-moroccan": "arabic (moroccan)",
    "darija": "arabic (moroccan)",
}
"""Two names of one language."""
FREQUENCIES = {
    "amusement": 30_888,
    "awe": 50_289,
    "contentment": 87_260,
    "excitement": 25_678,
    "anger": 4_475,
    "disgust": 14_880,
    "fear": 28_225,
    "sadness": 32_656,
    "something else": 34_372,
}
"""How often each label occurs in ArtELingo's English training split, as published."""
BALANCE = 0.8
"""A language with n rows counts as n to this power: 1 takes the rows as they are, 0 makes all equal."""
GOEMOTIONS = "goemotions"
"""The culture of its rows during training; the languages of BRIGHTER are the others."""
TEMPERATURE = 1.31
"""What the logits are divided by; ``--transfer`` computes it."""
TRANSFER = ("english", "chinese", "arabic (algerian)", "arabic (moroccan)")
"""The languages of ArtELingo among those of BRIGHTER."""
CHAT = re.compile(
    r"\b(?:lo+l+(?:o+l)*z?|l+m+f?a+o+|rofl|(?:a?ha){2,}h?|(?:he){2,}h?|hah+a*|x+d+)\b"
    r"|[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F\u200D\u2190-\u21FF]"
    r"|(?:[:;=]['\-]?[()DPp/\\|oO3])(?!\w)|<3",
    re.IGNORECASE,
)
"""Laughter and emojis of chats, which descriptions of artworks do not hold: the words must tell."""
LEAST_WORDS = 3
"""An English comment with fewer words is left out if it lost its laughter: they do not tell the emotion."""
CAVEAT = (
    "the starter learned from comments and posts with emotion labels, not from art: train on captions of "
    "artworks where you have some"
)


def main() -> None:
    """Read the sources, train, shift, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="the folder of the three tables")
    parser.add_argument("--out", type=Path, help="the model folder to write")
    parser.add_argument("--run", type=Path, help="keep the trained model here, or use what is here")
    parser.add_argument("--transfer", type=Path, metavar="RUN", help="find the temperature")
    parser.add_argument("--card", type=Path, help="the model folder whose card to write again")
    parser.add_argument("--recipe", default=str(HERE / "recipe.toml"))
    parser.add_argument("--set", action="append", default=[], help="change a setting of the recipe")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.card:
        (options.card / CARD).write_text(card(read_config(options.card)), "utf-8")
        write_checksums(options.card)
        return
    recipe = load_recipe(options.recipe, SeparateConfig, options.set)
    table = read_sources(options.data)
    if options.transfer:
        print(f"temperature {transfer_temperature(table, recipe, options.transfer):.3f}")
        return
    table = balanced(table, BALANCE)
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder) / "run"
        if not run.exists():
            aa.train(table, run, recipe=recipe)
        write_starter(run, table, options.out)


def transfer_temperature(table: AnnotationTable, recipe: SeparateConfig, run: Path) -> float:
    """The temperature at which a model of GoEmotions has the lowest log-loss on BRIGHTER.

    Each language has a bias of its own, which takes up its label frequencies, and counts alike.
    """
    is_source = np.array(table.strings("culture")) == GOEMOTIONS
    if not run.exists():
        aa.train(table.select(is_source), run, recipe=recipe)
    model = load_model(run)
    others = table.select(~is_source & np.isin(table.strings("language"), TRANSFER))
    rows = extract_arrays(others, *model.encoders, ())
    logits = torch.from_numpy(predict_proba(model, rows, ("caption",), 0, False)).log().float()
    names, language = np.unique(rows.culture_names, return_inverse=True)
    temperature = torch.ones((), requires_grad=True)
    bias = torch.zeros(len(names), logits.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature, bias], max_iter=200, line_search_fn="strong_wolfe")

    groups = [torch.from_numpy(np.flatnonzero(language == i)) for i in range(len(names))]

    def losses() -> torch.Tensor:
        scaled = logits / temperature + bias[language]
        return torch.stack(
            [label_loss(scaled[group], rows.emotion[group], rows.partial) for group in groups]
        )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = losses().mean()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    for name, loss in zip(names, losses().tolist(), strict=True):
        print(f"{name}: log-loss {loss:.3f}")
    return float(temperature.detach())


def read_sources(data: Path) -> AnnotationTable:
    """The rows of all sources, each text once, with the labels of ArtEmis."""
    parts = [
        aa.read_table(
            data / name,
            columns={"artwork": "id", "caption": "text", "label": "labels", "annotator": None},
            labels="artemis",
            map_labels=HERE / labels,
            culture=GOEMOTIONS if labels == "goemotions.toml" else None,
        )
        for name, labels in FILES.items()
    ]
    rows = pa.concat_tables([with_one_name(part.rows) for part in parts]).unify_dictionaries()
    texts = without_chat(rows)
    rows = with_column(rows, "caption", pa.array(texts, pa.string()))
    first = {text: row for row, text in reversed(list(enumerate(texts))) if text}
    sources = {"source": ", ".join(FILES), "audience": "culture"}
    table = AnnotationTable(rows.take(sorted(first.values())).unify_dictionaries(), sources)
    return table.select(np.isin(table.strings("split"), ["train", "val"]))


def with_one_name(rows: pa.Table) -> pa.Table:
    """The rows with one name for each language."""
    for column in ("language", "culture"):
        names = [LANGUAGES.get(name, name) for name in rows[column].to_pylist()]
        rows = with_column(rows, column, pa.array(names, pa.string()).dictionary_encode())
    return rows


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The rows with other values in one column."""
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), values)


def without_chat(rows: pa.Table) -> list[str]:
    """The texts without laughter and emojis; empty where too little is left to tell an emotion."""
    texts = []
    for text, culture in zip(rows["caption"].to_pylist(), rows["culture"].to_pylist(), strict=True):
        words = CHAT.sub(" ", text).split() if CHAT.search(text) else []
        is_short = culture == GOEMOTIONS and len(words) < LEAST_WORDS
        texts.append(
            text if not CHAT.search(text) else "" if is_short else " ".join(words).strip(" ,.")
        )
    return texts


def balanced(table: AnnotationTable, power: float, seed: int = 0) -> AnnotationTable:
    """The table with training rows of rare languages repeated, and of frequent ones left out.

    Their number stays about the same.
    """
    languages, splits = np.array(table.strings("language")), np.array(table.strings("split"))
    generator = np.random.default_rng(seed)
    is_training = splits == "train"
    counts = Counter(languages[is_training].tolist())
    total = sum(counts.values()) / sum(n**power for n in counts.values())
    rows = [np.flatnonzero(~is_training)]
    for language, count in sorted(counts.items()):
        own = np.flatnonzero(is_training & (languages == language))
        rows.append(np.resize(generator.permutation(own), round(total * count**power)))
    chosen = np.concatenate(rows)
    times = Counter[int]()
    ids = table.strings("annotation_id")
    names = []
    for row in chosen.tolist():  # every row needs an id of its own
        times[row] += 1
        names.append(f"{ids[row]}#{times[row]}")
    repeated = with_column(table.rows.take(chosen), "annotation_id", pa.array(names, pa.string()))
    return replace(table, rows=repeated.unify_dictionaries())


@torch.no_grad()
def shifted(model: EmotionModel, rows: AnnotationArrays) -> EmotionModel:
    """The model for everybody: its predictions for GoEmotions, with the published label frequencies.

    The logits are divided by ``TEMPERATURE`` first. Then Bayes' rule for another distribution of the labels:
    each probability times the ratio of its label's frequency there to the frequency that the model predicts
    on average for the training rows.

    Args:
        rows: the training rows of GoEmotions.
    """
    assert model.caption is not None
    head, culture = model.caption.head, model.culture_index(GOEMOTIONS)
    assert head.embedding is not None
    blind = EmotionHead(head.scaler.mean.numel(), 0, culture_input="off", labels=len(model.labels))
    blind.scaler.load_state_dict(head.scaler.state_dict())
    bias = head.shared.bias + head.shared.weight @ head.embedding.weight[culture]
    blind.shared.weight.copy_(head.shared.weight / TEMPERATURE)
    blind.shared.bias.copy_(bias / TEMPERATURE)
    encoder = model.caption.encoder
    caption = EmotionClassifier(encoder, blind)
    starter = EmotionModel(None, caption, None, (), model.languages, model.labels).eval()
    expected = predict_proba(starter, rows, ("caption",), 0).mean(0)
    counts = np.array([FREQUENCIES[label] for label in model.labels], float)
    ratio = torch.from_numpy(np.log(counts / counts.sum()) - np.log(expected)).float()
    blind.shared.bias.add_(ratio)
    encoder.precision = "float32"
    return starter


def write_starter(run: Path, table: AnnotationTable, out: Path) -> None:
    """Write the model folder of the starter from the one that training wrote."""
    trained, config = load_model(run), read_config(run)
    train = table.of_split("train")
    source = train.select(np.array(train.strings("culture")) == GOEMOTIONS)
    model = shifted(trained, extract_arrays(source, *trained.encoders, trained.cultures))
    frequencies = np.array([FREQUENCIES[label] for label in model.labels], float)
    baseline = PriorBaseline(len(model.labels))
    baseline.prior_, baseline.priors_ = frequencies / frequencies.sum(), {}
    priors = TrainingPriors(baseline, np.ones(len(model.labels)))
    val = extract_arrays(table.of_split("val"), *model.encoders, ())
    result = evaluate_rows(model, val, priors, "val")
    more = {
        "version": config["version"],
        "encoders": config["encoders"],
        "recipe": config["recipe"],
        "data": {"source": config["data"]["source"]},
        "caveat": CAVEAT,
        "rows": config["rows"],
        "training_priors": priors.to_json(),
        "training_log": config["training_log"],
    }
    with atomic_folder(out, CHECKSUMS, overwrite=True) as folder:
        save_model(model, folder, more, {"caption": config["encoders"]["caption"]})
        save_metrics(result, folder / SCORES)
        (folder / CARD).write_text(card({**more, "languages": model.languages}), "utf-8")
        write_checksums(folder)


def card(config: Mapping[str, Any]) -> str:
    """The model card; what was measured stands in ``scores.md``."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )  # noqa: S701
    template = environment.from_string((HERE / "card.md.j2").read_text("utf-8"))
    return template.render(
        languages=config["languages"],
        maps={
            "GoEmotions": load_label_map(HERE / "goemotions.toml"),
            "BRIGHTER": load_label_map(HERE / "brighter.toml"),
        },
        frequencies=FREQUENCIES,
        temperature=TEMPERATURE,
        rows=config["rows"],
        version=config["version"],
        scores=(HERE / "scores.md").read_text("utf-8").strip(),
    )


if __name__ == "__main__":
    main()
