"""Weights by name: brought, fetched from an address and resumed, or from a hub; and what is said when they cannot."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UnknownNameError, UsageError
from tladapt.models.weights import read_weights_file
from tladapt.models.weights.catalogue import PublishedWeights
from tladapt.models.weights.download import download, name_of
from tladapt.models.weights.hub import HubId, here, hub_id, obtain

CONTENT = safetensors.numpy.save({"weight": np.arange(100_000, dtype=np.float32)})
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"net-{DIGEST[:8]}.pth"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclasses.dataclass
class Server:
    """A web server on this machine: what it has, how it misbehaves, and what it was asked."""

    address: str = ""
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    breaks: list[int] = dataclasses.field(default_factory=list)
    """Bytes after which the next connections break."""
    ranges: bool = True
    status: int = 200
    asked: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    """Method, path and range of each request."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append((self.command, self.path, asked))
            content = state.files.get(self.path.partition("?")[0])
            if content is None or state.status != 200:
                status = 404 if content is None else state.status
                self.send_response(status)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("X-Error-Code", "EntryNotFound" if "/known/" in self.path else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked and state.ranges else 0
            if begin >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - begin))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(content[begin : begin + state.breaks.pop(0)] if state.breaks else content[begin:])
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.block_on_close = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        state.address = f"http://127.0.0.1:{running.server_port}"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders in place of the user's, and no address that is not this machine's."""
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TLADAPT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "weights"


def test_a_file_is_fetched_once(server, places, capfd):
    server.files[f"/models/{NAME}"] = CONTENT
    url = f"{server.address}/models/{NAME}"
    for _ in range(2):
        assert obtain(url) == places / NAME
    assert (places / NAME).read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert [each.name for each in places.iterdir()] == [NAME]
    assert capfd.readouterr().err.splitlines() == [f"fetching {NAME}, {len(CONTENT):,} bytes"]
    assert read_weights_file(places / NAME).tensors["weight"].shape == (100_000,)


def test_a_connection_that_breaks_is_made_again(server, places):
    server.files[f"/{NAME}"] = CONTENT
    server.breaks = [100_000, 50_000]
    assert download(f"{server.address}/{NAME}", places).read_bytes() == CONTENT
    assert [asked for *_, asked in server.asked] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_download_goes_on_where_it_was_given_up(server, places):
    server.files[f"/{NAME}"] = CONTENT
    server.breaks = [100_000, 0, 0]
    with pytest.raises(MissingDataError, match=r"connection broke\. 100,000 bytes are kept, and the same call goes on"):
        download(f"{server.address}/{NAME}", places)
    assert [each.name for each in places.iterdir()] == [f"{NAME}.part"]
    server.breaks, server.asked = [], []
    assert download(f"{server.address}/{NAME}", places).read_bytes() == CONTENT
    assert [asked for *_, asked in server.asked] == ["bytes=100000-"]


def test_a_server_without_ranges_begins_anew(server, places):
    server.files[f"/{NAME}"] = CONTENT
    server.breaks, server.ranges = [100_000], False
    assert download(f"{server.address}/{NAME}", places).read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_pieced_together(server, places):
    server.files["/net.pth"] = CONTENT
    server.breaks = [100_000]
    places.mkdir(parents=True)
    (places / "net.pth.part").write_bytes(b"of another file")
    assert download(f"{server.address}/net.pth", places).read_bytes() == CONTENT
    assert [asked for *_, asked in server.asked] == ["", ""]


@pytest.mark.parametrize("kept", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_what_was_kept_is_whole_already_or_wrong(server, places, kept):
    server.files[f"/{NAME}"] = CONTENT
    places.mkdir(parents=True)
    (places / f"{NAME}.part").write_bytes(kept)
    assert download(f"{server.address}/{NAME}", places).read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_a_wrong_checksum(server, places, sha256):
    name = "net.pth" if sha256 else "net-00000000.pth"
    server.files[f"/{name}"] = CONTENT
    with pytest.raises(
        DamagedDataError, match=rf"expected sha256 0+(\.\.\.)?, got {DIGEST}. It was thrown away. Bring"
    ):
        download(f"{server.address}/{name}", places, sha256=sha256)
    assert (places / f"{name}.part").read_bytes() == b"" and not (places / name).exists()


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (503, 2)])
def test_a_server_that_refuses(server, places, status, asked):
    server.files = {} if status == 404 else {f"/{NAME}": CONTENT}
    server.status = status
    with pytest.raises(
        MissingDataError, match=f"{NAME} is not here and could not be fetched: the server says {status}"
    ):
        obtain(f"{server.address}/{NAME}")
    assert len(server.asked) == asked


def test_no_connection(monkeypatch, places, tmp_path):
    url = f"http://127.0.0.1:1/{NAME}"
    words = rf"Bring {NAME} \(sha256 {DIGEST[:8]}\.\.\.\) from {url} and put it into "
    with pytest.raises(MissingDataError, match=words + r"FOLDER, with TLADAPT_WEIGHTS=FOLDER set; or give its path"):
        obtain(url)
    monkeypatch.setenv("TLADAPT_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingDataError, match=words + rf"{tmp_path}; or give its path"):
        obtain(url)
    (tmp_path / NAME).write_bytes(CONTENT)
    assert obtain(url) == tmp_path / NAME
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(DamagedDataError, match="is not the file that it should be"):
        obtain(url)
    monkeypatch.setenv("TLADAPT_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDataError, match=r"TLADAPT_WEIGHTS names .*nowhere', and there is no such folder"):
        obtain(url)


def test_addresses(tmp_path):
    for address in ("http://example.org/a.pth", "ftp://example.org/a.pth", "file:///etc/passwd"):
        with pytest.raises(UsageError, match="fetched from https addresses"):
            obtain(address)
    with pytest.raises(UsageError, match="ends in no name of a file"):
        name_of("https://example.org/")
    assert name_of("https://example.org/a/..%2F..%2Fpasswd") == "passwd"


def test_two_at_once_fetch_once(server, places):
    server.files[f"/{NAME}"] = CONTENT
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(download(f"{server.address}/{NAME}", places))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1 and [path.read_bytes() == CONTENT for path in found] == [True] * 3


# Registered weights.


def known(**fields: Any) -> PublishedWeights:
    return PublishedWeights(
        **{"name": "us/net", "backbone": "net", "file": "net.safetensors", "sha256": DIGEST, **fields}
    )


def test_registered_weights(server, places, monkeypatch, tmp_path):
    nowhere = known(source="the authors' page")
    with pytest.raises(
        MissingDataError, match=r"'us/net' are in no place .* Bring net.safetensors .* It is: the authors'"
    ):
        obtain("us/net", nowhere)
    server.files["/net.safetensors"] = CONTENT
    fetched = known(url=f"{server.address}/net.safetensors")
    assert here(fetched) is None
    assert obtain("us/net", fetched) == here(fetched) == places / "net.safetensors"
    monkeypatch.setenv("TLADAPT_WEIGHTS", str(tmp_path))
    (tmp_path / "net.safetensors").write_bytes(CONTENT)
    assert obtain("us/net", nowhere) == here(nowhere) == tmp_path / "net.safetensors"
    (tmp_path / "net.safetensors").write_bytes(b"x")
    with pytest.raises(DamagedDataError, match=f"expected sha256 {DIGEST}, got"):
        obtain("us/net", nowhere)


# The hub.


def test_ids_of_the_hub():
    assert hub_id("timm/resnet50.a1_in1k") == HubId("timm/resnet50.a1_in1k")
    assert hub_id("a/b@v1.0/onnx/model.safetensors") == HubId("a/b", "v1.0", "onnx/model.safetensors")
    for other in ("resnet50", "a/b@", "a/../b", "../a", "a/b/../../c", "a b/c", "/a/b", "a/b/", ""):
        assert hub_id(other) is None


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """A hub on this machine."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return server


