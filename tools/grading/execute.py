"""nbgrader's step that runs a submission, with the kernel in a sandbox and verdicts in place of missing errors."""

import json
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.preprocessors import Execute
from traitlets import Bool, Dict

from grading import sandbox
from grading.limits import Limits

GUARD = Path(__file__).resolve().parent / "guard.py"
KERNEL = "quantlab-sandbox"
MIME = "application/x-quantlab-verdict+json"
FIRST_UID = 60_000  # used by nobody; as root, every sandbox becomes another one


class SandboxedExecute(Execute):
    """Run all cells; a graded cell has its points when, and only when, the judge in the kernel says so."""

    sandboxed = Bool(True, help="False runs student code as the one who grades, with all that he may do").tag(
        config=True
    )
    limits = Dict(asdict(Limits()), help="what one submission may use, see grading/limits.py").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run the notebook in a kernel of its own; no kernel leaves anything behind."""
        self.timeout = self.limits["cell_seconds"]
        self._dead = ""
        # Under /tmp, because the name of a socket may have 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="quantlab-", dir="/tmp"))
        try:
            return super().preprocess(nb, resources, km)
        except RuntimeError as error:  # the kernel did not come up: the machine's fault, or that of the limits
            log = self._folder / "report.log"
            said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
            raise RuntimeError(f"{error}: {self._why_dead()}. {said[-300:]}") from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def create_kernel_manager(self) -> Any:
        """Write the kernelspec of this run, and a job for the one who watches the kernel."""
        link, report = self._folder / "link", self._folder / "report"
        link.mkdir(mode=0o700)
        limits = Limits(**self.limits)
        inside = self.sandboxed
        program = sandbox.command(link, limits) if inside else [sys.executable, str(sandbox.INSIDE / "start.py")]
        job = {
            "command": program,
            "environment": {
                **os.environ,
                **({} if inside else sandbox.environment(str(self._folder), str(sandbox.FONTS))),
            },
            "folder": str(self._folder),
            "limits": asdict(limits),
            "report": str(report),
            "uid": FIRST_UID + os.getpid() % 5000 if inside and os.getuid() == 0 else 0,
        }
        (self._folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        spec = {
            "argv": [sys.executable, str(GUARD), str(self._folder / "job.json"), "{connection_file}"],
            "display_name": "Python 3 in a sandbox",
            "interrupt_mode": "message",  # a signal would end the guard
            "language": "python",
        }
        folder = self._folder / "kernels" / KERNEL
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        specs = KernelSpecManager(kernel_dirs=[str(folder.parent)], ensure_native_kernel=False)
        self.km = self.kernel_manager_class(kernel_name=KERNEL, kernel_spec_manager=specs, config=self.config)
        self.km.transport = "ipc"
        self.km.connection_file = str(link / "kernel.json")
        return self.km

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run one cell; whatever happens in it, the next one has its turn."""
        if cell.cell_type != "code":
            return cell, resources
        source, nonce = cell.source, secrets.token_hex(16)
        graded = utils.is_grade(cell)
        self._received = 0
        if graded:
            cell.source = f"__import__('sys').modules['_quantlab_judge'].judge({nonce!r}, {source!r})"
        try:
            if not self._dead:
                super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._dead = self._why_dead()
            self.note(f"the kernel died in cell {index + 1}: {self._dead}; graded cells from there on have no points")
        except (CellTimeoutError, TimeoutError):
            self.note(f"cell {index + 1} took more than {self.timeout} seconds")
        finally:
            cell.source = source
        if any(output.get("ename") == "CellTimeoutError" for output in cell.outputs):
            self.note(f"cell {index + 1} took more than {self.timeout} seconds and was stopped")
        if self._received > self.limits["output_kb"] * 1024:
            self.note(f"cell {index + 1} printed more than {self.limits['output_kb']} kB; the rest was dropped")
            cell.outputs.append(new_output("stream", name="stdout", text="\n... the rest of this output was dropped\n"))
        cell.outputs = self._judged(cell, nonce, index) if graded else [tidy(output) for output in cell.outputs]
        return cell, resources

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take an output in while there is room; a verdict always."""
        content = msg["content"]
        if msg["msg_type"] in {"stream", "display_data", "execute_result", "error", "update_display_data"}:
            verdict = MIME in content.get("data", {})
            self._received += 0 if verdict else len(json.dumps(content))
            if not verdict and self._received > self.limits["output_kb"] * 1024:
                return None
        return super().process_message(msg, cell, cell_index)

    def _judged(self, cell: NotebookNode, nonce: str, index: int) -> list[NotebookNode]:
        """The outputs of a graded cell as nbgrader reads them: an error unless the judge says that it passed."""
        verdicts = [output.data[MIME] for output in cell.outputs if MIME in output.get("data", {})]
        verdicts = [verdict for verdict in verdicts if isinstance(verdict, dict) and verdict.get("nonce") == nonce]
        kept = [tidy(output) for output in cell.outputs if output.output_type == "stream"]
        timeouts = [output for output in cell.outputs if output.get("ename") == "CellTimeoutError"]
        if self._dead:
            return [*kept, error("KernelDied", f"the kernel had died: {self._dead}")]
        if timeouts:
            return [*kept, error("CellTimeoutError", f"no result within {self.timeout} seconds")]
        if len(verdicts) != 1:
            self.note(f"cell {index + 1} gave no verdict: it has no points")
            return [*kept, error("NoVerdict", "this cell ended without a verdict")]
        verdict = verdicts[0]
        if verdict["tampered"]:
            self.note(f"cell {index + 1} was not judged: the notebook changes {', '.join(verdict['tampered'][:3])}")
        return kept if verdict["passed"] is True else [*kept, error(verdict["ename"], verdict["evalue"])]

    def _why_dead(self) -> str:
        report = self._folder / "report"
        return report.read_text(encoding="utf-8") if report.exists() else "for no reason that it gave"

    def note(self, text: str) -> None:
        """Say something that belongs into the list of the class."""
        self.log.warning(text, extra={"note": text})


def tidy(output: NotebookNode) -> NotebookNode:
    """An output that costs nothing by being on the wrong stream."""
    if output.output_type == "stream":
        output.name = "stdout"
    return output


def error(name: str, text: str) -> NotebookNode:
    """An error without the lines of code that raised it: they may be a hidden test."""
    return new_output("error", ename=str(name), evalue=str(text), traceback=[f"{name}: {text}"])
