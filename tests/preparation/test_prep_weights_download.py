"""High-quality networks: downloaded from a server of this process, checked, and accepted only by the user's word."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ssgan_core.errors import SsganError
from ssgan_core.preparation import sources, weights

CONTENT = {"first.pth": b"first network" * 1000, "second.pth": b"second"}
OTHER = b"another network"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` by name; what is in `announced` comes with that length, however long it is."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = dict(CONTENT)
        self.announced: dict[str, int | None] = {}
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.server.asked.append(name)
        content = self.server.content.get(name)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        length = self.server.announced.get(name, len(content))
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of two files that the table knows; an empty cache."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    files = {
        name: weights.WeightFile(
            name,
            sha256(content),
            "a test",
            "free",
            "the test goes on",
            url=f"http://127.0.0.1:{server.server_port}/{name}",
        )
        for name, content in CONTENT.items()
    }
    monkeypatch.setattr(weights, "EXTRA_FILES", files)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def kept(tmp_path) -> Path:
    return tmp_path / "cache" / "weights"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_fetched_once_with_progress_and_offline_afterwards(server, kept):
    seen = []
    rows = weights.fetch(lambda done, total, note="": seen.append((done, total, note)), ["high-quality"])
    assert [(row.name, row.ok, row.accepted) for row in rows] == [(name, True, False) for name in CONTENT]
    assert seen[0] == (0, 2, "first.pth: 0.0 of 0.0 MB")
    assert seen[-1] == (2, 2, "second.pth")
    assert weights.read("first.pth") == CONTENT["first.pth"]
    assert weights.digests(["high-quality"]) == {name: sha256(data) for name, data in CONTENT.items()}
    weights.fetch(names=["high-quality"])
    weights.ensure(names=["first.pth"])
    assert server.asked == list(CONTENT)
    assert names_in(kept) == list(CONTENT)


def test_reading_and_verifying_never_download(server):
    for do in (lambda: weights.read("first.pth"), lambda: weights.verify(names=["first.pth"])):
        with pytest.raises(SsganError, match=r"first\.pth is missing") as caught:
            do()
        assert "ssgan weights fetch first.pth" in caught.value.hint
        assert "without it the test goes on" in caught.value.hint
    assert server.asked == []


def test_ensure_fetches_only_what_is_missing(server, tmp_path, kept):
    by_hand = tmp_path / "by hand [ü]"
    by_hand.mkdir()
    (by_hand / "first.pth").write_bytes(CONTENT["first.pth"])
    weights.ensure(weights_dir=by_hand, names=list(CONTENT))
    assert server.asked == ["second.pth"]
    assert names_in(kept) == ["second.pth"]
    assert names_in(by_hand) == ["first.pth"]


def test_the_folder_by_hand_comes_before_the_cache(server, tmp_path, monkeypatch):
    weights.fetch(names=["first.pth"])
    by_hand = tmp_path / "by hand"
    by_hand.mkdir()
    (by_hand / "first.pth").write_bytes(CONTENT["first.pth"])
    monkeypatch.setenv("SSGAN_WEIGHTS", str(by_hand))
    assert weights.path_of("first.pth") == by_hand / "first.pth"
    (by_hand / "first.pth").write_bytes(OTHER)
    for do in (weights.fetch, weights.ensure):  # neither replaces what the user has put there
        with pytest.raises(SsganError, match="not the expected file"):
            do(names=["first.pth"])
    assert (by_hand / "first.pth").read_bytes() == OTHER


def test_a_wrong_content_is_named_with_both_digests_and_nothing_is_kept(server, kept):
    server.content["first.pth"] = OTHER
    with pytest.raises(SsganError, match=r"first\.pth from http") as caught:
        weights.fetch(names=["first.pth"])
    assert sha256(OTHER) in caught.value.message
    assert sha256(CONTENT["first.pth"]) in caught.value.message
    assert "--accept first.pth=SHA256" in caught.value.hint
    assert sha256(OTHER) not in caught.value.hint  # no command that accepts by copying
    assert names_in(kept) == []


def test_a_changed_file_in_the_cache_is_refused_and_fetched_again(server, kept):
    weights.fetch(names=["first.pth"])
    (kept / "first.pth").write_bytes(b"!" + CONTENT["first.pth"][1:])
    with pytest.raises(SsganError, match="not the expected file"):
        weights.read("first.pth")
    server.content["first.pth"] = OTHER
    with pytest.raises(SsganError, match="not the expected file"):
        weights.fetch(names=["first.pth"])
    assert (kept / "first.pth").read_bytes().startswith(b"!")  # no worse than before
    server.content["first.pth"] = CONTENT["first.pth"]
    weights.fetch(names=["first.pth"])
    assert weights.read("first.pth") == CONTENT["first.pth"]


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_another_digest_is_accepted_by_word_and_remembered(server, kept, spelling):
    server.content["first.pth"] = OTHER
    (row,) = weights.fetch(accept={"first.pth": spelling(sha256(OTHER))})
    assert (row.ok, row.accepted, row.sha256) == (True, True, sha256(OTHER))
    assert (kept / "first.pth.accepted").read_text() == f"{sha256(OTHER)}  first.pth\n"
    assert weights.read("first.pth") == OTHER
    assert weights.digests(["first.pth"]) == {"first.pth": sha256(OTHER)}
    (kept / "first.pth").write_bytes(CONTENT["first.pth"])  # the listed one stays right
    assert weights.list_weights(names=["first.pth"])[0].accepted is False
    (kept / "first.pth").write_bytes(b"a third")
    with pytest.raises(SsganError, match="or the accepted") as caught:
        weights.read("first.pth")
    assert all(sha256(data) in caught.value.message for data in (OTHER, CONTENT["first.pth"], b"a third"))
    weights.fetch(names=["first.pth"])  # the record also counts for what is downloaded later
    assert weights.read("first.pth") == OTHER


def test_accepting_covers_only_that_digest_of_that_file(server, kept):
    server.content = dict.fromkeys(CONTENT, OTHER)
    with pytest.raises(SsganError, match=r"second\.pth from"):
        weights.fetch(names=["high-quality"], accept={"first.pth": sha256(OTHER)})
    server.content["second.pth"] = b"a third"
    with pytest.raises(SsganError, match=r"second\.pth from"):
        weights.fetch(accept={"second.pth": sha256(OTHER)})
    assert "second.pth" not in names_in(kept)
    assert "second.pth.accepted" not in names_in(kept)


def test_nothing_is_remembered_without_a_file_that_has_the_digest(server, kept):
    (row,) = weights.fetch(accept={"first.pth": sha256(OTHER)})  # the server serves the listed one
    assert (row.ok, row.accepted) == (True, False)
    assert names_in(kept) == ["first.pth"]


def test_a_later_acceptance_replaces_the_earlier_one(server, kept):
    server.content["first.pth"] = OTHER
    weights.fetch(accept={"first.pth": sha256(OTHER)})
    server.content["first.pth"] = b"a third"
    weights.fetch(accept={"first.pth": sha256(b"a third")})
    assert weights.read("first.pth") == b"a third"
    (kept / "first.pth").write_bytes(OTHER)
    with pytest.raises(SsganError, match="not the expected file"):
        weights.read("first.pth")


def test_a_file_by_hand_is_accepted_without_a_download(server, tmp_path, kept):
    by_hand = tmp_path / "by hand"
    by_hand.mkdir()
    (by_hand / "first.pth").write_bytes(OTHER)
    (by_hand / "first.pth.accepted").write_text(f"{sha256(OTHER)}  first.pth\n")
    with pytest.raises(SsganError, match="not the expected file"):  # a folder brings no permission along
        weights.read("first.pth", by_hand)
    weights.fetch(weights_dir=by_hand, accept={"first.pth": sha256(OTHER)})
    assert weights.read("first.pth", by_hand) == OTHER
    assert names_in(kept) == ["first.pth.accepted"]
    assert server.asked == []


@pytest.mark.parametrize(
    "record", ["", "abc  first.pth\n", "{digest}  second.pth\n", "{digest}\n", "{digest}  first.pth x" * 50]
)
def test_a_damaged_record_accepts_nothing(server, kept, record):
    kept.mkdir(parents=True)
    (kept / "first.pth").write_bytes(OTHER)
    (kept / "first.pth.accepted").write_text(record.format(digest=sha256(OTHER)))
    for do in (weights.read, lambda name: weights.fetch(names=[name])):
        with pytest.raises(SsganError, match="no record of an accepted digest"):
            do("first.pth")
    (row,) = weights.list_weights(names=["first.pth"])
    assert (row.present, row.ok) == (True, False)
    assert server.asked == []


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64, sha256(b"") + "0", f" {sha256(b'')}"])
def test_what_is_no_digest_cannot_be_accepted(server, digest):
    with pytest.raises(SsganError, match=r"no SHA-256 for first\.pth"):
        weights.fetch(accept={"first.pth": digest})
    assert server.asked == []


def test_the_default_files_accept_no_other_digest(server):
    name = next(iter(weights.FILES))
    with pytest.raises(SsganError, match="no other digest") as caught:
        weights.fetch(accept={name: sha256(OTHER)})
    assert "high-quality" in caught.value.hint


def test_a_download_that_breaks_off_leaves_nothing(server, kept):
    server.announced["first.pth"] = 50_000
    with pytest.raises(SsganError, match="broke off after 13000 of 50000 bytes") as caught:
        weights.fetch(names=["high-quality"])
    assert "try again" in caught.value.hint
    assert names_in(kept) == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_given_up(server, kept, monkeypatch, announced):
    monkeypatch.setattr("ssgan_core.preparation.weight_files._MOST_BYTES", 10_000)
    monkeypatch.setattr(sources, "_BLOCK", 4096)
    if not announced:
        server.announced["first.pth"] = None
    seen = []
    with pytest.raises(SsganError, match="more than 0 MB"):
        weights.fetch(lambda done, total, note="": seen.append(note), ["first.pth"])
    assert len(seen) == (0 if announced else 2)
    assert names_in(kept) == []


def test_a_missing_page_is_an_error(server, kept):
    del server.content["first.pth"]
    with pytest.raises(SsganError, match=r"cannot download http.*first\.pth: the server answers 404"):
        weights.fetch(names=["first.pth"])
    assert names_in(kept) == []


@pytest.mark.parametrize("trouble", ["nobody listens", "no such host", "silence"])
def test_offline_says_what_to_put_where_and_what_works_without(server, kept, monkeypatch, trouble):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        if trouble == "silence":
            mute.listen()
            monkeypatch.setattr(sources, "_SILENT_SECONDS", 0.2)
        host = "nowhere.invalid" if trouble == "no such host" else f"127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("no_proxy", "*")
        for name, file in weights.EXTRA_FILES.items():
            moved = weights.WeightFile(name, file.sha256, "", "", file.instead, url=f"http://{host}/{name}")
            monkeypatch.setitem(weights.EXTRA_FILES, name, moved)
        with pytest.raises(SsganError, match=rf"cannot download http://{host}/first\.pth: \S") as caught:
            weights.fetch(names=["high-quality"])
    assert "\n" not in str(caught.value)
    assert "first.pth, second.pth" in caught.value.hint
    assert str(kept) in caught.value.hint
    assert "SSGAN_WEIGHTS" in caught.value.hint
    assert caught.value.hint.count("without them the test goes on") == 1
    assert names_in(kept) == []


def test_a_cache_that_cannot_be_a_folder(server, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(SsganError, match=r"cannot write .*first\.pth"):
        weights.fetch(names=["first.pth"])


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_cache(server, kept):
    kept.mkdir(parents=True)
    kept.chmod(0o500)
    try:
        with pytest.raises(SsganError, match="cannot write"):
            weights.fetch(names=["first.pth"])
    finally:
        kept.chmod(0o700)


def test_a_full_disk_while_downloading_is_named_as_such(server, kept, monkeypatch):
    def fill(file, path, note):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "download", fill)
    with pytest.raises(SsganError, match=r"cannot write .*No space left"):
        weights.fetch(names=["first.pth"])
    assert names_in(kept) == []


def test_a_wheel_by_hand_holds_no_high_quality_files(server, tmp_path):
    wheel = tmp_path / "mediapipe-0.10.21.whl"
    wheel.write_bytes(b"anything")
    assert weights.path_of("first.pth", wheel) == weights.weights_folder() / "first.pth"
    with pytest.raises(SsganError, match="missing"):
        weights.read("first.pth", wheel)
