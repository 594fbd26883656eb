"""Parses a bundle with the stix2 library; prints objects, seconds and peak memory in bytes."""
import resource
import sys
import time
import warnings

import stix2

warnings.simplefilter("ignore")
started = time.monotonic()
with open(sys.argv[1], encoding="utf-8") as file:
    bundle = stix2.parse(file, allow_custom=True)
print(len(bundle.objects), time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
