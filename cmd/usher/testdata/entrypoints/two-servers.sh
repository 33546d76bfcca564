#!/bin/bash
# Two servers in one container, as in Docker's documentation.
node server.js &
node job.js &
wait -n
exit $?
