"""Models by name: run folders and encoders, from the disk or from the Hugging Face hub."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from artaffect.errors import ArtAffectError, EncoderUnavailableError, InputError, ModelFolderError
from artaffect.models.folder import CHECKSUMS, FILES, check_folder, listed_path, read_config
from artaffect.models.saved_config import FOLDER_PREFIX
from artaffect.outputs import atomic_folder

T = TypeVar("T")

HUB_PREFIX = "hf:"

STARTER = "starter"
"""The name of the model that comes with artaffect; a model folder of this name is preferred to it."""
STARTER_FOLDER = Path(__file__).parents[1] / "starter"


def resolve_run(name: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of a run; a model on the Hugging Face hub is downloaded.

    Args:
        name: a folder, ``hf:OWNER/MODEL`` or ``hf:OWNER/MODEL@REVISION``, or ``starter``, the model that
            comes with artaffect.
        revision: a branch, a tag or a commit on the hub; it overrides the one in ``name``.

    Raises:
        InputError: ``name`` is neither a string nor a path.
        ModelFolderError: the model cannot be downloaded, or ``name`` has the form ``OWNER/MODEL`` and
            no such folder exists. Only the prefix ``hf:`` leads to a download.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"run must be a folder or hf:OWNER/MODEL, got {type(name).__name__}")
    text, path = os.fspath(name), Path(name)
    if text == STARTER and not (path / CHECKSUMS).is_file():
        return STARTER_FOLDER
    if path.exists():
        return path
    if text.startswith(HUB_PREFIX):
        repository, _, tag = text.removeprefix(HUB_PREFIX).partition("@")
        return _download_run(repository, revision or tag or None)
    if _is_hub_name(text):
        raise ModelFolderError(
            f"{text}: no such model folder; `artaffect train` makes one "
            f"(for a model on the Hugging Face hub write {HUB_PREFIX}{text})"
        )
    return path


def _download_run(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    if not _is_hub_name(repository):
        raise ModelFolderError(
            f"{HUB_PREFIX}{repository}: a model on the hub is written {HUB_PREFIX}OWNER/MODEL"
        )
    try:
        names = [CHECKSUMS, *FILES]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=names))
    except _hub_errors() as error:
        raise ModelFolderError(
            f"{HUB_PREFIX}{repository} cannot be downloaded: {_first_line(error)}"
        ) from None


def _hub_errors() -> tuple[type[Exception], ...]:
    """The common bases of what the hub's client raises: no connection, a refusal, a wrong name."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return (*cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__), HFValidationError)


def copy_folder(folder: Path, target: Path) -> None:
    """Copy the listed files of a run folder, all of them or none.

    Raises:
        ModelFolderError: ``folder`` is incomplete or altered.
        OutputExistsError: ``target`` exists.
    """
    listed = check_folder(folder)
    with atomic_folder(target, CHECKSUMS) as new:
        for name in (CHECKSUMS, *listed):
            shutil.copy(listed_path(folder, name), new / name)


def push_folder(
    folder: Path, repository: str, private: bool = False, synthetic: bool = False
) -> str:
    """Upload the listed files of a run folder to the Hugging Face hub, and return its address.

    Args:
        repository: ``OWNER/MODEL``; it is created if it does not exist.
        synthetic: allow a model that learned from synthetic data.

    Raises:
        InputError: the model learned from synthetic data, and ``synthetic`` is false; or the folder
            refers to an encoder of this machine.
        ModelFolderError: the folder is incomplete or altered, or the hub refuses it.
    """
    from huggingface_hub import HfApi

    listed, config = check_folder(folder), read_config(folder)
    for reference in config["references"].values():
        if reference["name"].startswith(FOLDER_PREFIX):
            raise InputError(
                f"{folder} refers to an encoder in a folder of this machine: make it self-contained with "
                "`artaffect pack`, and upload the new folder"
            )
    if config.get("synthetic") and not synthetic:
        raise InputError(
            f"{folder} learned from synthetic data and says nothing about real artworks: "
            "add --synthetic (in Python: synthetic=True) to upload it all the same"
        )
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[CHECKSUMS, *listed],
            commit_message="artaffect model",
        )
    except _hub_errors() as error:
        raise ModelFolderError(
            f"{folder} cannot be uploaded to {repository}: {_first_line(error)}"
        ) from None
    return str(commit.commit_url)


def encoder_files(name: str) -> str | None:
    """What an encoder's name means to transformers: a folder, or a model on the hub.

    Returns:
        An existing folder, or ``OWNER/MODEL`` of ``hf:OWNER/MODEL``; None for any other name.

    Raises:
        EncoderUnavailableError: ``name`` looks like a folder, or like a model without the prefix.
    """
    if Path(name).is_dir():
        return name
    repository = name.removeprefix(HUB_PREFIX)
    if repository != name and _is_hub_name(repository):
        return repository
    if "/" in name:
        hint = f" (for a model on the Hugging Face hub write {HUB_PREFIX}{name})"
        raise EncoderUnavailableError(f"{name}: no such folder{hint if _is_hub_name(name) else ''}")
    return None


def load_encoder_files(name: str, load: Callable[[], T], bundled: str) -> T:
    """Call ``load``, and turn the errors of transformers and its hub client into one clear message.

    Args:
        bundled: the encoder that the message offers as an alternative.

    Raises:
        EncoderUnavailableError: the weights are not available on this machine, or damaged.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the heads that a checkpoint lacks are not used
    logging.disable_progress_bar()
    try:
        return load()
    except (OSError, ValueError) as error:
        raise EncoderUnavailableError(
            f"the encoder {name!r} cannot be loaded: {_first_line(error)} "
            f"Without a connection, download it on another machine (`hf download {name} "
            "--local-dir DIR`) and pass the folder's path instead of the name; or use "
            f"{bundled!r}, which comes with artaffect."
        ) from None
    except ArtAffectError:
        raise
    except Exception as error:  # noqa: BLE001 - the readers of weights share no other base
        raise EncoderUnavailableError(
            f"the encoder {name!r} cannot be loaded, because its files are damaged or do not belong "
            f"together: {_first_line(error)}"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def check_safetensors(name: str) -> None:
    """Raise EncoderUnavailableError if an encoder's weights are not in the format safetensors."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

    for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME):
        with contextlib.suppress(OSError):  # no connection: loading it says so
            if cached_file(name, file, _raise_exceptions_for_missing_entries=False):
                return
    raise EncoderUnavailableError(
        f"{name}: {SAFE_WEIGHTS_NAME} is missing or cannot be downloaded, and a model folder may refer to "
        "weights in the format safetensors only"
    )


def read_json(name: str, file: str) -> Any:
    """The content of an encoder's JSON file, or None if the encoder has no such file."""
    from transformers.utils import cached_file

    path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
    try:
        return None if path is None else json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EncoderUnavailableError(f"{path} cannot be read: {error}") from None


def _is_hub_name(name: str) -> bool:
    owner, _, model = name.partition("/")
    return bool(owner and model) and "/" not in model and owner[0] not in ".~"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
