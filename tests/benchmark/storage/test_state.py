"""The task boundary on disk: whatever happens, exactly one complete state is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmark.storage.parallel_tasks import unite
from benchmark.storage.state import PackedState, State, checksum_of, load, pack, save


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def head(task: int, value: float) -> dict[str, torch.Tensor]:
    return {f"heads.{task}.weight": tensor(value, value), f"heads.{task}.bias": tensor(value)}


START = State(learned=0, shared={"backbone.w": tensor(0, 0, 0)})
# The second step overwrites task 1, as methods do whose new task trains the heads of the old ones.
ONE = State(1, {"backbone.w": tensor(1, 1, 1)}, {1: head(1, 1)}, {"anchor": tensor(1, 1), "replay.images": tensor(1)})
TWO = State(
    2,
    {"backbone.w": tensor(2, 2, 2)},
    {1: head(1, 1.5), 2: head(2, 2)},
    {"anchor": tensor(2, 2), "replay.images": tensor(1, 2)},
)
THREE = State(3, {"backbone.w": tensor(3, 3, 3)}, {**TWO.tasks, 3: head(3, 3)}, {})


def flat(state: State) -> dict[str, list[float]]:
    return {f"{stem}/{name}": t.tolist() for stem, part in state.parts() for name, t in part.items()}


def write(folder: Path, *states: State, keep_states: bool = False) -> PackedState:
    """Save the states one after another, as a run does."""
    packed = PackedState({}, {})
    for before, state in zip((START, *states), states, strict=False):
        packed = pack(state, before, packed.checksums)
        save(folder, packed, {"learned": state.learned, "note": f"step {state.learned}"}, keep_states)
    return packed


def read(folder: Path) -> tuple[State, list[dict]]:
    return load(folder, lambda: START)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_that_is_not_there_means_the_start(tmp_path):
    assert read(tmp_path / "none") == (START, [])


def test_what_is_saved_is_loaded(tmp_path):
    packed = write(tmp_path, ONE, TWO)
    state, records = read(tmp_path)
    assert state.learned == 2
    assert flat(state) == flat(TWO)
    assert [(record["learned"], record["note"]) for record in records] == [(1, "step 1"), (2, "step 2")]
    assert records[1]["checksums"] == packed.checksums
    assert packed.checksums.keys() == {"task-1", "task-2", "shared-2", "memory-2"}


def test_values_of_every_type_survive_bit_for_bit(tmp_path):
    part = {
        "float": torch.tensor([1 / 3, float("nan"), -0.0, float("inf")]),
        "uint8": torch.arange(256, dtype=torch.uint8),
        "int64": torch.tensor(2**62),
        "bool": torch.tensor([True, False]),
        "half": torch.tensor([0.1], dtype=torch.float16),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "empty": torch.empty(0, 3),
    }
    write(tmp_path, State(1, {}, {1: part}))
    loaded = read(tmp_path)[0].tasks[1]
    assert loaded.keys() == part.keys()
    for name, value in part.items():
        assert (loaded[name].dtype, loaded[name].shape) == (value.dtype, value.shape)
        assert loaded[name].numpy().tobytes() == value.contiguous().numpy().tobytes()


def test_a_method_may_keep_tensors_of_any_name(tmp_path):
    names = ("head.weight", "heads.1.bias", "heads.memory-1.weight")
    write(tmp_path, State(1, {"backbone.w": tensor(1)}, {1: head(1, 1)}, {name: tensor(1, 2) for name in names}))
    assert {*read(tmp_path)[0].memory} == {*names}


def test_only_the_newest_shared_and_memory_files_stay(tmp_path):
    write(tmp_path, ONE, TWO, THREE)
    tasks = ["task-1.safetensors", "task-2.safetensors", "task-3.safetensors"]
    assert files(tmp_path) == ["after-1.json", "after-2.json", "after-3.json", "shared-3.safetensors", *tasks]


def test_those_of_every_step_stay_where_asked(tmp_path):
    write(tmp_path, ONE, TWO, keep_states=True)
    kept = {"shared-1.safetensors", "shared-2.safetensors", "memory-1.safetensors", "memory-2.safetensors"}
    assert kept < set(files(tmp_path))


def test_a_part_that_has_not_changed_is_not_written_again(tmp_path):
    write(tmp_path, ONE, TWO)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    loaded, records = read(tmp_path)
    three = State(3, THREE.shared, {**loaded.tasks, 3: head(3, 3)}, {})
    packed = pack(three, loaded, records[-1]["checksums"])
    assert packed.blobs.keys() == {"task-3", "shared-3"}
    save(tmp_path, packed, {"learned": 3})
    for name in ("task-1.safetensors", "task-2.safetensors", "after-1.json", "after-2.json"):
        path = tmp_path / name
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == before[name]


def test_equal_content_is_not_written_again_either(tmp_path):
    """After a step that is repeated because it was interrupted, or of a head that was trained at rate zero."""
    write(tmp_path, ONE)
    inode = (tmp_path / "task-1.safetensors").stat().st_ino
    same = State(2, TWO.shared, {1: head(1, 1), 2: head(2, 2)}, TWO.memory)
    packed = pack(same, ONE, json.loads((tmp_path / "after-1.json").read_bytes())["checksums"])
    assert "task-1" in packed.blobs
    save(tmp_path, packed, {"learned": 2})
    assert (tmp_path / "task-1.safetensors").stat().st_ino == inode
    assert flat(read(tmp_path)[0]) == flat(same)


class KilledError(BaseException):
    """The process is gone: not even a `finally` gets anything done from here on."""


class Killer:
    """Lets so many operations on files happen, and then none; a file that is being opened for writing is torn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, operations: int):
        self.left = operations
        for name in ("open", "replace", "unlink"):
            monkeypatch.setattr(Path, name, self._counted(getattr(Path, name)))

    def _counted(self, operation):
        def counted(path: Path, *arguments, **options):
            writing = operation.__name__ != "open" or "w" in "".join(arguments[:1])
            if writing:
                if self.left <= 0:
                    if operation.__name__ == "open" and self.left == 0:
                        with operation(path, "wb") as file:
                            file.write(b"torn")
                    self.left -= 1
                    raise KilledError
                self.left -= 1
            return operation(path, *arguments, **options)

        return counted


