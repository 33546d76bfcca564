#!/bin/bash
# bash runs the trap only when the command in the foreground has exited.
cleanup() {
	echo "cleaned up"
	exit 0
}
trap cleanup TERM INT
"$@"
cleanup
