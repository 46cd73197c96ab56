"""Modules of PyTorch for activations that it has as functions only; they can be pickled."""

from __future__ import annotations

from typing import Any

from ..learning.frameworks import imported

__all__: list[str] = []

INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


def _pointwise() -> Any:
    torch = imported("torch", INSTALL)

    def __init__(self: Any, function: str) -> None:
        torch.nn.Module.__init__(self)
        self.function = function

    def forward(self: Any, x: Any) -> Any:
        return getattr(torch, self.function)(x)

    def extra_repr(self: Any) -> str:
        return str(self.function)

    contents = {"__init__": __init__, "forward": forward, "extra_repr": extra_repr, "__module__": __name__}
    return type("Pointwise", (torch.nn.Module,), {**contents, "__doc__": "A function of torch on each entry."})


def __getattr__(name: str) -> Any:
    if name != "Pointwise":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = _pointwise()
    return globals()[name]
