"""Stores are made once, by one process at a time, whole or not at all."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.images.checksums import BLOCK, block_checksums
from benchmark.images.source import ArrayImages, ImageSource
from benchmark.images.store import (
    About,
    DamagedStoreError,
    Store,
    build_store,
    find_store,
    remove_store,
    store_bytes,
    store_folder,
    store_key,
    store_keys,
)
from methods.errors import UserError

KEY = "ab" * 32
ABOUT = About("task", "train", images=5, size=4)
PIXELS = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4, 3)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path) -> None:
    path.write_bytes(PIXELS.tobytes())


def never(path: Path) -> None:
    pytest.fail("it was made again")


def test_what_was_built_is_found():
    assert find_store(KEY) is None
    built = build_store(KEY, ABOUT, write)
    found = find_store(KEY)
    assert found is not None
    assert found.about == built.about
    assert (found.about.task, found.about.split, found.about.images, found.about.size) == ("task", "train", 5, 4)
    assert found.about.sha256 == hashlib.sha256(PIXELS.tobytes()).hexdigest()
    assert found.pixels.dtype == np.uint8
    assert np.array_equal(found.pixels, PIXELS)
    assert np.array_equal(build_store(KEY, ABOUT, never).pixels, PIXELS)


def test_released_pixels_are_read_again():
    store = build_store(KEY, ABOUT, write)
    assert store.pixels.sum() == PIXELS.sum()
    store.release()
    assert np.array_equal(store.pixels, PIXELS)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system does not say what is resident")
def test_release_gives_memory_back():
    about = About("task", "train", images=100, size=256)
    store = build_store(KEY, about, lambda path: path.write_bytes(bytes(about.bytes)))

    def resident() -> int:
        """Bytes of this process's file mappings."""
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("RssFile:")[1].split()[0])

    before = resident()
    store.pixels.sum()
    assert resident() - before > 0.9 * about.bytes
    store.release()
    assert resident() - before < 0.1 * about.bytes


def test_the_file_is_never_written():
    store = build_store(KEY, ABOUT, write)
    store.pixels[:] = 0
    assert np.array_equal(Store(store_folder() / KEY).pixels, PIXELS)


# A process that may keep hardly more memory of its own than it has already, and opens a store that is larger.
POOR = """
import resource, sys
from pathlib import Path
from benchmark.images.store import Store

Store(Path(sys.argv[1]))  # its bytes are checked, for which threads need memory
own = 1024 * int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (own + (16 << 20),) * 2)
store = Store(Path(sys.argv[1]))
assert not store.pixels.flags.writeable
assert store.pixels[-1].min() == 7
store.release()
assert store.pixels[-1].max() == 7
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count these pages")
def test_a_system_without_room_for_private_pages_maps_them_read_only():
    about = About("task", "train", images=100, size=512)
    build_store(KEY, about, lambda path: path.write_bytes(b"\7" * about.bytes))
    subprocess.run([sys.executable, "-c", POOR, str(store_folder() / KEY)], check=True)


def test_another_process_maps_the_file_itself():
    about = About("task", "train", images=1, size=256)
    store = build_store(KEY, about, lambda path: path.write_bytes(bytes(about.bytes)))
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).pixels, store.pixels)


def changed_meta(**changes: Any) -> Callable[[Path], None]:
    """Changes entries of a description; None takes one away."""

    def change(folder: Path) -> None:
        content = json.loads((folder / "meta.json").read_text()) | changes
        kept = {key: value for key, value in content.items() if value is not None}
        (folder / "meta.json").write_text(json.dumps(kept))

    return change


def flip(position: int) -> Callable[[Path], None]:
    """Flips a bit of the pixels, and leaves the file's size and times as they were."""

    def change(folder: Path) -> None:
        path = folder / "pixels"
        content, status = bytearray(path.read_bytes()), path.stat()
        content[position] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return change


def every_third(folder: Path) -> None:
    content = bytearray((folder / "pixels").read_bytes())
    content[::3] = bytes(len(content[::3]))
    (folder / "pixels").write_bytes(content)


