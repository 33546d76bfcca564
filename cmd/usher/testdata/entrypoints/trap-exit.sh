#!/bin/bash
stop() {
	echo "stopping"
	kill -TERM "$child"
	exit 0
}
trap stop TERM INT
"$@" &
child=$!
wait "$child"
