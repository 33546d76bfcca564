     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
   7.1s self yes
   7.1s post-start
   7.1s   fork register APP_PID=2
   8.1s register done: fine
   8.1s run
    22s readiness: self: out of order
  31.1s readiness: fine
    40s asked to stop by 15
    40s drain
    45s delay over
    45s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
    46s leave done: fine
    46s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
    47s flush done: fine
    47s stop
    47s   kill app 15
    49s app exited 0
    49s post-stop
    49s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
    50s report done: fine
    50s exit
    50s account: end 10s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
    50s code 0: stopped by SIGTERM
     1s ready? 1s: not ready yet: wait
     8s ready? 8s: fine
  10.5s ready? 10.6s: fine
  19.8s ready? 19.9s: fine
  20.2s ready? 20.2s: fine
  20.8s ready? 20.8s: fine
  21.9s ready? 22s: self: out of order
    22s ready? 22s: self: out of order
    31s ready? 31.1s: fine
 39.95s ready? 40s: stopping
  40.5s ready? 40.5s: stopping
  45.5s ready? 45.5s: stopping
  47.5s ready? 47.5s: stopping
