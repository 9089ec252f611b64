"""Golden vectors: what matches, what does not, and that everything is looked at."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.golden.verify import OBJECTIVES, verify
from harness.ledger.descriptor import all_methods
from harness.ledger.errors import BadInput
from harness.ledger.findings import VectorResult

VECTORS = Path(__file__).parent / "vectors"
WHOLE = Path(__file__).parents[3] / "shared" / "kd" / "vectors"
FILES = sorted(path.name for path in VECTORS.glob("*.npz"))


def arrays(name: str) -> dict[str, np.ndarray]:
    """What a kept file holds."""
    with np.load(VECTORS / name, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def verified(folder: Path, name: str, content: dict[str, np.ndarray]) -> VectorResult:
    """The only result for a folder with one file of that content."""
    np.savez(folder / name, **content)
    report = verify(folder)
    assert (len(report.results), report.unknown) == (1, ())
    return report.results[0]


def compared(content: dict[str, np.ndarray]) -> list[str]:
    """The arrays that hold what the released code gave, but for those that nobody could match (dsd-c, aicsd)."""
    kinds = ("loss/", "grad/", "grad_term/", "queue_after/", "buffer_after", "output/", "gradstat")
    shared = "hparam/shared_first_and_last" in content and bool(content["hparam/shared_first_and_last"])
    left_out = ("unused_ic", *(("student_list/0", "student_list/2") if shared else ()))
    return [name for name in content if name.startswith(kinds) and not any(part in name for part in left_out)]


def some(names: list[str]) -> list[str]:
    """All names, or a few of many: of every kind of file and array some are tried."""
    return names if len(names) <= 6 else random.Random(len(names)).sample(names, 5)


def test_the_kept_vectors_match():
    """Every kept file matches, and every number in its losses and gradients is counted."""
    report = verify(VECTORS)
    expected = {name: sum(arrays(name)[key].size for key in compared(arrays(name))) for name in FILES}
    # Before the power iteration has converged, only the norm of each of the discriminator's gradients is compared.
    statistics = [value.size - 1 for key, value in arrays("adv-b.npz").items() if key.startswith("gradstat")]
    expected["adv-b.npz"] -= sum(statistics)
    assert [result.problem for result in report.results] == [None] * len(FILES)
    assert {result.file: result.values for result in report.results} == expected
    assert report.unknown == ()


def test_every_method_of_all_is_held_against_vectors():
    """A kept file stands for each objective, and an objective for each method and the task loss."""
    names = {name.rpartition("-")[0] for name in FILES}
    assert names == set(OBJECTIVES)
    held = {"baseline": "task", "maskd": "maskd-mask", "freekd": "freekd-prompt", "skd": "adv"}
    for objective in OBJECTIVES.values():
        method = getattr(getattr(objective, "there", objective), "method", None)
        held |= {method: ""} if method else {}
    assert set(held) == set(all_methods())


@pytest.mark.skipif(not WHOLE.is_dir(), reason=f"the whole set of vectors is not here: {WHOLE}")
def test_the_whole_set_matches():
    """All files of the shared set are mapped, none is unknown, none differs."""
    report = verify(WHOLE)
    assert [result for result in report.results if result.problem] == []
    assert report.unknown == ()
    assert len(report.results) == len(list(WHOLE.glob("*.npz"))) >= 73


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_number_anywhere_is_caught(tmp_path, name):
    """A loss off by a millionth or the largest number of a gradient off by a thousandth is named, whichever it is."""
    content = arrays(name)
    for key in some(compared(content)):
        wrong = content[key].astype(np.float64)
        largest = np.unravel_index(np.abs(wrong).argmax(), wrong.shape) if "gradstat" not in key else (1,)
        # Where an influence is zero but for rounding, its size says nothing: something that counts is put there.
        negligible = "grad" in key and abs(wrong[largest]) < 1e-4 * largest_gradient(content)
        wrong[largest] += largest_gradient(content) if negligible else wrong[largest] * share(key)
        if content[key].dtype.kind in "iu":
            wrong = content[key] + 1
        result = verified(tmp_path, name, {**content, key: wrong})
        assert result.problem == f"does not match: {key}"
        assert result.worst_error > result.tolerance


def has_influence(key: str, content: dict[str, np.ndarray]) -> bool:
    """Whether an input's gradient is more than rounding: a constant before a normalisation changes nothing."""
    gradient = content.get(f"grad/{key}")
    return gradient is None or float(np.abs(gradient).max()) > 1e-5 * largest_gradient(content)


def share(key: str) -> float:
    """By how much a number is made wrong."""
    return 1e-6 if key.startswith("loss/") else 1e-3


