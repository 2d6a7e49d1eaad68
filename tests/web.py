"""A small web server on the loopback address, for tests of what is requested."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """What a server answers by path, and what it was asked."""

    address: str = ""
    pages: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    """An answer; or several, one for each request, the last one for all that follow."""
    requests: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)
    """The path, time and headers of each request."""

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.requests]

    def answer(self, path: str) -> Answer:
        page = self.pages.get(path, (404, {}, b"nothing here"))
        if isinstance(page, list):
            return page.pop(0) if len(page) > 1 else page[0]
        return page


@contextlib.contextmanager
def serve_site() -> Iterator[Site]:
    """Answer requests until the block ends."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.requests.append((self.path, time.monotonic(), dict(self.headers)))
            status, headers, body = site.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
