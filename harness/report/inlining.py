"""A figure's SVG as part of the page: its parts named, its colours the page's, and a third of its letters."""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from harness.report.picture import Picture
from harness.report.style import THEME

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
PIXELS = 1.44
"""Of the page for a point of a figure, at most: letters are as large in all of them."""
POINTS_AT = ("href", "clip-path")


class Inliner:
    """Turns pictures into markup; looks and markers are said once, for all of them."""

    def __init__(self, pictures: Iterable[Picture]) -> None:
        self._classes: dict[str, str] = {}
        self._markers: dict[tuple[str, str], str] = {}
        self._markup = {each.name: self._inlined(each, f"f{place}-") for place, each in enumerate(pictures)}

    def markup(self, picture: Picture) -> Markup:
        """The picture for the page."""
        return self._markup[picture.name]

    @property
    def style_sheet(self) -> Markup:
        """The rules behind the figures' classes."""
        return Markup("\n".join(f".{name}{{{look}}}" for look, name in self._classes.items()))

    @property
    def markers(self) -> Markup:
        """What the figures point at: to stand in the page before them."""
        paths = (f'<path id="{name}" class="{look}" d="{drawn}"/>' for (drawn, look), name in self._markers.items())
        return Markup("".join(paths))

    def _inlined(self, picture: Picture, prefix: str) -> Markup:
        root = ElementTree.fromstring(picture.svg)
        for width in ("width", "height", "version"):
            root.attrib.pop(width, None)
        root.attrib |= {"class": "figure", "data-figure": picture.name}
        if (box := root.attrib.get("viewBox", "").split())[2:]:
            root.attrib["style"] = f"--wide:{PIXELS * float(box[2]):.0f}px"
        self._shorten(root, picture, prefix, self._shared(root), _targets(root))
        text = ElementTree.tostring(root, encoding="unicode").replace("ns0:", "").replace("xmlns:ns0", "xmlns")
        return Markup(text)

    def _shared(self, root: Element) -> dict[str, str]:
        """The figure's markers by their ids, as the page calls them; they leave the figure."""
        found = {}
        for defs in root.iter(f"{SVG}defs"):
            for path in defs.findall(f"{SVG}path"):
                marker = path.attrib["d"], self._class(path.attrib.get("style", ""))
                found[path.attrib["id"]] = self._markers.setdefault(marker, f"k{len(self._markers)}")
                defs.remove(path)
        return found

    def _shorten(
        self, parent: Element, picture: Picture, prefix: str, shared: dict[str, str], targets: frozenset[str]
    ) -> None:
        """Every element below, in place: groups that say nothing give way to what is in them."""
        kept: list[Element] = []
        for child in list(parent):
            if child.tag in (f"{SVG}style", f"{SVG}metadata"):
                continue
            self._shorten(child, picture, prefix, shared, targets)
            self._rename(child, picture, prefix, shared, targets)
            empty = child.tag == f"{SVG}defs" and not len(child)
            if child.tag == f"{SVG}g" and not child.attrib:
                kept.extend(child)
            elif not empty:
                kept.append(child)
        parent[:] = kept
        for element in (parent, *kept):
            element.tail = None
            if element.text is not None and not element.text.strip():
                element.text = None

    def _rename(
        self, element: Element, picture: Picture, prefix: str, shared: dict[str, str], targets: frozenset[str]
    ) -> None:
        """Its id, what it points at, and its looks, as the page has them."""
        found = element.attrib.pop("id", None)
        if found is not None and found.startswith("part-"):
            _name(element, picture, int(found.removeprefix("part-")))
        elif found in targets:
            element.attrib["id"] = f"{prefix}{found}"
        if (link := element.attrib.pop(LINK, None)) is not None:
            marker = shared.get(link.removeprefix("#"))
            element.attrib["href"] = link if marker is None else f"#{marker}"
        for attribute in POINTS_AT:
            value = element.attrib.get(attribute, "")
            if "#" in value and not value.startswith("data:") and value[1:] not in shared.values():
                element.attrib[attribute] = value.replace("#", f"#{prefix}", 1)
        if (look := element.attrib.pop("style", None)) is not None:
            element.attrib["class"] = self._class(look)

    def _class(self, look: str) -> str:
        for colour, name in THEME.items():
            look = look.replace(colour, f"var(--{name})")
        return self._classes.setdefault(look, f"f{len(self._classes)}")


def _name(element: Element, picture: Picture, place: int) -> None:
    """The part says whose it is and what it stands for; its words are text, whatever is in them."""
    part = picture.parts[place]
    element.attrib["data-part"] = str(place)
    if part.method is not None:
        element.attrib["data-method"] = part.method
    if part.text:
        title = SubElement(element, f"{SVG}title")
        title.text = part.text
        element.remove(title)
        element.insert(0, title)


def _targets(root: Element) -> frozenset[str]:
    """The ids that anything in the figure points at."""
    values = (element.attrib.get(name, "") for element in root.iter() for name in (LINK, *POINTS_AT))
    return frozenset(value.partition("#")[2].rstrip(")") for value in values if "#" in value and value[:5] != "data:")
