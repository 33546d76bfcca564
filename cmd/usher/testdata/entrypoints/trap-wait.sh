#!/bin/bash
# The trap interrupts the first "wait"; the second one waits for the server to exit.
trap 'kill -TERM $child' TERM INT
"$@" &
child=$!
wait $child
trap - TERM INT
wait $child
echo "exited $?"
