#!/bin/sh
set -e
"$@"
echo "$1 exited"
