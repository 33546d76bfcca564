#!/bin/bash
# A signal without a trap of its own ends bash at once, after this one.
trap 'echo "cleaned up"' EXIT
"$@"
