     0s wait
     1s asked to stop by 1
     1s post-stop
     1s   fork report REASON=signal SIGNAL=SIGHUP EXIT_CODE=129 TIME_LEFT=10
     2s report done: fine
     2s exit
     2s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     2s code 129: stopped by SIGHUP
