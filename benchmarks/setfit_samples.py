"""SetFit (Tunstall et al. 2022) on the samples of a learning curve: the peer of ``artaffect learning-curve``.

    artaffect learning-curve --data TABLE --out CURVE --source caption --split val --init starter
    python benchmarks/setfit_samples.py samples TABLE FOLDER 32,128,512 3      # with artaffect
    python benchmarks/setfit_samples.py encoder ENCODER                        # with artaffect
    OTHER/bin/python benchmarks/setfit_samples.py train FOLDER ENCODER         # with setfit 1.2, torch
    python benchmarks/setfit_samples.py scores TABLE FOLDER CURVE              # with artaffect

SetFit has an environment of its own. The first step writes the captions of each sample, which are those of
the curve; the second the packaged multilingual-e5-small as a folder of sentence-transformers. The third
fine-tunes the sentence encoder in the folder ENCODER on pairs of captions (20 iterations over the sample, 5
from 2,048 captions on, one epoch) and fits a logistic regression. The last scores both on the same rows,
with intervals over seeds and artworks. SetFit trains on all rows of a sample: it chooses no settings.

Two things make SetFit faster here than it is by itself. The table of 250,000 tokens is cut to those that
occur, which changes nothing it learns: AdamW writes the whole table at every step. And the encoder runs in
bfloat16 where the processor has it, as ours can.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

SPLIT = "val"
PREFIX = "query: "
"""Multilingual-e5 reads its input after this prefix, in both programs."""


def write_samples(table_file: Path, folder: Path, sizes: str, seeds: int) -> None:
    from artaffect.config import SeparateConfig
    from artaffect.data.annotations import AnnotationTable
    from artaffect.training.learning_curve import draw_sample, usable_rows
    from artaffect.training.recipes import resolve_recipe

    folder.mkdir(parents=True, exist_ok=True)
    config = resolve_recipe("compact", sources="caption")
    assert isinstance(config, SeparateConfig)
    table = AnnotationTable.load(table_file)
    pool, scored = (usable_rows(table, config, split) for split in ("train", SPLIT))
    (folder / "scored.json").write_text(json.dumps(_texts(scored)), "utf-8")
    (folder / "labels.json").write_text(json.dumps(list(table.labels.names)), "utf-8")
    for size in map(int, sizes.split(",")):
        for seed in range(seeds):
            sample = draw_sample(pool, size, seed)
            content = {"text": _texts(sample), "label": sample.emotion_codes().tolist()}
            path = folder / f"sample-{size}-seed-{seed}.json"
            path.write_text(json.dumps(content), "utf-8")


def _texts(table: Any) -> list[str]:
    return [PREFIX + caption for caption in table.strings("caption")]


def write_encoder(folder: Path) -> None:
    """Write the packaged encoder for sentence-transformers: mean pooling, captions up to 128 tokens."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from artaffect.models.bundled.e5_small import load_e5_small

    network, tokenizer = load_e5_small()
    settings = {k: v for k, v in asdict(network.config).items() if k in BertConfig().to_dict()}
    model = BertModel(BertConfig(**settings), add_pooling_layer=False)
    model.load_state_dict(network.state_dict())
    model.save_pretrained(folder)
    special = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    # transformers 5 writes a class that 4, SetFit's, lacks.
    written = folder / "tokenizer_config.json"
    known = json.loads(written.read_text("utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    written.write_text(json.dumps(known), "utf-8")
    pooling = {
        "word_embedding_dimension": settings["hidden_size"],
        "pooling_mode_mean_tokens": True,
    }
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False}),
    ):
        (folder / name).write_text(json.dumps(content), "utf-8")


