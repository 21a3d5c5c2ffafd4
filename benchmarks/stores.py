"""Send a checkpoint to a server on loopback that takes all and keeps nothing, and measure it.

python benchmarks/stores.py [--gigabytes 2]

The same bytes are sent from a file too, by the same library, in turns; medians of three.
"""

from __future__ import annotations

import argparse
import http.server
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SEND = """
import sys
from pathlib import Path
from glorot_cli.formats.remote import Remote
path = Path(sys.argv[1])
with path.open("rb") as file, Remote(sys.argv[2]).writer(path.stat().st_size) as writer:
    while data := file.read(1 << 21):
        writer.write(data)
"""


class Sink(http.server.BaseHTTPRequestHandler):
    """Answer as S3 does, and keep nothing."""

    protocol_version = "HTTP/1.1"
    rbufsize = 1 << 20

    def _answered(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Say that nothing is there."""
        self._answered(404)

    def do_PUT(self) -> None:
        """Take a part."""
        left = int(self.headers["Content-Length"])
        buffer = memoryview(bytearray(1 << 20))
        while left:
            left -= self.rfile.readinto(buffer[: min(left, len(buffer))])
        self._answered(200, ETag='"x"')

    def do_POST(self) -> None:
        """Begin and complete an upload."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = "Initiate" if "uploads" in self.path else "Complete"
        names = "<Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId><ETag>x</ETag>"
        root = f"{kind}MultipartUploadResult"
        self._answered(200, f"<{root}>{names}</{root}>".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def run(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Run a command; return how long it took, and the most memory that it had, in kB."""
    start = time.monotonic()
    with subprocess.Popen(command, env=environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    return time.monotonic() - start, usage.ru_maxrss


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    rows = int(parser.parse_args().gigabytes * 1e9 / 4 / 4096 / 10)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "a",
        "AWS_REGION": "us-east-1",
    }
    shape = f"{{shape: [{rows}, 4096], axes: OI, initializer: glorot_uniform, repeat: {{i: 10}}}}"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        spec = Path(folder) / "s.yaml"
        spec.write_text(f'seed: 1\ntensors:\n  "w{{i}}": {shape}\n')
        glorot = [sys.executable, "-m", "glorot_cli", "init", str(spec), "-q", "-o"]
        file = f"{folder}/w.safetensors"
        run([*glorot, file], environment)
        url = "s3://bucket/w.safetensors"
        drawn, sent = [], []
        for _ in range(3):
            drawn.append(run([*glorot, url], environment))
            sent.append(run([sys.executable, "-c", SEND, file, url], environment))
        size = Path(file).stat().st_size / 1e9
    ours, theirs = (statistics.median(each[0] for each in times) for times in (drawn, sent))
    most = max(each[1] for each in drawn) / 1e3
    print(
        f"{size:.2f} GB: drawn and sent {ours:.2f} s, sent from a file {theirs:.2f} s, "
        f"ratio {ours / theirs:.2f}; most memory {most:.0f} MB"
    )


if __name__ == "__main__":
    main()
