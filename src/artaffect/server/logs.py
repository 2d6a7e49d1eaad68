"""Logs as JSON, one object a line. No caption, no picture and no key is ever written."""

import json
import logging
import sys
from datetime import UTC, datetime

LOGGER = logging.getLogger("artaffect.server")


class JsonFormatter(logging.Formatter):
    """Time, level and message, with the fields that were given as ``extra={"fields": …}``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Send every line of the process to standard error: the service's own, and others' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    library = logging.getLogger("artaffect")  # the command line shows its messages as plain lines
    library.handlers.clear()
    library.propagate = True
    for name in (LOGGER.name, "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    # it quotes from forms that it cannot read; whoever sent one is told
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
