"""Where in a picture and in which words an answer lies: captum's methods on our encoders."""

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import (
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    Occlusion,
)
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder

Answer = Callable[[Tensor], Tensor]
"""From features [n, d] to one number for each row [n]: what is explained."""

_STEPS = 24
"""Points on the path of integrated gradients."""
_PATCHES = 7
"""Patches a side that occlusion covers one by one."""


def gradient_heatmap(encoder: ImageEncoder, pixels: Tensor, answer: Answer) -> np.ndarray:
    """How much each place of a picture speaks for the answer.

    Grad-CAM (Selvaraju et al. 2017) on the layers that the features are made of, summed over them; for
    a transformer gradient x activation of its patches as the last block reads them.

    Args:
        pixels: one picture, float32 [1, 3, size, size].

    Returns:
        float32 [size, size]; positive speaks for, negative against.
    """
    size = encoder.preprocessing.size
    layers = encoder.target_layers()

    def forward(x: Tensor) -> Tensor:
        return answer(encoder(x))

    if not layers:
        layer, patches = _last_map(encoder, pixels)
        if patches is not None:
            of_tokens = LayerGradientXActivation(forward, layer).attribute(pixels)
            grid = of_tokens.sum(-1)[0, -(patches**2) :].reshape(1, 1, patches, patches)
            return _resized(grid, size)
        layers = [layer]
    maps = [_resized(LayerGradCam(forward, one).attribute(pixels), size) for one in layers]
    heatmap: np.ndarray = np.stack(maps).sum(0)
    return heatmap


def occlusion_heatmap(encoder: ImageEncoder, pixels: Tensor, answer: Answer) -> np.ndarray:
    """How far the answer falls where a patch of the picture is covered with its mean colour.

    The slow check of :func:`gradient_heatmap` (Zeiler and Fergus 2014), with the same arguments and result.
    """
    side = max(1, encoder.preprocessing.size // _PATCHES)
    with torch.no_grad():
        heatmap = Occlusion(lambda x: answer(encoder.encode(x))).attribute(
            pixels,
            sliding_window_shapes=(3, side, side),
            strides=(3, side, side),
            baselines=pixels.mean((2, 3), keepdim=True),
            perturbations_per_eval=16,
        )
    found: np.ndarray = heatmap.mean(1)[0].float().cpu().numpy()
    return found


def token_weights(encoder: TextEncoder, ids: list[int], answer: Answer) -> tuple[np.ndarray, float]:
    """How much each token speaks for the answer: integrated gradients (Sundararajan et al. 2017).

    The path begins at the same caption with every token replaced by padding, which says nothing, but for
    the marks at both ends.

    Returns:
        float32 [tokens], and by how much their sum misses the difference that it should be.
    """
    device = next(encoder.parameters()).device
    tokens, mask = (part.to(device) for part in encoder.collate([ids]))
    empty = torch.full_like(tokens, encoder.tokens.pad_id)
    empty[:, 0], empty[:, -1] = tokens[:, 0], tokens[:, -1]
    network: nn.Module = encoder.network
    table = network.get_input_embeddings()  # type: ignore[operator]

    def forward(x: Tensor, seen: Tensor) -> Tensor:
        return answer(encoder(x, seen.expand(len(x), -1)))

    method = LayerIntegratedGradients(forward, table)
    weights, missing = method.attribute(
        tokens,
        baselines=empty,
        additional_forward_args=(mask,),
        n_steps=_STEPS,
        internal_batch_size=_STEPS,
        return_convergence_delta=True,
    )
    found: np.ndarray = weights.sum(-1)[0].detach().float().cpu().numpy()
    return found, float(missing.abs().max())


def _resized(grid: Tensor, size: int) -> np.ndarray:
    wide = F.interpolate(grid.detach().float(), (size, size), mode="bilinear", align_corners=False)
    found: np.ndarray = wide.sum(1)[0].cpu().numpy()
    return found


@torch.no_grad()
def _last_map(encoder: ImageEncoder, pixels: Tensor) -> tuple[nn.Module, int | None]:
    """The last layer that has places; for a transformer its last block's norm, and the patches a side.

    The norm, for what a block is given it reads through its norm alone, which no scale reaches: the product
    of that with its gradient is nought, whatever the picture.
    """
    found: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor):
            found.append((module, first.shape))

    hooks = [module.register_forward_hook(note) for module in encoder.modules()]
    try:
        encoder(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    blocks = {
        block for list_ in encoder.modules() if isinstance(list_, nn.ModuleList) for block in list_
    }
    last = next((m for m, s in reversed(found) if m in blocks and len(s) == 3 and s[1] > 4), None)
    if last is not None:
        inside = set(last.modules())
        for module, shape in found:  # as they were called: the norm before the attention is first
            if module in inside and isinstance(module, nn.LayerNorm):
                return module, int(shape[1] ** 0.5)
    maps = [m for m, s in found if len(s) == 4 and min(s[2:]) > 1]
    if not maps:
        raise ValueError(f"{type(encoder).__name__} has no layer with places")
    return maps[-1], None
