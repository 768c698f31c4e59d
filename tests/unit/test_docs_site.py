"""What the build of the site refuses is seen here first, without the packages that build it."""

import re
from pathlib import Path

import pytest

import infraspot
from infraspot.data import LAYOUTS
from infraspot.detection import DETECTORS
from infraspot.networks import NETWORKS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"(?<!`)\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_stay_within_the_site_and_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(CODE.sub("", page.read_text())) if "://" not in link]
    assert [link for link in links if ".." in link or not (page.parent / link).is_file()] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == [page.name for page in PAGES]


def test_links_of_the_readme_lead_somewhere() -> None:
    text = CODE.sub("", (ROOT / "README.md").read_text())
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_counts_what_there_is() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"{len(LAYOUTS)} layouts" in text
    assert f"{len(NETWORKS)} networks of masks" in text
    assert f"{len(DETECTORS)} detectors of boxes" in text


def test_the_api_page_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    public = [getattr(infraspot, name) for name in infraspot.__all__ if name != "__version__"]
    missing = [
        f"{one.__module__}.{one.__qualname__}"
        for one in public
        if f"::: {one.__module__}.{one.__qualname__}\n" not in page and f"::: {one.__module__}\n" not in page
    ]
    assert missing == []


def test_the_rates_of_the_operating_points_are_those_of_the_card() -> None:
    said = re.search(
        r"false alarms a megapixel of held-out frames: ([\d., and]+)\.\n",
        (ROOT / "docs" / "metrics.md").read_text(),
    )
    assert said is not None
    points = infraspot.load().card["operating_points"]
    rates = [points[name]["fa_per_mpx"] for name in ("quiet", "balanced", "keen")]
    assert [float(number) for number in re.findall(r"[\d.]+", said[1])] == rates
