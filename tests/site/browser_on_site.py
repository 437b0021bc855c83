"""The site in a real browser, at the width of a desk and of a phone. Opt-in."""

import pytest

SIZES = {"desk": (1280, 900), "phone": (375, 812)}
LESSON = "notebooks/03_map_reals_to_integers.html"
EXERCISE = "exercises/03_map_reals_to_integers/03_map_reals_to_integers.html"


@pytest.fixture(params=SIZES)
def page(browser, address, request):
    """A page of that size, on which nothing may fail and nothing may be asked of another machine."""
    width, height = SIZES[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    elsewhere, failed = [], []
    opened.on(
        "request", lambda asked: None if asked.url.startswith((address, "data:")) else elsewhere.append(asked.url)
    )
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    yield opened
    opened.close()
    assert elsewhere == []
    assert failed == []


def typeset(page):
    """Wait until MathJax has drawn what it was given."""
    page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
    page.evaluate("MathJax.startup.promise")


@pytest.mark.parametrize("name", ["index.html", LESSON, EXERCISE, "glossary.html", "api/core.html", "search.html"])
def test_a_page_fits_its_width(page, address, name):
    page.goto(f"{address}/{name}")
    assert page.locator("h1:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('article p, p')).fontSize)") >= 14


def test_formulas_are_typeset(page, address):
    page.goto(f"{address}/{LESSON}")
    typeset(page)
    drawn = page.locator("article mjx-container")
    assert drawn.count() >= page.locator("article .math").count() > 20
    assert page.locator("mjx-merror").count() == 0
    box = page.locator('article mjx-container[display="true"] svg').first.bounding_box()
    assert box["width"] > 100
    assert box["height"] > 20
    assert "\\mathrm" not in page.locator("article").inner_text()


def test_pictures_are_loaded(page, address):
    page.goto(f"{address}/{LESSON}")
    images = page.locator("article img")
    assert images.count() >= 5
    for image in images.all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=image.element_handle())


def test_a_choice_opens_and_says_why(page, address):
    page.goto(f"{address}/{LESSON}")
    reason = page.get_by_text("No. float64 is one more dialect.")
    assert not reason.is_visible()
    page.locator("summary", has_text="The one that differs from the result in float64.").click()
    assert reason.is_visible()


@pytest.mark.parametrize(("word", "title"), [("dequantize", "quantlab.core.affine.dequantize"), ("伪量化", "Glossary")])
def test_the_search_finds_a_word(page, address, word, title):
    page.goto(f"{address}/search.html?q={word}")
    page.locator("#search-results li", has_text=title).first.wait_for(timeout=20_000)


def test_a_word_that_is_nowhere_is_not_found(page, address):
    page.goto(f"{address}/search.html?q=zzyzxqwv")
    page.get_by_text("did not match any documents").wait_for(timeout=20_000)


def test_from_a_lesson_to_its_exercises(page, address):
    page.goto(f"{address}/{LESSON}")
    page.locator("article").get_by_role("link", name="the exercises", exact=True).click()
    page.wait_for_url(f"{address}/{EXERCISE}")


def test_from_exercises_to_the_next_and_to_the_lesson(page, address):
    page.goto(f"{address}/{EXERCISE}")
    page.locator("article").get_by_role("link", name="next: Exercises 04").click()
    page.wait_for_url("**/04_choose_granularity.html")
    page.locator("article").get_by_role("link", name="lesson 04").click()
    page.wait_for_url(f"{address}/notebooks/04_choose_granularity.html")
