"""What one run may spend. `Budget.parse` is the only reader."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from harness.ledger.errors import BadInput


class Unit(StrEnum):
    """What a budget counts."""

    SECONDS = "s"
    ITERATIONS = "it"
    FLOPS = "FLOP"


SECONDS_IN = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FLOPS_IN = {"G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
EXPECTED = "expected 90s, 45m, 8h, 2d, '40k it', '2 EFLOP' or '40k it of kd' (also '0.5x of 40k it of kd')"

MOST = {Unit.SECONDS: 3650.0 * 86400, Unit.ITERATIONS: 1e9, Unit.FLOPS: 1e24}
"""More than one run can spend: a slip of the pen, found before anything is measured for it."""

TIME = re.compile(r"^(?P<number>[0-9.]+)\s*(?P<unit>[smhd])$")
ITERATIONS = re.compile(r"^(?P<number>[0-9.]+)\s*(?P<thousand>k?)\s*it(?:\s+of\s+(?P<anchor>[a-z0-9_]+))?$")
FLOPS = re.compile(r"^(?P<number>[0-9.]+)\s*(?P<prefix>[GTPE])FLOP$")
MULTIPLE = re.compile(r"^(?P<factor>[0-9.]+)x\s+of\s+(?P<rest>.+)$")
BARE_MULTIPLE = re.compile(r"^[0-9.]+x$")


@dataclass(frozen=True)
class Budget:
    """An amount of seconds, iterations or floating-point operations, for one run.

    With an `anchor` the amount is the time that the anchor method needs for so many iterations on the device at hand.
    """

    amount: float
    unit: Unit
    anchor: str | None = None
    text: str = ""

    @staticmethod
    def parse(text: str) -> "Budget":
        """The budget that a person wrote; its `text` says the same in the program's spelling."""
        written = " ".join(text.split())
        multiple = MULTIPLE.match(written)
        if multiple is None:
            return _spendable(_single(written, text), text)
        whole, factor = _single(multiple["rest"], text), multiple["factor"]
        amount = _amount(factor, whole.amount, text)
        return _spendable(replace(whole, amount=amount, text=f"{_spelled(factor)}x of {whole.text}"), text)

    @staticmethod
    def parse_list(text: str) -> "tuple[Budget, ...]":
        """Several budgets, comma-separated; `0.5x, 1x of 40k it of kd` shares what follows the last `of`."""
        parts = [part.strip() for part in text.split(",")]
        last = MULTIPLE.match(" ".join(parts[-1].split()))
        if last:
            parts = [f"{part} of {last['rest']}" if BARE_MULTIPLE.match(part) else part for part in parts]
        budgets = tuple(Budget.parse(part) for part in parts)
        if len({(budget.amount, budget.unit, budget.anchor) for budget in budgets}) < len(budgets):
            raise BadInput(f"--budget: {text!r} names a budget twice")
        return budgets

    @property
    def canonical(self) -> str:
        """The same for every way of writing the same amount: `60s` for `1m`."""
        amount = f"{self.amount:.12g}{'' if self.unit is Unit.SECONDS else ' '}{self.unit}"
        return f"{amount} of {self.anchor}" if self.anchor else amount

    @property
    def is_time(self) -> bool:
        """Whether the budget comes down to seconds on the clock."""
        return self.unit is Unit.SECONDS or self.anchor is not None

    def seconds(self, anchor_cost: float | None) -> float | None:
        """The budget in seconds, given the anchor's seconds per iteration; None when it is not a time."""
        if self.unit is Unit.SECONDS:
            return self.amount
        if self.anchor is not None and anchor_cost is not None:
            return self.amount * anchor_cost
        return None


def _single(written: str, text: str) -> Budget:
    """A budget that is no multiple of another."""
    if time := TIME.match(written):
        amount = _amount(time["number"], SECONDS_IN[time["unit"]], text)
        return Budget(amount, Unit.SECONDS, text=f"{_spelled(time['number'])}{time['unit']}")
    if iterations := ITERATIONS.match(written):
        thousand, anchor = iterations["thousand"], iterations["anchor"]
        amount = _amount(iterations["number"], 1000 if thousand else 1, text)
        spelled = f"{_spelled(iterations['number'])}{thousand} it" + (f" of {anchor}" if anchor else "")
        return Budget(amount, Unit.ITERATIONS, anchor, spelled)
    if flops := FLOPS.match(written):
        amount = _amount(flops["number"], FLOPS_IN[flops["prefix"]], text)
        return Budget(amount, Unit.FLOPS, text=f"{_spelled(flops['number'])} {flops['prefix']}FLOP")
    raise _no_budget(text)


def _spendable(budget: Budget, text: str) -> Budget:
    """The budget; BadInput for one that no run ever spends."""
    if budget.amount > MOST[budget.unit]:
        most = "at most 3650d, '1000000k it' or '1000000 EFLOP'"
        raise BadInput(f"--budget: {text!r} is more than one run can spend: expected {most}")
    return budget


def _amount(number: str, scale: float, text: str) -> float:
    """The product, decimal until the end: 2.01k is 2010 and not a hair less."""
    try:
        amount = float(Decimal(number) * Decimal(scale))
    except (InvalidOperation, OverflowError):
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise _no_budget(text)
    return amount


def _spelled(number: str) -> str:
    """`0.5` for `.50`: one amount has one spelling, so that it has one track."""
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _no_budget(text: str) -> BadInput:
    return BadInput(f"--budget: {text!r} is no budget: {EXPECTED}")
