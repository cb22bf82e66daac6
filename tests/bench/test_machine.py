"""What a machine is called in headings, and what tells it from others of the same name."""

from pathlib import Path

import pytest

from bench import machine

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu avx2 {flags}

processor\t: 1
model name\t: another one
"""
NEOVERSE = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a test describes its processor."""
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "32K"), (1, "Instruction", "64K"), (2, "Unified", "1024K"), (3, "Unified", "32768K")]
    ):
        cache = tmp_path / "cache" / f"index{index}"
        cache.mkdir(parents=True)
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (cache / name).write_text(f"{value}\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_CACHES", tmp_path / "cache")
    return tmp_path


def test_generations_of_one_name_are_told_apart(described: Path) -> None:
    found = []
    for family, model, flags in ((25, 17, "avx512f"), (26, 2, "avx512f"), (25, 1, "")):
        (described / "cpuinfo").write_text(EPYC.format(family=family, model=model, flags=flags))
        assert machine.processor() == "AMD EPYC"
        found.append(machine.identity())
    caches = "L1 32 KiB, L2 1024 KiB, L3 32768 KiB"
    assert found == [
        f"AMD EPYC, family 25, model 17, stepping 1, avx512f, {caches}",
        f"AMD EPYC, family 26, model 2, stepping 1, avx512f, {caches}",
        f"AMD EPYC, family 25, model 1, stepping 1, avx2, {caches}",
    ]


def test_caches_tell_machines_apart(described: Path) -> None:
    (described / "cpuinfo").write_text(EPYC.format(family=25, model=17, flags=""))
    assert machine.caches() == {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}
    before = machine.identity()
    (described / "cache" / "index3" / "size").write_text("16384K\n")
    assert machine.identity() != before


def test_a_processor_without_a_name_has_its_parts(described: Path) -> None:
    (described / "cpuinfo").write_text(NEOVERSE)
    assert machine.processor() == "unknown"
    assert machine.identity().startswith(
        "unknown, implementer 0x41, architecture 8, variant 0x3, part 0xd0c, revision 1, L1 32 KiB"
    )


def test_this_machine_is_described() -> None:
    made = machine.describe("x")
    assert made["identity"].startswith(f"{made['processor']}, ")
    assert machine.identity() == machine.identity()
