#!/bin/bash
# The second "wait" is for the server's own end.
trap 'kill -TERM $child' TERM INT
"$@" &
child=$!
wait $child
trap - TERM INT
wait $child
echo "exited $?"
