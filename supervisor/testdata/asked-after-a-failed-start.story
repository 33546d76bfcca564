     0s start
     0s   fork app
     0s ready
     2s failed: ready: self has not said yes within 2s; self: no answer yet (1 attempt in 2s)
     2s drain
     7s delay over
     7s   fork leave REASON=ready APP_PID=1 TIME_LEFT=5
     8s leave done: fine
     8s   fork flush REASON=ready APP_PID=1 TIME_LEFT=4
     9s flush done: fine
     9s stop
     9s   kill app 15
    11s app exited 0
    11s post-stop
    11s   fork report REASON=ready EXIT_CODE=124 TIME_LEFT=10
    12s report done: fine
    12s exit
    12s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    12s code 124: ready: self has not said yes within 2s; self: no answer yet (1 attempt in 2s)
     1s ready? 1s: not ready yet: ready
   2.5s ready? 2.5s: stopping
