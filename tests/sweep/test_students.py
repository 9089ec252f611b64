"""Students found by a run's name or in a file, scored again and handed out."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.students import verdict
from harness.ledger.device import DeviceClass
from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, write
from harness.ledger.record import Record
from harness.ledger.rules import RULES_VERSION
from harness.ledger.student import StudentCard
from harness.sweep import students
from harness.sweep.students import Rescored, Student, export, find_record, rescore, student_of_file, student_of_run
from tests.factories import record as a_record
from tests.factories import save
from tests.stored import keyed
from tests.story import TINY
from tests.students import engine, leave_student
from tests.sweep.fake import FakeExecutor, Listening


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run's results, and the cache that holds its student."""
    folder = tmp_path_factory.mktemp("students")
    left = leave_student(folder)
    (folder / "results" / "runs" / f"{left.spec.name}.json").unlink()
    save(folder / "results", keyed(left))
    return folder


@pytest.fixture(autouse=True)
def cached(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is that of the run."""
    monkeypatch.setenv("SEGKD_CACHE", str(place / "cache"))


@pytest.fixture
def record(place: Path) -> Record:
    """The run's."""
    (path,) = (place / "results" / "runs").glob("*.json")
    return read(path, Record)


def weights(place: Path, record: Record) -> Path:
    return place / "cache" / "students" / f"{record.outcome.student_sha256}.safetensors"


def again(student: Student) -> Rescored:
    return rescore(student, None, "cpu", FakeExecutor(engine), Listening())


def with_record(results: Path, record: Record) -> Student:
    """The student of a record that was changed, under the key that it then has."""
    changed = keyed(record)
    write(results / "runs" / f"{changed.spec.name}.json", changed)
    return student_of_run(results, changed.spec.name, None)


def named(key: str) -> Record:
    """A record of that key."""
    record = a_record("kd", rules=RULES_VERSION + 1)  # whose keys are made otherwise
    return record.model_copy(update={"spec": record.spec.model_copy(update={"key": key})})


def on(device: DeviceClass, record: Record) -> Record:
    ground = record.spec.ground.model_copy(update={"device_class": device})
    return record.model_copy(update={"spec": record.spec.model_copy(update={"ground": ground})})


def scoring(miou: float, record: Record) -> Record:
    scores = record.outcome.scores.model_copy(update={"miou": miou})
    return record.model_copy(update={"outcome": record.outcome.model_copy(update={"scores": scores})})


# Finding


def test_a_run_is_found_by_its_name_or_its_beginning(tmp_path: Path):
    """As long as only one run begins so."""
    first, second = named("streets-kd-s0-12ab"), named("streets-kd-s1-12ab")
    save(tmp_path, first, second)
    for text in ("streets-kd-s0-12ab.1", "streets-kd-s0-12ab.", "streets-kd-s0"):
        assert find_record(tmp_path, text) == first
    assert find_record(tmp_path, "streets-kd-s1") == second


def test_of_a_keys_attempts_the_last_is_meant_unless_one_is_named(tmp_path: Path):
    """Ten is after nine, and 1 is not 10."""
    save(tmp_path, *(a_record("kd", attempt=attempt) for attempt in (1, 9, 10)))
    key = a_record("kd").spec.key
    assert find_record(tmp_path, key).spec.attempt == 10
    assert find_record(tmp_path, f"{key}.1").spec.attempt == 1
    assert find_record(tmp_path, f"{key}.9").spec.attempt == 9


def test_a_beginning_of_several_runs_is_refused_with_their_names(tmp_path: Path):
    """A person then knows how much more to type."""
    save(tmp_path, *(named(f"streets-kd-s{seed}") for seed in range(7)))
    with pytest.raises(BadInput) as refused:
        find_record(tmp_path, "streets-kd")
    five = ", ".join(f"streets-kd-s{seed}" for seed in range(5))
    assert str(refused.value) == f"RUN: 7 runs begin with 'streets-kd': {five}, …: expected more of the name"


def test_a_misspelt_run_is_answered_with_the_nearest(tmp_path: Path):
    """As long as what was typed."""
    save(tmp_path, named("streets-kd-s0-12ab"))
    with pytest.raises(
        BadInput, match=re.escape("'streest-kd' in ") + ".*" + re.escape("(did you mean 'streets-kd'?)")
    ):
        find_record(tmp_path, "streest-kd")
    with pytest.raises(BadInput) as refused:
        find_record(tmp_path, "")
    assert str(refused.value) == f"RUN: no run '' in {tmp_path / 'runs'}: expected its name, KEY.ATTEMPT"


def test_a_folder_without_records_is_said_to_have_none(tmp_path: Path):
    """Rather than that a run is not among them; a file is no folder, and nothing is nothing."""
    (tmp_path / "file").touch()
    for place, told in (("", "no records"), ("none", "nothing"), ("file", "no folder")):
        with pytest.raises(BadInput, match=re.escape(f"--results: {tmp_path / place}: found {told}: expected")):
            find_record(tmp_path / place, "kd")


def test_a_record_that_is_no_plain_file_or_another_runs_is_refused(tmp_path: Path):
    """As wherever else records are read: a pipe is never opened, and a name that lies is told."""
    first, second, third = (keyed(a_record("kd", seed)) for seed in range(3))
    save(tmp_path, first)
    (tmp_path / "runs" / f"{first.spec.name}.json").rename(tmp_path / "runs" / f"{second.spec.name}.json")
    os.mkfifo(tmp_path / "runs" / f"{third.spec.name}.json")
    with pytest.raises(BadInput, match=f"spec: found the run {re.escape(first.spec.name)}: "):
        find_record(tmp_path, second.spec.name)
    with pytest.raises(BadInput, match="is no plain file"):
        find_record(tmp_path, third.spec.name)


def test_a_run_that_left_no_student_is_refused(tmp_path: Path):
    """It failed before it had one."""
    run = a_record("kd", ending="failed", reason="disk")
    save(tmp_path, run)
    for attempt in (lambda: student_of_run(tmp_path, run.spec.name, None), lambda: export(run, tmp_path / "out")):
        with pytest.raises(BadInput, match=re.escape(f"{run.spec.name}: left no student: it ended as failed")):
            attempt()


def test_weights_that_are_gone_are_missed_where_they_should_lie(
    place: Path, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another cache holds no students."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    where = tmp_path / "students" / f"{record.outcome.student_sha256}.safetensors"
    with pytest.raises(BadInput, match=re.escape(f"looked for {where}: ")):
        student_of_run(place / "results", record.spec.name, None)


def test_a_file_needs_a_workload(place: Path, record: Record):
    """Weights do not name their network."""
    with pytest.raises(BadInput, match="--workload: missing: "):
        student_of_file(weights(place, record), None)


def test_a_misspelt_file_is_answered_with_the_nearest_beside_it(tmp_path: Path):
    """One line."""
    (tmp_path / "student.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match=re.escape("no such file (did you mean 'student.safetensors'?)")):
        student_of_file(tmp_path / "studnet.safetensors", "streets")


def test_a_folder_with_the_name_of_a_file_is_called_one(tmp_path: Path):
    """And is not its own nearest name; nor is a link to nowhere."""
    (tmp_path / "mine.safetensors").mkdir()
    with pytest.raises(BadInput, match=r"mine.safetensors: found a folder: expected a file of weights$"):
        student_of_file(tmp_path / "mine.safetensors", "streets")
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"gone.safetensors: no such file$"):
        student_of_file(tmp_path / "gone.safetensors", "streets")


def test_a_file_of_another_kind_is_no_run(place: Path, tmp_path: Path):
    """Nobody looks for a run of that name."""
    (tmp_path / "good.pth").write_bytes(b"weights")
    with pytest.raises(BadInput) as refused:
        student_of_run(place / "results", str(tmp_path / "good.pth"), "streets")
    assert str(refused.value) == (
        f"RUN|FILE: {tmp_path / 'good.pth'}: found a file of kind '.pth': expected .safetensors, or a run"
    )


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (lambda whole: b"import os\n", "header too large"),
        (lambda whole: b"", "header too small"),
        (lambda whole: whole[:-1], "incomplete metadata, file not fully covered"),
        (lambda whole: whole + b"0", "incomplete metadata, file not fully covered"),
    ],
    ids=["foreign", "empty", "truncated", "longer"],
)
def test_a_file_that_is_no_whole_safetensors_is_refused_before_the_data_are_read(
    place: Path, record: Record, tmp_path: Path, ending: Callable[[bytes], bytes], why: str
):
    """The header says how long it is; nothing of it is run."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(ending(weights(place, record).read_bytes()))
    with pytest.raises(BadInput) as refused:
        student_of_file(path, str(place / "tiny.yaml"))
    assert str(refused.value).startswith(f"FILE: {path}: no whole .safetensors file: ")
    assert str(refused.value).endswith(why)


# Scoring


def test_a_run_scored_again_equals_its_record(place: Path, record: Record):
    """On the device class on which it was scored: every score, to the last bit."""
    found = again(student_of_run(place / "results", record.spec.name, None))
    assert found.scores == record.outcome.scores
    assert (found.comparison.is_equal, found.comparison.is_same_device_class) == (True, True)
    assert found.comparison.miou_difference == 0
    assert verdict(found) == "equals the record's scores exactly"


def test_a_run_is_scored_on_the_split_on_which_it_was_scored(place: Path, record: Record, tmp_path: Path):
    """The trials of `bench tune` are on `tune`, of four images here."""
    tried = record.model_copy(update={"spec": record.spec.model_copy(update={"scored_on": "tune"})})
    found = again(with_record(tmp_path, tried))
    assert (found.split, found.scores.images) == ("tune", 4)


def test_a_file_is_scored_like_the_run_that_left_it(place: Path, record: Record, tmp_path: Path):
    """Wherever it lies; there is no record to hold it against."""
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(weights(place, record).read_bytes())
    found = again(student_of_file(copy, str(place / "tiny.yaml")))
    assert found.scores == record.outcome.scores
    assert (found.student, found.student_sha256) == ("mine.safetensors", record.outcome.student_sha256)
    assert verdict(found) == "not compared with a record: a file has no record"


def test_a_record_that_says_otherwise_is_told_so(record: Record, tmp_path: Path):
    """The same device class: nothing excuses the difference."""
    changed = scoring(record.outcome.scores.miou + 0.01, record)
    found = again(with_record(tmp_path, changed))
    assert not found.comparison.is_equal
    beside = f"{100 * changed.outcome.scores.miou:.2f} %"
    assert verdict(found) == (
        f"differs from the record's scores on a device of the same class: mIoU -1 points beside the record's {beside}"
    )


def test_a_record_of_another_device_class_is_beside_it_with_the_difference(record: Record, tmp_path: Path):
    """Another device rounds otherwise; equal scores are equal all the same."""
    device = record.spec.ground.device_class.model_copy(update={"model": "Old CPU"})
    assert again(with_record(tmp_path, on(device, record))).comparison.is_equal
    found = again(with_record(tmp_path, on(device, scoring(record.outcome.scores.miou - 0.005, record))))
    assert not found.comparison.is_same_device_class
    assert re.fullmatch(
        r"mIoU \+0\.5 points beside the record's \d+\.\d\d %, which is of another device class: Old CPU, 1 thread",
        verdict(found),
    )


def test_another_workload_is_scored_and_compared_with_nothing(place: Path, record: Record, tmp_path: Path):
    """Other scenes: other scores, which the record does not have. Prose makes no other workload."""
    other, retitled = tmp_path / "other.yaml", tmp_path / "retitled.yaml"
    other.write_text(TINY.replace("score: {count: 8, seed: 3}", "score: {count: 4, seed: 9}"))
    retitled.write_text(TINY.replace("A handful of streets", "The same streets"))
    found = again(student_of_run(place / "results", record.spec.name, str(other)))
    assert (found.workload, found.scores.images) == ("other", 4)
    assert verdict(found) == "not compared with a record: the record is of the workload tiny as it was then"
    assert again(student_of_run(place / "results", record.spec.name, str(retitled))).comparison.is_equal


def test_other_data_are_scored_and_compared_with_nothing(record: Record, tmp_path: Path):
    """What the record was scored on was something else."""
    ground = record.spec.ground.model_copy(update={"data_sha256": "0" * 64})
    changed = record.model_copy(update={"spec": record.spec.model_copy(update={"ground": ground})})
    found = again(with_record(tmp_path, changed))
    assert found.scores == record.outcome.scores
    assert found.not_compared == "the data are not the record's, whose SHA-256 is 000000000000…"


def test_a_run_that_was_never_scored_is_scored_now(record: Record, tmp_path: Path):
    """Its process died between the weights and the score."""
    unscored = record.outcome.model_copy(update={"scores": None, "ending": "failed"})
    found = again(with_record(tmp_path, record.model_copy(update={"outcome": unscored})))
    assert found.scores == record.outcome.scores
    assert found.not_compared == "the run ended before it was scored"


def test_weights_of_another_network_are_refused_on_one_line(place: Path, record: Record, tmp_path: Path):
    """A workload whose student is wider."""
    wider = tmp_path / "wider.yaml"
    wider.write_text(TINY.replace("widths: [4, 6, 8, 8]", "widths: [4, 6, 8, 9]"))
    with pytest.raises(BadInput, match="does not hold this network: ") as refused:
        again(student_of_run(place / "results", record.spec.name, str(wider)))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_far_too_large_is_not_read(place: Path, tmp_path: Path):
    """Though what its header says of it is true."""
    huge, size = tmp_path / "huge.safetensors", 64 * 2**20
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with huge.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(file.tell() + size)  # takes no room on the disk
    with pytest.raises(BadInput, match=re.escape(f"{huge}: found {8 + len(header) + size:,} bytes: ")):
        again(student_of_file(huge, str(place / "tiny.yaml")))


def test_damaged_weights_are_neither_scored_nor_exported(place: Path, record: Record, tmp_path: Path):
    """Their digest is not the record's."""
    path = weights(place, record)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    said = re.escape(f"{path}: SHA-256 is ") + ".*" + re.escape(f"expected {record.outcome.student_sha256[:12]}…")
    try:
        with pytest.raises(BadInput, match=said):
            again(student_of_run(place / "results", record.spec.name, None))
        with pytest.raises(BadInput, match=said):
            export(record, tmp_path / "out")
    finally:
        path.write_bytes(content)
    assert list(tmp_path.iterdir()) == []


