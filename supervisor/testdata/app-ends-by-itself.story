     0s start
     0s   fork app
     0s run
   1m0s app exited 9
   1m0s post-stop
   1m0s   fork report REASON=exit EXIT_CODE=9 TIME_LEFT=10
   1m1s report done: fine
   1m1s exit
   1m1s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
   1m1s code 9: <nil>
