"""`cache`: lists the content of the user's cache folder, or removes it."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from benchmark.cli.options import Command
from benchmark.report.text import aligned
from methods.names import printable

_HEADER = ("task", "split", "images", "pixels", "MB", "created", "from")
_EMPTY = "there are no decoded images in {}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clear", action="store_true", help="remove all of them; runs decode again what they need")


def _cache(arguments: argparse.Namespace, argv: list[str]) -> int:
    return clear_command() if arguments.clear else list_command()


COMMAND = Command(
    "cache", "list the decoded images that are kept on disk, or remove them", _cache, add_arguments=_add_arguments
)


def list_command() -> int:
    """`cache`: returns the exit status."""
    from benchmark.images.store import About, read_about, store_bytes, store_folder, store_keys

    sizes = {key: size for key in store_keys() if (size := store_bytes(key))}
    if not sizes:
        print(_EMPTY.format(store_folder()))
        return 0
    stores: dict[str, About] = {}
    others = []
    for key in sorted(sizes):
        try:
            stores[key] = read_about(store_folder() / key)
        except FileNotFoundError:
            # A store that is being made, or that a killed process left.
            others.append(("(unfinished)", "", "", "", _megabytes(sizes[key]), "", ""))
        except OSError:
            others.append(("(damaged)", "", "", "", _megabytes(sizes[key]), "", ""))
    rows = [
        (
            printable(about.task),
            printable(about.split),
            f"{about.images:,}",
            f"{about.size}x{about.size}",
            _megabytes(sizes[key]),
            f"{datetime.fromisoformat(about.created).astimezone():%Y-%m-%d %H:%M}",
            printable(about.place),
        )
        for key, about in sorted(stores.items(), key=lambda item: item[1].created)
    ]
    images = sum(about.images for about in stores.values())
    total = ("total", "", f"{images:,}", "", _megabytes(sum(sizes.values())), "", "")
    print(*aligned([_HEADER, *rows, *others, total], right=(2, 3, 4)), sep="\n")
    print(f"\nin {store_folder()}")
    return 0


def clear_command() -> int:
    """`cache --clear`: returns the exit status."""
    from benchmark.images.store import remove_store, store_bytes, store_folder, store_keys

    freed = busy = 0
    for key in store_keys():
        size = store_bytes(key)
        if remove_store(key):
            freed += size
        else:
            busy += 1
    print(f"freed {_megabytes(freed)} MB in {store_folder()}" if freed else _EMPTY.format(store_folder()))
    if busy:
        print(f"left what other processes are decoding right now, for {busy} of the splits", file=sys.stderr)
    return 0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f}"
