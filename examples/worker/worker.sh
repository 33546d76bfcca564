#!/bin/sh
# A job after another, until SIGUSR1 says that it is enough. SIGTERM, which has no
# trap, would end it in the middle of a job.
trap enough=1 USR1
job=0
until [ "$enough" ]; do
	job=$((job + 1))
	echo "job $job begins"
	sleep 3
	echo "job $job done"
done
# The report is sent by another process, which SIGTERM does not end.
trap '' TERM
(sleep 2; echo "report sent") &
