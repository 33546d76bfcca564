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
     9s register done: fine
     9s run
    30s asked to stop by 15
    30s drain
    35s delay over
    35s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
    36s leave done: fine
    36s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
    37s flush done: fine
    37s stop
    37s   kill app 15
    39s app exited 0
    39s post-stop
    39s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
    40s report done: fine
    40s exit
    40s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    40s code 0: stopped by SIGTERM