def test_a_kill_between_any_two_operations_of_save_leaves_the_state_before_or_after(tmp_path):
    seen = []
    for operations in range(100):
        folder = tmp_path / str(operations)
        checksums = write(folder, ONE).checksums
        packed = pack(TWO, ONE, checksums)
        finished = True
        with pytest.MonkeyPatch.context() as patched:
            Killer(patched, operations)
            try:
                save(folder, packed, {"learned": 2})
            except KilledError:
                finished = False
        state, records = read(folder)
        assert flat(state) == flat({1: ONE, 2: TWO}[state.learned]), f"a mixture after {operations} operations"
        assert [record["learned"] for record in records] == [1, 2][: state.learned]
        seen.append(state.learned)

        if state.learned == 1:
            save(folder, pack(TWO, state, records[-1]["checksums"]), {"learned": 2})
        assert flat(read(folder)[0]) == flat(TWO), "the run goes on"
        if finished:
            break
    assert finished
    # Five files, each opened, renamed and looked for once more; then a promotion and two files that are removed.
    assert len(seen) - 1 == 5 * 3 + 1 + 2
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}


def test_a_kill_between_any_two_operations_of_load_leaves_the_same_state(tmp_path):
    for after_the_record in (False, True):
        for operations in range(100):
            folder = tmp_path / f"{after_the_record}-{operations}"
            packed = pack(TWO, ONE, write(folder, ONE).checksums)
            with pytest.MonkeyPatch.context() as patched:
                # The five files of the step; the record is the last, and its rename the 14th operation.
                Killer(patched, 14 if after_the_record else 13)
                with pytest.raises(KilledError):
                    save(folder, packed, {"learned": 2})
            finished = True
            with pytest.MonkeyPatch.context() as patched:
                Killer(patched, operations)
                try:
                    read(folder)
                except KilledError:
                    finished = False
            assert flat(read(folder)[0]) == flat(TWO if after_the_record else ONE)
            if finished:
                break
        assert finished
        assert operations == 3, "the file beside task 1 is taken, or removed; the other state's shared and memory go"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damaged", "learned"),
    [
        ("task-3.safetensors", 2),
        ("shared-3.safetensors", 2),
        ("task-2.safetensors", 1),
        ("shared-2.safetensors", 3),
        ("memory-1.safetensors", 3),
        ("task-1.safetensors", 0),
    ],
)
@pytest.mark.parametrize("how", [flip_a_byte, Path.unlink])
def test_a_damaged_part_is_noticed_and_the_cell_goes_back_to_the_last_whole_state(tmp_path, damaged, learned, how):
    states = (START, State(1, ONE.shared, {1: head(1, 1)}, ONE.memory))
    states += (State(2, TWO.shared, {**states[1].tasks, 2: head(2, 2)}, TWO.memory),)
    states += (State(3, THREE.shared, {**states[2].tasks, 3: head(3, 3)}),)
    write(tmp_path, *states[1:], keep_states=True)
    how(tmp_path / damaged)
    state, records = read(tmp_path)
    assert state.learned == len(records) == learned
    assert len(list(tmp_path.glob("after-*.json"))) == learned, "what was learned on that is of no use"
    assert flat(state) == flat(states[learned])


