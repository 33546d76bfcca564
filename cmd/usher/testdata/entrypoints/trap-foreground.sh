#!/bin/bash
# bash runs the trap only after the foreground command has exited.
cleanup() {
	echo "cleaned up"
	exit 0
}
trap cleanup TERM INT
"$@"
cleanup
