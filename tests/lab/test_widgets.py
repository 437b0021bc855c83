"""Sliders: the figure stands without a kernel, notebook comparison passes, moving a slider replaces the figure."""

import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from isolation import ROOT, isolated_environment
from quantlab.lab import plots, widgets
from quantlab.lab.plots import collect

CELLS = [
    "from quantlab.lab import plots, widgets",
    """def draw(n_bits, clip, kind, fill):
    if clip > 3:
        raise ValueError("too wide")
    plots.bars({kind: n_bits * clip}, title="t", alt=f"{n_bits} bits, {fill}", xlabel="x")

n_bits = widgets.slider(2, 8, start=4)
widgets.explore(draw, n_bits=n_bits, clip=(0.5, 4.0, 0.5), kind=["a", "b"], fill=True)""",
]
TEXT = "4 bits, True\n  bars: n 1, min 2, max 2, mean 2\n  a: 2"
NOTE = "controls: n bits from 2 to 8, clip from 0.5 to 4, kind (a, b), fill (yes, no) (run this cell to move them)"


def notebook(cells):
    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    made.cells = [nbformat.v4.new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(cells)]
    return made


def run(cells, folder):
    made = notebook(cells)
    client = NotebookClient(made, record_timing=False, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**isolated_environment(folder), "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    return made


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return run(CELLS, tmp_path_factory.mktemp("widgets"))


def test_the_figure_is_an_ordinary_output_before_the_controls(executed):
    figure, controls = executed.cells[1].outputs
    assert figure.output_type == controls.output_type == "display_data"
    assert set(figure.data) == {"image/png", "text/plain"}
    assert figure.data["text/plain"] == TEXT
    assert figure.metadata["image/png"]["alt"] == "4 bits, True"
    assert controls.data["text/plain"] == NOTE
    assert "application/vnd.jupyter.widget-view+json" in controls.data


def test_strict_notebook_comparison_passes_and_notices_a_change(executed, tmp_path):
    for name, text in [("same", TEXT), ("changed", TEXT.replace("a: 2", "a: 3"))]:
        copy = nbformat.from_dict(executed)
        copy.cells[1].outputs[0].data["text/plain"] = text
        nbformat.write(copy, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-rfp"]
    environment = {**isolated_environment(tmp_path), "PYTHONPATH": str(ROOT)}
    run = subprocess.run([*command, "."], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 failed, 3 passed" in run.stdout
    assert "FAILED changed.ipynb::Cell 1" in run.stdout


def test_moving_a_slider_replaces_the_figure(tmp_path):
    """In a real kernel: what the front end sends when the reader moves a slider, and what comes back."""
    made = notebook([*CELLS, "n_bits.model_id"])
    client = NotebookClient(made, resources={"metadata": {"path": str(tmp_path)}})
    environment = {**isolated_environment(tmp_path), "PYTHONPATH": str(ROOT)}
    with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
        for index, cell in enumerate(made.cells):
            client.execute_cell(cell, index)
        slider = made.cells[2].outputs[0].data["text/plain"].strip("'")
        shown = [move(client, slider, bits) for bits in (6, 8)]
    assert [content["data"]["text/plain"] for content in shown] == [
        "6 bits, True\n  bars: n 1, min 3, max 3, mean 3\n  a: 3",
        "8 bits, True\n  bars: n 1, min 4, max 4, mean 4\n  a: 4",
    ]
    assert shown[0]["metadata"]["image/png"]["alt"] == "6 bits, True"
    assert shown[0]["transient"]["display_id"] == shown[1]["transient"]["display_id"]


def move(client, comm_id, value):
    content = {"comm_id": comm_id, "data": {"method": "update", "state": {"value": value}, "buffer_paths": []}}
    client.kc.shell_channel.send(client.kc.session.msg("comm_msg", content))
    while True:
        message = client.kc.get_iopub_msg(timeout=30)
        if hasattr(message, "__await__"):
            message = wait(message)
        if message["msg_type"] == "update_display_data":
            return message["content"]


def wait(coroutine):
    from jupyter_core.utils import run_sync

    async def get():
        return await coroutine

    return run_sync(get)()


def test_an_error_in_draw_is_shown_where_the_figure_was(monkeypatch):
    updates = []

    class Handle:
        def update(self, bundle, **options):
            updates.append(bundle)

    def draw(n):
        if n > 3:
            raise ValueError("too many")
        plots.bars({"n": n}, title="t", alt="a", xlabel="x")

    monkeypatch.setattr(widgets, "display", lambda *args, **kwargs: Handle())
    monkeypatch.setattr(widgets.InteractiveShell, "initialized", lambda: True)
    control = widgets.slider(1, 9, start=2)
    widgets.explore(draw, n=control)
    control.value = 3
    control.value = 4
    assert [bundle["text/plain"] for bundle in updates] == [
        "a\n  bars: n 1, min 3, max 3, mean 3\n  n: 3",
        "ValueError: too many",
    ]


def test_controls():
    whole, fine = widgets.slider(2, 8, start=3), widgets.slider(0.0, 2.0, start=1.0)
    assert (type(whole.value), whole.step, fine.step) == (int, 1, 0.02)
    with pytest.raises(ValueError, match=r"start=9 is outside 2\.\.8"):
        widgets.slider(2, 8, start=9)
    with pytest.raises(TypeError, match=r"n='8' is no control"):
        widgets.explore(lambda n: None, n="8")


@pytest.mark.parametrize("times", [0, 2])
def test_draw_must_show_one_figure(times):
    def draw(n):
        for _ in range(times):
            plots.bars({"n": n}, title="t", alt="a", xlabel="x")

    with pytest.raises(ValueError, match=f"draw showed {times} figures"), collect():
        widgets.explore(draw, n=(1, 2))
