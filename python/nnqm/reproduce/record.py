"""Records of claims: numbers with verdicts, and curves to draw. They are kept as JSON, in full precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..positivity.reflection import PositivityResult
from ..representation import short_repr
from ..statistics.estimate import Estimate, format_value
from ..verdict import Verdict

__all__ = [
    "FAMILY_WISE",
    "REFUTED",
    "TESTS",
    "THRESHOLD",
    "Curve",
    "Number",
    "Panel",
    "Record",
    "below",
    "by_test",
    "compared",
    "computed",
    "jointly",
    "measured",
    "positive",
    "refuted",
    "undecided",
    "violated",
]

# Chance that a correct package has any number that deviates, shared equally among at most so many tests.
FAMILY_WISE = 1e-2
TESTS = 250
THRESHOLD = FAMILY_WISE / TESTS

# Largest p-value at which a hypothesis counts as refuted where a claim says that it is wrong.
REFUTED = 1e-6


@short_repr
@dataclass(frozen=True)
class Number:
    """One number of a claim, beside the exact and the published one.

    Attributes
    ----------
    quantity : str
        Name, with its unit where it has one; hbar = m = 1 unless the claim says otherwise.
    verdict : Verdict
        OK or DEVIATES beside an exact value, CONSISTENT or VIOLATED of a test, NOT_RESOLVED where there is no number.
    sound : bool or None
        Whether the number supports the claim; None if it decides nothing.
    value, error, systematic : float or None
        The measured or computed number, its statistical and its systematic error. Errors of computed numbers are bounds
        of the numerical error, and systematic.
    exact : float or None
        Exact value of the same quantity.
    published, published_error : float or None
        The number of the paper, if it is known.
    p_value : float or None
        p-value of the test that gave the verdict.
    counted : bool
        Whether the verdict can be wrong by chance: the number is one of the tests of the family-wise chance.
    remark : str
        A witness, a reason, or how a published number was read.
    """

    quantity: str
    verdict: Verdict
    sound: bool | None
    value: float | None = None
    error: float | None = None
    systematic: float | None = None
    exact: float | None = None
    published: float | None = None
    published_error: float | None = None
    p_value: float | None = None
    counted: bool = False
    remark: str = ""

    @property
    def measured_text(self) -> str:
        """The number with its errors in brackets, such as 1.000(4); empty if there is none."""
        if self.value is None:
            return ""
        if not (self.error or self.systematic):
            return f"{self.value:.8g}"
        if not self.error:
            return format_value(self.value, self.systematic or 0.0)
        return format_value(self.value, self.error, self.systematic or 0.0)

    @property
    def exact_text(self) -> str:
        """The exact value with eight digits; empty if there is none."""
        return "" if self.exact is None else f"{self.exact:.8g}"

    @property
    def published_text(self) -> str:
        """The published number, with its error if the paper has one; empty if there is none."""
        if self.published is None:
            return ""
        if self.published_error:
            return format_value(self.published, self.published_error)
        return f"{self.published:.8g}"

    @property
    def verdict_text(self) -> str:
        """The verdict and the p-value behind it."""
        return str(self.verdict) + ("" if self.p_value is None else f", p = {self.p_value:.2g}")


@dataclass(frozen=True)
class Curve:
    """One curve of a figure: ``y`` against ``x``, with errors if they are measured.

    ``style`` is "line", "points", "dashed", "dotted", "crosses" or "bars".
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...] | None = None
    style: str = "line"

    @classmethod
    def of(cls, label: str, x: ArrayLike, y: ArrayLike | Estimate, style: str = "line") -> Curve:
        """A curve of arrays, or of an estimate with its total errors."""
        measured = isinstance(y, Estimate)
        return cls(
            label,
            _floats(x),
            _floats(y.value if isinstance(y, Estimate) else y),
            _floats(y.total_error) if isinstance(y, Estimate) else None,
            "points" if measured and style == "line" else style,
        )


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its curves; ``log`` has the letters of the logarithmic axes."""

    title: str
    xlabel: str
    ylabel: str
    curves: tuple[Curve, ...]
    log: str = ""
    limits: tuple[float, float] | None = None


@short_repr
@dataclass(frozen=True)
class Record:
    """Outcome of a claim.

    Attributes
    ----------
    setting : str
        Theory, sizes and times that were used.
    numbers : tuple of Number
    error : str
        Description of the errors.
    panels : tuple of Panel
        The figure; empty for none.
    caption : str
        Caption of the figure.
    notes : tuple of str
        Facts that a reader needs to interpret the numbers.
    """

    setting: str
    numbers: tuple[Number, ...]
    error: str
    panels: tuple[Panel, ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the claim.

        DEVIATES if any number contradicts it, NOT_RESOLVED if none decides, CONSISTENT if sampled numbers support it,
        and HOLDS if all are exact or refute what the claim says to be wrong.
        """
        if any(number.sound is False for number in self.numbers):
            return Verdict.DEVIATES
        if not any(number.sound for number in self.numbers):
            return Verdict.NOT_RESOLVED
        return Verdict.CONSISTENT if any(number.counted for number in self.numbers) else Verdict.HOLDS

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain data of JSON; numbers that are not finite are None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Record:
        """The record of ``to_dict``.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is none.
        """
        numbers = (Number(**{**n, "verdict": Verdict(n["verdict"])}) for n in kept["numbers"])
        panels = (
            Panel(
                **{
                    **p,
                    "curves": tuple(Curve(**{k: _numbers(v) for k, v in c.items()}) for c in p["curves"]),
                    "limits": _numbers(p["limits"]),
                }
            )
            for p in kept["panels"]
        )
        return cls(kept["setting"], tuple(numbers), kept["error"], tuple(panels), kept["caption"], tuple(kept["notes"]))


