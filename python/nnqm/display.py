"""Results that draw themselves: the mixin ``Drawn``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__: list[str] = []


class Drawn:
    """A result with a method ``plot``. The class keyword ``picture`` names the function of ``nnqm.plot`` that draws it.

    The function is looked up at the call, so that the class does not need matplotlib.
    """

    __slots__ = ()

    _picture: ClassVar[str]

    def __init_subclass__(cls, *, picture: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if picture is not None:
            cls._picture = picture

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the result; see the function of ``nnqm.plot`` for this class.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure of pyplot by default.
        **options
            Options of that function.

        Returns
        -------
        matplotlib Axes
        """
        draw = getattr(import_module(f"{__package__}.plot"), self._picture)
        drawn: Axes = draw(self, ax, **options)
        return drawn
