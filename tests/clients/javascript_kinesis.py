"""Fan-out through the AWS SDK for JavaScript. See `javascript/`."""

import os
import subprocess

from harness import check, skip


@check
def the_sdk_subscribes_over_http2_in_clear_text():
    folder = os.environ.get("JAVASCRIPT")
    if not folder:
        skip("needs Node.js (20 or later) and npm")
    done = subprocess.run(
        [os.environ["NODE"], "--no-warnings", "subscribe.mjs", os.environ["AWS_ENDPOINT_URL_KINESIS"]],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr
