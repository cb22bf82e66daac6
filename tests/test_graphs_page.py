"""The page of graphs names what the compiled engine reads, and nothing else."""

import re
from pathlib import Path

from runtime.compiled.arrays import MAX_COLUMNS
from runtime.compiled.forest import MAX_DEPTH
from runtime.compiled.lowering import HANDLERS, VERSIONS
from runtime.compiled.program import MAX_STEPS, MAX_TOTAL_COLUMNS
from runtime.compiled.protobuf import MAX_MESSAGES
from runtime.graph_rules import MAX_NODES

PAGE = (Path(__file__).parent.parent / "docs" / "graphs.md").read_text()


def test_the_page_names_every_operator_and_version() -> None:
    found = set()
    for domain, versions in VERSIONS.items():
        lead = f"Domain `{domain}`, versions {versions.start} to {versions.stop - 1}:\n"
        assert lead in PAGE
        table = PAGE.split(lead)[1].strip().split("\n\n")[0]
        for row in table.splitlines()[2:]:
            found |= {(domain, operator) for operator in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert found == set(HANDLERS)


def test_the_page_states_the_bounds() -> None:
    table = PAGE.split("## Bounds\n\n")[1].split("\n\n")[0]
    stated = [int(row.split("|")[2].replace(",", "")) for row in table.splitlines()[2:]]
    assert stated == [MAX_COLUMNS, MAX_TOTAL_COLUMNS, MAX_STEPS, MAX_DEPTH, MAX_MESSAGES]
    assert f"- more than {MAX_NODES:,} nodes." in PAGE
