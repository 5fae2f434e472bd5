"""Weights by name: from the folder of weights, from an https address, or from the Hugging Face hub."""

from __future__ import annotations

import os
import re
import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import urlsplit

from tladapt.errors import MissingDataError, MissingPackageError, UnknownNameError, UsageError
from tladapt.models.weights.download import download, name_of
from tladapt.models.weights.files import ENDINGS, FOLDER_FILES, INDEX, weight_map
from tladapt.models.weights.packages import find_in_package
from tladapt.models.weights.places import bring, cache_folder, check_sha256, sha256_in_name, weights_folder
from tladapt.registry import suggest

if TYPE_CHECKING:
    from tladapt.models.weights.catalogue import PublishedWeights

_ID = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w.-]+(/[\w.-]+)*))?", flags=re.ASCII
)
HUB = "https://huggingface.co"
_PAGE = re.compile(
    re.escape(HUB) + r"/(?P<repository>[\w.-]+/[\w.-]+)/?"
    r"((tree|blob|resolve)/(?P<revision>[\w.-]+)/?(?P<file>[\w./-]+)?)?(\?.*)?",
    flags=re.ASCII,
)
"""An address on the hub: what people copy from their browser is often a page about the file, not the file."""


class HubId(NamedTuple):
    """A repository of the hub, `owner/name`, with what may follow: `@revision`, `/file`."""

    repository: str
    revision: str = ""
    file: str = ""

    @property
    def folder(self) -> str:
        """Where files of it belong within the folder of weights."""
        return self.repository + (f"@{self.revision}" if self.revision else "")

    @property
    def address(self) -> str:
        """The page of it, or of its file."""
        where = f"resolve/{self.revision or 'main'}/{self.file}" if self.file else f"tree/{self.revision or 'main'}"
        return f"{HUB}/{self.repository}/{where}"


def hub_id(name: str) -> HubId | None:
    """Return the parts of `owner/name[@revision][/file]`; None for what has not that form.

    >>> hub_id("timm/resnet50.a1_in1k@main/model.safetensors")
    HubId(repository='timm/resnet50.a1_in1k', revision='main', file='model.safetensors')
    """
    found = _ID.fullmatch(name)
    if found is None or any(set(part) == {"."} for part in re.split(r"[/@]", name)):
        return None
    return HubId(found["repository"], found["revision"] or "", found["file"] or "")


def obtain(name: str, known: PublishedWeights | None = None) -> Path:
    """Return the file, or folder, of weights that are not named by a path; what is not here is fetched.

    The folder TLADAPT_WEIGHTS is searched first, for the file by its name and for `owner/name/` of the hub.

    Args:
      name: an https address, or a hub's id: "timm/resnet50.a1_in1k", with "@revision" and "/file" where wanted.
      known: the registered weights of that name; None: it is not registered.

    Returns:
      A file; the index of a sharded one, with its shards beside it; or a folder that was brought.

    Raises:
      UnknownNameError: for what has none of these forms.
      MissingDataError: it cannot be had; names the file to bring, its address, and where to put it.
      MissingPackageError: the hub is needed and huggingface_hub is not installed.
      DamagedDataError: the file has another checksum than the released one.
    """
    if known is not None:
        return _registered(known)
    page = _PAGE.fullmatch(name)
    if page is not None:
        name = page["repository"] + (f"@{page['revision']}" if page["revision"] else "")
        name += f"/{page['file']}" if page["file"] else ""
    elif "://" in name:
        path = _brought(name_of(name)) or download(name, cache_folder())
        check_sha256(path, sha256_in_name(path.name))
        return path
    place = hub_id(name)
    if place is None or (not place.file and name.endswith(ENDINGS)) or Path(name).parts[0] in (".", "..", "~"):
        _refuse(name)
    if page is None and Path(name.partition("/")[0]).is_dir():
        raise MissingDataError(
            f"No weights at {name}, although {name.partition('/')[0]!r} is a folder here. Give the path of a file in"
            f" it; for the repository of that name on the hub: {HUB}/{name}."
        )
    brought = _brought(place.file, place)
    if brought is not None and brought.is_file():
        check_sha256(brought, sha256_in_name(brought.name))
    return brought or _from_hub(place, name)


def here(known: PublishedWeights) -> Path | None:
    """Return the file of registered weights if it is on this machine; nothing is fetched, and no checksum compared."""
    place = hub_id(known.hub)
    path = _brought(known.file, place)
    if path is None and known.package and (carried := find_in_package(known.package)) is not None:
        path = carried / known.file
    if path is None and known.url and (kept := cache_folder() / name_of(known.url)).exists():
        path = kept
    if path is None and place is not None:
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        found = try_to_load_from_cache(place.repository, known.file, revision=place.revision or None)
        path = Path(found) if isinstance(found, str) else None
    return path


def fetch_beside(path: Path, files: Sequence[str]) -> None:
    """Fetch small files beside a file in the hub's cache, from its repository and revision.

    Those that the repository lacks, or that cannot be had now, are left out; a file elsewhere has nothing to fetch.
    """
    snapshot, repository = path.parent, path.parent.parent.parent.name
    wanted = [file for file in files if not (snapshot / file).exists()]
    if snapshot.parent.name != "snapshots" or not repository.startswith("models--") or not wanted:
        return
    from huggingface_hub import errors, hf_hub_download

    if _out_of_reach():
        return
    repository = repository.removeprefix("models--").replace("--", "/", 1)
    for file in wanted:
        try:
            hf_hub_download(repository, file, revision=snapshot.name, endpoint=_endpoint())
        except errors.LocalEntryNotFoundError:
            return  # the hub is out of reach
        except errors.EntryNotFoundError:
            continue  # the repository has no such file
        except (errors.HfHubHTTPError, OSError):
            return


