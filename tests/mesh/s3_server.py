"""An S3-compatible object store for tests (tests/s3), which checks signatures: on a free port of this host, in memory, stopped by its pid.
tests/s3/build.sh builds it."""
import http.client
import subprocess

from mesh import ROOT, free_port, wait_for

PROGRAM = ROOT / "build/s3/infermesh-s3"


class S3Server:
    access, secret, bucket = "AKIDTESTS", "a+secret/of=tests", "answers"

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/{self.bucket}/of/tests"
        self.proc = None

    def start(self):
        self.proc = subprocess.Popen([str(PROGRAM), str(self.port), self.access, self.secret, self.bucket],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.tell("well") is not None, "the object store answers")
        return self

    def tell(self, mode):
        """See tests/s3/main.go; what it answers, None if it does not."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            conn.request("GET", f"/-/{mode}")
            return conn.getresponse().read().decode()
        except OSError:
            return None
        finally:
            conn.close()

    def objects(self):
        return int(self.tell("objects"))

    def kill(self):
        if self.proc is not None:
            self.proc.kill()
            self.proc.wait(10)
            self.proc = None
