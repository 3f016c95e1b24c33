"""Fan-out through AWS's Java programs: the asynchronous client of the SDK, and the Kinesis Client Library. See `java/`."""

import os
import subprocess

from harness import check, skip


def java(program, *arguments):
    runtime, libraries = os.environ.get("JAVA"), os.environ.get("JAVA_LIBRARIES")
    if not libraries:
        skip("needs a JDK (17 or later) and Maven: java, javac and mvn")
    source = os.path.join(os.path.dirname(__file__), "java", program + ".java")
    done = subprocess.run(
        [runtime, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", libraries + "/*", source, *arguments],
        capture_output=True, text=True, timeout=240, check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]


@check
def the_sdk_subscribes_over_http2_in_clear_text():
    java("Subscribe", os.environ["AWS_ENDPOINT_URL_KINESIS"])


@check
def the_sdk_subscribes_over_http2_with_tls():
    java("Subscribe", os.environ["KCL_TLS_ENDPOINT"], os.environ["KCL_TLS_TRUST"])


def kcl(retrieval):
    java("Kcl", os.environ["AWS_ENDPOINT_URL_KINESIS"], os.environ["AWS_ENDPOINT_URL_DYNAMODB"], retrieval)


@check
def the_kcl_reads_through_a_split_and_a_merge_by_fan_out():
    kcl("fanout")


@check
def the_kcl_reads_through_a_split_and_a_merge_by_polling():
    kcl("polling")
