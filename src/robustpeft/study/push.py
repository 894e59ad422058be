"""How does an adapter get onto the Hugging Face hub? As one commit of the files that travel, private unless told so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustpeft.errors import UserError
from robustpeft.study.hub import HubName, telling
from robustpeft.study.parcel import AUDITS, Parcel, pack
from robustpeft.study.run_directory import START_FILE, Run

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Pushed", "push"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be.

    Args:
        name: Where to.
        files: Name and size in bytes of every file, in the order of sending.
        url: Address of the commit; None if nothing was sent.
        private: Whether only its owner sees the repository; None if nothing was sent.
    """

    name: HubName
    files: tuple[tuple[str, int], ...]
    url: str | None = None
    private: bool | None = None


def push(
    run: Run | str | Path,
    name: str,
    *,
    private: bool = True,
    license_id: str | None = None,
    audits: Sequence[str | Path] = (),
    dry_run: bool = False,
) -> Pushed:
    """Send a run's adapter, its card and its audits to the Hugging Face hub, in one commit.

    The repository is made if need be. Checkpoints, logs, recipes, images and paths of this machine are never sent, and
    the audits of an adapter that was there before are taken away with it.

    Args:
        run: A run, or its directory.
        name: ``user/name``, or ``user/name@branch``; a branch is made if need be.
        private: Whether a new repository is seen by its owner alone; one that is there stays as it is.
        license_id: Of the adapter, in the hub's words, for example ``apache-2.0``.
        audits: Directories of records of this run that lie outside of it.
        dry_run: Send nothing, and ask nothing of the hub.

    Raises:
        UserError: If the run is not finished, a path of this machine would be sent, or the hub refuses.
    """
    where = HubName.parse(name)
    directory = run.path if isinstance(run, Run) else Path(run)
    parcels = pack(directory, where.repo, license_id=license_id, audits=[Path(audit) for audit in audits])
    files = tuple((parcel.name, parcel.size) for parcel in parcels)
    if dry_run:
        return Pushed(where, files)
    from huggingface_hub import HfApi

    api = HfApi(library_name="robustpeft")
    with telling(where):
        api.create_repo(where.repo, private=private, exist_ok=True)
        if where.revision is not None:
            api.create_branch(where.repo, branch=where.revision, exist_ok=True)
        there = api.model_info(where.repo, revision=where.revision)
        url = _commit(api, where, parcels, f"Adapter from {directory.resolve().name}", there.sha)
    if not there.private and private:
        _log.info("%s was there before and is public", where.repo)
    return Pushed(where, files, url, bool(there.private))


def _commit(api: HfApi, where: HubName, parcels: Sequence[Parcel], message: str, parent: str | None) -> str:
    """Return the address of a commit after `parent`, which fails if somebody else made one since.

    Raises:
        UserError: If the hub does not take the metadata of the card; nothing was committed then.
    """
    try:
        operations = [*map(_addition, parcels), *_stale(api, where, parcels)]
        commit = api.create_commit(
            where.repo, operations, commit_message=message, revision=where.revision, parent_commit=parent
        )
    except ValueError as error:
        if isinstance(error, OSError):  # an answer of the hub to something else
            raise
        raise UserError(f"the hub refuses the model card ({error}); mend the first lines of README.md") from error
    return str(commit.commit_url)


def _addition(parcel: Parcel) -> Any:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(parcel.name, parcel.content if isinstance(parcel.content, bytes) else str(parcel.content))


def _stale(api: HfApi, where: HubName, parcels: Sequence[Parcel]) -> list[Any]:
    """Return the deletion of audits, and of frozen weights, that belong to what was there before."""
    from huggingface_hub import CommitOperationDelete

    sent = {parcel.name for parcel in parcels}
    there = api.list_repo_files(where.repo, revision=where.revision)
    return [
        CommitOperationDelete(name)
        for name in there
        if name not in sent and (name.startswith(f"{AUDITS}/") or name == START_FILE)
    ]
