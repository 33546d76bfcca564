     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     5s asked to stop by 15
     5s   kill group of migrate 15
     5s migrate done: stopped by SIGTERM
     5s post-stop
     5s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=10
     6s report done: fine
     6s exit
     6s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     6s code 143: stopped by SIGTERM
