"""A full disk is a 507 and no more: nothing corrupt, nothing left over, and it works again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# A mount that no other process sees, and that goes with the process.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=3m tmpfs "$1" && cp "$2" "$1/descend.db" &&
head -c 500000 /dev/zero > "$1/ballast" && exec "$3" -m tests.storage.full_disk "$1" "$1/ballast"
"""


def may_mount(namespace: list[str]) -> bool:
    tried = [*namespace, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


def test_a_full_disk_loses_nothing_and_leaves_nothing(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    if may_mount(namespace):
        script = [*namespace, "sh", "-c", ON_A_SMALL_DISK, "sh"]
        command = [*script, str(disk), str(migrated_sqlite), sys.executable]
    else:
        shutil.copy(migrated_sqlite, disk / "descend.db")
        command = [sys.executable, "-m", "tests.storage.full_disk", str(disk), str(disk / "none")]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["answered"] > 0
    assert seen["put_is_refused"]
    assert seen["left_over"] == seen["artefacts"] == []
    assert seen["works_again"]
    assert seen["all_there"]
    assert seen["quick_check"] == "ok"
    assert seen["rows"] == seen["answered"] + 1
