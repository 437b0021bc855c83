"""Optimizers: one step changes the parameters in place."""

import numpy as np

__all__ = ["SGD", "Adam"]


class SGD:
    r"""Stochastic gradient descent, with momentum as torch defines it.

    .. math:: v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v

    Parameters
    ----------
    lr : float
        The step :math:`\eta`, at least 0.
    momentum : float
        :math:`\mu`, 0 to below 1. The first step takes v = g.

    Raises
    ------
    ValueError
        If a number is out of its range; in ``step``, if parameters and gradients do not belong together.

    Examples
    --------
    >>> theta = {"w": np.array([1.0], dtype=np.float32)}
    >>> sgd = SGD(lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.step(theta, {"w": np.array([2.0], dtype=np.float32)})
    ...     print(theta["w"])
    [0.8]
    [0.5]
    """

    def __init__(self, *, lr: float, momentum: float = 0.0):
        self.lr = _in_range("lr", lr, 0, np.inf)
        self.momentum = _in_range("momentum", momentum, 0, 1)
        self._velocity: dict[str, np.ndarray] = {}

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
        """Change every array in ``params`` in place, along its gradient of the same name."""
        _check_pairs(params, grads)
        for name, theta in params.items():
            v = self._velocity.setdefault(name, np.zeros_like(theta))
            v *= self.momentum
            v += grads[name]
            theta -= self.lr * v


class Adam:
    r"""Adam: steps of about ``lr`` whatever the size of the gradient (Kingma and Ba 2015, algorithm 1).

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow \theta - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    lr : float
        The step :math:`\eta`, at least 0.
    betas : (float, float)
        Decays of the two averages, 0 to below 1.
    eps : float
        Keeps the quotient finite where a gradient has always been zero.

    Raises
    ------
    ValueError
        As for `SGD`.

    Examples
    --------
    >>> theta = {"w": np.array([1.0, 1.0], dtype=np.float32)}
    >>> Adam(lr=0.1).step(theta, {"w": np.array([100.0, -0.01], dtype=np.float32)})
    >>> theta["w"].round(4)
    array([0.9, 1.1], dtype=float32)
    """

    def __init__(self, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        self.lr = _in_range("lr", lr, 0, np.inf)
        self.betas = tuple(_in_range("betas", beta, 0, 1) for beta in betas)
        self.eps = _in_range("eps", eps, 0, np.inf)
        self._t = 0
        self._moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
        """Change every array in ``params`` in place, against its gradient of the same name."""
        _check_pairs(params, grads)
        beta1, beta2 = self.betas
        self._t += 1
        for name, theta in params.items():
            g = grads[name]
            m, v = self._moments.setdefault(name, (np.zeros_like(theta), np.zeros_like(theta)))
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            m_hat, v_hat = m / (1 - beta1**self._t), v / (1 - beta2**self._t)
            theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


def _in_range(name: str, value: float, low: float, high: float) -> float:
    if not low <= value < high:
        raise ValueError(f"{name}={value}; expected a number from {low} to below {high}")
    return float(value)


def _check_pairs(params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
    for name, theta in params.items():
        if name not in grads:
            raise ValueError(f"grads has no {name!r}, only {sorted(grads)}; call backward before step")
        if grads[name].shape != theta.shape:
            raise ValueError(f"grads[{name!r}].shape={grads[name].shape}; expected {theta.shape}, as the parameter")