def quicken(model: Any, texts: list[str]) -> None:
    """Cut the table of tokens to those of the texts, and run the encoder in bfloat16 where that is native."""
    import torch

    network, tokenizer = model.model_body[0].auto_model, model.model_body.tokenizer
    table = network.embeddings.word_embeddings
    occurring = {token for ids in tokenizer(texts)["input_ids"] for token in ids}
    tokens = torch.tensor(sorted(occurring | {tokenizer.pad_token_id}))

    class OccurringTokens(torch.nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return super().forward(torch.searchsorted(tokens, ids))

    rows = table.weight.detach()[tokens].clone()
    network.embeddings.word_embeddings = OccurringTokens(*rows.shape, _weight=rows)
    run, native = network.forward, torch.cpu._is_avx512_bf16_supported()

    def forward(*inputs: Any, **named: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=native):
            output = run(*inputs, **named)
        output.last_hidden_state = output.last_hidden_state.float()
        return output

    network.forward = forward


def train(folder: Path, encoder: Path) -> None:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    scored = json.loads((folder / "scored.json").read_text("utf-8"))
    count = len(json.loads((folder / "labels.json").read_text("utf-8")))
    files = sorted(folder.glob("sample-*.json"), key=lambda f: (int(f.stem.split("-")[1]), f.stem))
    for file in files:
        out = file.with_suffix(".npz")
        if out.exists():
            continue
        sample = json.loads(file.read_text("utf-8"))
        seed = int(file.stem.rpartition("-")[2])
        iterations = 20 if len(sample["label"]) < 2048 else 5  # 20 would take an hour and a half
        model = SetFitModel.from_pretrained(str(encoder))
        quicken(model, sample["text"] + scored)
        start = time.monotonic()
        arguments = TrainingArguments(
            output_dir=str(folder / "checkpoints"),
            **dict(batch_size=16, num_epochs=1, num_iterations=iterations, seed=seed),
            **dict(save_strategy="no", report_to="none"),
        )
        Trainer(model, arguments, train_dataset=Dataset.from_dict(sample)).train()
        seconds = time.monotonic() - start
        known = model.predict_proba(scored, as_numpy=True)
        predictions = np.full((len(scored), count), 1e-6)  # labels that the sample lacks
        predictions[:, sorted(set(sample["label"]))] += known
        predictions /= predictions.sum(1, keepdims=True)
        np.savez(out, predictions=predictions, seconds=seconds)
        print(f"{file.stem}: {seconds:.0f} s", flush=True)


def scores(table_file: Path, folder: Path, curve: Path) -> None:
    from artaffect.config import SeparateConfig
    from artaffect.data.annotations import AnnotationTable
    from artaffect.features import extract_arrays
    from artaffect.metrics.classification import METRICS
    from artaffect.prediction.evaluation import evaluate_predictions
    from artaffect.training.learning_curve import usable_rows
    from artaffect.training.recipes import resolve_recipe

    config = resolve_recipe("compact", sources="caption")
    assert isinstance(config, SeparateConfig)
    scored = usable_rows(AnnotationTable.load(table_file), config, SPLIT)
    rows = extract_arrays(scored, None, None, scored.cultures)
    by_size: dict[int, list[str]] = {}
    for file in folder.glob("sample-*.npz"):
        _, size, _, seed = file.stem.split("-")
        by_size.setdefault(int(size), []).append(seed)
    for size, seeds in sorted(by_size.items()):
        names = {"setfit": folder / "sample-{}-seed-{}.npz"}
        for kind in ("scratch", "initialized"):
            names[kind] = curve / "points" / (kind + "-{}-seed-{}.npz")
        predictions, seconds = {}, {}
        for name, pattern in names.items():
            points = [np.load(str(pattern).format(size, seed)) for seed in sorted(seeds)]
            predictions[name] = np.stack([point["predictions"] for point in points])
            seconds[name] = np.mean([point["seconds"] for point in points])
        pairs = [("initialized", "setfit"), ("scratch", "setfit")]
        result = evaluate_predictions(predictions, rows, pairs=pairs)
        shown = [metric for metric in METRICS if metric in ("accuracy", "macro_f1", "log_loss")]
        for name, model in result.models.items():
            cells = [f"{model.overall.metrics[metric]:.3f}" for metric in shown]
            print(f"| {size}, {name} | {' | '.join(cells)} | {seconds[name]:.0f} s |")
        for pair in result.comparisons:
            cells = [f"{pair.by_group.overall[metric]:+.3f}" for metric in shown]
            print(f"| {size}, {pair.first} − {pair.second} | {' | '.join(cells)} | |")


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    if step == "samples":
        write_samples(Path(arguments[0]), Path(arguments[1]), arguments[2], int(arguments[3]))
    elif step == "encoder":
        write_encoder(Path(arguments[0]))
    else:
        {"train": train, "scores": scores}[step](*map(Path, arguments))
