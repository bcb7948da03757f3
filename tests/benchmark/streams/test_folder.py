import io
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.images.store import store_key
from benchmark.streams import streams
from benchmark.streams.build import build_stream
from benchmark.streams.folder import FolderStream
from benchmark.streams.image_tree import ZipTree
from methods.errors import UserError


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    """A zip has the key of what its directory says that it holds: what other tests have decoded must not be found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def names(folder, order="name"):
    return [task.name for task in FolderStream(str(folder), order).raw_tasks(None)]


@pytest.fixture
def three(tmp_path, write_task):
    """A folder with tasks b, a (a zip would come next to it) and c."""
    for name in ("b", "a", "c"):
        write_task(tmp_path / name, train=3, test=1)
    return tmp_path


def test_it_is_known_by_its_name():
    assert streams.get("folder") is FolderStream


def test_order(three):
    assert names(three) == ["a", "b", "c"]
    assert names(three, "c,a") == ["c", "a"]
    assert [task.name for task in FolderStream(str(three)).raw_tasks(2)] == ["a", "b"]


def test_seeded_order(three):
    assert sorted(names(three, "seed:7")) == ["a", "b", "c"]
    assert names(three, "seed:7") == names(three, "seed:7")
    assert len({tuple(names(three, f"seed:{seed}")) for seed in range(6)}) > 1


def test_order_from_a_specification(three):
    stream = build_stream(f"folder:{three}:order=c,a", image_size=8)
    assert [task.name for task in stream.tasks] == ["c", "a"]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("a,x", r"no task 'x'; it has a, b, c"),
        ("a,a", "task 'a' more than once"),
        ("", "no task ''"),
        ("seed:x", "needs a whole number from 0"),
        ("seed:-1", "needs a whole number from 0"),
    ],
)
def test_wrong_orders_are_refused(three, order, says):
    with pytest.raises(UserError, match=says):
        build_stream(f"folder:{three}:order={order}")


@pytest.fixture
def commas(tmp_path, write_task):
    """A folder with tasks whose names have commas."""
    for name in ("01 Vögel, wild", "01 Vögel", "a,b,c"):
        write_task(tmp_path / name, train=3, test=1)
    return tmp_path


@pytest.mark.parametrize(
    ("order", "chosen"),
    [
        (r"a\,b\,c,01 Vögel\, wild", ["a,b,c", "01 Vögel, wild"]),
        (r"01 Vögel\, wild", ["01 Vögel, wild"]),
        (r"01 Vögel,a\,b\,c", ["01 Vögel", "a,b,c"]),
    ],
)
def test_a_comma_in_the_name_of_a_task_has_a_backslash(commas, order, chosen):
    stream = build_stream(f"folder:{commas}:order={order}", image_size=8)
    assert [task.name for task in stream.tasks] == chosen


def test_unknown_names_in_an_order_are_answered_with_clear_ones(commas):
    with pytest.raises(UserError) as refused:
        build_stream(f"folder:{commas}:order=01 vogel,x")
    assert str(refused.value).endswith(
        "has no task '01 vogel'; did you mean '01 Vögel'? it has 01 Vögel, '01 Vögel, wild', 'a,b,c'; a comma in a "
        "name is written \\,"
    )


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("forms", [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_in_two_unicode_forms_are_the_same_class(tmp_path, write_images, forms):
    for split, name in zip(("train", "test"), forms, strict=True):
        write_images(tmp_path / "t" / split / name, 3)
        write_images(tmp_path / "t" / split / "dog", 2)
    write_images(tmp_path / "t" / "val" / forms[1], 1)
    (task,) = FolderStream(str(tmp_path), "t").raw_tasks(None)
    assert task.classes == tuple(sorted((forms[0], "dog")))
    place = task.classes.index(forms[0])
    assert [list(images.labels).count(place) for images in (task.train, task.test, task.validation)] == [3, 3, 1]


def test_two_classes_that_look_alike_stay_two_where_all_splits_have_both(tmp_path, write_images):
    for split in ("train", "test"):
        for count, name in enumerate((COMPOSED, DECOMPOSED), 2):
            write_images(tmp_path / "t" / split / name, count)
    (task,) = FolderStream(str(tmp_path)).raw_tasks(None)
    assert task.classes == (DECOMPOSED, COMPOSED)
    assert list(task.test.labels) == [0, 0, 0, 1, 1]


def test_an_order_names_a_task_in_any_unicode_form(tmp_path, write_task):
    for name in (DECOMPOSED, "b"):
        write_task(tmp_path / name, train=3, test=1)
    assert names(tmp_path, f"b,{COMPOSED}") == ["b", DECOMPOSED]


def test_class_folders_without_tasks_are_for_another_stream(tmp_path, write_images):
    for name in ("cat", "dog"):
        write_images(tmp_path / "plain" / name, 5)
    with pytest.raises(UserError) as refused:
        names(tmp_path / "plain")
    advice = f"split-folder:{tmp_path / 'plain'}:tasks=N"
    assert str(refused.value).startswith(f"{tmp_path / 'plain'} has class folders and no tasks; {advice} divides")
    (task,) = build_stream(advice.replace("N", "1"), image_size=8).tasks
    assert task.classes == ("cat", "dog")


def test_tree_gives_classes_by_name_and_labels(tmp_path, write_images):
    write_images(tmp_path / "t" / "train" / "dog", 3)
    write_images(tmp_path / "t" / "train" / "cat", 2)
    write_images(tmp_path / "t" / "test" / "dog", 1)
    write_images(tmp_path / "t" / "test" / "cat" / "persian", 2)
    (task,) = FolderStream(str(tmp_path)).raw_tasks(None)
    assert task.classes == ("cat", "dog")
    assert list(task.train.labels) == [0, 0, 1, 1, 1]
    assert list(task.test.labels) == [0, 0, 1]
    assert task.train.read(4).getpixel((0, 0)) == (2, 0, 0)


def test_zips_and_folders_give_the_same_stream(tmp_path, write_task, zipped):
    write_task(tmp_path / "as_folder" / "t")
    write_task(tmp_path / "as_zip" / "t")
    write_task(tmp_path / "wrapped" / "t" / "some_name")
    zipped(tmp_path / "as_zip" / "t")
    zipped(tmp_path / "wrapped" / "t")
    prints = {
        build_stream(f"folder:{tmp_path / kind}", image_size=8).fingerprint
        for kind in ("as_folder", "as_zip", "wrapped")
    }
    assert len(prints) == 1


@pytest.mark.parametrize("wrapper", ["", "wrapper"])
@pytest.mark.parametrize("split", ["", "train"])
def test_training_images_alone(tmp_path, write_images, zipped, wrapper, split):
    for name in ("cat", "dog"):
        write_images(tmp_path / "t" / wrapper / split / name, 5)
    zipped(tmp_path / "t")
    (task,) = FolderStream(str(tmp_path)).raw_tasks(None)
    assert task.classes == ("cat", "dog")
    assert task.test is None


def test_one_class_folder_is_a_class_not_a_wrapper(tmp_path, write_images):
    write_images(tmp_path / "t" / "cat", 3)
    write_images(tmp_path / "t" / "cat" / "persian", 3)
    (task,) = FolderStream(str(tmp_path)).raw_tasks(None)
    assert task.classes == ("cat",)
    assert len(task.train.labels) == 6


def test_litter_and_other_files_are_ignored(three):
    for name in (".hidden", "__MACOSX"):
        (three / name / "train" / "x").mkdir(parents=True)
        (three / "a" / "train" / name).mkdir()
        (three / "a" / "train" / "cat" / name).mkdir()
        (three / "a" / "train" / "cat" / name / "x.png").write_text("not an image")
    for name in ("README.md", "Thumbs.db", ".DS_Store", "._x.png", "labels.csv"):
        (three / name).write_text("litter")
        (three / "a" / name).write_text("litter")
        (three / "a" / "train" / name).write_text("litter")
        (three / "a" / "train" / "cat" / name).write_text("litter")
    assert names(three) == ["a", "b", "c"]
    task = FolderStream(str(three)).raw_tasks(1)[0]
    assert task.classes == ("cat", "dog")
    assert len(task.train.labels) == 6


def test_zip_members_with_unusual_names(tmp_path, write_task):
    write_task(tmp_path / "source", train=2, test=1)
    (tmp_path / "tasks").mkdir()
    with zipfile.ZipFile(tmp_path / "tasks" / "t.zip", "w") as archive:
        for number, file in enumerate(sorted((tmp_path / "source").rglob("*.png"))):
            prefix = ("", "./")[number % 2]
            archive.writestr(prefix + file.relative_to(tmp_path / "source").as_posix(), file.read_bytes())
    (task,) = FolderStream(str(tmp_path / "tasks")).raw_tasks(None)
    assert list(task.train.labels) == [0, 0, 1, 1]
    assert list(task.test.labels) == [0, 1]


def refused(folder) -> str:
    with pytest.raises(UserError) as refusal:
        build_stream(f"folder:{folder}", image_size=8)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_folder_without_tasks_is_refused(tmp_path):
    assert "there is no folder" in refused(tmp_path / "missing")
    assert "holds no task" in refused(tmp_path)
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(tmp_path / "file")


def test_a_task_instead_of_its_parent_is_refused(three):
    assert "is a task itself" in refused(three / "a")


def test_a_task_without_classes_is_refused(tmp_path, write_images):
    write_images(tmp_path / "t", 3)
    assert f"{tmp_path / 't'} has no class folders" in refused(tmp_path)


def test_an_empty_zip_is_refused(tmp_path):
    zipfile.ZipFile(tmp_path / "t.zip", "w").close()
    assert "t.zip has no class folders" in refused(tmp_path)


def test_test_without_train_is_refused(tmp_path, write_images):
    write_images(tmp_path / "t" / "test" / "cat", 3)
    assert "no folder train" in refused(tmp_path)


def test_different_classes_in_test_are_refused(three, write_images):
    write_images(three / "b" / "test" / "cow", 1)
    assert "'cow' is only in test" in refused(three)
    write_images(three / "a" / "train" / "ant", 1)
    assert "'ant' is only in train" in refused(three)


def test_two_tasks_of_one_name_are_refused(three, write_task, zipped):
    zipped(three / "a")
    write_task(three / "a")
    assert "are both task 'a'" in refused(three)


def test_a_corrupt_zip_is_named(three):
    (three / "aa.zip").write_bytes(b"PK\x03\x04 and no more")
    assert f"{three / 'aa.zip'} is not a readable zip archive" in refused(three)


def test_a_corrupt_member_is_named(three, zipped):
    archive = zipped(three / "b")
    content = bytearray(archive.read_bytes())
    start = content.index(b"test/cat/000.png") + len("test/cat/000.png")
    content[start + 4 : start + 30] = bytes(26)
    archive.write_bytes(content)
    assert str(three / "b.zip" / "test/cat/000.png") in refused(three)


def test_an_encrypted_zip_is_named(three, zipped):
    archive = zipped(three / "b")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        offset = members.getinfo("test/cat/000.png").header_offset
        central = content.index(b"test/cat/000.png", members.start_dir) - 46
    content[offset + 6] |= 1
    content[central + 8] |= 1
    archive.write_bytes(content)
    assert refused(three) == (f"{three / 'b.zip' / 'test/cat/000.png'} is encrypted; pack it again without a password")


def test_a_name_in_a_zip_that_is_cut_at_a_nul_is_refused(three, zipped):
    """zipfile would take train/cat/ for a folder, and the task would lose an image without a word."""
    archive = zipped(three / "b")
    archive.write_bytes(archive.read_bytes().replace(b"train/cat/000.png", b"train/cat/\x0000.png"))
    assert refused(three) == (
        f"{three / 'b.zip'} holds 'train/cat/\\x0000.png', a name with the character \\x00; pack it again"
    )


def patched(content: bytes, name: bytes, method: int | None = None, version: int | None = None) -> bytes:
    """A zip of which the member called `name` has another method, and its entry needs another version."""
    changed = bytearray(content)
    entry = content.rindex(name) - 46
    start = int.from_bytes(content[entry + 42 : entry + 46], "little")
    if method is not None:
        changed[start + 8 : start + 10] = changed[entry + 10 : entry + 12] = method.to_bytes(2, "little")
    if version is not None:
        changed[entry + 6 : entry + 8] = version.to_bytes(2, "little")
    return bytes(changed)


@pytest.fixture(params=["stored", "deflated", "bzip2", "lzma"])
def packed(request, three, zipped):
    """Task b as a zip that is packed in one way or the other."""
    path = zipped(three / "b")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{request.param.upper()}")) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("fill", [b"\0", b"\xff"], ids=["zeros", "ones"])
def test_damaged_data_is_named_however_it_is_packed(three, packed, fill):
    content = packed.read_bytes()
    start = content.index(b"train/cat/000.png") + len(b"train/cat/000.png") + 4
    packed.write_bytes(content[:start] + 30 * fill + content[start + 30 :])
    assert refused(three).startswith(f"{packed / 'train/cat/000.png'} cannot be read from the archive (")


# Deflate64, implode and Zstandard, and one that nobody has.
@pytest.mark.parametrize("method", [9, 6, 93, 250])
def test_a_compression_that_python_does_not_know_is_named(three, zipped, method):
    path = zipped(three / "b")
    path.write_bytes(patched(path.read_bytes(), b"test/cat/000.png", method=method))
    assert f"{path / 'test/cat/000.png'} cannot be read from the archive (" in refused(three)


def test_a_zip_that_needs_a_newer_version_is_named(three, zipped):
    path = zipped(three / "b")
    path.write_bytes(patched(path.read_bytes(), b"test/cat/000.png", version=99))
    assert refused(three) == f"{path} is not a readable zip archive (zip file version 9.9); replace or remove it"


@pytest.mark.parametrize("where", ["both", "entry", "data"])
def test_a_name_that_is_not_the_utf8_it_claims_is_named(three, zipped, where):
    path = zipped(three / "b")
    content = bytearray(path.read_bytes())
    name = b"train/cat/000.png"
    places = {"both": [content.index(name), content.rindex(name)], "data": [content.index(name)]}
    for place in places.get(where, [content.rindex(name)]):
        content[place + 10] = 0xFF
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 9] |= 8
    path.write_bytes(content)
    assert refused(three).startswith(str(path))


def test_no_damage_of_a_zip_is_a_traceback(tmp_path, packed):
    """One changed byte, or several, of an archive: it is read, or one sentence names it."""
    content = packed.read_bytes()
    random = np.random.RandomState(0)
    messages = []
    for trial in range(300):
        changed = bytearray(content)
        for _ in range(1 + trial % 3):
            # Every second time in the archive's directory, which is a small part of it.
            first = content.index(b"PK\x01\x02") if trial % 2 else 0
            changed[random.randint(first, len(content))] = random.randint(256)
        path = tmp_path / f"{trial}.zip"
        path.write_bytes(changed)
        try:
            tree = ZipTree(path)
            for name in tree.images:
                tree.read(name)
        except UserError as error:
            messages.append((path, str(error)))
        path.unlink()
    assert len(messages) > 50
    assert all(message.startswith(str(path)) for path, message in messages)


def test_an_archive_that_is_gone_is_named_by_a_process_too(three, zipped):
    path = zipped(three / "b")
    sent = pickle.dumps(FolderStream(str(three), "b").raw_tasks(None)[0].train)
    path.write_bytes(b"another")
    with pytest.raises(UserError, match=r"b\.zip is not a readable zip archive"):
        pickle.loads(sent).read(0)


def test_what_is_no_file_is_refused(three):
    """A pipe would never end, and neither would a device."""
    pipe = three / "b" / "train" / "cat" / "pipe.png"
    os.mkfifo(pipe)
    assert refused(three) == f"{pipe} is a pipe, a device or a folder, not a file; remove it"
    pipe.unlink()
    (three / "b" / "train" / "cat" / "zero.png").symlink_to("/dev/zero")
    assert "zero.png is a pipe, a device or a folder" in refused(three)


def test_a_file_that_no_image_is_as_large_as_is_refused(three):
    large = three / "b" / "train" / "cat" / "000.png"
    with large.open("r+b") as file:
        file.truncate(2 << 30)
    assert refused(three) == f"{large} takes 2,147 MB, more than an image does; replace or remove it"


def test_a_folder_that_cannot_be_read_is_refused_not_left_out(three, monkeypatch):
    closed = three / "b" / "train" / "cat"
    scan = os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refused(three) == f"{closed} cannot be read (Permission denied); give access to it or remove it"


@pytest.mark.parametrize("name", ["a\x1b]0;title\x07b", "bell\x07", "line\rreturn", "\u202eabc", b"caf\xe9"], ids=ascii)
@pytest.mark.parametrize("kind", ["task", "class", "validation class", "class in a zip"])
def test_names_that_cannot_be_shown_are_refused_before_anything_is_decoded(
    tmp_path, write_task, zipped, monkeypatch, kind, name
):
    monkeypatch.setattr("benchmark.streams.build.Split", None)
    name = os.fsdecode(name)
    if kind == "class in a zip" and name == os.fsdecode(b"caf\xe9"):
        name = "caf\x85"
    write_task(tmp_path / (name if kind == "task" else "t"), ("cat", name if kind.startswith("class") else "dog"))
    if kind == "validation class":
        (tmp_path / "t" / "val" / name).mkdir(parents=True)
    if kind == "class in a zip":
        zipped(tmp_path / "t")
    message = refused(tmp_path)
    assert " in its name, which no table or terminal can show; rename it" in message
    assert message.isprintable()


@pytest.mark.parametrize("pack", [False, True], ids=["folder", "zip"])
def test_a_file_with_such_a_name_that_cannot_be_read_is_shown_as_text(three, zipped, pack):
    (three / "b" / "train" / "cat" / "a\x1b]0;title\x07.png").write_bytes(b"no image")
    if pack:
        zipped(three / "b")
    assert r"train/cat/a\x1b]0;title\x07.png is not an image" in refused(three)


def test_a_folder_of_such_a_name_beside_the_splits_is_shown_as_text(three, write_images):
    write_images(three / "b" / "a\x1b]0;title\x07", 1)
    assert r"has the folder 'a\x1b]0;title\x07' beside" in refused(three)


def test_a_member_of_such_a_name_that_leads_out_of_a_zip_is_shown_as_text(three, zipped):
    with zipfile.ZipFile(zipped(three / "b"), "a") as archive:
        archive.writestr("../\x1b]0;title\x07.png", b"x")
    assert r"holds '../\x1b]0;title\x07.png', which leads out" in refused(three)


@pytest.mark.parametrize("name", ["=1+1", "[red]x", "+x", "-x", "@x", "ünï", "日本"])
def test_names_that_only_look_odd_are_used(tmp_path, write_task, name):
    write_task(tmp_path / name, (name, "dog"))
    (task,) = build_stream(f"folder:{tmp_path}", image_size=8).tasks
    assert (task.name, task.classes) == (name, tuple(sorted((name, "dog"))))


@pytest.mark.parametrize(
    "name",
    ["../train/cat/x.png", "train/../../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "../notes.txt"],
)
def test_what_leads_out_of_a_zip_is_refused(three, zipped, name):
    with zipfile.ZipFile(zipped(three / "b"), "a") as archive:
        archive.writestr(name, b"x")
    assert refused(three) == (
        f"{three / 'b.zip'} holds '{name}', which leads out of the archive or is a link; pack files and folders"
    )


def test_a_link_in_a_zip_is_refused(three, zipped):
    member = zipfile.ZipInfo("train/cat/x.png")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped(three / "b"), "a") as archive:
        archive.writestr(member, "/etc/passwd")
    assert "holds 'train/cat/x.png', which leads out of the archive or is a link" in refused(three)


def test_a_bomb_in_a_zip_is_refused_before_anything_is_read(three, zipped, monkeypatch):
    """101 MB of zeros, which take 100 kB; and a picture of so many pixels of one colour."""
    path = zipped(three / "b")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/x.png", bytes(101 << 20))
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *arguments: pytest.fail("it was"))
    assert refused(three) == (
        f"{three / 'b.zip' / 'train/cat/x.png'} would take 106 MB, more than 100 times its size in the archive; "
        "replace or remove it"
    )


def test_a_zip_that_says_less_than_it_holds_is_refused(three, zipped):
    path = zipped(three / "b")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/x.png", bytes(1 << 20))
    content = bytearray(path.read_bytes())
    place = content.rindex(b"train/cat/x.png") - 46
    # The size in the archive's directory: 100 bytes instead of a megabyte.
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    assert "x.png cannot be read from the archive (Bad CRC-32" in refused(three)


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_a_broken_image_is_named(three, content):
    broken = three / "b" / "train" / "dog" / "001.png"
    broken.write_bytes(broken.read_bytes()[:45] if content is None else content)
    assert refused(three).startswith(f"{broken} ")


def keys(folder) -> list[str | None]:
    """Of the training images of each task."""
    tasks = FolderStream(str(folder)).raw_tasks(None)
    return [store_key(task.train, range(len(task.train.labels)), 8) for task in tasks]


@pytest.mark.parametrize("times", ["new", "set back"])
def test_a_changed_file_has_another_key(three, times):
    before = keys(three)
    assert keys(three) == before
    file = three / "b" / "train" / "dog" / "001.png"
    status, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    if times == "set back":
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [one == other for one, other in zip(keys(three), before, strict=True)] == [True, False, True]


def test_a_file_elsewhere_has_another_key(three):
    before = keys(three)
    (three / "a").rename(three / "aa")
    assert [one == other for one, other in zip(keys(three), before, strict=True)] == [False, True, True]


def test_a_file_that_is_gone_is_named(three):
    (task, *_) = FolderStream(str(three)).raw_tasks(None)
    (three / "a" / "train" / "cat" / "001.png").unlink()
    with pytest.raises(UserError, match=r"001\.png cannot be read"):
        store_key(task.train, [0, 1], 8)


def test_the_key_of_a_zip_follows_its_content_alone(three, zipped):
    archive = zipped(three / "b")
    before = keys(three)[1]
    copy = archive.with_name("bb.zip")
    copy.write_bytes(archive.read_bytes())
    assert keys(three)[1:3] == [before, before]
    with zipfile.ZipFile(copy, "a") as changed:
        changed.writestr("train/dog/zzz.png", b"one more")
    assert keys(three)[1] == before
    assert keys(three)[2] != before


def test_a_folder_that_is_called_like_an_image_is_not_read(three):
    (three / "a" / "train" / "cat" / "album.png").mkdir()
    assert len(FolderStream(str(three)).raw_tasks(1)[0].train.labels) == 6


def test_links_are_followed_but_not_in_circles(three, write_images):
    write_images(three / "elsewhere" / "ant", 2)
    (three / "a" / "train" / "ant").symlink_to(three / "elsewhere" / "ant")
    (three / "a" / "test" / "ant").symlink_to(three / "elsewhere" / "ant")
    (three / "a" / "train" / "cat" / "up").symlink_to(three / "a")
    task = FolderStream(str(three), "a").raw_tasks(None)[0]
    assert task.classes == ("ant", "cat", "dog")
    assert list(task.train.labels) == [0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("packed", [False, True])
def test_the_files_of_test_images_are_named_within_the_task(tmp_path, write_task, zipped, packed):
    write_task(tmp_path / "all" / "pets", train=3, test=2)
    if packed:
        zipped(tmp_path / "all" / "pets")
    (task,) = build_stream(f"folder:{tmp_path / 'all'}", image_size=8).tasks
    assert task.test_files == ("test/cat/000.png", "test/cat/001.png", "test/dog/000.png", "test/dog/001.png")


def test_each_test_image_that_was_split_off_has_its_file(tmp_path, write_task):
    """A pixel of each image is the number in its name."""
    write_task(tmp_path / "pets", train=20, test=None)
    (task,) = build_stream(f"folder:{tmp_path}", image_size=8).tasks
    assert len(task.test_files) == len(task.test) == 8
    numbers = [int(file.removesuffix(".png").rpartition("/")[2]) for file in task.test_files]
    assert numbers == task.test.images[:, 0, 0, 0].tolist()
    assert [file.split("/")[1] for file in task.test_files] == [task.classes[label] for label in task.test.labels]
