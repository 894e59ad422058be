"""How does an adapter come from the Hugging Face hub into a directory here? Checked, and whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from robustpeft.pet.files import CONFIG_FILE
from robustpeft.pet.sidecar import SIDECAR_FILE, refuse_foreign
from robustpeft.study.hub import HubName, cached_revision, fetch, telling
from robustpeft.study.parcel import TRAVELLING, check_adapter
from robustpeft.study.run_directory import prepare_directory

__all__ = ["Pulled", "offered", "pull"]


@dataclass(frozen=True)
class Pulled:
    """What was fetched.

    Args:
        path: The directory, as good as that of a run of one's own for `load` and audits.
        revision: The commit it was at.
        files: Name and size in bytes of every file.
    """

    path: Path
    revision: str
    files: tuple[tuple[str, int], ...]


def pull(name: str, directory: str | Path | None = None, *, overwrite: bool = False, trust: bool = False) -> Pulled:
    """Fetch an adapter from the Hugging Face hub into a directory.

    Only the files that `push` sends are looked at; whatever else the repository holds, scripts and pickles too, is not
    downloaded. Whether the frozen weights are the right ones is checked by their digest when it is loaded.

    Args:
        name: ``user/name``, or ``user/name@revision``.
        directory: Where to; ``runs/name`` if None. Must be new or empty.
        overwrite: Delete the run that is there.
        trust: Take an adapter that names classes of others, which `load` would have to import.

    Raises:
        UserError: If the hub does not have it, it is damaged or no adapter of ours, or the directory is in use.
    """
    where = HubName.parse(name)
    folder = fetch(where, TRAVELLING)
    check_adapter(folder)
    if not trust:
        refuse_foreign((folder / SIDECAR_FILE, folder / CONFIG_FILE))
    target = Path(directory) if directory is not None else Path("runs") / where.repo.partition("/")[2]
    prepare_directory(target, resume=False, overwrite=overwrite)
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    files = []
    for pattern in TRAVELLING:
        for found in sorted(name for name in names if fnmatch(name, pattern)):
            (target / found).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / found, target / found)
            files.append((found, (target / found).stat().st_size))
    return Pulled(target, cached_revision(folder), tuple(files))


def offered(name: str) -> tuple[tuple[str, int], ...]:
    """Return the name and size in bytes of every file that `pull` would fetch.

    Raises:
        UserError: If the hub does not have the repository, or is out of reach.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    where = HubName.parse(name)
    with telling(where):
        entries = list(
            HfApi(library_name="robustpeft").list_repo_tree(where.repo, recursive=True, revision=where.revision)
        )
    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    sizes = {entry.path: entry.size for entry in files if ".." not in entry.path}
    return tuple((path, sizes[path]) for pattern in TRAVELLING for path in sorted(sizes) if fnmatch(path, pattern))