def place(hub: Server, name: str, file: str, content: bytes, revision: str = "main") -> None:
    hub.files[f"/{name}/resolve/{revision}/{file}"] = content


def test_weights_of_the_hub(hub, tmp_path):
    place(hub, "known/net", "model.safetensors", CONTENT)
    place(hub, "known/net", "config.json", b"{}")
    place(hub, "known/net", "other.bin", CONTENT, revision="v2")
    for name in ("known/net", "https://huggingface.co/known/net", "https://huggingface.co/known/net/tree/main"):
        path = obtain(name)
        assert path.name == "model.safetensors" and path.read_bytes() == CONTENT and tmp_path in path.parents
    assert obtain("known/net/config.json").read_bytes() == b"{}"
    assert obtain("known/net@v2/other.bin").read_bytes() == CONTENT
    assert obtain("https://huggingface.co/known/net/blob/main/config.json").read_bytes() == b"{}"
    assert sum(method == "GET" and path.endswith("model.safetensors") for method, path, _ in hub.asked) == 1


def test_shards_of_the_hub(hub):
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    place(hub, "known/net", "model.safetensors.index.json", json.dumps({"weight_map": shards}).encode())
    for key, shard in shards.items():
        place(hub, "known/net", shard, safetensors.numpy.save({key: np.ones(3, np.float32)}))
    assert set(read_weights_file(obtain("known/net")).tensors) == {"a", "b"}


def test_what_the_hub_has_not(hub):
    with pytest.raises(MissingDataError, match=r"'known/net' of the hub has no model.safetensors or pytorch_model.bin"):
        obtain("known/net")
    with pytest.raises(UnknownNameError, match="the hub has no repository 'unknown/net'"):
        obtain("unknown/net")


def test_the_hub_out_of_reach(hub, monkeypatch, tmp_path):
    place(hub, "known/net", "model.safetensors", CONTENT)
    path = obtain("known/net")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert obtain("known/net") == path  # from the cache
    words = (
        r"Bring model.safetensors from https://huggingface.co/known/other/tree/main and put it into FOLDER/known/other"
    )
    with pytest.raises(MissingDataError, match=words):
        obtain("known/other")
    monkeypatch.setenv("TLADAPT_WEIGHTS", str(tmp_path / "mine"))
    brought = tmp_path / "mine" / "known" / "other"
    brought.mkdir(parents=True)
    (brought / "model.safetensors").write_bytes(CONTENT)
    assert obtain("known/other") == brought
    assert obtain("known/other/model.safetensors") == brought / "model.safetensors"
    assert here(known(hub="known/other", file="model.safetensors")) == brought / "model.safetensors"


def test_without_the_package_of_the_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        MissingPackageError, match=r"pip install 'tladapt\[hub\]'. Or do without: Bring model.safetensors"
    ):
        obtain("timm/resnet50.a1_in1k")


def test_names_that_are_none(tmp_path):
    for name in ("resnet50x", "weights/net.pth", "./net", "~/net", "/no/such/file"):
        with pytest.raises((UnknownNameError, MissingDataError), match=r"Unknown weights|No weights at"):
            obtain(name)
    with pytest.raises(UnknownNameError, match=r"For the backbone 'mobilenetv2_035': tensorflow/mobilenetv2_035\."):
        obtain("mobilenetv2_035")
    (tmp_path / "timm").mkdir()
    with pytest.raises(MissingDataError, match="although 'timm' is a folder here"):
        obtain("timm/resnet50")
