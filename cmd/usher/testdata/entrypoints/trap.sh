#!/bin/sh
# "wait" returns as soon as the trap has run, so the script exits before the
# server does.
trap 'kill -TERM $child' TERM
"$@" &
child=$!
wait $child
