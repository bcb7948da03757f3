"""The meaning of the folders in a task's tree: splits and classes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

from benchmark.streams.image_tree import ImageTree, TreeImages
from benchmark.streams.left_out import left_out, left_out_note, may_be_image
from benchmark.streams.source import RawTask
from methods.errors import UserError
from methods.names import check_name, printable, same_name

#: Name of a folder in small letters -> the split that it holds.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# A name with one of these as a word, such as seg_train, TestSet or val2017, that is not itself one of them.
_LOOKS_LIKE = re.compile(
    r"(?<![a-z])(train|val|test|eval|dev|holdout)(?:ing|id|idation)?(?:set|data|images?|split)?s?(?![a-z])"
)


def read_task(name: str, tree: ImageTree) -> RawTask:
    """The task in a tree: train/<class>/, with or without val/<class>/ and test/<class>/; or class folders.

    SPLITS lists the other names of a split, in small or capital letters. One folder around everything is accepted.
    Classes are in order of their names, and images may lie at any depth below the folder of their class. The task's
    notes tell which files of the tree are not used.

    Raises:
        UserError: there are no class folders; the classes of the splits do not fit together; two folders are the same
            split; or a folder beside or below the splits is not understood.
    """
    base = _base(tree)
    splits = _splits(tree, base)
    _check_understood(tree, base, splits)
    folders = {split: _children(tree, folder) for split, folder in splits.items()} or {"train": _children(tree, base)}
    train = folders["train"]
    if not train:
        raise UserError(f"{tree.root} has no class folders; a task needs train/<class>/ with images in them")
    classes = tuple(map(posixpath.basename, train))
    for folder in train:
        check_name(f"{tree.root}: class", posixpath.basename(folder))
    for split in sorted(folders.keys() - {"train"}):
        _check_classes(tree, splits, split, classes, folders[split])
    images = {split: _images(tree, of_split, classes) for split, of_split in folders.items()}
    notes = list(left_out_note(name, tree, folders))
    if "validation" in folders and "test" not in folders:
        notes.append(
            f"task '{name}' has a folder {posixpath.basename(splits['validation'])} and no folder test: it is used for "
            "validation, and the test images are split off the training images"
        )
    return RawTask(
        name,
        classes,
        images["train"],
        images.get("test"),
        images.get("validation"),
        tuple(notes),
        left_out(tree, folders).parts(examples=False),
    )


def split_of(folder: str) -> str | None:
    """The split that a folder's name means: a value of SPLITS; None if it means none."""
    return SPLITS.get(posixpath.basename(folder).casefold())


def _base(tree: ImageTree) -> str:
    """The root, or the innermost folder that wraps everything."""
    base = ""
    while (only := _wrapped(tree, base)) is not None:
        base = only
    return base


def _wrapped(tree: ImageTree, parent: str) -> str | None:
    """The folder around everything in `parent`, if there is one and it is neither a split nor a class."""
    top = _children(tree, parent)
    inside = [split_of(folder) for folder in _children(tree, top[0])] if len(top) == 1 else []
    # A task may be called Training and be wrapped in a folder with its name.
    if not inside or (split_of(top[0]) and "train" not in inside):
        return None
    is_class = any(posixpath.dirname(path) == top[0] for path in tree.images) and "train" not in inside
    return None if is_class else top[0]


def _splits(tree: ImageTree, base: str) -> dict[str, str]:
    """Split -> its folder; empty if there are only class folders.

    Raises:
        UserError: two folders are the same split, or no folder holds training images although others are splits.
    """
    found: dict[str, str] = {}
    for folder in _children(tree, base):
        split = split_of(folder)
        if split in found:
            raise UserError(
                f"{tree.root} has the folders {_quoted([found[split], folder])}, which are both the {split} split; "
                "join them or rename one"
            )
        if split:
            found[split] = folder
    if found and "train" not in found:
        name = posixpath.basename(min(found.values()))
        raise UserError(
            f"{tree.root} has a folder {name} but no folder train; a task needs train/<class>/ "
            f"(if {name} is a class, put the folders of all classes into a folder train)"
        )
    return found


