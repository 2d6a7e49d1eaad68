"""A model's files, from a folder or the Hugging Face hub, and one clear line when they cannot be had."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from artaffect.errors import EncoderUnavailableError, ModelFolderError
from artaffect.models.folder import (
    CHECKSUMS,
    GRAPHS,
    TOKENIZER,
    TRAINING_LOG,
    WEIGHTS,
    check_folder,
)
from artaffect.runtime import atomic_folder

T = TypeVar("T")

_FILES = (
    *("README.md", "config.json", "metrics.json", TRAINING_LOG),
    *(CHECKSUMS, TOKENIZER, WEIGHTS, *GRAPHS.values()),
)  # fmt: skip


def looks_like_model(name: str) -> bool:
    """Whether a name is a folder here, or has the form ``owner/model``."""
    return Path(name).is_dir() or (name.count("/") == 1 and name[0] not in "./~")


def guarded(name: str, load: Callable[[], T], offline_choice: str) -> T:
    """Run ``load``; turn what the hub's client raises into a line that says what to do.

    Raises:
        EncoderUnavailableError: the weights cannot be had here.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # heads that a checkpoint lacks are not used here
    logging.disable_progress_bar()
    try:
        return load()
    except (OSError, ValueError) as error:  # what transformers and its hub client raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderUnavailableError(
            f"the encoder {name!r} cannot be loaded: {reason} "
            f"Without a connection, fetch it elsewhere (`hf download {name} --local-dir DIR`) and "
            f"give the folder's path instead of the name; or use {offline_choice!r}, "
            "which comes with artaffect."
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def file_of(name: str, file: str) -> Path:
    """The path of one file of a model.

    Raises:
        OSError: it is not to be had.
    """
    from transformers.utils import cached_file

    return Path(cached_file(name, file))


def read_json(name: str, file: str) -> dict[str, Any] | None:
    """A JSON file of a model, or None where the model has none."""
    from transformers.utils import cached_file

    path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
    return None if path is None else dict(json.loads(Path(path).read_text("utf-8")))


def config_of(saved: Mapping[str, Any]) -> Any:
    """The transformers configuration behind a saved ``config.to_dict()``."""
    from transformers import AutoConfig

    settings = dict(saved)
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def fetch_folder(name: str | Path, revision: str | None = None) -> Path:
    """The folder of that path, or the hub's model of that name (``owner/model``), fetched.

    Raises:
        ModelFolderError: there is neither, or the hub cannot be reached.
    """
    path = Path(name)
    if path.exists() or str(name).count("/") != 1 or str(name)[0] in "./~":
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), revision=revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelFolderError(
            f"{name}: no such model folder, and the hub has none to give: {reason}"
        ) from None


def copy_folder(folder: Path, target: Path) -> None:
    """Copy a model folder, whole or not at all.

    Raises:
        ModelFolderError: the folder is not whole.
        OutputExistsError: something stands at ``target``.
    """
    check_folder(folder)
    with atomic_folder(target, CHECKSUMS) as new:
        for name in _FILES:
            if (folder / name).is_file():
                shutil.copy(folder / name, new / name)


def push_folder(
    folder: Path, repository: str, private: bool = False, revision: str | None = None
) -> str:
    """Upload a model folder, and give its address.

    Args:
        repository: ``owner/model``; made where it is not there yet.

    Raises:
        ModelFolderError: the folder is not whole, or the hub refuses it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    check_folder(folder)
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(_FILES),
            revision=revision,
            commit_message="artaffect model",
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelFolderError(f"{repository} does not take {folder}: {reason}") from None
    return str(done.commit_url)
