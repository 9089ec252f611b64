"""A stranger's records, costs, plans, counts and pictures: a line each, whatever they hold, and little memory."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ledger.anchor import AnchorFile
from harness.ledger.claims import Owner
from harness.ledger.cost import CostFile, CostKey, Measurement
from harness.ledger.counts import read_counts
from harness.ledger.errors import BadInput
from harness.ledger.files import LARGEST, Value, file_sha256, read
from harness.ledger.merging import plan_merge
from harness.ledger.pictures import read_pictures, read_student
from harness.ledger.plan import Plan
from harness.ledger.record import Record
from harness.ledger.spec import PlannedRun
from harness.ledger.status import Status
from harness.ledger.stored import read_named_record
from harness.ledger.teacher import must_be_the_teacher
from harness.ledger.ticket import SeenEnding, Ticket
from tests import stored
from tests.factories import device_class, ground, record, spec
from tests.security.hostile import bounded, line_or_nothing


def refusal(path: Path, model=Record) -> str:
    with pytest.raises(BadInput) as caught:
        read(path, model)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("model", [Record, Plan])
def test_a_pipe_or_a_device_in_place_of_a_json_is_not_waited_for(tmp_path: Path, model):
    """As `bench run --plan` may be given one."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zeros.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "zeros.json"):
        assert refusal(tmp_path / name, model) == f"{name}: is no plain file"


def test_a_json_of_ten_gigabytes_is_not_read(tmp_path: Path):
    """Its size is looked at first."""
    path = tmp_path / "long.json"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    assert refusal(path) == f"long.json: found 10,737,418,240 bytes: expected at most {LARGEST:,}"