DAMAGES = {
    "short": lambda folder: (folder / "pixels").write_bytes(PIXELS.tobytes()[:-1]),
    "long": lambda folder: (folder / "pixels").write_bytes(PIXELS.tobytes() + b"0"),
    "empty": lambda folder: (folder / "pixels").write_bytes(b""),
    "no pixels": lambda folder: (folder / "pixels").unlink(),
    "a folder of pixels": lambda folder: ((folder / "pixels").unlink(), (folder / "pixels").mkdir()),
    "a bit of the first byte": flip(0),
    "a bit of the last byte": flip(-1),
    "every third byte": every_third,
    "half a description": lambda folder: (folder / "meta.json").write_text("{"),
    "deep description": lambda folder: (folder / "meta.json").write_text("[" * 100_000),
    "a list": lambda folder: (folder / "meta.json").write_text("[1, 2]"),
    "a number": lambda folder: (folder / "meta.json").write_text("NaN"),
    "a long number": lambda folder: (folder / "meta.json").write_text('{"images": ' + "9" * 5000 + "}"),
    "no text": lambda folder: (folder / "meta.json").write_bytes(b"\xff\xfe\x00"),
    "wrong description": lambda folder: (folder / "meta.json").write_text('{"task": "task"}'),
    "no description": lambda folder: (folder / "meta.json").unlink(),
    "no hash": changed_meta(sha256=None),
    "another hash": changed_meta(sha256="0" * 64),
    "no checksum": changed_meta(checksum=None),
    "no checksums of blocks": changed_meta(blocks=None),
    "no date": changed_meta(created="yesterday"),
    "fewer images than none": changed_meta(images=-5),
    "many images": changed_meta(images=10**300),
    "half an image": changed_meta(images=float("nan")),
    "a size that is text": changed_meta(size="4"),
    "an entry too many": changed_meta(colours=3),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_told_and_made_again(damage):
    build_store(KEY, ABOUT, write)
    damage(store_folder() / KEY)
    told: list[str] = []
    assert find_store(KEY, told.append) is None
    assert len(told) == 1
    assert np.array_equal(build_store(KEY, ABOUT, write).pixels, PIXELS)
    assert find_store(KEY, told.append) is not None
    assert len(told) == 1


@pytest.mark.parametrize("exchanged", ["", "pixels", "meta.json"], ids=["folders", "pixels", "descriptions"])
def test_exchanged_stores_are_noticed(exchanged):
    other = "cd" * 32
    build_store(KEY, ABOUT, write)
    build_store(other, ABOUT, lambda path: path.write_bytes(bytes(ABOUT.bytes)))
    first, second, aside = (
        store_folder() / KEY / exchanged,
        store_folder() / other / exchanged,
        store_folder() / "aside",
    )
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    assert find_store(KEY) is None
    assert find_store(other) is None
    assert np.array_equal(build_store(KEY, ABOUT, write).pixels, PIXELS)


LARGE = About("task", "train", images=2, size=1700)  # several blocks, of which the last is not full


@pytest.mark.parametrize("position", [0, BLOCK - 1, BLOCK, 4 * BLOCK + 5, -1])
def test_a_changed_byte_of_any_block_is_noticed(position):
    content = np.random.default_rng(0).bytes(LARGE.bytes)
    assert BLOCK * 4 + 5 < len(content) < BLOCK * 5
    built = build_store(KEY, LARGE, lambda path: path.write_bytes(content))
    assert built.about.sha256 == hashlib.sha256(content).hexdigest()
    assert built.about.blocks == tuple(
        hashlib.sha256(content[first : first + BLOCK]).hexdigest() for first in range(0, len(content), BLOCK)
    )
    flip(position)(store_folder() / KEY)
    assert find_store(KEY) is None


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of which bytes are checked."""
    paths: list[Path] = []

    def note(path: Path) -> tuple[str, ...]:
        paths.append(path)
        return block_checksums(path)

    monkeypatch.setattr("benchmark.images.store.block_checksums", note)
    return paths


def test_a_file_is_checked_once_in_a_process(hashed, monkeypatch):
    build_store(KEY, ABOUT, write)
    made = len(hashed)
    find_store(KEY)
    assert len(hashed) == made, "what this process has written"
    monkeypatch.setattr("benchmark.images.store._checked", set())
    for _ in range(2):
        find_store(KEY)
        assert hashed[made:] == [store_folder() / KEY / "pixels"]
    (store_folder() / KEY / "pixels").touch()
    find_store(KEY)
    assert len(hashed) == made + 2, "what was touched since"


def test_who_is_sent_a_store_trusts_the_sender_as_long_as_nothing_changes(hashed, monkeypatch):
    sent = pickle.dumps(build_store(KEY, ABOUT, write))
    made = len(hashed)
    monkeypatch.setattr("benchmark.images.store._checked", set())
    assert np.array_equal(pickle.loads(sent).pixels, PIXELS)
    assert len(hashed) == made
    flip(7)(store_folder() / KEY)
    with pytest.raises(DamagedStoreError, match="not those that were written"):
        pickle.loads(sent)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not say what is open")
def test_a_store_keeps_no_file_open():
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    stores = [build_store(f"{number:064x}", ABOUT, write) for number in range(20)]
    assert count() == before
    assert all(np.array_equal(store.pixels, PIXELS) for store in stores)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say what is mapped")
def test_a_store_that_nobody_uses_is_unmapped():
    def mapped() -> bool:
        return KEY in Path("/proc/self/maps").read_text()

    store = build_store(KEY, ABOUT, write)
    image = store.pixels[3]
    del store
    gc.collect()
    assert mapped()
    assert np.array_equal(image, PIXELS[3])
    del image
    gc.collect()
    assert not mapped()


def test_an_error_leaves_nothing_behind():
    def fail(path):
        write(path)
        raise UserError("3.png is not an image")

    with pytest.raises(UserError, match=r"3\.png"):
        build_store(KEY, ABOUT, fail)
    assert find_store(KEY) is None
    assert store_bytes(KEY) == 0


# A process that makes the store: it says that it has begun, and goes on when it is told to.
BUILDER = """
import sys
from collections.abc import Callable
from pathlib import Path
from benchmark.images.store import About, build_store

def write(path):
    with Path(sys.argv[1]).open("a") as log:
        log.write("made\\n")
    path.write_bytes(bytes(100))
    print("begun", flush=True)
    sys.stdin.readline()
    path.write_bytes(bytes(range(240)))

print(build_store("ab" * 32, About("task", "train", 5, 4), write).pixels.tobytes().hex())
"""


@pytest.fixture
def builder(tmp_path):
    """builder(): a process that begins to make the store, or waits for the one that does."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BUILDER, str(tmp_path / "log")]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_make_it_once(builder, tmp_path):
    first = builder()
    assert first.stdout.readline() == "begun\n"
    second = builder()
    outputs = [process.communicate("go on\n")[0] for process in (first, second)]
    assert outputs == [PIXELS.tobytes().hex() + "\n"] * 2
    assert (tmp_path / "log").read_text() == "made\n"


def test_who_is_killed_leaves_nothing_that_is_trusted(builder):
    killed = builder()
    assert killed.stdout.readline() == "begun\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert find_store(KEY) is None
    assert store_bytes(KEY) == 100
    assert np.array_equal(build_store(KEY, ABOUT, write).pixels, PIXELS)
    assert sorted(path.name for path in store_folder().iterdir()) == [KEY, f"{KEY}.lock"]


def test_what_is_being_made_is_not_removed(builder):
    busy = builder()
    assert busy.stdout.readline() == "begun\n"
    assert not remove_store(KEY)
    assert busy.communicate("go on\n")[0] == PIXELS.tobytes().hex() + "\n"


def test_a_removed_store_stays_with_those_who_use_it():
    store = build_store(KEY, ABOUT, write)
    assert store_keys() == {KEY}
    assert remove_store(KEY)
    assert list(store_folder().iterdir()) == []
    store.release()
    assert np.array_equal(store.pixels, PIXELS)


def test_only_stores_are_counted_and_removed():
    build_store(KEY, ABOUT, write)
    (store_folder() / ".hidden").write_text("not ours")
    (store_folder() / "notes.txt").write_text("not ours")
    assert store_keys() == {KEY}


def refused(write: Callable[[Path], None]) -> str:
    with pytest.raises(UserError) as refusal:
        build_store(KEY, ABOUT, write)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    message = refused(never)
    assert message.startswith(f"{store_folder()} cannot keep the decoded images (Not a directory); ")
    assert message.endswith("set XDG_CACHE_HOME to another folder")


def test_a_disk_without_room_is_refused_before_anything_is_decoded(monkeypatch):
    class Usage:
        free = ABOUT.bytes - 1

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage)
    assert "(0 MB are needed and 0 MB are free)" in refused(never)