def _refuse(name: str) -> NoReturn:
    """Raise for what is neither a name, nor an address, nor a file."""
    if "/" in name and (name.endswith((*ENDINGS, INDEX)) or name.startswith((".", "/", "~"))):
        raise MissingDataError(f"No weights at {name}. Give the path of a {', '.join(ENDINGS)} file, or of its folder.")
    raise UnknownNameError(
        f"Unknown weights {name!r}.{close_names(name)} Expected a registered name ('tladapt weights list'), a file"
        " or folder, an https address, or a repository of the hub: owner/name, owner/name@revision, owner/name/file."
    )


def close_names(name: str) -> str:
    """Return in words the registered weights of a backbone of that name, else those with a close name, if any."""
    from tladapt.models.weights.catalogue import WEIGHTS, of_backbone

    if own := [weights.name for weights in of_backbone(name)]:
        return f" For the backbone {name!r}: {', '.join(own)}."
    close = suggest(name, WEIGHTS)
    return close if "Did you mean" in close else ""  # not all of the long list


def _registered(known: PublishedWeights) -> Path:
    place = hub_id(known.hub)
    path = _brought(known.file, place)
    if path is None and known.package and (carried := find_in_package(known.package)) is not None:
        path = carried / known.file
    if path is None and known.url:
        path = download(known.url, cache_folder(), sha256=known.sha256)
    elif path is None and place is not None:
        path = _from_hub(place._replace(file=known.file), known.name, known.sha256)
    if path is None:
        raise MissingDataError(
            f"The weights {known.name!r} are in no place from which they can be fetched."
            f" {bring(known.file, 'where you have it', sha256=known.sha256)} It is:"
            f" {known.source or 'of unknown origin'}."
        )
    if path.is_file():
        check_sha256(path, known.sha256)
    return path


def _brought(file: str, place: HubId | None = None) -> Path | None:
    """Return what people put into the folder of weights: a file, or the folder of a repository of the hub."""
    root = weights_folder()
    if root is None:
        return None
    folders = [] if place is None else [root / place.folder, root / place.folder.partition("/")[2]]
    found = [folder / file for folder in folders] if file else folders
    if file and file not in FOLDER_FILES:  # those names say nothing of the model
        found.append(root / file)
    if not file and place is not None:
        found += [root / f"{place.folder.partition('/')[2]}{ending}" for ending in ENDINGS]
    return next((path for path in found if path.exists()), None)


def _endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT, a mirror, or the hub's own."""
    return os.environ.get("HF_ENDPOINT") or HUB


def _out_of_reach() -> str:
    """Return in words why the hub cannot be connected to; empty: it can, or a proxy will tell.

    The hub's own package tries again for half a minute, with a warning each time, before it says that.
    """
    parts = urlsplit(_endpoint())
    if urllib.request.getproxies() or parts.hostname is None:
        return ""
    try:
        socket.create_connection((parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)), 10).close()
    except OSError as problem:
        return f"no connection to {parts.hostname}: {problem}"
    return ""


def _from_hub(place: HubId, name: str, sha256: str = "") -> Path:
    """Return a file of the hub, through huggingface_hub's own cache; where no file is named, that of the weights."""
    instead = bring(place.file or FOLDER_FILES[0], place.address, folder=place.folder, sha256=sha256)
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError:
        raise MissingPackageError(
            f"The weights {name!r} are on the Hugging Face hub, and fetching them needs the package huggingface_hub:"
            f" pip install 'tladapt[hub]'. Or do without: {instead}"
        ) from None
    offline = _out_of_reach()

    def get(file: str) -> Path:
        return Path(
            hf_hub_download(
                place.repository,
                file,
                revision=place.revision or None,
                endpoint=_endpoint(),
                local_files_only=bool(offline),
            )
        )

    try:
        for file in (place.file,) if place.file else FOLDER_FILES:
            try:
                path = get(file)
                for shard in sorted(set(weight_map(path).values())) if file.endswith(INDEX) else ():
                    get(shard)
                return path
            except errors.LocalEntryNotFoundError as problem:  # not in the cache, and the hub cannot be asked
                offline = offline or str(problem.__cause__ or problem)
            except errors.EntryNotFoundError:
                continue
    except errors.GatedRepoError:
        reason = f"its owners let people in one by one: accept their terms at {HUB}/{place.repository}, and log in"
    except errors.RepositoryNotFoundError:
        raise UnknownNameError(
            f"Unknown weights {name!r}: not registered, and the hub has no repository {place.repository!r} (or a"
            f" private one: 'hf auth login').{close_names(name)}"
        ) from None
    except errors.RevisionNotFoundError:
        raise UnknownNameError(
            f"The repository {place.repository!r} of the hub has no revision {place.revision!r}. Leave it out for the"
            f" newest; {HUB}/{place.repository}/commits lists them."
        ) from None
    except errors.HFValidationError as problem:
        raise UsageError(f"{name!r} cannot be an id of the hub: {problem}") from None
    except (errors.HfHubHTTPError, OSError) as problem:
        reason = str(problem)
    else:
        reason = offline
        if not offline:
            wanted = place.file or " or ".join(FOLDER_FILES[::2])
            raise MissingDataError(
                f"The repository {place.repository!r} of the hub has no {wanted}. Name a file that it has,"
                f" {place.repository}/FILE: {HubId(place.repository, place.revision).address} lists them."
            )
    raise MissingDataError(
        f"The weights {name!r} are not here, and the hub did not give them ({' '.join(reason.split())[:300]})."
        f" {instead}"
    )
