"""Results folders brought together: nothing lost, nothing overwritten, in any order."""

import json
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from harness.ledger.anchor import AnchorFile, anchor_path
from harness.ledger.errors import BadInput
from harness.ledger.files import write
from harness.ledger.merging import carry_out, plan_merge
from tests.factories import device_class, ground, record
from tests.stored import checksums, cost_of, leave


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three folders: two share a run and a cost, the third has a second attempt, an anchor and pictures."""
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    shared = record("kd", 0, 0.5)
    leave(one, shared, record("kd", 1, 0.51))
    (first, _) = leave(two, shared, record("cwd", 0, 0.52))
    leave(three, record("kd", 0, None, ending="failed", reason="no disk", attempt=2))
    cost_of(first, one)
    cost_of(first, two)
    anchor(three, 0.1)
    (three / "pictures").mkdir()
    (three / "pictures" / "0123.npz").write_bytes(b"pictures")
    leave(one / "tuning", tried("kd", 0.4))
    return [one, two, three]


def tried(name: str, miou: float):
    """A trial of `bench tune`."""
    trial = record(name, 1000, miou)
    return trial.model_copy(update={"spec": trial.spec.model_copy(update={"scored_on": "tune"})})


def anchor(results: Path, seconds: float) -> Path:
    """What `it of kd` comes to."""
    path = anchor_path(results, "kd", ground())
    fixed = AnchorFile(
        method="kd", method_digest="d", workload_digest="w", device_class=device_class(), seconds=seconds
    )
    write(path, fixed)
    return path


def merge(sources, into: Path) -> None:
    """As the command does."""
    planned = plan_merge(sources, into)
    assert planned.against == ()
    carry_out(planned)


def test_every_order_of_merging_comes_to_the_same(folders: list[Path], tmp_path: Path):
    """Six orders at once, six one after the other, and once again: the same bytes under the same names."""
    sources = {str(folder): checksums(folder) for folder in folders}
    found = []
    for number, order in enumerate(permutations(folders)):
        at_once, one_by_one = tmp_path / f"at-once-{number}", tmp_path / f"one-by-one-{number}"
        merge(order, at_once)
        for folder in order:
            merge([folder], one_by_one)
        merge(order, one_by_one)
        found += [checksums(at_once), checksums(one_by_one)]
    assert all(each == found[0] for each in found)
    files = {place for place, digest in found[0].items() if digest != "folder"}
    assert files == {place for held in sources.values() for place, digest in held.items() if digest != "folder"}
    assert sources == {str(folder): checksums(folder) for folder in folders}


def test_what_is_there_already_is_counted_and_not_copied(folders: list[Path], tmp_path: Path):
    """Of `two` all but the shared run, its counts and its cost."""
    into = tmp_path / "into"
    merge([folders[0]], into)
    planned = plan_merge([folders[1]], into)
    assert sorted(copy.kind for copy in planned.copies) == ["counts", "record"]
    assert planned.same == 3


def test_a_record_is_copied_after_all_that_it_needs(folders: list[Path], tmp_path: Path):
    """Whoever kills the merge half-way leaves no record without its counts."""
    kinds = [copy.kind for copy in plan_merge(folders, tmp_path / "into").copies]
    assert kinds == ["anchor", "cost", "picture", *["counts"] * 4, *["record"] * 5]


def test_two_first_attempts_of_one_run_are_a_conflict_and_nothing_is_copied(folders: list[Path], tmp_path: Path):
    """Both files, the first key that differs, both values, and what to do; the other runs are not copied either."""
    four, into = tmp_path / "four", tmp_path / "into"
    (again,) = leave(four, record("kd", 1, 0.51, host="node2"))
    merge([folders[1]], into)
    before = checksums(into)
    planned = plan_merge([folders[0], four], into)
    name = f"{again.spec.name}.json"
    assert planned.against == (
        f"{folders[0] / 'runs' / name} and {four / 'runs' / name}: both are attempt 1 of {again.spec.key}, "
        'run independently: outcome.conditions.host is "node1" in the one and "node2" in the other: a run counts once: '
        "leave one of the folders out, or move that run's files out of one",
    )
    with pytest.raises(BadInput, match="both are attempt 1"):
        carry_out(planned)
    assert checksums(into) == before


def test_all_conflicts_are_told_at_once(folders: list[Path], tmp_path: Path):
    """A cost measured twice, an anchor fixed twice; costs may be left out, anchors may not."""
    four = tmp_path / "four"
    (of_run,) = leave(four, record("kd", 2, 0.5))
    cost = cost_of(of_run, four, 0.2)
    anchor(four, 0.3)
    against = plan_merge([folders[0], folders[2], four], tmp_path / "into").against
    assert [line.split(": ")[1] for line in against] == [
        "seconds is 0.1 in the one and 0.3 in the other",
        "measurement.baseline_seconds[0] is 0.1 in the one and 0.2 in the other",
    ]
    assert "--no-costs" in against[1]
    without = plan_merge([folders[0], four], tmp_path / "into", frozenset({"cost"}))
    assert without.against == ()
    assert cost.name not in {copy.target.name for copy in without.copies}
    assert without.left == (
        f"{folders[0]}: not copied: 1 costs (--no-costs)",
        f"{four}: not copied: 1 costs (--no-costs)",
    )


def test_a_key_that_only_one_record_has_is_where_they_differ(tmp_path: Path):
    """Its counts are told where the record is the same: bytes that are no JSON differ from a byte on."""
    (each,) = leave(tmp_path / "one", record("kd"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / "runs" / f"{each.spec.name}.json"
    held = json.loads(path.read_text())
    del held["disagreements"]
    path.write_text(json.dumps(held))
    beside = path.with_suffix(".npz")
    beside.write_bytes(beside.read_bytes()[:-1] + b"!")
    (run,) = plan_merge([tmp_path / "one", tmp_path / "two"], tmp_path / "into").against
    assert "disagreements is a list in the one and absent in the other: " in run
    shutil.copy(tmp_path / "one" / "runs" / path.name, path)
    (counts,) = plan_merge([tmp_path / "one", tmp_path / "two"], tmp_path / "into").against
    assert f"their bytes differ from byte {len(beside.read_bytes()) - 1:,} on: " in counts


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON"),
        (b'{"format": 2}', "format 2 is of a later version of bench"),
        (b'{"format": 1}', "spec: missing"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes, told: str):
    """Nothing is copied, not even what can be read."""
    leave(tmp_path / "one", record("kd"))
    path = tmp_path / "one" / "runs" / "streets-cwd-s0-0123456789ab.1.json"
    path.write_bytes(content)
    (against,) = plan_merge([tmp_path / "one"], tmp_path / "into").against
    assert against.startswith(f"{path}: ")
    assert told in against
    assert "\n" not in against
    assert not (tmp_path / "into").exists()


def test_a_record_under_a_name_that_is_not_its_own_is_refused(tmp_path: Path):
    """As is one that was edited, so that it would have another key."""
    (each,) = leave(tmp_path / "one", record("kd"))
    path = tmp_path / "one" / "runs" / f"{each.spec.name}.json"
    path.rename(path.with_name("streets-kd-s9-0123456789ab.1.json"))
    (against,) = plan_merge([tmp_path / "one"], tmp_path / "into").against
    assert f"found the run {each.spec.name}" in against
    edited = each.model_copy(update={"spec": each.spec.model_copy(update={"seed": 7})})
    path.with_name("streets-kd-s9-0123456789ab.1.json").unlink()
    write(path, edited)
    (against,) = plan_merge([tmp_path / "one"], tmp_path / "into").against
    assert f"spec.key: found '{each.spec.key}': expected 'streets-kd-s7-" in against


def test_a_link_is_not_followed(tmp_path: Path):
    """What lies outside of a folder is no part of it."""
    leave(tmp_path / "one", record("kd"))
    (tmp_path / "secret").write_text("{}")
    link = tmp_path / "one" / "runs" / "streets-kd-s1-0123456789ab.1.json"
    link.symlink_to(tmp_path / "secret")
    assert plan_merge([tmp_path / "one"], tmp_path / "into").against == (f"{link}: is no plain file",)


def test_trials_and_runs_share_no_folder(folders: list[Path], tmp_path: Path):
    """`results/tuning` merged into `results` would put trials on a board; into another tuning folder it may go."""
    trials = shutil.copytree(folders[0] / "tuning", tmp_path / "trials")
    (told,) = plan_merge([trials], folders[1]).against
    assert "a trial of `bench tune`" in told
    merge([trials], tmp_path / "more")


@pytest.mark.parametrize(
    ("sources", "into", "told"),
    [
        (("one", "one"), "into", "FROM: one: is another FROM too"),
        (("one",), "one", "FROM: one: is --into too"),
        (("one/tuning",), "one", "FROM: one/tuning: one of it and --into one lies in the other"),
        (("none",), "into", "none: found nothing: expected a results folder"),
        (("empty",), "into", "FROM: empty: found no records or costs"),
        (("one",), "file", "--into: file: found a file"),
    ],
)
def test_folders_that_cannot_be_merged_are_bad_input(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources, into: str, told: str
):
    """Before anything is looked at."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=told):
        plan_merge([Path(source) for source in sources], Path(into))


