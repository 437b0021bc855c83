"""The site built once, a server for it, and a real browser.

These tests need the extra `site`, the program chromium and about a minute, so `make test` leaves them out, by their
names; `make test-site` runs them. Where something is missing they fail and say what to install: none is skipped.
"""

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import threading

import pytest

from isolation import ROOT

CHROMIUM = ["chromium", "chromium-browser", "google-chrome"]


def built(tool, out):
    """Build with one of the tools into the folder `out`, and return it; what is said on stderr is an error."""
    command = [sys.executable, f"tools/{tool}", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return out.resolve()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    return built("build_site.py", tmp_path_factory.mktemp("built") / "site")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not write to stderr."""

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(folder):
    """Serve a folder on this machine; the value is its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served on this machine."""
    with serving(site) as at:
        yield at


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium. Debian's build comes from its packages; playwright only drives it."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail("there is no chromium on this machine; Debian, Ubuntu: sudo apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's own sandbox refuses to start as root, as in a container; it opens only pages from this machine.
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