def compared(
    quantity: str, found: Estimate, exact: float, *, published: tuple[float, float] | None = None, remark: str = ""
) -> Number:
    """A measured number beside its exact value: Student's t-test of the pull, with the total error."""
    from scipy.special import stdtr

    p = float(2 * stdtr(found.n_blocks - 1, -abs(float(found.pull(exact)))))
    agrees = p > THRESHOLD
    return Number(
        quantity,
        Verdict.OK if agrees else Verdict.DEVIATES,
        agrees,
        float(found.value),
        float(found.error),
        float(found.systematic),
        exact=float(exact),
        published=None if published is None else published[0],
        published_error=None if published is None else published[1] or None,
        p_value=p,
        counted=True,
        remark=remark,
    )


def measured(
    quantity: str,
    found: Estimate,
    *,
    exact: float | None = None,
    published: tuple[float, float] | None = None,
    remark: str = "",
) -> Number:
    """A measured number that is not judged; it decides nothing."""
    return Number(
        quantity,
        Verdict.RESOLVED,
        None,
        float(found.value),
        float(found.error),
        float(found.systematic),
        exact=exact,
        published=None if published is None else published[0],
        published_error=None if published is None else published[1] or None,
        remark=remark,
    )


def below(found: Estimate, bound: float) -> float:
    """p-value of the hypothesis that a number is not below a bound, by Student's t-test."""
    from scipy.special import stdtr

    return float(stdtr(found.n_blocks - 1, float(found.pull(bound))))


def jointly(quantity: str, found: Estimate, exact: ArrayLike, *, remark: str = "") -> Number:
    """Several correlated numbers beside their exact values, by Hotelling's test."""
    return by_test(quantity, found.consistency(exact), remark=remark)


def by_test(quantity: str, p: float, *, value: float | None = None, remark: str = "") -> Number:
    """The verdict of a test whose hypothesis the claim asserts."""
    agrees = p > THRESHOLD
    verdict = Verdict.CONSISTENT if agrees else Verdict.DEVIATES
    return Number(quantity, verdict, agrees, value, p_value=float(p), counted=True, remark=remark)


def computed(
    quantity: str,
    value: float,
    exact: float,
    error: float,
    *,
    published: tuple[float, float] | None = None,
    remark: str = "",
) -> Number:
    """A number without noise beside its exact value; ``error`` bounds the numerical error of both."""
    agrees = bool(abs(value - exact) <= error)
    return Number(
        quantity,
        Verdict.OK if agrees else Verdict.DEVIATES,
        agrees,
        float(value),
        systematic=float(error),
        exact=float(exact),
        published=None if published is None else published[0],
        published_error=None if published is None else published[1] or None,
        remark=remark,
    )


def refuted(
    quantity: str, p: float, *, found: Estimate | None = None, exact: float | None = None, remark: str = ""
) -> Number:
    """The verdict of a test whose hypothesis the claim says to be wrong; it is refuted or nothing is decided."""
    wrong = p < REFUTED
    return Number(
        quantity,
        Verdict.VIOLATED if wrong else Verdict.NOT_RESOLVED,
        True if wrong else None,
        None if found is None else float(found.value),
        None if found is None else float(found.error),
        None if found is None else float(found.systematic),
        exact=exact,
        p_value=float(p),
        remark=remark,
    )


def positive(quantity: str, result: PositivityResult, exact: float | None = None) -> Number:
    """A test of reflection positivity of a theory that the claim says to be positive."""
    agrees = result.p_value > THRESHOLD
    return Number(
        quantity,
        Verdict.CONSISTENT if agrees else Verdict.VIOLATED,
        agrees,
        float(result.value.value),
        float(result.value.error),
        float(result.value.systematic),
        exact=exact,
        p_value=float(result.p_value),
        counted=True,
        remark="" if agrees else f"F = {result.witness}",
    )


def violated(quantity: str, result: PositivityResult, exact: float | None = None) -> Number:
    """A test of reflection positivity of a theory that the claim says to violate it, with the witness F."""
    p = 1.0 if result.heavy_tails else result.p_value
    return refuted(quantity, p, found=result.value, exact=exact, remark=f"F = {result.witness}")


def undecided(quantity: str, reason: str, *, published: tuple[float, float] | None = None) -> Number:
    """A quantity without a number, and why."""
    return Number(
        quantity,
        Verdict.NOT_RESOLVED,
        None,
        published=None if published is None else published[0],
        published_error=None if published is None else published[1] or None,
        remark=reason,
    )


def _floats(values: ArrayLike) -> tuple[float, ...]:
    return tuple(float(v) if math.isfinite(v) else math.nan for v in np.asarray(values, dtype=np.float64).ravel())


def _plain(value: Any) -> Any:
    """Data of JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(value: Any) -> Any:
    """A tuple of the numbers of a list of JSON, NaN for None."""
    return tuple(math.nan if v is None else v for v in value) if isinstance(value, list) else value
