"""Runs checks one after another and counts them. A check is a function; its name is the sentence that is printed."""

import json
import subprocess
import sys
import time
import traceback

CHECKS = []


def check(function):
    """Registers a check."""
    CHECKS.append(function)
    return function


class Skipped(Exception):
    """A check cannot run here."""


def skip(reason):
    """Ends a check that cannot run here, and says why."""
    raise Skipped(reason)


def run_all(word=""):
    """Runs the checks whose name contains `word`. Returns how many failed."""
    passed = failed = skipped = 0
    for function in CHECKS:
        name = f"{function.__module__}: {function.__name__.replace('_', ' ')}"
        if word not in name:
            continue
        started = time.monotonic()
        try:
            function()
        except Skipped as reason:
            skipped += 1
            print(f"SKIPPED {name}: {reason}")
        except Exception:
            failed += 1
            print(f"FAILED {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            passed += 1
            print(f"ok     {name} ({time.monotonic() - started:.1f} s)")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed


def aws(*arguments):
    """Calls the AWS CLI; returns its JSON output, None if there is none."""
    done = subprocess.run(
        ["aws", *arguments, "--output", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"aws {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def error_code(call, **arguments):
    """The error code of a boto3 call that must fail."""
    try:
        call(**arguments)
    except call.__self__.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call.__name__} did not fail")
