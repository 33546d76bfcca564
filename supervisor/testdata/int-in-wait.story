     0s wait
     1s asked to stop by 2
     1s post-stop
     1s   fork report REASON=signal SIGNAL=SIGINT EXIT_CODE=130 TIME_LEFT=10
     2s report done: fine
     2s exit
     2s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     2s code 130: stopped by SIGINT
