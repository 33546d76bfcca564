#!/bin/bash
# A shell that was stopped by a signal is to end by that signal.
stop() {
	kill -TERM "$child"
	trap - TERM
	kill -TERM $$
}
trap stop TERM
"$@" &
child=$!
wait "$child"
