"""Exit with 0 where the server of this container is ready, by its environment; needs the standard library alone."""

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

host = os.environ.get("HOST", "0.0.0.0")
address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(os.environ.get("PORT", "5000"))
connection = HTTPConnection(*address, timeout=2)
if os.environ.get("TLS_CERT_FILE"):
    # Whether it is ready is asked; whether it is the right one, callers ask by the name that they know it by.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection(*address, timeout=2, context=context)
try:
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"not ready: {error}")
sys.exit(0 if status == 200 else f"not ready: status {status}")
