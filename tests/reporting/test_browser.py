"""Pages in a real browser: nothing wider than the window, nothing asked of a network, nothing to complain of."""

from __future__ import annotations

import itertools

import pytest

from tests.bench.toy_grid import outcomes
from tests.reporting.browser import CHROMIUM, Browser
from tests.reporting.conftest import add_pictures
from tladapt.bench.tables.page import bench_page
from tladapt.bench.tables.table import tabulate
from tladapt.reporting import write_report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


def contrast(browser: Browser) -> float:
    """Return the contrast of text on the page's ground, by the formula of the Web's guidelines (at least 4.5)."""
    script = """(() => {
      const light = c => {
        const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255);
        const s = v.map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * s[0] + 0.7152 * s[1] + 0.0722 * s[2];
      };
      const style = getComputedStyle(document.body);
      const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
      const soft = light(getComputedStyle(document.querySelector("figcaption")).color);
      const ground = light(style.backgroundColor);
      const second = (Math.max(soft, ground) + 0.05) / (Math.min(soft, ground) + 0.05);
      return Math.min((a + 0.05) / (b + 0.05), second);
    })()"""
    return float(browser.ask(script))


def test_pages_fit_every_window(browser, make_run, tmp_path):
    names = tuple(f"a rather long name of a class {i}" for i in range(12))
    for method, seed in itertools.product(("source_only", "dann"), (0, 1)):
        add_pictures(make_run(f"bench/{method}/seed{seed}", method=method, seed=seed, classes=names, log_every=300))
    pages = [write_report([tmp_path / "bench"]), write_report([tmp_path / "bench" / "dann" / "seed0"])]
    pages.append(tmp_path / "table.html")
    pages[-1].write_text(bench_page(tabulate(outcomes())))
    for page, width, dark in itertools.product(pages, (1400, 768, 360), (False, True)):
        browser.open(page, width=width, dark=dark)
        assert browser.ask("document.documentElement.scrollWidth") <= width, (page, width)
        ground = browser.ask("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(19, 20, 23)") == dark  # the page's own dark, and not a filter of the browser
        assert contrast(browser) >= 4.5
        assert browser.ask("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert browser.said == [] and browser.requests == []
