"""Noticing that training has gone wrong, in what is logged anyway."""

from collections.abc import Mapping
from typing import NamedTuple

from gen_jax.types import Alarm

ON_COLLAPSE = ("warn", "stop", "rollback")
"""What config.train.on_collapse may say: a line in the log; or the run ends; or it goes back to an earlier checkpoint
once, and ends the next time."""


class Trouble(NamedTuple):
    """What is wrong with a run, and what might mend it."""

    what: str
    fix: str


class Watch:
    """A family's alarms over the reports of a run, in order."""

    def __init__(self, alarms: Mapping[str, Alarm]):
        self.alarms = alarms
        self._counts = dict.fromkeys(alarms, 0)

    def look(self, step: int, row: Mapping[str, float]) -> Trouble | None:
        """The alarm that goes off with this report. It does once, and again only after the metric was within bounds.

        A metric that was not computed, or is not a number, changes nothing."""
        for name, alarm in self.alarms.items():
            value = row.get(name, float("nan"))
            if value != value:
                continue
            outside = not alarm.low <= value <= alarm.high
            self._counts[name] = self._counts[name] + 1 if outside else 0
            if self._counts[name] == alarm.patience:
                bound = f"below {alarm.low:g}" if value < alarm.low else f"above {alarm.high:g}"
                what = f"by step {step} {name} is {value:.3g}, {bound} in {alarm.patience} reports on end: {alarm.says}"
                return Trouble(what, f"What may help: {alarm.fix}")
        return None