def test_a_source_that_changes_meanwhile_is_not_copied(tmp_path: Path):
    """What was looked at is what is copied."""
    (each,) = leave(tmp_path / "one", record("kd"))
    planned = plan_merge([tmp_path / "one"], tmp_path / "into")
    path = tmp_path / "one" / "runs" / f"{each.spec.name}.npz"
    path.write_bytes(b"other")
    with pytest.raises(BadInput, match="changed while it was merged"):
        carry_out(planned)
    assert not (tmp_path / "into").exists()


def test_what_is_not_copied_is_told(folders: list[Path], tmp_path: Path):
    """A file that is no part of results, and a run that is under way."""
    (folders[0] / "notes.txt").touch()
    (folders[0] / "work" / "streets-kd-s5-0123456789ab.1").mkdir(parents=True)
    assert plan_merge([folders[0]], tmp_path / "into").left == (
        f"{folders[0]}: not copied, as no part of results: notes.txt",
        f"{folders[0]}: not copied: 1 runs without a record, under way or stopped",
    )


def test_a_file_in_place_of_a_folder_is_told_before_anything_is_copied(folders: list[Path], tmp_path: Path):
    """Of the runs', of the anchors', of the trials'; a link that leads nowhere too."""
    for folder in ("runs", "costs/anchors", "tuning/runs"):
        into = tmp_path / folder.replace("/", "-")
        in_place = into / folder
        in_place.parent.mkdir(parents=True)
        in_place.symlink_to("nowhere") if folder == "runs" else in_place.touch()
        with pytest.raises(BadInput, match=f"--into: {in_place}: found no folder: expected one, or nothing yet"):
            plan_merge(folders, into)


@pytest.mark.parametrize("folder", ["runs", "costs/anchors", "tuning", "tuning/runs"])
def test_a_folder_that_is_a_link_is_refused(folders: list[Path], tmp_path: Path, folder: str):
    """What lies outside of a stranger's folder is none of its results."""
    stranger = tmp_path / "stranger"
    shutil.copytree(folders[0], stranger)
    shutil.rmtree(stranger / folder, ignore_errors=True)
    (stranger / folder).symlink_to(folders[1] / "runs")
    with pytest.raises(
        BadInput, match=f"{stranger / folder}: is a link, and links are not followed: expected a folder"
    ):
        plan_merge([stranger], tmp_path / "into")