def largest_gradient(content: dict[str, np.ndarray]) -> float:
    """Of all gradients of a file."""
    return max(float(np.abs(content[key]).max()) for key in content if key.startswith(("grad/", "grad_term/")))


@pytest.mark.parametrize("name", FILES)
def test_every_input_matters(tmp_path, name):
    """Other student logits, teacher features, labels or parameters give other losses: none is ignored."""
    content = arrays(name)
    inputs = [key for key in content if key.startswith(("student", "teacher", "param/"))]
    for key in some([key for key in inputs if has_influence(key, content)]):
        changed = content[key] + np.linspace(0.1, 1, content[key].size, dtype=np.float32).reshape(content[key].shape)
        problem = verified(tmp_path, name, {**content, key: changed}).problem
        assert problem is not None, key
        assert "loss/" in problem


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("kd-b.npz", "hparam/temperature", 3.0),
        ("cwd-author-logits-a.npz", "hparam/temperature", 3.0),
        ("cwd-author-logits-a.npz", "hparam/loss_weight", 4.0),
        ("cwd-author-logits-a.npz", "hparam/norm_type", "spatial"),
        ("dist-b.npz", "hparam/beta", 2.0),
        ("dist-b.npz", "hparam/gamma", 2.0),
        ("adv-b.npz", "hparam/leaky_slope", 0.2),
        ("afdcd-a.npz", "hparam/tau", 0.1),
        ("afdcd-a.npz", "hparam/mask_ratio", 0.2),
        ("afdcd-a.npz", "hparam/channel_groups", 2),
        ("bpkd-reconstructed-b.npz", "hparam/edge_kernel", 5),
        ("bpkd-reconstructed-b.npz", "hparam/alpha", 1.0),
        ("cirkd_memory-b.npz", "hparam/contrast_temperature", 0.3),
        ("cirkd_memory-b.npz", "hparam/contrast_kd_temperature", 1.0),
        ("cirkdv2-b.npz", "hparam/lambda_fitnet", 1.0),
        ("dsd-b.npz", "hparam/tau_csd", 2.0),
        ("freekd-a.npz", "hparam/weight_mse", 1.0),
        ("maskd-feat-b.npz", "hparam/use_student_mask", False),
        ("mgd-a.npz", "hparam/mask_ratio", 0.2),
        ("mgd-a.npz", "hparam/logit_temperature", 1.0),
        ("pkd-b.npz", "hparam/resize_student", False),
        ("skd-b.npz", "hparam/pool_kernel", 3),
        ("transkd-a.npz", "hparam/embed_weights", np.array([1.0, 1.0, 1.0, 1.0])),
        ("featl2norm-b.npz", "hparam/div_element", False),
        ("featl2norm-b.npz", "hparam/mult", 2.0),
        ("featl2norm-b.npz", "hparam/normalize", False),
        ("featl2norm-b.npz", "hparam/dist", True),
        ("task-a.npz", "hparam/lambda_aux", 0.3),
    ],
)
def test_every_setting_matters(tmp_path, name, key, value):
    """The file's hyper-parameters are what is computed with, not the descriptor's."""
    problem = verified(tmp_path, name, {**arrays(name), key: np.array(value)}).problem
    assert problem is not None
    assert "loss/" in problem


