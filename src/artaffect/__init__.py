"""artaffect predicts which emotion an artwork evokes, and in whom.

Public names are loaded on first use, so that ``import artaffect`` imports neither torch nor pyarrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artaffect.api import (
        compare_cultures,
        evaluate,
        explain_prediction,
        export_onnx,
        find_overlap,
        load_predictor,
        push_to_hub,
        report,
        reproduce,
        train,
        train_culture_models,
        write_croissant,
        write_sample,
    )
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.readers.artelingo import read_artelingo, read_artemis
    from artaffect.data.readers.hf_parquet import read_hf_parquet
    from artaffect.data.readers.table import read_table
    from artaffect.errors import ArtAffectError
    from artaffect.experiments import (
        compare_runs,
        learning_curve,
        list_runs,
        plan_reproduction,
        train_seeds,
        tune,
    )
    from artaffect.explain.explainer import Explanation
    from artaffect.features import extract_features
    from artaffect.labels import (
        EMOTIONS,
        LabelDistribution,
        LabelSet,
        Sentiment,
        label_sets,
        load_label_set,
    )
    from artaffect.metrics.evaluation import EvaluationResult
    from artaffect.models.encoder_list import list_encoders
    from artaffect.models.image_encoders import create_image_encoder
    from artaffect.models.packing import pack
    from artaffect.models.text_encoders import create_text_encoder
    from artaffect.prediction.collection.label_studio import export_tasks, import_votes
    from artaffect.prediction.collection.next_votes import next_votes
    from artaffect.prediction.collection.run import predict_collection
    from artaffect.prediction.collection.statements import export_annotations
    from artaffect.prediction.predictor import CulturePrediction, Prediction, PredictionInput
    from artaffect.reports.gallery import browse
    from artaffect.shared_task.reader import read_artemotion28

_MODULES = {
    "AnnotationTable": "data.annotations",
    "ArtAffectError": "errors",
    "browse": "reports.gallery",
    "compare_cultures": "api",
    "compare_runs": "experiments",
    "create_image_encoder": "models.image_encoders",
    "create_text_encoder": "models.text_encoders",
    "CulturePrediction": "prediction.predictor",
    "EMOTIONS": "labels",
    "evaluate": "api",
    "EvaluationResult": "metrics.evaluation",
    "explain_prediction": "api",
    "Explanation": "explain.explainer",
    "export_annotations": "prediction.collection.statements",
    "export_onnx": "api",
    "export_tasks": "prediction.collection.label_studio",
    "extract_features": "features",
    "find_overlap": "api",
    "import_votes": "prediction.collection.label_studio",
    "label_sets": "labels",
    "LabelDistribution": "labels",
    "LabelSet": "labels",
    "learning_curve": "experiments",
    "list_encoders": "models.encoder_list",
    "list_runs": "experiments",
    "load_label_set": "labels",
    "load_predictor": "api",
    "next_votes": "prediction.collection.next_votes",
    "pack": "models.packing",
    "plan_reproduction": "experiments",
    "predict_collection": "prediction.collection.run",
    "Prediction": "prediction.predictor",
    "PredictionInput": "prediction.predictor",
    "push_to_hub": "api",
    "read_artelingo": "data.readers.artelingo",
    "read_artemis": "data.readers.artelingo",
    "read_artemotion28": "shared_task.reader",
    "read_hf_parquet": "data.readers.hf_parquet",
    "read_table": "data.readers.table",
    "report": "api",
    "reproduce": "api",
    "Sentiment": "labels",
    "train": "api",
    "train_culture_models": "api",
    "train_seeds": "experiments",
    "tune": "experiments",
    "write_croissant": "api",
    "write_sample": "api",
}

__all__ = [
    "AnnotationTable",
    "ArtAffectError",
    "browse",
    "compare_cultures",
    "compare_runs",
    "create_image_encoder",
    "create_text_encoder",
    "CulturePrediction",
    "EMOTIONS",
    "evaluate",
    "EvaluationResult",
    "explain_prediction",
    "Explanation",
    "export_annotations",
    "export_onnx",
    "export_tasks",
    "extract_features",
    "find_overlap",
    "import_votes",
    "label_sets",
    "LabelDistribution",
    "LabelSet",
    "learning_curve",
    "list_encoders",
    "list_runs",
    "load_label_set",
    "load_predictor",
    "next_votes",
    "pack",
    "plan_reproduction",
    "predict_collection",
    "Prediction",
    "PredictionInput",
    "push_to_hub",
    "read_artelingo",
    "read_artemis",
    "read_artemotion28",
    "read_hf_parquet",
    "read_table",
    "report",
    "reproduce",
    "Sentiment",
    "train",
    "train_culture_models",
    "train_seeds",
    "tune",
    "write_croissant",
    "write_sample",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("artaffect")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"artaffect.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
