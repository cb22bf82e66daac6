"""The lock files of peers."""

from bench.peer_environments import lock_file, versions


def test_lock_files_have_hashes_and_no_addresses() -> None:
    for peer in ("fastapi", "granian", "flask"):
        text = lock_file(peer).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert versions(peer, ("numpy",)).keys() == {"numpy"}
