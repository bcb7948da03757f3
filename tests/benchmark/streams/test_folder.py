import io
import os
import stat
import zipfile

import pytest

from benchmark.store import store_key
from benchmark.streams import streams
from benchmark.streams.build import build_stream
from benchmark.streams.folder import FolderStream
from methods.errors import UserError


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
    assert "encrypted" in refused(three)


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
