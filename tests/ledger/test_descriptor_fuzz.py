"""Whatever a descriptor holds, it is a method or one line."""

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger.descriptor import SHIPPED, resolve_method, shipped_methods
from harness.ledger.errors import BadInput
from harness.ledger.reading import read_yaml
from tests.ledger.test_broken_descriptors import GOOD


def line_or_nothing(path, dataset: str = "streets", batch: int = 8) -> str:
    """What a person is told, or nothing when all is well; any other exception is the test's failure."""
    try:
        resolve_method(path, dataset, batch)
    except BadInput as error:
        return str(error)
    return ""


FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = [
    "default",
    "voc",
    "stage3",
    "mine.py:Bank",
    "../x.py:f",
    "N",
    "1e999",
    "-1",
    "0",
    "true",
    "~",
    '"2e-5"',
    "&a",
    "*a",
    "!!x",
]
SCRAPS = st.sampled_from([*WORDS, *"[]{}:,-#'\"\n\t·\x00\u2028", ": ", "\n    "]) | st.text(max_size=3)
SOURCES_OF_TEXT = [GOOD, *((SHIPPED / f"{name}.yaml").read_text() for name in shipped_methods()[:8])]


@FUZZ
@given(
    text=st.sampled_from(SOURCES_OF_TEXT),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), SCRAPS), min_size=1, max_size=4),
)
def test_a_mutated_text_is_a_method_or_one_line(folder, text, cuts):
    """A few characters out, a scrap in, anywhere."""
    for place, length, scrap in cuts:
        at = int(place * len(text))
        text = text[:at] + scrap + text[at + length :]
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = line_or_nothing(path)
    assert not said or (said.startswith(str(path)) and len(said.splitlines()) == 1)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**17), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["logits", "stage4", "kl", "mine.py:Bank", "mine.py:halves", "ours", "N", "B", "default", "kd"]),
    st.text(max_size=4),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | LEAVES.map(str), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(tree: object, key: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """Every key and index in a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for part, inner in pairs for place in ((*key, part), *places(inner, (*key, part)))]


@FUZZ
@given(data=st.data(), text=st.sampled_from(SOURCES_OF_TEXT), tree=TREES)
def test_a_mutated_tree_is_a_method_or_one_line(folder, data, text, tree):
    """One value replaced, left out, or put in twice, anywhere."""
    path = folder / "mine.yaml"
    path.write_text(text)
    whole = copy.deepcopy(read_yaml(path).data)
    *above, last = data.draw(st.sampled_from(places(whole)))
    holder = whole
    for part in above:
        holder = holder[part]
    match data.draw(st.sampled_from(["replace", "leave out", "add"])):
        case "replace":
            holder[last] = tree
        case "leave out":
            del holder[last]
        case "add" if isinstance(holder, list):
            holder.append(tree)
        case _:
            holder[data.draw(st.text(max_size=6))] = tree
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")
    said = line_or_nothing(path, data.draw(st.sampled_from(["streets", "voc", "cityscapes"])), 6)
    assert not said or (said.startswith(str(path)) and len(said.splitlines()) == 1)
    assert not any(word in said for word in ("Input should", "literal[", "tuple[", "Field required", "Traceback"))


NAMES = st.sampled_from(["temperature", "sizes", "shares", "norm", "deep", "kernel", "free"])


@FUZZ
@given(table=st.dictionaries(NAMES | st.text(max_size=5), TREES, max_size=3))
def test_any_table_of_settings_is_kept_or_told_with_its_key(folder, table):
    """What is kept is what was written, lists as tuples."""
    term = {"loss": "mine.py:warm", "at": "logits", "weight": {"default": 1}, "source": "ours", "with": table}
    whole = {"title": "Mine", "family": "general", "terms": [term], "notes": "none"}
    path = folder / "mine.yaml"
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")
    said = line_or_nothing(path)
    if said:
        assert said.startswith((f"{path}:1: terms[0].with.", f"{path}: not YAML: "))
        assert len(said.splitlines()) == 1
    else:
        found = resolve_method(path, "streets", 8).terms[0].settings
        assert {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()} == table
