     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     5s asked to stop by 15
     5s   kill group of migrate 15
     6s   kill group of migrate 9
     6s migrate done: stopped by SIGTERM
     6s post-stop
     6s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=10
     7s report done: fine
     7s exit
     7s account: end 2s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     7s code 143: stopped by SIGTERM
