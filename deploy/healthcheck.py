"""Exit with 0 where the server of this container is ready; needs the standard library alone."""

import os
import sys
from http.client import HTTPConnection, HTTPException

connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "5000")), timeout=2)
try:
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"not ready: {error}")
sys.exit(0 if status == 200 else f"not ready: status {status}")
