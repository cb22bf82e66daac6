"""The ahead-of-time build: what it makes, that it replaces in one move, and what it says when it fails."""

import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from features_fast import TicklineError
from features_fast import build as build_module
from features_fast.build import FEATURE_TARGETS, TARGETS, Source, build, main
from features_fast.library import feature_targets, library_path, load, targets


def test_every_target_of_this_machine_is_built() -> None:
    assert set(targets()) <= {target for machine in TARGETS.values() for target in machine}
    assert set(feature_targets()) <= {target for machine in FEATURE_TARGETS.values() for target in machine}


def test_a_library_needs_nothing_but_the_c_library(folder: Path) -> None:
    for target in feature_targets():
        path = library_path(target, folder)
        assert path.stat().st_size < 200_000
        # A process without Python's symbols can load it.
        code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).features_fast_rows"
        subprocess.run([sys.executable, "-S", "-E", "-c", code, str(path)], check=True)
        symbols = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True, check=True).stdout
        assert [line for line in symbols.splitlines() if "Py" in line or "umba" in line or "NRT" in line] == []


def test_the_command_builds_all_and_prints_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_module, "build", lambda target, folder, source: library_path(target, folder))
    assert main([str(tmp_path)]) == 0
    expected = [str(library_path(target, tmp_path)) for target in feature_targets()]
    assert set(expected) <= set(capsys.readouterr().out.split())


def test_a_rebuild_replaces_the_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = feature_targets()[0]
    path = library_path(target, tmp_path)
    path.write_bytes(library_path(target, folder).read_bytes())
    loaded, before = load(path), path.stat().st_ino

    def quick(command: list[str], environment: dict[str, str]) -> None:
        """Link a copy instead of compiling again."""
        if command[0] == "cc":
            Path(command[command.index("-o") + 1]).write_bytes(path.read_bytes())

    monkeypatch.setattr(build_module, "_run", quick)
    assert build(target, tmp_path) == path
    assert path.stat().st_ino != before
    assert load(path).backend == loaded.backend
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_every_function_gets_the_attributes() -> None:
    source = "define void @f() #0 { ret void } define void @g() #1 { ret void }"
    module = llvm.parse_assembly(f"{source} attributes #0 = {{ nounwind }} attributes #1 = {{ noinline nounwind }}")
    text = str(build_module.attributed(module, 'alignstack=64 "tune-cpu"="znver4"'))
    lines = [line for line in text.splitlines() if line.startswith("attributes")]
    assert len(lines) == 2
    assert all("nounwind" in line and "alignstack=64" in line and '"tune-cpu"="znver4"' in line for line in lines)


def test_no_register_of_a_kernel_is_stored_across_two_cache_lines(folder: Path) -> None:
    unaligned = re.compile(r"vmovu\w+ +%[yz]mm\d+,-?\w*\(%rsp\)")
    aligned = re.compile(r"vmova\w+ +%[yz]mm\d+,-?\w*\(%rsp\)")
    for target in set(feature_targets()) & {"x86-64-v4", "x86-64-v3"}:
        code = subprocess.run(
            ["objdump", "-d", str(library_path(target, folder))], capture_output=True, text=True, check=True
        ).stdout
        # What is left are copies of a few numbers that never were in the loops.
        assert len(unaligned.findall(code)) < len(aligned.findall(code)) / 10


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    expected = "x86-64-v4, x86-64-v3, x86-64, aarch64"
    with pytest.raises(TicklineError, match=f"^target: expected one of {expected}, not sparc$"):
        build("sparc", tmp_path)


def test_a_missing_linker_is_named(tmp_path: Path) -> None:
    with pytest.raises(TicklineError, match=r"^build: no-such-linker is needed and not installed$"):
        build_module._run(["no-such-linker"], {})


def test_a_failure_is_one_line_and_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(target: str, folder: Path, source: Source) -> Path:
        build_module._run([sys.executable, "-c", "raise SystemExit('no space left')"], {})
        return folder

    monkeypatch.setattr(build_module, "build", fail)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"build: {sys.executable} failed: no space left\n"