@pytest.mark.parametrize("name", FILES)
def test_a_missing_array_is_said(tmp_path, name):
    """Without any one of its inputs, settings, losses or gradients of the total a file is no longer compared."""
    content = arrays(name)
    needed = [
        key for key in content if key.startswith(("student_l", "student_f", "teacher_", "param/", "loss/", "grad/"))
    ]
    needed = [key for key in needed if key in compared(content) or not key.startswith(("loss/", "grad/"))]
    for key in some(needed):
        result = verified(tmp_path, name, {other: value for other, value in content.items() if other != key})
        assert result.problem is not None, key


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"loss/extra": np.zeros(())}, "loss/extra: unknown"),
        ({"output/feature": np.zeros(3)}, "output/feature: unknown"),
        ({"hparam/reduction": np.array("sum")}, "hparam/reduction: unknown"),
        ({"grad/teacher_logits": np.zeros((2, 5, 7, 5))}, "'teacher_logits': expected one of student_logits"),
        ({"grad_term/extra/student_logits": np.zeros((2, 5, 7, 5))}, "grad_term/extra/student_logits: no such term"),
        ({"grad/student_logits": np.zeros((2, 5, 7))}, r"grad/student_logits: found (2, 5, 7)"),
        ({"loss/total": np.zeros(2)}, "loss/total: found (2,)"),
        ({"loss/total": np.array(np.nan)}, "loss/total: found float64, one value: expected finite"),
        ({"student_logits": np.zeros((2, 5), np.float32)}, "student_logits: found float32, 2×5: expected B×C×h×w"),
        ({"teacher_logits": np.zeros((2, 4, 7, 5), np.float32)}, "student 2×5×7×5 against teacher 2×4×7×5"),
        ({"teacher_logits": np.full((2, 5, 7, 5), "x")}, "teacher_logits: found <U1, 2×5×7×5: expected finite"),
        ({"hparam/temperature": np.array("hot")}, "cannot be compared"),
        ({"hparam/temperature": np.zeros((2, 2))}, "hparam/temperature: found float64, 2×2: expected one value"),
        ({"hparam/temperature": np.array(0.0)}, "does not match: grad/student_logits, loss/total"),
    ],
)
def test_content_that_does_not_fit_is_a_problem_in_words(tmp_path, changes, problem):
    """An array too many, of another shape or kind: one line in the result, no traceback."""
    found = verified(tmp_path, "kd-b.npz", {**arrays("kd-b.npz"), **changes}).problem
    assert found is not None
    assert problem in found.replace("loss/total, grad/student_logits", "grad/student_logits, loss/total")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": np.full((2, 48, 64), 77)}, "77"),
        ({"labels": np.zeros((2, 48, 64))}, "labels: found float64"),
        ({"labels": np.zeros((3, 48, 64), np.int64)}, "expected whole numbers, 2 images"),
        ({"hparam/ignore_label": np.array(-1)}, "hparam/ignore_label: found -1: expected 255"),
    ],
)
def test_labels_that_do_not_fit_are_a_problem_in_words(tmp_path, changes, problem):
    """A class that the logits lack, real numbers, another number of images, another ignored label."""
    found = verified(tmp_path, "task-a.npz", {**arrays("task-a.npz"), **changes}).problem
    assert found is not None
    assert problem in found


def test_the_auxiliary_head_cannot_be_dropped(tmp_path):
    """A file whose auxiliary logits are taken away still expects their loss."""
    content = {name: value for name, value in arrays("task-a.npz").items() if name != "student_aux_logits"}
    problem = verified(tmp_path, "task-a.npz", content).problem
    assert problem is not None


def test_names_are_mapped_by_what_stands_before_the_last_hyphen(tmp_path):
    """Whatever has no meaning is unknown."""
    for name in ("cwd-", "kd2-a", "kd", "cwd-author-a"):
        (tmp_path / f"{name}.npz").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no vectors")
    report = verify(tmp_path)
    assert [result.file for result in report.results] == ["cwd-.npz"]
    assert report.unknown == ("cwd-author-a.npz", "kd.npz", "kd2-a.npz")


def test_files_that_cannot_be_read_are_problems_in_words(tmp_path):
    """Nothing, noise, a lone array, a pickle, a folder: a result each, no traceback, no code run."""
    (tmp_path / "kd-a.npz").write_bytes(b"")
    (tmp_path / "kd-b.npz").write_bytes(b"PK\x03\x04 noise")
    with (tmp_path / "kd-c.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(tmp_path / "kd-d.npz", student_logits=np.array([{"a": 1}], dtype=object))
    (tmp_path / "kd-e.npz").mkdir()
    report = verify(tmp_path)
    assert [result.file for result in report.results] == [f"kd-{case}.npz" for case in "abcde"]
    assert all((result.problem or "").startswith("cannot be compared: cannot be read: ") for result in report.results)


def test_damaged_files_are_never_a_traceback(tmp_path):
    """Cut short anywhere or with a byte turned over anywhere, a file is a problem, or its damage met no number."""
    whole = (VECTORS / "kd-b.npz").read_bytes()
    chance = random.Random(5)
    for case in range(60):
        place = chance.randrange(len(whole))
        turned = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        (tmp_path / f"kd-{case}.npz").write_bytes(whole[:place] if case % 2 else turned)
    problems = [result.problem for result in verify(tmp_path).results]
    assert len(problems) == 60
    assert sum(problem is None for problem in problems) < 15


def test_a_folder_without_vectors_is_bad_input(tmp_path):
    """Nothing compared is no success."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match=r"no golden vectors: expected a folder with \.npz files"):
            verify(folder)


def test_what_is_verified_is_what_ships(tmp_path, monkeypatch):
    """A changed loss beside a changed descriptor is caught: the vectors go through methods/, not through a copy."""
    import harness.ledger.descriptor as ledger

    shutil.copytree(ledger.SHIPPED, tmp_path / "methods")
    source = tmp_path / "methods" / "at.py"
    source.write_text(source.read_text().replace("eps=1e-12", "eps=1e12"))
    monkeypatch.setattr(ledger, "SHIPPED", tmp_path / "methods")
    problems = {result.file: result.problem for result in verify(VECTORS).results if result.problem}
    assert list(problems) == ["at-b.npz"]
