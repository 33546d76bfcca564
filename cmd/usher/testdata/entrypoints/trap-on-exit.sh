#!/bin/bash
# A signal that has no trap terminates bash, which first runs the EXIT trap.
trap 'echo "cleaned up"' EXIT
"$@"
