"""artaffect: which emotion an artwork evokes, and in whom.

Public names are loaded on first use, so that ``import artaffect`` imports neither torch nor pyarrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.readers.artelingo import read_artelingo, read_artemis
    from artaffect.data.readers.hf_parquet import read_hf_parquet
    from artaffect.errors import ArtAffectError
    from artaffect.explain.explainer import Explainer
    from artaffect.features import extract_features
    from artaffect.labels import EMOTIONS, Emotion, EmotionDistribution, Sentiment
    from artaffect.models.image_encoders import create_image_encoder
    from artaffect.models.text_encoders import create_text_encoder
    from artaffect.prediction.collection.run import predict_collection
    from artaffect.prediction.predictor import (
        CulturePrediction,
        Prediction,
        PredictionInput,
        load_predictor,
    )

_HOMES = {
    "AnnotationTable": "artaffect.data.annotations",
    "ArtAffectError": "artaffect.errors",
    "create_image_encoder": "artaffect.models.image_encoders",
    "create_text_encoder": "artaffect.models.text_encoders",
    "CulturePrediction": "artaffect.prediction.predictor",
    "Emotion": "artaffect.labels",
    "EmotionDistribution": "artaffect.labels",
    "EMOTIONS": "artaffect.labels",
    "Explainer": "artaffect.explain.explainer",
    "extract_features": "artaffect.features",
    "load_predictor": "artaffect.prediction.predictor",
    "predict_collection": "artaffect.prediction.collection.run",
    "Prediction": "artaffect.prediction.predictor",
    "PredictionInput": "artaffect.prediction.predictor",
    "read_artelingo": "artaffect.data.readers.artelingo",
    "read_artemis": "artaffect.data.readers.artelingo",
    "read_hf_parquet": "artaffect.data.readers.hf_parquet",
    "Sentiment": "artaffect.labels",
}

__all__ = [
    "AnnotationTable",
    "ArtAffectError",
    "create_image_encoder",
    "create_text_encoder",
    "CulturePrediction",
    "Emotion",
    "EmotionDistribution",
    "EMOTIONS",
    "Explainer",
    "extract_features",
    "load_predictor",
    "predict_collection",
    "Prediction",
    "PredictionInput",
    "read_artelingo",
    "read_artemis",
    "read_hf_parquet",
    "Sentiment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
