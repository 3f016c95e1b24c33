"""All checks, in order. See `run`."""

import sys

import aggregates  # noqa: F401  (registers its checks)
import boto3_dynamodb  # noqa: F401
import boto3_kinesis  # noqa: F401
import boto3_subscription  # noqa: F401
import cli_dynamodb  # noqa: F401
import cli_kinesis  # noqa: F401
import java_kinesis  # noqa: F401
import javascript_kinesis  # noqa: F401
from harness import run_all

if __name__ == "__main__":
    sys.exit(1 if run_all(*sys.argv[1:2]) else 0)
