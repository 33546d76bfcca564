     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    11s leave done: fine
    11s until nobody is connected for 2s
  15.9s quiet: 0 connected, fine
  15.9s stop
  15.9s   kill app 15
  17.9s app exited 0
  17.9s exit
  17.9s account: end 7.9s, drain 5.9s, stop 2s, leftovers 0s, post-stop 0s
  17.9s code 0: stopped by SIGTERM
