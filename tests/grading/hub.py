"""JupyterHub on this machine: an instructor and two students from release to feedback, over HTTP.

    sudo .venv/bin/python -m pytest tests/grading/hub.py

It is opt-in because of what it needs: root (it makes three users, and removes them), bubblewrap, an environment that
other users can read, `pip install jupyterhub==6.1.1`, and `npm install configurable-http-proxy` with its program on the
PATH.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from isolation import ROOT
from tests.grading.students import ALL, ASSIGNMENT, NOTEBOOK, make_course

STUDENTS, INSTRUCTOR = ["quantlab-ana", "quantlab-bob"], "quantlab-prof"
USERS = [INSTRUCTOR, *STUDENTS]
TOKEN = "0123456789abcdef0123456789abcdef"
ADDRESS = "http://127.0.0.1:18000"
FORMGRADER = f"/user/{INSTRUCTOR}/formgrader/api"
SECONDS = 120

HUB = """
load_subconfig({deploy!r})
c.JupyterHub.load_groups = {{
    "nbgrader-quantlab": {{"users": {students}}}, "formgrade-quantlab": {{"users": [{prof!r}]}}
}}
c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, {{"name": "test", "services": ["test"],
    "scopes": ["admin:users", "admin:servers", "access:servers", "tokens"]}}]
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {{*{students}, {prof!r}}}
c.JupyterHub.bind_url, c.JupyterHub.hub_port = {address!r}, 18081
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:18001"
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.environment = {{"PATH": {path!r}}}
c.Spawner.start_timeout = c.Spawner.http_timeout = {seconds}
"""


def call(method, path, token, data=None, form=None):
    """One request; the answer as JSON where it is JSON."""
    body = urllib.parse.urlencode(form).encode() if form else json.dumps(data or {}).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = {"Authorization": f"token {token}", "Content-Type": kind}
    request = urllib.request.Request(ADDRESS + path, None if method == "GET" else body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def wait_for(what):
    """Ask until the answer is true."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if answer := what():
                return answer
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"nothing within {SECONDS} seconds")


def belongs_to(path, user):
    subprocess.run(["chown", "-R", f"{user}:{user}", path], check=True)


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """Three users of this machine, each with nbgrader's settings; the instructor has a course."""
    assert os.getuid() == 0, "making users takes root"
    exchange = Path("/var/tmp/quantlab-exchange")
    shutil.rmtree(exchange, ignore_errors=True)
    exchange.mkdir()
    exchange.chmod(0o777)
    homes = {}
    for user in USERS:
        subprocess.run(["useradd", "--create-home", user], check=True)
        homes[user] = Path("~" + user).expanduser()
    try:
        settings = (ROOT / "deploy" / "nbgrader_student.py").read_text("utf-8")
        settings = settings.replace("/srv/nbgrader/exchange", str(exchange))
        course = homes[INSTRUCTOR] / "quantlab"
        course.mkdir()
        make_course(course)
        own = (
            f"import sys\nsys.path.insert(0, {str(ROOT / 'tools')!r})\nfrom pathlib import Path\n"
            f"from grading.settings import class_folder, configure\nclass_folder(Path({str(course)!r}))\n"
            f"configure(get_config(), Path({str(course)!r}))\n"
        )
        for user, home in homes.items():
            (home / ".jupyter").mkdir()
            text = settings + (own if user == INSTRUCTOR else "")
            (home / ".jupyter" / "nbgrader_config.py").write_text(text, encoding="utf-8")
            belongs_to(home, user)
        yield homes
    finally:
        for user in USERS:
            subprocess.run(["userdel", "--remove", user], stderr=subprocess.DEVNULL)
        shutil.rmtree(exchange, ignore_errors=True)


