#!/bin/sh
# Does one job after another until SIGUSR1. SIGTERM has no trap here and would kill it in
# the middle of a job.
trap enough=1 USR1
job=0
until [ "$enough" ]; do
	job=$((job + 1))
	echo "job $job begins"
	sleep 3
	echo "job $job done"
done
# Another process, which ignores SIGTERM, sends the report.
trap '' TERM
(sleep 2; echo "report sent") &