def test_after_going_back_the_steps_are_learned_and_saved_again(tmp_path):
    write(tmp_path, ONE, TWO)
    flip_a_byte(tmp_path / "shared-2.safetensors")
    assert read(tmp_path) == (START, []), "shared-1 is long gone"
    write(tmp_path, ONE)
    state, records = read(tmp_path)
    assert (flat(state), len(records)) == (flat(ONE), 1), "the old after-2.json counts for nothing"
    write(tmp_path, ONE, TWO)
    assert flat(read(tmp_path)[0]) == flat(TWO)


def test_a_replacement_that_is_still_waiting_outlives_a_stale_record_of_a_later_step(tmp_path):
    write(tmp_path, ONE, TWO)
    for path in tmp_path.glob("*.safetensors"):
        flip_a_byte(path)
    packed = pack(ONE, START, {})
    with pytest.MonkeyPatch.context() as patched:
        Killer(patched, 12)  # task-1, shared-1, memory-1 and after-1.json, three operations each; then nothing
        with pytest.raises(KilledError):
            save(tmp_path, packed, {"learned": 1})
    assert (tmp_path / "task-1.safetensors.next").exists()
    assert flat(read(tmp_path)[0]) == flat(ONE)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_record_that_is_not_readable_ends_what_is_known(tmp_path, content):
    write(tmp_path, ONE, State(2, ONE.shared, {**ONE.tasks, 2: head(2, 2)}, ONE.memory), keep_states=True)
    (tmp_path / "after-2.json").write_bytes(content)
    state, records = read(tmp_path)
    assert (flat(state), len(records)) == (flat(ONE), 1)


def test_leftovers_are_harmless(tmp_path):
    write(tmp_path, ONE, TWO)
    for name in (
        "task-1.safetensors.next",
        "task-9.safetensors.next",
        "shared-2.safetensors.next",
        ".task-2.safetensors.123.tmp",
        ".after-3.json.123.tmp",
        "task-3.safetensors",
        "shared-3.safetensors",
        "notes.txt",
    ):
        (tmp_path / name).write_bytes(b"left over")
    state, records = read(tmp_path)
    assert (flat(state), len(records)) == (flat(TWO), 2)
    save(tmp_path, pack(THREE, TWO, records[-1]["checksums"]), {"learned": 3})
    assert flat(read(tmp_path)[0]) == flat(THREE)
    assert not list(tmp_path.glob("*.next"))


def test_the_checksum_of_a_part():
    checksums = {"task-1": "a", "task-12": "b", "shared-12": "c"}
    assert [checksum_of(checksums, part) for part in ("task-1", "task-12", "shared", "memory", "task-2")] == [
        *("a", "b", "c", "", "")
    ]


def test_bytes_of_each_part():
    """float32 values take 4 bytes: ONE has 3 shared, a head of 3, and 2 + 1 in memory."""
    assert ONE.count_bytes() == {"shared": 12, "task": 12, "memory": 12, "heads": 12, "replay": 4}
    shared_head = State(1, {"backbone.w": tensor(1), **head(1, 1)}, {1: {}})
    assert shared_head.count_bytes() == {"shared": 16, "task": 0, "memory": 0, "heads": 12, "replay": 0}


def test_files_of_other_names_in_a_cells_folder_stay(tmp_path):
    write(tmp_path, ONE, TWO)
    names = ("memory-of-a-walk.safetensors", "shared-.safetensors", "plan.next", "task-1b.safetensors.next")
    names += ("after-lunch.json", "alone-again.json")
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    # The records of what was damaged are removed.
    (tmp_path / "after-2.json").write_bytes(b"")
    assert read(tmp_path)[0].learned == 0
    assert not (tmp_path / "after-2.json").exists()
    write(tmp_path, ONE)
    assert not unite(tmp_path)
    assert all((tmp_path / name).read_bytes() == b"mine" for name in names)
