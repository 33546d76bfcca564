     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
   7.2s orphan 2 exited 0
     8s self yes
     8s post-start
     8s   fork register APP_PID=4
   8.2s orphan 3 exited 0
     9s register done: fine
     9s run
    30s asked to stop by 15
    30s drain
    35s delay over
    35s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=4 TIME_LEFT=5
    36s leave done: fine
    36s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=4 TIME_LEFT=4
  36.3s orphan 7 exited 0
    37s flush done: fine
    37s stop
    37s   kill app 15
    39s app exited 0
    39s leftovers
    39s   kill o4 15
    39s   kill o4 18
    40s orphan 9 exited 0
    40s post-stop
    40s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
    41s report done: fine
    41s exit
    41s account: end 11s, drain 7s, stop 2s, leftovers 1s, post-stop 1s
    41s code 0: stopped by SIGTERM
