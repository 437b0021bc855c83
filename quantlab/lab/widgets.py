"""Sliders around a figure: the reader moves them, the figure follows.

`explore` shows the figure at the start values first, as an ordinary output: it stands on a page without a kernel,
and notebook comparison reads its text. Below it come the controls; moving one replaces the figure.
"""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from quantlab.lab.plots.figure import Picture, collect


def slider(low: float, high: float, *, start: float, step: float | None = None) -> ipywidgets.Widget:
    """Return a slider for `explore` that starts somewhere else than at its low end.

    Whole numbers make a slider of whole numbers; otherwise the step is a hundredth of the range by default.

    Raises
    ------
    ValueError
        If start is outside low..high.

    Example
    -------
    >>> slider(2, 8, start=4)
    IntSlider(value=4, max=8, min=2)
    """
    if not low <= start <= high:
        raise ValueError(f"start={start} is outside {low}..{high}")
    if all(isinstance(v, int) for v in (low, high, start, step or 1)):
        return ipywidgets.IntSlider(min=low, max=high, value=start, step=step or 1)
    return ipywidgets.FloatSlider(min=low, max=high, value=start, step=step or (high - low) / 100)


def explore(draw: Callable[..., None], **controls: Any) -> None:
    """Show ``draw(**values)`` with a control for each value.

    Parameters
    ----------
    draw : callable
        Calls exactly one function of `quantlab.lab.plots`, within about 0.2 s.
    **controls
        By the name of draw's parameter: ``(low, high)`` or ``(low, high, step)`` for a slider that starts at low,
        a `slider`, a list of texts for a menu, True or False for a box to tick.

    Raises
    ------
    ValueError
        If draw shows no figure or several.
    TypeError
        If a control is none of these.

    Example
    -------
    >>> from quantlab.lab import plots
    >>> def draw(n):
    ...     plots.bars({"n": n}, title="A number", alt=f"One bar: {n}.", xlabel="n")
    >>> explore(draw, n=(2, 8))
    One bar: 2.
      bars: n 1, min 2, max 2, mean 2
      n: 2
    controls: n from 2 to 8 (run this cell to move them)
    """
    widgets = {name: _control(name, spec) for name, spec in controls.items()}
    picture = _draw(draw, widgets)
    note = f"controls: {', '.join(map(_describe, widgets.values()))} (run this cell to move them)"
    if not InteractiveShell.initialized():
        print(picture.text, note, sep="\n")
        return
    handle = display(picture.bundle(), raw=True, metadata=picture.metadata(), display_id=True)

    def redraw(change: Any) -> None:
        try:
            new = _draw(draw, widgets)
        except Exception as error:  # a callback's traceback would end in a log that nobody reads
            handle.update({"text/plain": f"{type(error).__name__}: {error}"}, raw=True)
            return
        handle.update(new.bundle(), raw=True, metadata=new.metadata())

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    box = ipywidgets.VBox(list(widgets.values()))
    display({**box._repr_mimebundle_(), "text/plain": note}, raw=True)


def _draw(draw: Callable[..., None], widgets: Mapping[str, ipywidgets.Widget]) -> Picture:
    with collect() as pictures:
        draw(**{name: widget.value for name, widget in widgets.items()})
    if len(pictures) != 1:
        raise ValueError(f"draw showed {len(pictures)} figures; let it call exactly one function of quantlab.lab.plots")
    return pictures[0]


def _control(name: str, spec: Any) -> ipywidgets.Widget:
    """Return the widget for a specification, labelled with its name."""
    if isinstance(spec, ipywidgets.Widget):
        widget = spec
    elif isinstance(spec, bool):
        widget = ipywidgets.Checkbox(value=spec)
    elif isinstance(spec, tuple) and len(spec) in (2, 3):
        widget = slider(spec[0], spec[1], start=spec[0], step=spec[2] if len(spec) == 3 else None)
    elif isinstance(spec, list) and spec:
        widget = ipywidgets.Dropdown(options=spec, value=spec[0])
    else:
        raise TypeError(
            f"{name}={spec!r} is no control; give (low, high), (low, high, step), a list, a bool or a slider"
        )
    widget.description = name.replace("_", " ")
    return widget


def _describe(widget: ipywidgets.Widget) -> str:
    name = widget.description
    if hasattr(widget, "min"):
        return f"{name} from {widget.min:g} to {widget.max:g}"
    return f"{name} ({', '.join(map(str, getattr(widget, 'options', ('yes', 'no'))))})"
