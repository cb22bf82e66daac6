"""Make Kubernetes' PrometheusRule from Prometheus' own rules: ``python deploy/prometheus/build.py``."""

from pathlib import Path
from textwrap import indent

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules" / "tickline.yaml"
TARGET = FOLDER.parent / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"

_HEAD = """# Made by deploy/prometheus/build.py from deploy/prometheus/rules/tickline.yaml: change the rules there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tickline
  namespace: stock-prediction
  labels:
    app.kubernetes.io/name: tickline
spec:
"""


def render(rules: str) -> str:
    """Return the PrometheusRule as YAML."""
    return _HEAD + indent(rules, "  ")


if __name__ == "__main__":
    TARGET.write_text(render(RULES.read_text()))
