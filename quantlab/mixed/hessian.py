"""How curved is the loss along the weights of a layer: the trace of its Hessian, and the Fisher information.

At a minimum the slope is 0, and what a small change of the weights costs is the curvature:

    L(W + dW) - L(W)  =  g . dW + 1/2 dW . H dW + ...

H has as many entries as weights squared. Its trace needs only products H v, and these only gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantlab.core.arguments import as_integer, as_real, as_reals
from quantlab.mixed.gradients import loss_gradients, weight_layers
from quantlab.nn.network import Network

__all__ = [
    "Trace",
    "fisher_diagonal",
    "hessian_trace",
    "hessian_vector_product",
    "predict_from_diagonal",
    "predict_from_trace",
]


@dataclass(frozen=True)
class Trace:
    """An estimated trace.

    Attributes
    ----------
    value : float
        Mean over the probes.
    standard_error : float
        Of this mean: the standard deviation over the probes, divided by the root of their number; NaN for one probe.
    n_weights : int
        Rows of the Hessian; ``value / n_weights`` is the mean eigenvalue.
    """

    value: float
    standard_error: float
    n_weights: int


def hessian_vector_product(
    network: Network, x: np.ndarray, labels: np.ndarray, *, name: str, v: np.ndarray, step: float = 1e-7
) -> np.ndarray:
    r"""Return the product of the Hessian of the loss by one layer's W with a direction v, from two gradients.

    .. math:: H v \approx \frac{g(W + \epsilon v) - g(W - \epsilon v)}{2 \epsilon}

    Parameters
    ----------
    network, x, labels
        As in `quantlab.mixed.gradients.loss_gradients`; x in float64.
    name : str
        The layer.
    v : ndarray of float, the shape of W
    step : float
        Largest change of a weight. Rounding leaves an error of some 1e-16 / step. A larger step is no better: a sample
        whose unit crosses the kink of a ReLU within the step adds a jump, divided by the step, which the Hessian, as
        double backward in torch has it, does not know.

    Raises
    ------
    ValueError
        If x is not float64, there is no such layer or its W has another shape, the step is not above 0, or v is all
        zeros or not finite.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> params = {"W": np.zeros((2, 1), np.float32), "b": np.zeros(2, np.float32)}
    >>> network = Network([Node("fc", "linear", ("input",), params)])
    >>> x, y = np.array([[2.0]]), np.array([1])
    >>> hessian_vector_product(network, x, y, name="fc", v=np.array([[1.0], [0.0]])).ravel().round(6)
    array([ 1., -1.])
    """
    if x.dtype != np.float64:
        raise ValueError(f"x.dtype={x.dtype}; expected float64: differences of float32 gradients are mostly rounding")
    if name not in weight_layers(network):
        raise ValueError(f"name={name!r}; the layers with weights are {', '.join(weight_layers(network))}")
    W = network[name].params["W"].astype(np.float64)
    v = as_reals("v", v).astype(np.float64)
    largest = np.abs(v).max(initial=0)
    if v.shape != W.shape or not 0 < largest < np.inf:
        raise ValueError(f"v has shape {v.shape} and its largest value is {largest}; expected {W.shape}, finite, not 0")
    if not 0 < as_real("step", step) < np.inf:
        raise ValueError(f"step={step}; expected a number above 0")
    epsilon = step / largest
    ends = [
        loss_gradients(network.with_params({name: {"W": W + sign * epsilon * v}}), x, labels)[1][name]
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * epsilon)


def hessian_trace(
    network: Network,
    x: np.ndarray,
    labels: np.ndarray,
    *,
    n_probes: int,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    step: float = 1e-7,
) -> dict[str, Trace]:
    r"""Return the trace of each layer's Hessian by Hutchinson's estimator.

    .. math:: \mathrm{tr}\, H = \mathbb{E}[v^T H v], \qquad v_i = \pm 1 \text{ with equal chances}

    since :math:`\mathbb{E}[v_i v_j]` is 1 for i = j and 0 otherwise. The diagonal enters every probe without noise; the
    variance is :math:`2 \sum_{i \ne j} H_{ij}^2`.

    Parameters
    ----------
    network, x, labels, step
        As in `hessian_vector_product`.
    n_probes : int
        Directions a layer; each costs two gradients of the whole network.
    rng : numpy.random.Generator
    names : sequence of str, optional
        The layers; all that have weights, if left out.

    Returns
    -------
    dict of str to Trace
        A trace may be negative: only at a minimum it is not.

    Raises
    ------
    ValueError
        If ``n_probes`` is below 1, or as `hessian_vector_product`.

    References
    ----------
    M. F. Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Communications in Statistics 19, 1990. Z. Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of
    Neural Networks", arXiv:1911.03852, section 3.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> params = {"W": np.zeros((2, 1), np.float32), "b": np.zeros(2, np.float32)}
    >>> network = Network([Node("fc", "linear", ("input",), params)])
    >>> found = hessian_trace(network, np.array([[2.0]]), np.array([1]), n_probes=500, rng=np.random.default_rng(0))
    >>> abs(found["fc"].value - 2.0) < 3 * found["fc"].standard_error, found["fc"].n_weights
    (True, 2)
    """
    if as_integer("n_probes", n_probes) < 1:
        raise ValueError(f"n_probes={n_probes}; expected at least 1")
    found = {}
    for name in weight_layers(network) if names is None else names:
        shape = network[name].params["W"].shape if name in weight_layers(network) else (1,)
        products = np.empty(n_probes)
        for i in range(n_probes):
            v = rng.choice([-1.0, 1.0], size=shape)
            products[i] = (v * hessian_vector_product(network, x, labels, name=name, v=v, step=step)).sum()
        error = products.std(ddof=1) / np.sqrt(n_probes) if n_probes > 1 else np.nan
        found[name] = Trace(float(products.mean()), float(error), int(np.prod(shape)))
    return found


def fisher_diagonal(network: Network, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    r"""Return the mean over the samples of the squared gradient of each sample's own loss.

    .. math:: F_i = \frac1N \sum_n \Big( \frac{\partial L_n}{\partial w_i} \Big)^2

    The square is taken before the mean: in the mean the gradients of a trained network cancel.

    Parameters
    ----------
    network, x
        As in `quantlab.mixed.gradients.loss_gradients`; one gradient a sample is computed.
    labels : ndarray of int, shape (samples,)
        The data's: then this is the *empirical* Fisher. Drawn from the network's own probabilities
        (`quantlab.mixed.gradients.draw_labels`): then it estimates the Fisher information, which is the Hessian of the
        divergence between the network's answers before and after a change, at no change.

    Returns
    -------
    dict of str to ndarray of float64
        In the shapes of W, 0 or more.

    Raises
    ------
    ValueError
        As `loss_gradients`.

    References
    ----------
    F. Kunstner, L. Balles, P. Hennig, "Limitations of the empirical Fisher approximation for natural gradient
    descent", arXiv:1905.12558, on how the two differ.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> params = {"W": np.zeros((2, 1), np.float32), "b": np.zeros(2, np.float32)}
    >>> network = Network([Node("fc", "linear", ("input",), params)])
    >>> fisher_diagonal(network, np.array([[2.0], [2.0]]), np.array([0, 1]))["fc"].ravel()  # the mean gradient is 0
    array([1., 1.])
    """
    if not len(x) or len(x) != len(labels):
        raise ValueError(f"{len(x)} samples and {len(labels)} labels; expected as many, at least 1")
    total: dict[str, np.ndarray] = {}
    for i in range(len(x)):
        for name, g in loss_gradients(network, x[i : i + 1], labels[i : i + 1])[1].items():
            total[name] = total.get(name, 0.0) + g.astype(np.float64) ** 2
    return {name: value / len(x) for name, value in total.items()}


def predict_from_trace(trace: Trace, d_W: np.ndarray) -> float:
    r"""Return the increase of the loss that HAWQ-V2 expects of a change of weights.

    .. math:: \tfrac12\, \frac{\mathrm{tr}\, H}{n}\, \lVert \Delta W \rVert^2

    It is the mean of :math:`\tfrac12 \Delta W^T H \Delta W` over all directions of the same length: the change is
    taken to know nothing of H.

    Raises
    ------
    ValueError
        If d_W has not as many values as the trace has rows.

    References
    ----------
    Dong et al., arXiv:1911.03852, section 3: lemma 1 says why the mean eigenvalue ranks layers, and their measure
    :math:`\Omega` has the factor of 1/2 left out.

    Examples
    --------
    >>> predict_from_trace(Trace(8.0, 0.0, 4), np.array([0.1, -0.1, 0.1, 0.1])).__round__(6)
    0.04
    """
    d_W = as_reals("d_W", d_W).astype(np.float64)
    if d_W.size != trace.n_weights:
        raise ValueError(f"d_W has {d_W.size} values; the trace is of {trace.n_weights} weights")
    return 0.5 * trace.value / trace.n_weights * float((d_W**2).sum())


def predict_from_diagonal(diagonal: np.ndarray, d_W: np.ndarray) -> float:
    r"""Return :math:`\tfrac12 \sum_i F_i\, \Delta W_i^2`, each weight's change with a curvature of its own.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> predict_from_diagonal(np.array([2.0, 0.0]), np.array([0.1, 5.0])).__round__(6)
    0.01
    """
    diagonal, d_W = as_reals("diagonal", diagonal), as_reals("d_W", d_W).astype(np.float64)
    if diagonal.shape != d_W.shape:
        raise ValueError(f"diagonal has shape {diagonal.shape}, d_W {d_W.shape}; expected equal shapes")
    return 0.5 * float((diagonal * d_W**2).sum())
