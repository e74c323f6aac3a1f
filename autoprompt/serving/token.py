"""The token that requests carry: found, made, and compared.

Replicas are given its digest alone: what Ray keeps of an application tells no one the token.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from autoprompt.search_spaces.errors import BadInputError

TOKEN = "AUTOPROMPT_SERVE_TOKEN"
TOKEN_FILE = "AUTOPROMPT_SERVE_TOKEN_FILE"

#: A token that is shorter can be guessed.
_SHORTEST = 16


def digest_of(token: str) -> str:
    """What a token is known by where it is checked."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(given: str, digest: str) -> bool:
    """Whether this is the token with that digest, in the same time for any other."""
    return hmac.compare_digest(digest_of(given), digest)


def given_token(file: str | None = None) -> str | None:
    """The token that this process was given: in `file`, in AUTOPROMPT_SERVE_TOKEN, or in the file
    that AUTOPROMPT_SERVE_TOKEN_FILE names; None for none.

    Raises:
        BadInputError: the file cannot be read, others may read it, or the token is too short.
    """
    if file is None and (own := os.environ.get(TOKEN)):
        return _sound(own.strip(), TOKEN)
    file = file or os.environ.get(TOKEN_FILE)
    return _read(Path(file)) if file else None


def made_token() -> tuple[str, Path]:
    """The token kept for this user, made the first time, and the file that holds it, which nobody
    else may read.

    Raises:
        BadInputError: the file cannot be written, or others may read it.
    """
    path = platformdirs.user_config_path("autoprompt") / "serve-token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path), path
    except OSError as error:
        raise BadInputError(
            f"{path}: cannot be written ({error.strerror}); set {TOKEN}, or {TOKEN_FILE}"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(secrets.token_urlsafe(32) + "\n")
    return _read(path), path


def _read(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"token file {path}: cannot be read ({error})") from None
    if mode & 0o077:
        raise BadInputError(f"token file {path}: others may read it; run `chmod 600 {path}`")
    return _sound(token, f"token file {path}")


def _sound(token: str, where: str) -> str:
    if len(token) < _SHORTEST or not token.isascii() or any(map(str.isspace, token)):
        raise BadInputError(
            f"{where}: a token has at least {_SHORTEST} characters, and no space; "
            "`openssl rand -hex 24` makes one"
        )
    return token
