"""artaffect: which emotion an artwork evokes, and in whom.

Public names are loaded on first use, so that ``import artaffect`` imports neither torch nor pyarrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.importers import read_artelingo, read_artemis, read_parquet
    from artaffect.errors import ArtAffectError
    from artaffect.explain.explainer import Explainer
    from artaffect.inference.collection.run import predict_collection
    from artaffect.inference.features import extract_features
    from artaffect.inference.loading import load_predictor
    from artaffect.inference.predictor import Prediction, PredictionInput, Reading
    from artaffect.labels import EMOTIONS, Emotion, EmotionDistribution, Sentiment
    from artaffect.models.image_encoders import create_image_encoder
    from artaffect.models.text_encoders import create_text_encoder

_HOMES = {
    "AnnotationTable": "artaffect.data.annotations",
    "ArtAffectError": "artaffect.errors",
    "create_image_encoder": "artaffect.models.image_encoders",
    "create_text_encoder": "artaffect.models.text_encoders",
    "Emotion": "artaffect.labels",
    "EmotionDistribution": "artaffect.labels",
    "EMOTIONS": "artaffect.labels",
    "Explainer": "artaffect.explain.explainer",
    "extract_features": "artaffect.inference.features",
    "load_predictor": "artaffect.inference.loading",
    "predict_collection": "artaffect.inference.collection.run",
    "Prediction": "artaffect.inference.predictor",
    "PredictionInput": "artaffect.inference.predictor",
    "read_artelingo": "artaffect.data.importers",
    "read_artemis": "artaffect.data.importers",
    "read_parquet": "artaffect.data.importers",
    "Reading": "artaffect.inference.predictor",
    "Sentiment": "artaffect.labels",
}

__all__ = [
    "AnnotationTable",
    "ArtAffectError",
    "create_image_encoder",
    "create_text_encoder",
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
    "read_parquet",
    "Reading",
    "Sentiment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
