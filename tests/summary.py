#!/usr/bin/env python3
"""tests/summary.py FOLDER - add up the JUnit files of a test run. A skipped test is a failed one. Exits 1 on any failure."""
import pathlib
import sys
import xml.etree.ElementTree as ET


def main():
    passed = failed = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.xml")):
        for suite in ET.parse(path).iter("testsuite"):
            tests = int(suite.get("tests", 0))
            bad = sum(int(suite.get(k, 0)) for k in ("failures", "errors", "skipped", "disabled"))
            print(f"{path.stem}: {tests - bad} passed, {bad} failed")
            passed, failed = passed + tests - bad, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
