     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     2s app exited 0
     2s post-stop
     2s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=3
     5s   kill group of report 15
     6s   kill group of report 9
     6s report done: timed out after 3s
     6s   fork more REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
6.000000001s more done: fine
6.000000001s exit
6.000000001s account: end 5.000000001s, drain 0s, stop 1s, leftovers 0s, post-stop 4.000000001s
6.000000001s code 0: stopped by SIGTERM
