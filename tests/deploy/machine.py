"""A machine of its own whose process 1 is systemd (boot.sh), and what is said to it."""
import pathlib
import subprocess

from mesh import PATIENCE, ROOT, wait_for

HERE = pathlib.Path(__file__).resolve().parent


class Machine:
    def __init__(self):
        self.unshare = subprocess.Popen([HERE / "boot.sh", ROOT], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.group = pathlib.Path(self.unshare.stdout.readline().strip())
        self.init = None
        try:
            wait_for(self._booted, "systemd has booted", 60, 0.05)
        except Exception as failure:
            self.stop()
            raise AssertionError(f"systemd did not boot: {self.group}\n{self.unshare.stdout.read()[-3000:]}") from failure

    def _booted(self):
        assert self.unshare.poll() is None, "it ended"
        children = pathlib.Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text().split()
        if not children or pathlib.Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self.init = int(children[0])
        if not pathlib.Path(f"/proc/{self.init}/root/run/systemd/private").exists():
            return False
        return self.run("systemctl", "is-active", "basic.target", check=False).stdout == "active\n"

    def run(self, *argv, check=True, **kwargs):
        """A program in the machine."""
        enter = ["nsenter", "-t", self.init, "-m", "-u", "-i", "-n", "-p", "-C", "-r", f"-w{ROOT}", "env", "-i",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        done = subprocess.run([str(a) for a in [*enter, *argv]], capture_output=True, text=True, timeout=90 * PATIENCE, **kwargs)
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def show(self, unit, name):
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def journal(self):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", "200", check=False).stdout[-12000:]

    def stop(self):
        self.unshare.kill()
        self.unshare.wait(30)
        folders = [p for p in self.group.rglob("*") if p.is_dir()]

        def gone():
            try:
                for folder in sorted([*folders, self.group], key=lambda p: -len(p.parts)):
                    if folder.exists():
                        folder.rmdir()
            except OSError:  # a process of it is still on its way out
                return False
            return True
        if self.group.is_dir():
            wait_for(gone, "its group is empty", 30, 0.05)
