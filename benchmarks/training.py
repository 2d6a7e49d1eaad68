"""Captions and pictures a second of the training loop, beside what it avoids and beside the bare models.

    python benchmarks/training.py [--steps 3] [--paintings 8] [--repeats 2] [--precision full|bf16]
                                  [--part joint|paper|all] [--side image|text|whole|all] [--pad 128 512]

*joint*: on ArtELingo's shape, 15 captions of about 16 words a painting, the joint loop against the same
loop with the picture decoded and encoded once for each caption, and with captions padded to 128 and to 512
tokens as the paper does. Each side by itself too: there the other encoder is next to nothing.

*paper*: the loop with each of the paper's architectures (untrained: speed does not depend on weights)
against the bare model on a prepared batch, and the time that the paper's whole table would take at these
rates, on 920,000 captions and 80,000 paintings.

Runs on the GPU where there is one.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from extraction import captions, pictures
from torch import nn

from artaffect.config import TrainConfig
from artaffect.data.image_cache import ImageViews
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import LogitFusion
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.models.image_encoders import build_image_encoder, create_image_encoder
from artaffect.models.pruning import prune_vocabulary
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from artaffect.training.batches import ArtworkRows, Batch, CaptionRows, JointRows, Rows, Tokens
from artaffect.training.objectives import ClassificationTask, JointTask, MultiLabelTask
from artaffect.training.trainer import Trainer

CAPTIONS = 15


class Slight(nn.Module):
    """Stands for the encoder of the side that is not measured."""

    feature_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(1, 8)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        first = inputs[0].flatten(1).float().mean(1, keepdim=True)
        return self.map(first)


class OnePictureACaption(JointRows):
    """The same captions, but each with its own copy of the picture."""

    def __getitems__(self, indices: list[int]) -> Batch:
        batch = dict(super().__getitems__(indices))
        rows = [indices[i] for i in batch["artwork"].tolist()]
        batch["pixels"] = torch.from_numpy(np.stack([self.views.read(i, 0) for i in rows]))
        batch["artwork"] = torch.arange(len(rows))
        return batch


def rate(task: nn.Module, rows: Rows, config: TrainConfig, samples: int) -> float:
    """Samples a second over one epoch, the first one's set-up left out."""
    Trainer(config, device="auto").fit(task, rows)
    start = time.perf_counter()
    Trainer(config, device="auto").fit(task, rows)
    return samples / (time.perf_counter() - start)


