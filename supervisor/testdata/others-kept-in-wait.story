     0s wait
     1s signal 10 kept
     2s db yes
   2.5s signal 28 kept
     3s auth yes
     3s start
     3s   fork app
     3s   kill app 10
     3s   kill app 28
     3s run
    20s asked to stop by 15
    20s drain
    25s delay over
    25s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=5
    26s leave done: fine
    26s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=4
    27s flush done: fine
    27s stop
    27s   kill app 15
    29s app exited 0
    29s post-stop
    29s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
    30s report done: fine
    30s exit
    30s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    30s code 0: stopped by SIGTERM
