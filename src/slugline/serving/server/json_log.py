"""JSON log lines."""

from __future__ import annotations

import datetime
import json
import logging


class JsonFormatter(logging.Formatter):
    """Formats each record as a line of JSON, with the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {"time": time.isoformat(timespec="milliseconds"), "level": record.levelname}
        line["message"] = record.getMessage()
        if hasattr(record, "request_id"):
            line["request_id"] = record.request_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
