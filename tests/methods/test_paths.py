"""Paths that the user gives, asked about once and refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.errors import UserError
from methods.paths import given_path


@pytest.mark.parametrize("text", ["there", "not-there", "there/below", "file", "file/below", ".", ".."])
def test_a_path_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    assert given_path("--out", text) == Path(text)


@pytest.mark.parametrize(
    ("text", "shown", "reason"),
    [
        (300 * "x", f"{30 * 'x'}...{30 * 'x'}", "File name too long"),
        ("a\0b", "a\\x00b", "embedded null byte"),
        ("caf\udce9", "caf\\udce9", "it is not text in UTF-8"),
        ("~nobody-of-that-name/x", "~nobody-of-that-name/x", "Could not determine home directory."),
    ],
)
def test_what_can_be_no_path_is_one_sentence(text: str, shown: str, reason: str):
    with pytest.raises(UserError) as caught:
        given_path("--stream", text, home=True)
    assert str(caught.value) == f"--stream: {shown} cannot be used as a path ({reason}); give another one"


def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(
        UserError, match=r"^report: .* cannot be used as a path \(Permission denied\); give another one$"
    ):
        given_path("report", tmp_path)


def test_only_where_it_is_meant_to_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("--stream", "~/x", home=True) == tmp_path / "x"
    assert given_path("--out", "~/x") == Path("~/x")
