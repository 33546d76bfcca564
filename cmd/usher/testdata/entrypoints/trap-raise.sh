#!/bin/bash
# The shell ends by the same signal, so that its parent sees the reason.
stop() {
	kill -TERM "$child"
	trap - TERM
	kill -TERM $$
}
trap stop TERM
"$@" &
child=$!
wait "$child"
