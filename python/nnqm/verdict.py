"""The verdicts of the package: one enumeration for all results."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Verdict"]


class Verdict(StrEnum):
    """What a result says about itself; equal to its text, ``Verdict.RESOLVED == "resolved"``, and shown as it.

    **Levels** (``spectrum``, ``hidden_spectrum``, methods of ``OneCorrelator``): RESOLVED, NOISE, BASIS_LIMITED,
    PLATEAU, ABOVE_UNRESOLVED; of all levels of paths that have none, NOT_STATIONARY, IRREVERSIBLE, SLOWER_TAIL and
    FEW_BLOCKS.

    **Limits dt -> 0** (``commutator``, ``momentum_squared``, ``uncertainty``): CANONICAL, C_NUMBER, OPERATOR,
    KINKED_OPERATOR, CONVERGED; without a value, or with one that is no operator of quantum mechanics, SMOOTH, NEGATIVE,
    FRACTIONAL, CONSTANT, DIVERGES_KINKED, DIVERGES_FRACTIONAL, NOT_CONVERGED and LOST_IN_NOISE.

    **Reflection positivity**: CONSISTENT, VIOLATED and UNDECIDED (``reflection_positivity``, on paths);
    POSITIVE_BY_CONSTRUCTION, POSITIVE_ON_GRID and VIOLATED (``positivity_certificate``, on exact functions).

    **Correlations over long times** (``clustering``): CLUSTERS, DOES_NOT_CLUSTER.

    **Properties** (``check``): HOLDS, FAILS and UNKNOWN; CONSISTENT and VIOLATED where paths or a grid were looked at.

    **Rows of a report** (``analyse``): any of these; and OK, DEVIATES and UPPER_BOUND of a number beside the exact one,
    NOT_RESOLVED and NOT_TESTED where there is no number, with a reason.
    """

    RESOLVED = "resolved"  # the number may be used, with its error
    NOISE = "noise"  # no signal, or an error too large
    BASIS_LIMITED = "basis-limited"  # an upper bound of a gap only: it still moves with t0 or with more observables
    PLATEAU = "plateau"  # no decay within the paths
    ABOVE_UNRESOLVED = "above unresolved"  # a level below it is not resolved, so that its number is unknown
    NOT_STATIONARY = "not stationary"  # observables drift along the paths or from block to block
    IRREVERSIBLE = "irreversible"  # the paths differ from their time reversal
    SLOWER_TAIL = "slower tail"  # the two-point function decays more slowly than the lowest level
    FEW_BLOCKS = "few blocks"  # errors too uncertain for a verdict

    CANONICAL = "canonical"  # [x, p] = i hbar within errors
    C_NUMBER = "c-number"  # a number other than i hbar
    OPERATOR = "operator"  # it fluctuates, as for x = f(y)
    KINKED_OPERATOR = "operator (kinked)"  # the same, approached as the root of dt
    SMOOTH = "none (smooth)"  # differentiable paths: the commutator vanishes
    FRACTIONAL = "none (fractional)"  # exponent between 1/2 and 1: it vanishes more slowly
    CONSTANT = "none (constant)"  # the channel does not move
    NEGATIVE = "negative (smooth)"  # <p^2> of differentiable paths, p = i m dx/dt
    DIVERGES_KINKED = "diverges (kinked)"  # <p^2> grows as the inverse root of dt
    DIVERGES_FRACTIONAL = "diverges (fractional)"  # paths are rougher, or for <p^2> also smoother, than Brownian ones
    CONVERGED = "converged"  # what is left of the dt dependence is in the systematic error
    NOT_CONVERGED = "not converged"  # it is more than can be bounded: a smaller dt is needed
    LOST_IN_NOISE = "not resolved (noise)"  # <p^2> is not positive by three errors

    CONSISTENT = "consistent"  # nothing that was looked at contradicts
    VIOLATED = "violated"  # a functional of negative norm, or a test at its level
    UNDECIDED = "undecided"  # the test alarms, but its functional has heavy tails
    POSITIVE_BY_CONSTRUCTION = "positive by construction"  # weights and energies are not negative
    POSITIVE_ON_GRID = "positive on the grid"  # which no finite grid turns into a proof

    CLUSTERS = "clusters"  # correlations decay, as far as can be told
    DOES_NOT_CLUSTER = "does not cluster"  # they do not within the paths

    HOLDS = "holds"  # known, or proved within rounding
    FAILS = "fails"  # known, or proved within rounding
    UNKNOWN = "unknown"  # nothing decides

    OK = "ok"  # agrees with the exact value
    DEVIATES = "deviates"  # differs from the exact value beyond chance
    UPPER_BOUND = "an upper bound only"  # a resolved level above the exact gap: x shows too little of the inputs
    NOT_RESOLVED = "not resolved"  # no number that may be used
    NOT_TESTED = "not tested"  # a test could not be made

    def __repr__(self) -> str:
        return repr(self.value)
