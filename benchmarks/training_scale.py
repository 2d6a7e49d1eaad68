"""Seconds an epoch and peak memory of the recipe `compact` at ArtELingo's size, on random features.

    python benchmarks/training_scale.py [--rows 920000] [--paintings 64000]

Features are random numbers of the right shape, so nothing is learned; the work is that of real ones.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from artaffect.training.branches import CaptionBranch, ImageBranch
from artaffect.training.fusion import fit_linear_fusion, log_prior, out_of_fold_logits

from artaffect.config import BranchConfig, CompactConfig
from artaffect.features import AnnotationArrays
from artaffect.models.fusion import LogitFusion
from artaffect.recipes import load_recipe


def report(what: str, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{what}: {time.perf_counter() - start:.0f} s, peak memory so far {peak:.1f} GB", flush=True
    )


def one_epoch(branch: BranchConfig) -> BranchConfig:
    return replace(branch, penalty=branch.penalty[:1], train=replace(branch.train, epochs=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=920_000)
    parser.add_argument("--paintings", type=int, default=64_000)
    options = parser.parse_args()
    torch.manual_seed(0)
    config = load_recipe("compact", CompactConfig)
    rows = AnnotationArrays(
        artworks=np.arange(options.paintings),
        image=torch.randn(options.paintings, 1536),
        pictured=torch.ones(options.paintings, dtype=torch.bool),
        artwork=torch.randint(0, options.paintings, (options.rows,)),
        caption=torch.randn(options.rows, 384),
        emotion=torch.randint(0, 9, (options.rows,)),
        culture=torch.randint(1, 4, (options.rows,)),
        culture_names=np.full(options.rows, "any", object),
    )
    val = rows.select(torch.arange(options.rows) < options.rows // 20)
    image = ImageBranch(one_epoch(config.image), 1536, 3, seed=0)
    caption = CaptionBranch(one_epoch(config.caption), 384, 3, seed=0)
    report("image branch, 1 epoch", lambda: image.fit(rows, val))
    report("caption branch, 1 epoch", lambda: caption.fit(rows, val))
    report("2 of 5 folds, 1 epoch each", lambda: out_of_fold_logits(image, caption, rows, 2, 0))
    logits = out_of_fold_logits(image, caption, rows, 2, 0)
    fusion = replace(config.fusion, logits=replace(config.fusion.logits, epochs=1))
    prior = log_prior(rows, 3)
    report(
        "combination of logits, 1 epoch",
        lambda: fit_linear_fusion(LogitFusion(3), fusion, rows, logits, prior, lambda: 1.0),
    )


if __name__ == "__main__":
    main()
