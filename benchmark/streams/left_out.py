"""One line about the user's files that are not used."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.images.formats.known import what_is_missing
from benchmark.streams.image_tree import ImageTree, is_litter
from methods.names import printable

# Extensions of pictures in formats that are not read, such as raw camera files and scans, or not everywhere.
_UNREAD = re.compile(
    "heic|heif|hif|avifs?|jxl|jp2|j2[kc]|jp[cfxm]|jxr|wdp|hdp|ps[db]|svgz?|eps|ps|ico|icns|cur|tga|dds|exr|hdr|"
    "pam|pcx|x[bp]m|sgi|rgba?|ras|dib|qoi|xcf|fits|dcm|dicom|nii|dng|cr[23w]|nef|arw|orf|rw2|raf|pef|srw|raw"
)
_ARCHIVE = re.compile("tar|t?gz|t?bz2?|tbz2|t?xz|lzma|t?zst|7z|rar")
_CALLED = {"train": "training"}
# At most this many names are shown.
_SHOWN = 3


def may_be_image(path: str) -> bool:
    """Whether a file that is not read may be an image: it has the extension of one, or no extension."""
    return is_unread(path) or not _extension(path)


def is_unread(path: str) -> bool:
    """Whether a file has the extension of an image of a format that is not read, or not everywhere."""
    return _UNREAD.fullmatch(_extension(path)) is not None


def why_unread(path: str) -> str:
    """Why a file that `is_unread` is not read, and what to do; follows its name."""
    missing = what_is_missing([path])
    return f"is an image of a format that is not read; {missing or 'save it as JPEG or PNG'}"


@dataclass(frozen=True)
class LeftOut:
    """The files of a task's tree that are not used.

    Attributes:
        unread: images, or files that may be images, of formats that are not read.
        loose: images outside of the class folders.
        others: all others.
    """

    unread: tuple[str, ...]
    loose: tuple[str, ...]
    others: tuple[str, ...]

    def parts(self, examples: bool) -> tuple[str, ...]:
        """What is left out, as parts of a sentence: how many files of each kind, with examples or without."""
        missing = what_is_missing(self.unread)
        hint = f"; {missing}" if missing else ""
        kinds = f" ({_kinds(self.unread)}, as {self.unread[0]}{hint})" if examples and self.unread else ""
        loose, others = (f" ({some(paths)})" if examples else "" for paths in (self.loose, self.others))
        texts = (
            (self.unread, f"{_count(self.unread, 'image')} of a format that is not read{kinds}"),
            (self.loose, f"{_count(self.loose, 'image')} outside of the class folders{loose}"),
            (self.others, f"{_count(self.others, 'other file')}{others}"),
        )
        return tuple(printable(text) for paths, text in texts if paths)


def left_out(tree: ImageTree, splits: Mapping[str, Sequence[str]]) -> LeftOut:
    """The files of a task's tree that are not used.

    Args:
        splits: split -> the folders of its classes.
    """
    class_of = _classes(splits)
    unread = [path for path in tree.others if is_unread(path) or (not _extension(path) and class_of(path))]
    others = sorted(set(tree.others).difference(unread))
    loose = [path for path in tree.images if not class_of(path)]
    return LeftOut(tuple(unread), tuple(loose), tuple(others))


def left_out_note(task: str, tree: ImageTree, splits: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """One line about the files of a task's tree that are not used; none if all are.

    Args:
        task: the task's name.
        splits: split -> the folders of its classes.
    """
    left, class_of = left_out(tree, splits), _classes(splits)
    said = []
    parts = left.parts(examples=True)
    if parts:
        said.append(f"leaves out {' and '.join(parts)}")
    lost = Counter(filter(None, map(class_of, left.unread)))
    if lost:
        kept = Counter(filter(None, map(class_of, tree.images)))
        losses = [
            f"class '{name}' loses {count} of {count + kept[split, name]} {_CALLED.get(split, split)} images"
            for (split, name), count in lost.most_common()
        ]
        said.append(some(losses))
    if tree.repeated:
        differ = sum(not same for same in tree.repeated.values())
        said.append(
            f"has {_count(tree.repeated, 'file')} several times in its archive, {differ or 'none'} of them with other "
            f"content, and the last of each is used ({some(tree.repeated)})"
        )
    if said:
        yield printable(f"task '{task}' {'; '.join(said)}")


def _classes(splits: Mapping[str, Sequence[str]]) -> Callable[[str], tuple[str, str] | None]:
    """A function that tells the split and the class of a file; None if it is in no class folder."""
    place = {folder: (split, posixpath.basename(folder)) for split, folders in splits.items() for folder in folders}
    depth = next(iter(place)).count("/") + 1
    return lambda path: place.get("/".join(path.split("/")[:depth]))


def left_beside(folder: Path, stream: str) -> Iterator[str]:
    """One line about the files beside the folders and zips of tasks; none if there are no such files.

    Args:
        folder: the stream's folder.
        stream: the stream's name.
    """
    files = [path.name for path in sorted(folder.iterdir()) if not path.is_dir() and path.suffix.lower() != ".zip"]
    files = [name for name in files if not is_litter(name)]
    archives = [name for name in files if _ARCHIVE.fullmatch(_extension(name))]
    others = [name for name in files if name not in archives]
    parts = []
    if archives:
        parts.append(f"{some(archives)} (a task is a folder or a zip: unpack or convert what is to be one)")
    if others:
        parts.append(f"{_count(others, 'other file')} ({some(others)})")
    if parts:
        yield printable(f"{stream}:{folder} leaves out {' and '.join(parts)}")


def _extension(path: str) -> str:
    return posixpath.splitext(path)[1].lower().removeprefix(".")


def _kinds(paths: Iterable[str]) -> str:
    """The number of paths with each extension, the most frequent first."""
    counts = Counter(map(_extension, paths))
    return some([f"{count} {f'.{kind}' if kind else 'without extension'}" for kind, count in counts.most_common()])


def some(texts: Iterable[str]) -> str:
    """All texts, or the first ones and the number of the others."""
    listed = list(texts)
    more = [f"{len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
    return ", ".join(listed[:_SHOWN] + more)


def _count(things: Iterable[str], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}{'s' if number != 1 else ''}"
