"""A web server on this machine that counts what it is asked, and breaks off when a test wants it to."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Web:
    """Serves `files` by path; `asked` are the requests (path, Range header), `sent` the bytes of their answers.

    `ranges` says whether it can begin in the middle, `break_after` after how many bytes it breaks off, once.
    """

    def __init__(self):
        self.files, self.asked, self.sent = {}, [], 0
        self.ranges, self.break_after = True, None
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.answer(self)

            def log_message(self, *given):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        self.asked.append((request.path, request.headers.get("Range")))
        assert request.headers.get("Accept-Encoding") == "identity" or request.path.startswith("/simple/")
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1]) if self.ranges else 0
        if start >= len(content):
            request.send_error(416)
            return
        body = content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.break_after is not None and self.break_after < len(body):
            body, self.break_after = body[: self.break_after], None
            request.close_connection = True
        request.wfile.write(body)
        self.sent += len(body)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    served = Web()
    yield served
    served.stop()


@pytest.fixture
def heard():
    """What progress has told, and `heard.tell` to tell it."""

    class Heard(list):
        def tell(self, what, done, whole):
            self.append((what, done, whole))

    return Heard()


@pytest.fixture
def wheel(web, monkeypatch):
    """Puts a wheel with these members on the index, the environment's own; returns its SHA-256."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{web.url}/simple/")

    def publish(members, name="tiny-models", version="1.2", hashed=None):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        sha256 = hashed or hashlib.sha256(buffer.getvalue()).hexdigest()
        listing = {
            "meta": {"api-version": "1.1"},
            "files": [
                {"filename": f"{name}-{version}.tar.gz", "url": "../../files/a.tar.gz", "hashes": {"sha256": sha256}},
                {"filename": file, "url": f"../../files/{file}", "hashes": {"sha256": sha256}},
            ],
        }
        web.files[f"/simple/{name}/"] = json.dumps(listing).encode()
        web.files[f"/files/{file}"] = buffer.getvalue()
        return sha256

    return publish
