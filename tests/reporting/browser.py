"""A page in headless Chromium, over the pipe of its debugging protocol: nothing else has to be installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


class Browser:
    """A browser with one page; use it in a `with` statement.

    Attributes:
      said: errors and warnings of the console.
      requests: addresses that the page asked for, its own and data: left out.
    """

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self.home = tempfile.mkdtemp(prefix="chromium")
        theirs, ours = os.pipe()
        back, answers = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--remote-debugging-pipe", "--disable-background-networking", "--hide-scrollbars"]
        # The protocol reads from descriptor 3 and writes to 4.
        shell = f'exec "$0" "$@" 3<&{theirs} 4>&{answers}'
        command = ["bash", "-c", shell, CHROMIUM, *flags, f"--user-data-dir={self.home}", "about:blank"]
        self.process = subprocess.Popen(
            command, pass_fds=(theirs, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(answers)
        self._to, self._from = os.fdopen(ours, "wb"), os.fdopen(back, "rb")
        self._number, self._session = 0, None
        self.said: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: Any) -> None:
        self._to.close()  # the browser ends with its pipe
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._from.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer; events on the way are looked at."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        found = bytearray()
        while (letter := self._from.read(1)) != b"\0":
            assert letter, "the browser has gone"
            found += letter
        answer: dict[str, Any] = json.loads(found)
        params = answer.get("params", {})
        if answer.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.said.append(params["entry"]["text"])
        elif answer.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.said.append(json.dumps(params)[:300])
        elif answer.get("method") == "Network.requestWillBeSent":
            address = params["request"]["url"]
            if not address.startswith(("data:", "file:")):
                self.requests.append(address)
        self.last = answer.get("method")
        return answer

    def open(self, file: Path, *, width: int, height: int = 900, dark: bool = False, paper: bool = False) -> None:
        """Open a page in a window of a size, in light or dark, or as on paper."""
        narrow = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=narrow)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])
        self.call("Page.navigate", url=file.resolve().as_uri())
        self.last = None
        while self.last != "Page.loadEventFired":
            self._read()

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, file: Path, *, top: int = 0, height: int | None = None) -> None:
        """Write a PNG of the page, or of a part of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        tall = size["height"] - top if height is None else height
        clip = {"x": 0, "y": top, "width": size["width"], "height": tall, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(answer["data"]))
