"""What does ``user/name`` mean: a directory here, or an adapter on the Hugging Face hub, and how is it fetched?"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robustpeft.errors import UserError

__all__ = ["HubName", "cached_revision", "fetch", "find_adapter", "telling"]

_log = logging.getLogger(__name__)

_PREFIX = "hf:"
_WORD = r"[A-Za-z0-9](?:[\w.-]*[\w])?"
_NAME = re.compile(rf"(?P<repo>{_WORD}/{_WORD})(?:@(?P<revision>[^\s@]+))?", re.ASCII)
_LEADING_OUT = "*..*"
_CLIENTS = ("httpx", "httpx2", "requests")  # what versions of huggingface_hub speak HTTP with


@dataclass(frozen=True)
class HubName:
    """A model repository of the hub.

    Args:
        repo: ``user/name``.
        revision: Branch, tag or commit; None for the main branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{_PREFIX}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Return what ``user/name``, ``hf:user/name`` or ``hf:user/name@revision`` names.

        Raises:
            UserError: If it is no such name.
        """
        found = _NAME.fullmatch(text.removeprefix(_PREFIX))
        if found is None or ".." in found["repo"] or "--" in found["repo"]:
            raise UserError(f"{text!r} is no name on the hub; expected user/name, or user/name@revision")
        return cls(found["repo"], found["revision"])


def find_adapter(given: str | Path, files: Sequence[str]) -> Path:
    """Return the directory of an adapter: a path on disk, or else a copy of what the hub has under that name.

    What exists on disk always wins. A `Path` is never looked for on the hub, nor is ``runs/name`` where there is a
    directory ``runs``: that is a path with a slip, and its name is nobody's business.

    Args:
        given: A path, ``user/name``, or ``hf:user/name@revision``.
        files: Names of the files to fetch.

    Raises:
        UserError: If it is meant for the hub and cannot be had there.
    """
    path = Path(given)
    if isinstance(given, Path):
        return path
    explicit = given.startswith(_PREFIX)
    if path.exists():
        _say_if_ambiguous(given)
        return path
    try:
        name = HubName.parse(given)
    except UserError:
        if explicit:
            raise
        return path
    owner = Path(name.repo.partition("/")[0])
    if not explicit and owner.is_dir():
        raise UserError(
            f"no run at {given}: {owner} is a directory here, and there is no {path.name} in it. For the adapter of "
            f"that name on the Hugging Face hub say {_PREFIX}{given}"
        )
    if not explicit:
        _log.info("%s is no directory here; looking for it on the Hugging Face hub", given)
    return fetch(name, files)


def fetch(name: HubName, files: Sequence[str]) -> Path:
    """Return a directory in the hub's cache that holds `files` of a repository, as far as it has them, and checked.

    The client's settings hold: ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``, ``HF_HUB_OFFLINE``.

    Args:
        name: Which repository, at which revision.
        files: Names, or patterns with ``*``; nothing else is downloaded.

    Raises:
        UserError: If it cannot be had, or a file is not what the hub says it is.

    Cost:
        One hash of every file, about 1 s a GB.
    """
    from huggingface_hub import snapshot_download

    with telling(name):
        folder = Path(
            snapshot_download(
                name.repo,
                revision=name.revision,
                allow_patterns=list(files),
                ignore_patterns=_LEADING_OUT,
            )
        )
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            _check_digest(file)
    return folder


def cached_revision(folder: Path) -> str:
    """Return the commit that a directory from `fetch` holds."""
    return folder.name


@contextmanager
def telling(name: HubName) -> Iterator[None]:
    """Within the context, what goes wrong on the way to the hub is one readable message.

    Raises:
        UserError: Instead of what the client of the hub raises.
    """
    from huggingface_hub import constants, errors

    where = constants.ENDPOINT
    try:
        yield
    except errors.RepositoryNotFoundError as error:  # gated ones too
        raise UserError(
            f"{where} has no model {name.repo} that may be read from here; for a private or gated one log in with "
            "`hf auth login`, or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name.repo} has no revision {name.revision} on {where}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{name.repo} cannot be had: {where} is out of reach (or HF_HUB_OFFLINE is set), and no whole copy of it "
            "lies in the cache"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = "; log in with `hf auth login`, or set HF_TOKEN to one that may write" if status in (401, 403) else ""
        raise UserError(f"{where} refuses {name.repo} ({str(error).splitlines()[0]}){hint}") from error
    except errors.HFValidationError as error:
        raise UserError(f"{name.repo!r} is no name on the hub ({error})") from error
    except Exception as error:
        cause = error.__cause__ or error  # the client wraps what breaks off an upload
        if not isinstance(cause, errors.HfHubHTTPError) and type(cause).__module__.partition(".")[0] not in _CLIENTS:
            raise
        raise UserError(f"{where} cannot be reached ({type(cause).__name__}: {cause})") from error


def _say_if_ambiguous(given: str) -> None:
    """Say that a path won, if an adapter of that name came from the hub before."""
    from huggingface_hub import constants

    try:
        name = HubName.parse(given)
    except UserError:
        return
    if (Path(constants.HF_HUB_CACHE) / f"models--{name.repo.replace('/', '--')}").is_dir():
        _log.info("%s is read from disk; the adapter of that name on the Hugging Face hub is %s", given, name)


def _check_digest(file: Path) -> None:
    """Raise unless a file of the cache has the digest in the name of its blob: SHA-256, or git's for small files."""
    if not file.is_symlink():  # where there are no links, as on Windows, the cache does not keep the digest
        return
    said = Path(file.readlink()).name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", said):
        return
    sha = hashlib.sha256()
    if len(said) == 40:
        sha = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            sha.update(block)
    if sha.hexdigest() != said:
        raise UserError(f"{file} is not what the hub sent: its digest is {sha.hexdigest()[:12]}...; delete it")
