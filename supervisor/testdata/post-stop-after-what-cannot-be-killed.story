     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     9s deadline
     9s   kill app 9
   9.1s leftovers
   9.1s   kill app 15
   9.1s   kill app 18
   9.1s leftovers' deadline
   9.1s   kill app 9
   9.1s   kill app 9
   9.1s post-stop
   9.1s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=1
  10.1s report done: fine
  10.1s   kill app 9
 10.12s   kill app 9
 10.12s exit
 10.12s account: end 9.12s, drain 0s, stop 8.1s, leftovers 0s, post-stop 1s
 10.12s code 137: stopped by SIGTERM
