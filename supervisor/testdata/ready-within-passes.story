     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
     9s failed: ready: self has not said yes within 2s; self: no answer yet (1 attempt in 2s)
     9s drain
    14s delay over
    14s   fork leave REASON=ready APP_PID=2 TIME_LEFT=5
    15s leave done: fine
    15s   fork flush REASON=ready APP_PID=2 TIME_LEFT=4
    16s flush done: fine
    16s stop
    16s   kill app 15
    18s app exited 0
    18s post-stop
    18s   fork report REASON=ready EXIT_CODE=124 TIME_LEFT=10
    19s report done: fine
    19s exit
    19s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    19s code 124: ready: self has not said yes within 2s; self: no answer yet (1 attempt in 2s)
