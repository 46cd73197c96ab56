"""The enumeration of the verdicts of all results."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Verdict"]


class Verdict(StrEnum):
    """Verdict on a result: a string, equal to its text, for example ``Verdict.RESOLVED == "resolved"``.

    **Levels** (``spectrum``, ``hidden_spectrum``, methods of ``OneCorrelator``): RESOLVED, NOISE, BASIS_LIMITED,
    PLATEAU, CONTINUUM and ABOVE_UNRESOLVED. If the paths allow no levels, all levels have one of NOT_STATIONARY,
    IRREVERSIBLE, SLOWER_TAIL and FEW_BLOCKS.

    **Limits dt -> 0** (``commutator``, ``momentum_squared``, ``uncertainty``): CANONICAL, C_NUMBER, OPERATOR,
    KINKED_OPERATOR and CONVERGED. A limit without a value, or with a value that belongs to no operator of quantum
    mechanics, has one of SMOOTH, NEGATIVE, FRACTIONAL, CONSTANT, DIVERGES_KINKED, DIVERGES_FRACTIONAL, NOT_CONVERGED
    and LOST_IN_NOISE.

    **Reflection positivity**: CONSISTENT, VIOLATED and UNDECIDED (``reflection_positivity``, on paths);
    POSITIVE_BY_CONSTRUCTION, POSITIVE_ON_GRID and VIOLATED (``positivity_certificate``, on exact functions).

    **Correlations over long times** (``clustering``): CLUSTERS and DOES_NOT_CLUSTER.

    **Properties** (``check``): HOLDS, FAILS and UNKNOWN; CONSISTENT and VIOLATED if paths or a grid were tested.

    **Rows of a report** (``analyse``): all of these, and further ones. A number beside an exact value can have OK,
    DEVIATES or UPPER_BOUND. A row without a number can have NOT_RESOLVED or NOT_TESTED, with a reason.
    """

    RESOLVED = "resolved"  # the value may be used, with its error
    NOISE = "noise"  # no signal, or too large an error
    BASIS_LIMITED = "basis-limited"  # only an upper bound of a gap: it still changes with t0 or with more observables
    PLATEAU = "plateau"  # no decay within the paths
    ABOVE_UNRESOLVED = "above unresolved"  # a lower level is not resolved, so that the number of this level is unknown
    NOT_STATIONARY = "not stationary"  # observables drift along the paths or from block to block
    IRREVERSIBLE = "irreversible"  # the paths differ from their time reversal
    SLOWER_TAIL = "slower tail"  # the two-point function decays more slowly than the lowest level
    CONTINUUM = "continuum"  # above the last bound state of the Hamiltonian
    FEW_BLOCKS = "few blocks"  # errors too uncertain for a verdict

    CANONICAL = "canonical"  # [x, p] = i hbar within errors
    C_NUMBER = "c-number"  # a number other than i hbar
    OPERATOR = "operator"  # the commutator fluctuates, as for x = f(y) with a nonlinear f
    KINKED_OPERATOR = "operator (kinked)"  # it fluctuates, and the limit is approached as sqrt(dt)
    SMOOTH = "none (smooth)"  # differentiable paths: the commutator vanishes
    FRACTIONAL = "none (fractional)"  # roughness exponent between 1/2 and 1: the commutator vanishes more slowly
    CONSTANT = "none (constant)"  # the channel does not move
    NEGATIVE = "negative (smooth)"  # <p^2> of differentiable paths, p = i m dx/dt
    DIVERGES_KINKED = "diverges (kinked)"  # <p^2> grows as 1/sqrt(dt)
    DIVERGES_FRACTIONAL = "diverges (fractional)"  # paths are rougher, or for <p^2> also smoother, than Brownian ones
    CONVERGED = "converged"  # the systematic error contains the remaining dt dependence
    NOT_CONVERGED = "not converged"  # the remaining dt dependence is too large: use a smaller dt
    LOST_IN_NOISE = "not resolved (noise)"  # <p^2> does not exceed zero by three errors

    CONSISTENT = "consistent"  # no test contradicts
    VIOLATED = "violated"  # a functional has a negative norm, or a p-value is below its level
    UNDECIDED = "undecided"  # the p-value is below its level, but the functional has heavy tails
    POSITIVE_BY_CONSTRUCTION = "positive by construction"  # weights and energies are not negative
    POSITIVE_ON_GRID = "positive on the grid"  # no proof of positivity at all times

    CLUSTERS = "clusters"  # the data do not contradict a decay of correlations
    DOES_NOT_CLUSTER = "does not cluster"  # correlations do not decay within the paths

    HOLDS = "holds"  # known, or proved within rounding
    FAILS = "fails"  # known, or proved within rounding
    UNKNOWN = "unknown"  # no fact and no test decides

    OK = "ok"  # agrees with the exact value
    DEVIATES = "deviates"  # differs from the exact value beyond chance
    UPPER_BOUND = "an upper bound only"  # a resolved level above the exact gap: x determines the inputs too poorly
    NOT_RESOLVED = "not resolved"  # no value may be used
    NOT_TESTED = "not tested"  # no test was possible

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def tone(self) -> str:
        """The colour of a badge: "good" needs no attention, "bad" contradicts a theory, an axiom or an exact value."""
        return "good" if self in _GOOD else "bad" if self in _BAD else "open"


_GOOD = {
    Verdict.OK, Verdict.RESOLVED, Verdict.CONSISTENT, Verdict.HOLDS, Verdict.CANONICAL, Verdict.CONVERGED,
    Verdict.CLUSTERS, Verdict.POSITIVE_BY_CONSTRUCTION, Verdict.POSITIVE_ON_GRID,
}  # fmt: skip
_BAD = {Verdict.DEVIATES, Verdict.VIOLATED, Verdict.FAILS}
