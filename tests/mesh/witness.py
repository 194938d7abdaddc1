"""A witness daemon for tests: infermesh-audit --witness in a folder of its own, on a free port."""
import json
import subprocess

import yaml

from mesh import BUILD, PATIENCE, Process, UnixConnection, free_port, wait_for

ORIGIN = "infermesh.local/log"  # of a mesh that is not told otherwise


class Witness:
    """infermesh-audit --witness in a folder of its own."""

    def __init__(self, folder, name, tls=False):
        self.name, self.folder = name, folder / name
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/w"
        self.admin = self.folder / "admin"
        self.config = {"mesh": {"run_dir": str(self.folder), "state_dir": str(self.folder / "s")},
                       "witness": {"listen": f"127.0.0.1:{self.port}", "prefix": "/w", "admin": f"unix:{self.admin}",
                                   "name": f"{name}.example/witness"}}
        if tls:
            self.certificate, key = self.folder / "cert.pem", self.folder / "tls.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=witness",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate],
                           check=True, capture_output=True, timeout=60)
            key.chmod(0o600)
            self.config["witness"].update(tls_cert=str(self.certificate), tls_key=str(key))
        self.path = self.folder / "witness.yaml"
        self.process = None
        self.save()
        done = subprocess.run([BUILD / "bin/infermesh", "audit", "witness", "keygen", "--json", "--config", self.path],
                              capture_output=True, text=True, timeout=60 * PATIENCE)
        assert done.returncode == 0, done.stderr
        self.vkey = json.loads(done.stdout)["vkey"]

    def save(self):
        self.path.write_text(yaml.safe_dump(self.config))

    def start(self, logs):
        """logs: {origin: verifier key}."""
        self.config["witness"]["logs"] = logs
        self.save()
        self.process = Process(self.name, [BUILD / "bin/infermesh-audit", "--witness", "--config", self.path], self.folder).start()
        wait_for(self.ready, f"{self.name} is ready")

    def page(self, path):
        conn = UnixConnection(self.admin)
        try:
            conn.request("GET", path)
            reply = conn.getresponse()
            return reply.status, reply.read().decode()
        finally:
            conn.close()

    def ready(self):
        assert self.process.alive(), self.process.log()
        try:
            return self.page("/readyz")[0] == 200 and self.page("/livez")[0] == 200
        except OSError:
            return False

    def stop(self):
        if self.process is None:
            return
        status, log = self.process.stop(), self.process.log()
        assert status in (0, -9), log
        assert "Sanitizer" not in log and "runtime error" not in log, log