# Handing out


def test_an_export_holds_weights_card_and_loader_and_nothing_else(record: Record, tmp_path: Path):
    """The weights are those of the cache; nothing is left beside the folder; folders on the way are made."""
    out = tmp_path / "taken" / "along"
    export(record, out)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "load.py", "student.safetensors"]
    assert file_sha256(out / "student.safetensors") == record.outcome.student_sha256
    assert [path.name for path in out.parent.iterdir()] == ["along"]


def test_the_card_says_what_the_student_is_and_nothing_of_the_machine(place: Path, record: Record, tmp_path: Path):
    """Method, workload, seed, budget, scores, digests; no path."""
    export(record, tmp_path / "out")
    card = read(tmp_path / "out" / "card.json", StudentCard)
    assert (card.run, card.method, card.workload, card.seed) == (record.spec.name, "baseline", "tiny", 1)
    assert (card.budget, card.scores, card.marks) == ("30 it", record.outcome.scores, ("too_short",))
    assert card.student_sha256 == record.outcome.student_sha256
    text = json.dumps(json.loads((tmp_path / "out" / "card.json").read_text()))
    assert str(place) not in text
    assert not re.search(r'"[/~]|\\\\|file:', text)


def test_an_empty_folder_may_be_filled(record: Record, tmp_path: Path):
    """Somebody made it for this."""
    (tmp_path / "out").mkdir()
    export(record, tmp_path / "out")
    assert (tmp_path / "out" / "card.json").is_file()


