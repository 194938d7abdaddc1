"""infermesh-load, from tests: run it to its end, or in the background while the test breaks things."""
import json
import subprocess

from mesh import BUILD, PATIENCE

STREAM = '{"model":"instant","stream":true,"messages":[{"role":"user","content":"question %d"}]}'
WHOLE = '{"model":"instant","messages":[{"role":"user","content":"question %d"}]}'


class Load:
    def __init__(self, mesh, requests, connections, body=STREAM, cancel=0.0, cancel_ms=100, seed=1, timeout_ms=60000, rate=0,
                 ledger=None):
        self.proc = subprocess.Popen(
            [str(BUILD / "bench/infermesh-load"), "-n", str(requests), "-c", str(connections), "-k", mesh.key, "-b", body,
             "-r", str(rate), "-x", str(cancel), "-m", str(cancel_ms), "-s", str(seed), "-w", str(int(timeout_ms * PATIENCE)),
             *(["-l", str(ledger)] if ledger else []), f"127.0.0.1:{mesh.port}"], stdout=subprocess.PIPE, text=True)

    def result(self, seconds=300):
        out, _ = self.proc.communicate(timeout=seconds * PATIENCE)
        assert self.proc.returncode == 0
        return json.loads(out)


def load(mesh, requests, connections, **kwargs):
    return Load(mesh, requests, connections, **kwargs).result()
