#!/bin/bash
# The shell kills itself with the same signal, so that its exit status shows the reason.
stop() {
	kill -TERM "$child"
	trap - TERM
	kill -TERM $$
}
trap stop TERM
"$@" &
child=$!
wait "$child"
