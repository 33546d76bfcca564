#!/bin/bash
# As in Docker's documentation.
node server.js &
node job.js &
wait -n
exit $?