@pytest.fixture(scope="module")
def tokens(users, tmp_path_factory):
    """A running hub with a server for each user; a token for each."""
    folder = tmp_path_factory.mktemp("hub")
    programs = Path(sys.prefix) / "bin"
    path = f"{programs}:{os.environ['PATH']}"
    config = HUB.format(
        address=ADDRESS,
        deploy=str(ROOT / "deploy" / "jupyterhub_quantlab.py"),
        path=f"{programs}:/usr/bin:/bin",
        prof=INSTRUCTOR,
        seconds=SECONDS,
        singleuser=str(programs / "jupyterhub-singleuser"),
        students=STUDENTS,
        token=TOKEN,
    )
    (folder / "jupyterhub_config.py").write_text(config, encoding="utf-8")
    environment = {**os.environ, "PATH": path}
    with (folder / "log").open("w") as log:
        hub = subprocess.Popen(
            [programs / "jupyterhub"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: call("GET", "/hub/api/", TOKEN)[0] == 200)
        found = {}
        for user in USERS:
            call("POST", f"/hub/api/users/{user}", TOKEN)
            call("POST", f"/hub/api/users/{user}/server", TOKEN)
            found[user] = call("POST", f"/hub/api/users/{user}/tokens", TOKEN, {"note": "test"})[1]["token"]
        for user in USERS:
            wait_for(lambda user=user: call("GET", f"/hub/api/users/{user}", TOKEN)[1].get("server"))
        yield found
    finally:
        for user in USERS:
            call("DELETE", f"/hub/api/users/{user}/server", TOKEN)
        hub.send_signal(signal.SIGTERM)
        hub.wait(30)


def done(answer):
    """Whether nbgrader's page did what it was asked to."""
    status, said = answer
    assert status == 200, said
    assert said["success"] is True, f"{said.get('error')}\n{said.get('log')}"


def test_from_release_to_feedback(users, tokens):
    prof = tokens[INSTRUCTOR]
    asked = {"course_id": "quantlab", "assignment_id": ASSIGNMENT}
    for step in ["assign", "release"]:
        done(call("POST", f"{FORMGRADER}/assignment/{ASSIGNMENT}/{step}", prof))
    for user in STUDENTS:
        done(call("POST", f"/user/{user}/assignments/fetch", tokens[user], form=asked))
        page = users[user] / ASSIGNMENT / NOTEBOOK
        assert "375_000_000" not in page.read_text("utf-8"), "the hidden test was released"
        if user == STUDENTS[0]:
            shutil.copyfile(ROOT / "solutions" / ASSIGNMENT / NOTEBOOK, page)
        done(call("POST", f"/user/{user}/assignments/submit", tokens[user], form=asked))
    done(call("POST", f"{FORMGRADER}/assignment/{ASSIGNMENT}/collect", prof))
    for user in STUDENTS:
        done(call("POST", f"{FORMGRADER}/submission/{ASSIGNMENT}/{user}/autograde", prof))
    _, submissions = call("GET", f"{FORMGRADER}/submissions/{ASSIGNMENT}", prof)
    scores = {submission["student"]: submission["score"] for submission in submissions}
    assert scores == dict(zip(STUDENTS, [ALL, 0], strict=True))
    for step in ["generate_feedback", "release_feedback"]:
        done(call("POST", f"{FORMGRADER}/assignment/{ASSIGNMENT}/{step}", prof))
    for user in STUDENTS:
        done(call("POST", f"/user/{user}/assignments/fetch_feedback", tokens[user], form=asked))
        (feedback,) = (users[user] / ASSIGNMENT / "feedback").glob("*/*.html")
        assert "375_000_000" not in feedback.read_text("utf-8")


def test_a_student_does_not_reach_the_instructor(users, tokens):
    status, _ = call("GET", f"{FORMGRADER}/assignments", tokens[STUDENTS[0]])
    assert status in (401, 403, 404)
    done_by = subprocess.run(
        ["setpriv", f"--reuid={STUDENTS[0]}", "--clear-groups", f"--regid={STUDENTS[0]}"]
        + ["ls", users[INSTRUCTOR] / "quantlab" / "class"],
        capture_output=True,
        text=True,
    )
    assert "Permission denied" in done_by.stderr
