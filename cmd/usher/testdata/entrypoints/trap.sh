#!/bin/sh
# The trap interrupts "wait", so the script exits before the server does.
trap 'kill -TERM $child' TERM
"$@" &
child=$!
wait $child
