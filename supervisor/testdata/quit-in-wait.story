     0s wait
     1s asked to stop by 3
     1s post-stop
     1s   fork report REASON=signal SIGNAL=SIGQUIT EXIT_CODE=131 TIME_LEFT=10
     2s report done: fine
     2s exit
     2s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     2s code 131: stopped by SIGQUIT
