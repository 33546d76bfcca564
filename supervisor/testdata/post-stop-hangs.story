     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     2s app exited 0
     2s post-stop
     2s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=9
    11s   kill group of report 15
    11s report done: its time within --grace is over
    11s more skipped
    11s   kill group of report 9
    11s exit
    11s account: end 10s, drain 0s, stop 1s, leftovers 0s, post-stop 9s
    11s code 0: stopped by SIGTERM