def test_a_disk_that_fills_up_is_one_sentence():
    def fill_up(path):
        write(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert "(No space left on device)" in refused(fill_up)
    assert store_bytes(KEY) == 0


def array(*values: int, size: int = 8) -> ArrayImages:
    return ArrayImages(np.repeat(np.array(values, dtype=np.uint8), 3 * size**2).reshape(-1, size, size, 3), [0] * 9)


def test_the_key_follows_the_images_their_order_and_the_size():
    source = array(1, 2, 3)
    key = store_key(source, [0, 1], 8)
    assert store_keys() == set()
    assert key == store_key(array(9, 1, 2), [1, 2], 8), "the same images elsewhere"
    others = [
        store_key(source, [1, 0], 8),
        store_key(source, [0], 8),
        store_key(source, [0, 2], 8),
        store_key(source, [0, 1], 9),
        store_key(array(1, 2, size=16), [0, 1], 8),
    ]
    assert len({key, *others}) == 6


def test_the_key_follows_the_way_of_decoding(monkeypatch):
    key = store_key(array(1), [0], 8)
    monkeypatch.setattr("benchmark.images.store.DECODER", "another Pillow")
    assert store_key(array(1), [0], 8) != key


def test_a_source_may_have_no_key():
    class Opaque(ImageSource):
        labels = (0,)

        def read(self, index):
            raise NotImplementedError

    assert store_key(Opaque(), [0], 8) is None
