     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
    16s leave done: fine
    16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
    17s flush done: fine
    17s stop
    17s   kill app 15
    19s app exited 0
    19s post-stop
    19s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
    20s report done: fine
    20s exit
    20s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    20s code 0: stopped by SIGTERM
