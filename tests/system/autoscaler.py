"""The HorizontalPodAutoscaler's rules, as Kubernetes documents them: a simulation, because there is no API server.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, sections "Algorithm details" and
"Configurable scaling behavior".
"""

import math
from collections import deque
from typing import Any

TOLERANCE = 0.1
"""Kubernetes' default of --horizontal-pod-autoscaler-tolerance."""


def desired_replicas(current: int, total: float, target: float) -> int:
    """Return how many replicas a metric asks for: its total over its target a pod, unless it is nearly met."""
    if abs(total / current / target - 1.0) <= TOLERANCE:
        return current
    return math.ceil(total / target)


class Autoscaler:
    """An autoscaler with its bounds and policies.

    Parameters
    ----------
    spec : dict
        The `spec` of a HorizontalPodAutoscaler.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._low, self._high = spec["minReplicas"], spec["maxReplicas"]
        self._up, self._down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
        self.replicas: int = self._low
        self._recommended: deque[tuple[float, int]] = deque()
        self._history: list[tuple[float, int]] = [(0.0, self._low)]

    def step(self, now: float, total: float, target: float) -> int:
        """Take a metric at a time in seconds, and return the number of replicas."""
        wanted = min(self._high, max(self._low, desired_replicas(self.replicas, total, target)))
        self._recommended.append((now, wanted))
        stable_up = min(self._within(now, self._up))
        stable_down = max(self._within(now, self._down))
        if stable_up > self.replicas:
            self.replicas = min(stable_up, self._limit(now, self._up, self._at_most))
        elif stable_down < self.replicas:
            self.replicas = max(stable_down, self._limit(now, self._down, self._at_least))
        self._history.append((now, self.replicas))
        return self.replicas

    def _within(self, now: float, rules: dict[str, Any]) -> list[int]:
        window = rules["stabilizationWindowSeconds"]
        return [wanted for moment, wanted in self._recommended if moment >= now - window]

    def _limit(self, now: float, rules: dict[str, Any], bound: Any) -> int:
        choose = {"Max": max, "Min": min}[rules["selectPolicy"]]
        changes = [bound(self._before(now - each["periodSeconds"]), each) for each in rules["policies"]]
        if rules is self._down:  # a policy that changes least leaves most replicas
            choose = {"Max": min, "Min": max}[rules["selectPolicy"]]
        limit: int = choose(changes)
        return limit

    def _before(self, moment: float) -> int:
        """Return the number of replicas at the start of a period."""
        return next((count for then, count in reversed(self._history) if then <= moment), self._history[0][1])

    @staticmethod
    def _at_most(start: int, policy: dict[str, Any]) -> int:
        value: int = policy["value"]
        return start + value if policy["type"] == "Pods" else math.ceil(start * (1 + value / 100))

    @staticmethod
    def _at_least(start: int, policy: dict[str, Any]) -> int:
        value: int = policy["value"]
        return start - value if policy["type"] == "Pods" else math.floor(start * (1 - value / 100))
