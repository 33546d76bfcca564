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
    10s asked to stop by 15
    10s   kill group of register 15
  10.5s register done: stopped by SIGTERM
  10.5s drain
  15.5s delay over
  15.5s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
  16.5s leave done: fine
  16.5s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=3
  17.5s flush done: fine
  17.5s stop
  17.5s   kill app 15
  19.5s app exited 0
  19.5s post-stop
  19.5s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
  20.5s report done: fine
  20.5s exit
  20.5s account: end 10.5s, drain 7s, stop 2s, leftovers 0s, post-stop 1s
  20.5s code 0: stopped by SIGTERM