READ = """
import sys
from pathlib import Path
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.record import Record
# bounded
try:
    read(Path(sys.argv[1]), Record)
except BadInput as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        (1_000_000, "found more than 524,288 values: expected Record"),
        pytest.param(30_000, "found 150,000 faults: expected Record", marks=pytest.mark.thorough),
    ],
)
def test_a_record_of_very_many_faults_takes_little_memory(tmp_path: Path, points: int, complaint: str):
    """Points of a learning curve without any of their keys: three bytes each, which took two kilobytes."""
    path = tmp_path / "curve.json"
    whole = record().model_dump_json(by_alias=True)
    assert whole.count('"curve":[]') == 1
    path.write_text(whole.replace('"curve":[]', f'"curve":[{",".join(["{}"] * points)}]'))
    assert bounded(READ, 300, str(path)) == f"{path}: {complaint}\n"


def test_a_record_nested_without_end_takes_little_memory(tmp_path: Path):
    """Brackets alone."""
    (tmp_path / "deep.json").write_text("[" * 500_000)
    assert "recursion limit exceeded" in refusal(tmp_path / "deep.json")


def test_a_teacher_that_is_no_plain_file_is_not_waited_for(tmp_path: Path):
    """A workload may name what lies beside it, be it a pipe or, as `..`, a folder."""
    os.mkfifo(tmp_path / "teacher.safetensors")
    for path, why in (
        (tmp_path / "teacher.safetensors", "is no plain file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(BadInput) as caught:
            must_be_the_teacher(path, "a" * 64, "mine.yaml")
        assert str(caught.value) == f"{path}: {why}"


def test_a_digest_is_of_plain_files_alone(tmp_path: Path):
    """Of a device it would never be done."""
    with pytest.raises(BadInput, match="is no plain file"):
        file_sha256(Path("/dev/zero"))


# Folders of results


@pytest.mark.parametrize(("kind", "name"), [("runs", "{0}.npz"), ("pictures", "abc.npz"), ("pictures", "{0}.npz")])
def test_a_file_too_large_for_its_kind_is_not_merged(tmp_path: Path, kind: str, name: str):
    """Copies go through memory, and a sparse file of a terabyte costs a stranger nothing."""
    (left,) = stored.leave(tmp_path / "from", record())
    path = tmp_path / "from" / kind / name.format(left.spec.name)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.truncate(2**40)
    (line,) = plan_merge([tmp_path / "from"], tmp_path / "into").against
    assert line.startswith(f"{path}: found {2**40:,} bytes: expected at most ")


def test_links_among_results_show_nothing_that_lies_outside(tmp_path: Path):
    """Counts and pictures of another folder, by a link or by a digest with a way in it."""
    (left,) = stored.leave(tmp_path / "own", record())
    there = tmp_path / "stranger" / "pictures"
    there.mkdir(parents=True)
    counts = tmp_path / "stranger" / "counts.npz"
    for link in (counts, there / "abc.npz", there / "kd.1.npz"):
        link.symlink_to(tmp_path / "own" / "runs" / f"{left.spec.name}.npz")
    for reading in (
        lambda: read_counts(counts, 32, 4),
        lambda: read_pictures(tmp_path / "stranger", "abc"),
        lambda: read_student(tmp_path / "stranger", "kd.1"),
    ):
        with pytest.raises(BadInput, match="is no plain file"):
            reading()
    with pytest.raises(BadInput, match=r"workload_digest: found .*: expected hexadecimal digits"):
        read_pictures(tmp_path / "stranger", "../../own/runs/x")


@pytest.mark.parametrize("key", ["../../elsewhere", "/elsewhere", "a/b"])
def test_a_records_key_is_its_files_name(tmp_path: Path, key: str):
    """So that nothing that is derived from it lies elsewhere."""
    path = tmp_path / "kd.1.json"
    path.write_text(record().model_copy(update={"spec": spec().model_copy(update={"key": key})}).model_dump_json())
    with pytest.raises(BadInput, match=r"kd\.1\.json: spec\.key: found .*: expected a name without / or NUL$"):
        read_named_record(path)


# Whatever they hold

PLANNED = PlannedRun(**{name: getattr(spec(), name) for name in PlannedRun.model_fields})
CONDITIONS = record().outcome.conditions
assert CONDITIONS is not None
WHOLE: tuple[Value, ...] = (
    record(),
    Plan(ground=ground(), host="node1", runs=(PLANNED,), refused=()),
    CostFile(
        method="kd",
        key=CostKey(
            device_class=device_class(), workload_digest="a", method_digest="b", torch="2.8.0", concurrency=1
        ),
        measurement=Measurement(
            baseline_seconds=(0.1, 0.2), method_seconds=(0.2, 0.3), baseline_flops=1, method_flops=None,
            peak_memory_bytes=None, wall_seconds=1.0,
        ),
        conditions=CONDITIONS,
    ),
    AnchorFile(method="kd", method_digest="a", workload_digest="b", device_class=device_class(), seconds=0.1),
    Ticket(queue="slurm", id="12_3", batch="bench-1"),
    SeenEnding(exit_code=0, cpu_seconds=1.0, wall_seconds=1.0, host="node1"),
    Owner(system="node1", pid=1, started=1.0),
    Status(pid=1, phase="training", done=1, total=2, spent_seconds=1.0, budget_seconds=None, heartbeat=0.0),
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "../x", "\u2028", "9" * 5000])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def places(tree: object, key: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for part, inner in pairs for place in ((*key, part), *places(inner, (*key, part)))]


def is_told_or_read(path: Path, data: st.DataObject) -> None:
    """One value replaced, anywhere."""
    value = data.draw(st.sampled_from(WHOLE))
    holder = whole = json.loads(value.model_dump_json(by_alias=True))
    *above, last = data.draw(st.sampled_from(places(whole)))
    for part in above:
        holder = holder[part]
    holder[last] = data.draw(TREES)
    path.write_text(json.dumps(whole))
    told = line_or_nothing(lambda: read(path, type(value)))
    assert not told or (told.startswith(str(path)) and len(told.splitlines()) == 1)


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_mutated_value_is_one_or_a_line(tmp_path_factory, data: st.DataObject):
    """And never another exception; records, plans, costs, and what lies beside a run that is under way."""
    is_told_or_read(tmp_path_factory.getbasetemp() / "any.json", data)


@pytest.mark.thorough
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_many_mutated_values_are_such_or_a_line(tmp_path_factory, data: st.DataObject):
    """The same, longer."""
    is_told_or_read(tmp_path_factory.getbasetemp() / "any.json", data)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    """Results with counts of 32 images × 4 classes."""
    folder = tmp_path_factory.mktemp("arrays")
    (left,) = stored.leave(folder, record())
    return folder / "runs" / f"{left.spec.name}.npz"


def cut(content: bytes, cuts: list[tuple[float, bytes]]) -> bytes:
    whole = bytearray(content)
    for place, scrap in cuts:
        at = int(place * len(whole))
        whole[at : at + len(scrap)] = scrap
    return bytes(whole)


SCRAPS = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(cuts=SCRAPS)
def test_mutated_counts_and_pictures_are_such_or_a_line(arrays: Path, tmp_path_factory, cuts):
    """A few bytes others, anywhere."""
    folder = tmp_path_factory.getbasetemp() / "any" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "abc.npz"
    path.write_bytes(cut(arrays.read_bytes(), cuts))
    for reading in (lambda: read_counts(path, 32, 4), lambda: read_pictures(folder.parent, "abc")):
        assert len(line_or_nothing(reading).splitlines()) <= 1