def _check_understood(tree: ImageTree, base: str, splits: dict[str, str]) -> None:
    """Refuse images that may belong to a split or another task, if their folder does not say so clearly.

    Raises:
        UserError: naming the folders.
    """
    beside = [folder for folder in _children(tree, base) if folder not in splits.values() and _may_hold(tree, folder)]
    if splits and beside:
        raise UserError(
            f"{tree.root} has {_folders(beside)} beside {_quoted(splits.values())}, which no split is "
            "called; name it train, val or test, move it away, or put it into train if it is a class"
        )
    alike = {found[1] for folder in beside if (found := _LOOKS_LIKE.search(_words(posixpath.basename(folder))))}
    if len(alike) > 1:
        raise UserError(
            f"{tree.root} has the folders {_quoted(beside)}, which look like splits; call them train, val and test, or "
            "put them into a folder train if they are classes"
        )
    inside: dict[str, dict[str, str]] = {}
    for folder in tree.folders:
        parent, split = posixpath.dirname(folder), split_of(folder)
        if split and parent != base:
            inside.setdefault(parent, {}).setdefault(split, folder)
    if not splits:
        # With two trees side by side, one may have the training images and the other the test images.
        apart = {split: folder for nested in inside.values() for split, folder in nested.items()}
        if len(apart) > 1 and all(len(nested) == 1 for nested in inside.values()):
            raise UserError(
                f"{tree.root} has the folders {_listed(apart.values())}, which look like splits; a task has its splits "
                "at the top and the classes in them, as train/<class>/ and test/<class>/"
            )
    for parent, nested in inside.items():
        if len(nested) > 1:
            raise UserError(
                f"{tree.root} has the folders {_quoted(nested.values())} inside '{printable(parent)}'; a task has its "
                "splits at the top and the classes in them, as train/<class>/ and test/<class>/"
            )


def _check_classes(
    tree: ImageTree, splits: dict[str, str], split: str, classes: Sequence[str], found: list[str]
) -> None:
    """Refuse a split whose classes do not fit those of the training images. Validation may lack some.

    Raises:
        UserError: naming a class.
    """
    if not found:
        raise UserError(
            f"{tree.root}: the folder {splits[split]} has no class folders; it needs "
            f"{posixpath.basename(splits[split])}/<class>/, as train has"
        )
    names = {_class_of(folder, classes) for folder in found}
    difference = sorted(names - set(classes) if split == "validation" else names ^ set(classes))
    if difference:
        where = "train" if difference[0] in classes else split
        check_name(f"{tree.root}: class", difference[0])
        raise UserError(
            f"{tree.root}: train and {split} need the same classes, but '{difference[0]}' is only in {where}"
            + (f" ({len(difference)} classes differ)" if len(difference) > 1 else "")
        )


def _images(tree: ImageTree, folders: Sequence[str], classes: Sequence[str]) -> TreeImages:
    """The images below the folders of the classes."""
    label_of = {folder: classes.index(_class_of(folder, classes)) for folder in folders}
    depth = folders[0].count("/") + 1
    labelled = [(path, label_of.get("/".join(path.split("/")[:depth]))) for path in tree.images]
    found = [(path, label) for path, label in labelled if label is not None]
    return TreeImages(tree, [path for path, _ in found], [label for _, label in found])


def _class_of(folder: str, classes: Sequence[str]) -> str:
    """The class that a split's folder holds: one of the classes, or another one with the folder's own name."""
    name = posixpath.basename(folder)
    return same_name(name, classes) or name


def _children(tree: ImageTree, parent: str) -> list[str]:
    return [folder for folder in tree.folders if posixpath.dirname(folder) == parent]


def _may_hold(tree: ImageTree, folder: str) -> bool:
    """Whether there may be images below a folder, also of a format that is not read."""
    below = f"{folder}/"
    return any(path.startswith(below) for path in tree.images) or any(
        path.startswith(below) and may_be_image(path) for path in tree.others
    )


def _words(name: str) -> str:
    """A name in small letters, with spaces between its words: TestSet becomes test set."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()


def _folders(folders: Sequence[str]) -> str:
    return f"the folder{'s' if len(folders) > 1 else ''} {_quoted(folders)}"


def _quoted(folders: Iterable[str]) -> str:
    """The names of folders, for a message: only some of them if there are many."""
    return _listed(map(posixpath.basename, folders))


def _listed(paths: Iterable[str]) -> str:
    """Paths, for a message: only some of them if there are many."""
    names = [f"'{printable(path)}'" for path in paths]
    shown = names[:3] + ([f"{len(names) - 3} more"] if len(names) > 3 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