def test_an_export_overwrites_nothing(record: Record, tmp_path: Path):
    """A folder with something in it stays as it is, and so does a file."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("plain")
    for name, found in (("mine", "a folder that is not empty"), ("file", "a file")):
        with pytest.raises(BadInput, match=re.escape(f"--out: {tmp_path / name}: found {found}: ")):
            export(record, tmp_path / name)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert (tmp_path / "file").read_text() == "plain"
    assert sorted(os.listdir(tmp_path)) == ["file", "mine"]


def test_an_export_below_a_file_says_that_it_is_one(record: Record, tmp_path: Path):
    """However deep."""
    (tmp_path / "file").write_text("plain")
    for out in (tmp_path / "file" / "sub", tmp_path / "file" / "sub" / "deeper"):
        with pytest.raises(BadInput) as refused:
            export(record, out)
        assert str(refused.value) == f"--out: {out}: {tmp_path / 'file'} is a file: expected a folder, or nothing yet"


def test_an_export_into_a_folder_that_may_not_be_looked_into_is_refused(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Root may look into any, so that one is feigned."""

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(BadInput, match=re.escape(f"--out: {tmp_path}: ") + ".*Permission denied"):
        export(record, tmp_path)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_export_that_is_interrupted_leaves_nothing(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: BaseException
):
    """The weights are written by then, the card is not."""

    def interrupted(path: Path, value: object) -> None:
        assert (path.parent / "student.safetensors").exists()
        raise ends

    monkeypatch.setattr(students, "write", interrupted)
    with pytest.raises((KeyboardInterrupt, BadInput)) as ended:
        export(record, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    if ended.type is BadInput:
        assert str(ended.value) == f"--out: {tmp_path / 'out'}: cannot be written: No space left on device"