def joint(options: argparse.Namespace, files: Sequence[Path]) -> None:
    paintings = options.paintings * options.steps
    count = paintings * CAPTIONS
    written = captions(count)
    # as the recipes train it: the table of token vectors, three quarters of the model, stays as it is
    texts = prune_vocabulary(create_text_encoder("e5_small"), written)
    texts.network.get_input_embeddings().requires_grad_(False)
    tokens = Tokens(texts.tokenize(written))
    config = TrainConfig(epochs=1, batch_size=options.paintings, precision=options.precision)
    owners = np.arange(count).reshape(paintings, CAPTIONS)
    rng = torch.Generator().manual_seed(0)

    def rows(kind: type[JointRows], collate: Callable[..., object]) -> JointRows:
        columns = {
            "culture": torch.zeros(count, dtype=torch.int64),
            "emotion": torch.randint(9, (count,), generator=rng),
        }
        made = CaptionRows(tokens, collate, **columns)  # type: ignore[arg-type]
        views = ImageViews(files[:paintings], ImagePreprocessing())
        return kind(views, made, list(owners), CAPTIONS, groups=4)

    def padded(length: int) -> Callable[..., object]:
        def collate(batch: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
            ids, mask = texts.collate([*batch, [texts.tokens.pad_id] * length])
            return ids[:-1], mask[:-1]

        return collate

    def task(image: bool, caption: bool) -> JointTask:
        pair = (
            create_image_encoder("efficientnet_lite0") if image else Slight(),
            texts if caption else Slight(),
        )
        branches = [EmotionClassifier(e, EmotionHead(e.feature_dim, 0)) for e in pair]
        return JointTask(
            EmotionModel(*branches, LogitFusion(("image", "caption"), 1), ["one"]), 0.3, 0
        )

    plain = (JointRows, texts.collate)
    sides = {
        "image side": ((True, False), {"a picture a caption": (OnePictureACaption, texts.collate)}),
        "text side": (
            (False, True),
            {f"padded to {length}": (JointRows, padded(length)) for length in options.pad},
        ),
        "whole loop": (
            (True, True),
            {
                "a picture a caption": (OnePictureACaption, texts.collate),
                "padded to 128": (JointRows, padded(128)),
            },
        ),
    }
    for side, (which, others) in sides.items():
        if options.side not in (side.partition(" ")[0], "all"):
            continue
        measured = task(*which)
        for _ in range(options.repeats):
            speed = rate(measured, rows(*plain), config, count)
            print(f"{side}: {speed:,.1f} captions/s")
            for name, other in others.items():
                slower = rate(measured, rows(*other), config, count)
                print(
                    f"  {name}: {slower:,.1f} captions/s; the loop is {speed / slower:.1f} x as fast"
                )


PAPER = {
    "resnet50": {"family": "transformers", "config": {"model_type": "resnet"}},
    "vgg16": {"family": "vgg16"},
    "vit_base_patch16_224": {"family": "transformers", "config": {"model_type": "vit"}},
}


def paper(options: argparse.Namespace, files: Sequence[Path]) -> None:
    rules = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = options.paintings
    config = TrainConfig(epochs=1, batch_size=size, precision=options.precision)
    hours = 0.0
    count = size * options.steps
    for name, architecture in PAPER.items():
        encoder = build_image_encoder({"architecture": architecture, "preprocessing": rules})
        head = EmotionHead(encoder.feature_dim, 0, [768, 128], multi_label=True)
        task = MultiLabelTask(head, "l1", encoder)
        encoder.to(memory_format=torch.channels_last)
        votes = torch.ones(count, 1, 9)
        workers = 0 if device.type == "cpu" else 12
        rows = ArtworkRows(ImageViews(files[:count], encoder.preprocessing), votes, workers)
        hours += compare(name, "pictures", task, rows, config, device) * 80_000 * 50
    texts = distilbert(create_text_encoder("e5_small"))
    made = CaptionRows(
        Tokens(texts.tokenize(captions(16 * count))),
        texts.collate,
        culture=torch.zeros(16 * count, dtype=torch.int64),
        emotion=torch.zeros(16 * count, dtype=torch.int64),
    )
    classify = ClassificationTask(EmotionHead(768, 0, [768], 0.3), encoder=texts)
    config = TrainConfig(epochs=1, batch_size=16 * size, precision=options.precision)
    seconds = compare("distilbert multilingual", "captions", classify, made, config, device)
    hours += seconds * 920_000 * 10
    print(
        f"the paper's table, 50 epochs of three image models on 80,000 paintings and 10 epochs of the text "
        f"model on 920,000 captions: {hours / 3600:,.0f} hours at these rates"
    )


def distilbert(donor: TextEncoder) -> TextEncoder:
    """DistilBERT's size, untrained, with another model's tokenizer."""
    config = {"model_type": "distilbert", "vocab_size": donor.tokenizer.get_vocab_size()}
    architecture = {"config": config, "pooling": "cls"}
    return TextEncoder(architecture, donor.preprocessing, donor.tokenizer)


def compare(
    name: str,
    what: str,
    task: nn.Module,
    rows: Rows,
    config: TrainConfig,
    device: torch.device,
) -> float:
    """Seconds a sample of the loop; prints it beside the bare model on prepared batches."""
    looped = rate(task, rows, config, len(rows))
    order = rows.order(config.batch_size, torch.Generator())
    batches = [
        _to(rows.__getitems__(order[i : i + config.batch_size]), device)
        for i in range(0, len(order), config.batch_size)
    ]
    task.to(device).train()
    optimizer = torch.optim.AdamW(task.parameters())
    low = config.precision == "bf16"
    for timed in (False, True):
        start = time.perf_counter()
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                loss = task(batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if timed:
            bare = len(rows) / (time.perf_counter() - start)
    task.to("cpu")
    print(f"{name}: {looped:,.1f} {what}/s, bare {bare:,.1f}: {looped / bare:.0%} of it")
    return 1 / looped


def _to(value: object, device: torch.device) -> object:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _to(part, device) for name, part in value.items()}
    return type(value)(_to(part, device) for part in value)  # type: ignore[call-arg, attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--paintings", type=int, default=8, help="a step")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--precision", choices=("full", "bf16"), default="full")
    parser.add_argument("--side", choices=("image", "text", "whole", "all"), default="all")
    parser.add_argument("--pad", type=int, nargs="+", default=[128, 512], help="tokens")
    parser.add_argument("--part", choices=("joint", "paper", "all"), default="all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = pictures(Path(folder), options.paintings * options.steps)
        if options.part in ("joint", "all"):
            joint(options, files)
        if options.part in ("paper", "all"):
            paper(options, files)


if __name__ == "__main__":
    main()
