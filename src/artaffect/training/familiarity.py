"""Keep of the training artworks what tells later how near an image is to them."""

import numpy as np
import torch
from torch import Tensor

from artaffect.features import AnnotationArrays
from artaffect.models.familiarity import Familiarity
from artaffect.models.heads import FeatureScaler

_MOST = 20_000
"""Training artworks that are kept; of more, a sample is drawn."""
_WIDTH = 128
"""Directions of the features that are kept, those along which they vary most."""
_RARE = 0.01
"""The share of validation artworks that are less similar than what counts as usual."""


@torch.no_grad()
def learn_familiarity(
    train: AnnotationArrays, val: AnnotationArrays, scaler: FeatureScaler
) -> Familiarity | None:
    """The familiarity of a model's image encoder; None without an image in one of the splits.

    Args:
        train: with the features of the images; likewise ``val``.
        scaler: standardises the features.
    """
    if not (train.artwork_has_image.any() and val.artwork_has_image.any()):
        return None
    features = _sample(train.image[train.artwork_has_image])
    mean, scale = scaler.mean.cpu(), scaler.scale.cpu()
    standardised = (features - mean) / scale
    width = min(_WIDTH, *standardised.shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        basis = torch.pca_lowrank(standardised, width, center=False)[2]
    projection = basis / scale[:, None]
    offset = -(mean @ projection)
    empty = np.zeros((0, width), np.float16)
    familiarity = Familiarity(projection.numpy(), offset.numpy(), empty, 0.0)
    directions = familiarity.direction(features.numpy()).astype(np.float16)
    familiarity = Familiarity(projection.numpy(), offset.numpy(), directions, 0.0)
    similarity = familiarity.similarity(val.image[val.artwork_has_image].numpy())
    usual = float(np.quantile(similarity, _RARE))
    return Familiarity(projection.numpy(), offset.numpy(), directions, usual)


def _sample(features: Tensor) -> Tensor:
    """At most ``_MOST`` rows of features [n, d]."""
    if len(features) <= _MOST:
        return features
    rows = np.random.default_rng(0).permutation(len(features))[:_MOST]
    return features[torch.from_numpy(np.sort(rows))]
