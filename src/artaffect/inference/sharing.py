"""Model folders on the Hugging Face hub: fetch one by name, put one there."""

import shutil
from pathlib import Path

from artaffect.errors import ModelFolderError
from artaffect.models.folder import GRAPHS, SUMS, TOKENIZER, WEIGHTS, check_folder
from artaffect.runtime import atomic_folder

_FILES = (
    "README.md", "config.json", "metrics.json", SUMS, TOKENIZER, WEIGHTS, *GRAPHS.values()
)  # fmt: skip


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
    with atomic_folder(target, SUMS) as new:
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
