"""What is wrong with a page of the built site: one line for each thing."""

import functools
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

SHORTEST_ALT = 20  # characters: less says that there is a picture, not what it shows
ANSWER = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


@functools.cache
def soup_of(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def complaints(page: Path, site: Path) -> list[str]:
    """Pictures without words, headings that skip, links that lead nowhere, and what would need a network."""
    return [
        f"{page.relative_to(site)}: {complaint}"
        for look in [pictures, headings, links, fetched]
        for complaint in look(soup_of(page), page, site)
    ]


def pictures(soup: BeautifulSoup, page: Path, site: Path) -> list[str]:
    return [
        f"the picture {image.get('src')} has the alternative text {image.get('alt')!r}"
        for image in soup.find_all("img")
        if len(image.get("alt") or "") < SHORTEST_ALT
    ]


def headings(soup: BeautifulSoup, page: Path, site: Path) -> list[str]:
    article = soup.find("article") or soup
    found = [int(heading.name[1]) for heading in article.find_all(re.compile(r"^h[1-6]$"))]
    wrong = [] if found.count(1) == 1 and found[0] == 1 else [f"headings of the first level: {found.count(1)}, not 1"]
    skips = [(a, b) for a, b in zip(found, found[1:], strict=False) if b > a + 1]
    return wrong + [f"a heading of level {b} follows one of level {a}" for a, b in skips]


def links(soup: BeautifulSoup, page: Path, site: Path) -> list[str]:
    found = []
    for link in soup.find_all("a", href=True):
        parts = urlsplit(link["href"])
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if target.is_dir():
            target = target / "index.html"
        if not target.is_file() or not target.is_relative_to(site):
            found.append(f"the link {link['href']} leads nowhere")
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in names(target):
            found.append(f"the link {link['href']} names a place that its page does not have")
    return found


@functools.cache
def names(page: Path) -> set[str]:
    """The places of a page that a link can name."""
    return {tag["id"] for tag in soup_of(page).find_all(id=True)}


def fetched(soup: BeautifulSoup, page: Path, site: Path) -> list[str]:
    addresses = [tag["src"] for tag in soup.find_all(["script", "img", "iframe"], src=True)]
    addresses += [tag["href"] for tag in soup.find_all("link", href=True) if tag["href"] != "#"]
    return [
        f"{address} has to be loaded from a network, or is not there"
        for address in addresses
        if urlsplit(address).netloc or not (page.parent / unquote(urlsplit(address).path)).resolve().is_file()
    ]


def answers(source: str) -> list[str]:
    """The answers in the text form of a solution, as `plain` writes them; a single short line could be anybody's."""
    blocks = [plain(block) for block in ANSWER.findall(source)]
    return [block for block in blocks if len(block) >= 40]


def plain(text: str) -> str:
    """A text without blanks, so that it does not matter how a page breaks or indents it."""
    return re.sub(r"\s+", "", text)
