"""deploy/systemd: the units are what systemd takes without a word, and as confined as they claim."""
import re
import subprocess

import pytest

from mesh import BUILD, DAEMONS, ROOT

UNITS = ROOT / "deploy/systemd"
SERVICES = sorted(p.name for p in UNITS.glob("*.service"))


def systemd(*argv):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)


@pytest.fixture
def installed(tmp_path):
    """The units, with the programs of this build in place of those in /usr/bin."""
    for unit in UNITS.iterdir():
        if unit.suffix in (".service", ".target"):
            (tmp_path / unit.name).write_text(unit.read_text().replace("ExecStart=/usr/bin/", f"ExecStart={BUILD}/bin/"))
    return tmp_path


def test_there_is_a_unit_for_each_daemon():
    programs = {re.search(r"^ExecStart=/usr/bin/(\S+)", (UNITS / s).read_text(), re.M).group(1) for s in SERVICES}
    assert programs == {f"infermesh-{d}" for d in DAEMONS}


def test_systemd_analyze_verify_is_clean(installed):
    units = [installed / "infermesh.target", *(installed / s.replace("@", "@demo") for s in SERVICES)]
    (installed / "infermesh-worker@demo.service").symlink_to(installed / "infermesh-worker@.service")
    done = systemd("systemd-analyze", "--man=no", "verify", *units)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "infermesh" in line]
    assert done.returncode == 0 and said == [], done.stdout + done.stderr


def test_systemd_analyze_verify_would_find_a_mistake(installed):
    unit = installed / "infermesh-cache.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=very"))
    done = systemd("systemd-analyze", "--man=no", "verify", unit)
    assert "Failed to parse protect system value" in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_units_are_confined(installed, service):
    done = systemd("systemd-analyze", "security", "--offline=yes", "--threshold=15", installed / service)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr


def test_accounts_and_folders_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    for database in ("passwd", "group"):
        (tmp_path / "etc" / database).write_text("root:x:0:0:root:/root:/bin/sh\n" if database == "passwd" else "root:x:0:\n")
    done = systemd("systemd-sysusers", f"--root={tmp_path}", UNITS / "infermesh.sysusers")
    assert done.returncode == 0, done.stderr
    assert "infermesh:" in (tmp_path / "etc/passwd").read_text()
    done = systemd("systemd-tmpfiles", "--create", f"--root={tmp_path}", UNITS / "infermesh.tmpfiles")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/infermesh").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var/lib/infermesh").stat().st_mode & 0o777 == 0o700
