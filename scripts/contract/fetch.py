"""Writes what an address answers into a file."""

import sys
import urllib.request

address, file = sys.argv[1:]
with urllib.request.urlopen(address, timeout=10) as answer, open(file, "wb") as output:
    output.write(answer.read())
