     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
     8s self yes
     8s post-start
     8s   fork register APP_PID=2
     9s register done: exit status 1
     9s failed: post-start: hook register failed: exit status 1
     9s drain
    14s delay over
    14s   fork leave REASON=post-start APP_PID=2 TIME_LEFT=5
    15s leave done: fine
    15s   fork flush REASON=post-start APP_PID=2 TIME_LEFT=4
    16s flush done: fine
    16s stop
    16s   kill app 15
    18s app exited 0
    18s post-stop
    18s   fork report REASON=post-start EXIT_CODE=125 TIME_LEFT=10
    19s report done: fine
    19s exit
    19s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    19s code 125: post-start: hook register failed: exit status 1
