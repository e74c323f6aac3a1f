"""An exported folder on the Hugging Face Hub.

The token is huggingface_hub's own: what `hf auth login` stored, or the variable HF_TOKEN.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from autoprompt.search_spaces.errors import BadInputError, UploadFailedError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile


def check_push(repo: str, private: bool = True) -> None:
    """Refuse, before any work, what cannot be uploaded.

    Args:
        repo: ORG/NAME.
        private: whether nobody else may see it.

    Raises:
        BadInputError: it is no such name, there is no token, or everybody sees what is there.
        UploadFailedError: the Hub is not reached, or does not know the token.
    """
    from huggingface_hub import HfApi, get_token, is_offline_mode
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    where = f"--push {repo}"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise BadInputError(f"{where}: {str(error).rstrip('.')}") from None
    if "/" not in repo:
        raise BadInputError(f"{where}: name the owner too, as ORG/NAME")
    if is_offline_mode():
        raise BadInputError(f"{where}: HF_HUB_OFFLINE is set; unset it to upload")
    if get_token() is None:
        raise BadInputError(f"{where}: no token of the Hub; run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        api.whoami()
        visible = not api.repo_info(repo).private
    except RepositoryNotFoundError:
        return
    except Exception as error:  # its own errors, and those of the HTTP client below it
        raise UploadFailedError(f"{where}: {_reason(error)}; nothing was exported") from error
    if private and visible:
        raise BadInputError(f"{where}: exists, and everybody sees it; say --public to upload there")


def push(folder: Path, repo: str, private: bool = True) -> str:
    """Upload a folder; what is in the repository under other names stays.

    Args:
        repo: ORG/NAME, made where it does not exist.
        private: of one that is made, whether nobody else may see it.

    Returns:
        Its URL.

    Raises:
        UploadFailedError: something went wrong; it says what arrived. The folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="Upload prompts found by Autoprompt"
        )
    except Exception as error:  # its own errors, and those of the HTTP client below it
        raise UploadFailedError(
            f"--push {repo}: {_reason(error)}; {_arrived(api, folder, repo)}; {folder} is whole: "
            f"`hf upload {repo} {folder}` uploads it again"
        ) from error
    return str(url)


def _reason(error: Exception) -> str:
    """What the Hub said, or the first line of what went wrong."""
    cause: BaseException = error
    while not getattr(cause, "server_message", None) and cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(getattr(cause, "server_message", None) or error).strip().splitlines()
    return lines[0].rstrip(".;") if lines else repr(error)


def _arrived(api: "HfApi", folder: Path, repo: str) -> str:
    """Which of a folder's files are in the repository, as they are here."""
    from huggingface_hub.hf_api import RepoFile

    files = sorted(file for file in folder.iterdir() if file.is_file())
    try:
        tree = api.list_repo_tree(repo, recursive=True)
        there = {each.path: each for each in tree if isinstance(each, RepoFile)}
    except Exception as error:
        return f"what arrived cannot be told ({_reason(error)})"
    arrived = [each.name for each in files if _same(each, there.get(each.name))]
    missing = [each.name for each in files if each.name not in arrived]
    return (
        f"uploaded: {', '.join(arrived) or 'nothing'}; not uploaded: "
        f"{', '.join(missing) or 'nothing'}"
    )


def _same(file: Path, other: "RepoFile | None") -> bool:
    from huggingface_hub.utils.sha import git_hash, sha_fileobj

    if other is None:
        return False
    if other.lfs is not None:
        with file.open("rb") as content:
            return sha_fileobj(content).hex() == other.lfs.sha256
    return git_hash(file.read_bytes()) == other.blob_id
