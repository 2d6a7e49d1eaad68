"""Attribution of a prediction to image regions and tokens, with the methods of captum."""

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.text_encoders import TextEncoder

Score = Callable[[Tensor], Tensor]
"""From features [n, d] to the scalar that is explained [n]; where it says so, from images."""

_INTEGRATION_STEPS = 24
_OCCLUSION_PATCHES = 7  # per side


def gradient_heatmap(encoder: ImageEncoder, pixels: Tensor, score: Score) -> np.ndarray:
    """How much each pixel of an image supports the score.

    Grad-CAM (Selvaraju et al. 2017) on the layers that the features are computed from, summed over
    layers; for a vision transformer, gradient x activation of the patches that enter the last block.

    Args:
        pixels: one image, float32 [1, 3, size, size].

    Returns:
        float32 [size, size]; positive values support the score, negative values oppose it.
    """
    from captum.attr import LayerGradCam, LayerGradientXActivation

    size = encoder.preprocessing.size
    layers = encoder.target_layers()

    def forward(x: Tensor) -> Tensor:
        return score(encoder(x))

    if not layers:
        layer, patches = _last_spatial_layer(encoder, pixels)
        if patches is not None:
            tokens = LayerGradientXActivation(forward, layer).attribute(pixels)
            grid = tokens.sum(-1)[0, -(patches**2) :].reshape(1, 1, patches, patches)
            return _upsample(grid, size)
        layers = [layer]
    maps = [_upsample(LayerGradCam(forward, layer).attribute(pixels), size) for layer in layers]
    return np.stack(maps).sum(0)


def occlusion_heatmap(pixels: Tensor, score: Score) -> np.ndarray:
    """How far the score falls when a patch of the image is covered with the mean colour.

    The slow check of :func:`gradient_heatmap` (Zeiler and Fergus 2014), with the same result.

    Args:
        pixels: one image, float32 [1, 3, size, size].
        score: the scalar that is explained [n], of images [n, 3, size, size].
    """
    from captum.attr import Occlusion

    side = max(1, pixels.shape[-1] // _OCCLUSION_PATCHES)
    with torch.no_grad():
        heatmap = Occlusion(score).attribute(
            pixels,
            sliding_window_shapes=(3, side, side),
            strides=(3, side, side),
            baselines=pixels.mean((2, 3), keepdim=True),
            perturbations_per_eval=16,
        )
    return heatmap.mean(1)[0].float().cpu().numpy()


def token_weights(encoder: TextEncoder, ids: list[int], score: Score) -> tuple[np.ndarray, float]:
    """How much each token supports the score: integrated gradients (Sundararajan et al. 2017).

    The baseline is the same caption with every token replaced by padding, except for the special
    tokens at both ends.

    Returns:
        float32 [tokens], and the convergence delta: how far their sum is from the exact difference.
    """
    from captum.attr import LayerIntegratedGradients

    device = next(encoder.parameters()).device
    tokens, mask = (tensor.to(device) for tensor in encoder.collate([ids]))
    baseline = torch.full_like(tokens, encoder.tokens.pad_id)
    baseline[:, 0], baseline[:, -1] = tokens[:, 0], tokens[:, -1]
    network: nn.Module = encoder.network
    embeddings = network.get_input_embeddings()  # type: ignore[operator]

    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return score(encoder(x, mask.expand(len(x), -1)))

    weights, delta = LayerIntegratedGradients(forward, embeddings).attribute(
        tokens,
        baselines=baseline,
        additional_forward_args=(mask,),
        n_steps=_INTEGRATION_STEPS,
        internal_batch_size=_INTEGRATION_STEPS,
        return_convergence_delta=True,
    )
    return weights.sum(-1)[0].detach().float().cpu().numpy(), float(delta.abs().max())


def _upsample(grid: Tensor, size: int) -> np.ndarray:
    grid = F.interpolate(grid.detach().float(), (size, size), mode="bilinear", align_corners=False)
    return grid.sum(1)[0].cpu().numpy()


@torch.no_grad()
def _last_spatial_layer(encoder: ImageEncoder, pixels: Tensor) -> tuple[nn.Module, int | None]:
    """The last layer with a spatial output, and None; for a transformer, its patches per side.

    A transformer's layer is the first norm of its last block. The input of the block itself would not
    do: the block reads it through a norm, which removes its scale, so that the product of the input
    and its gradient is zero for every image.
    """
    outputs: list[tuple[nn.Module, torch.Size]] = []

    def record(module: nn.Module, inputs: object, output: object) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor):
            outputs.append((module, first.shape))

    with ExitStack() as hooks:
        for module in encoder.modules():
            hooks.enter_context(module.register_forward_hook(record))
        encoder(pixels)
    blocks = {block for m in encoder.modules() if isinstance(m, nn.ModuleList) for block in m}
    sequences = [m for m, shape in outputs if m in blocks and len(shape) == 3 and shape[1] > 4]
    if sequences:
        inside = set(sequences[-1].modules())
        for module, shape in outputs:  # in call order: the norm before the attention comes first
            if module in inside and isinstance(module, nn.LayerNorm):
                return module, int(shape[1] ** 0.5)
    maps = [module for module, shape in outputs if len(shape) == 4 and min(shape[2:]) > 1]
    if not maps:
        raise ValueError(f"{type(encoder).__name__} has no layer with a spatial output")
    return maps[-1], None
