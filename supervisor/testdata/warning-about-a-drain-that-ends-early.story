The drain may need more time than --grace leaves for it. The warning says how much --grace
it would need.

-- usher --
usher --grace 10s --drain-delay 7s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s warning: the drain may need 7s, but must end after 5s: of the grace period of 10s, 5s are reserved for the app and 0s for post-stop; all of it would need 14s
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      6s delay over
      6s stop
      6s   kill app SIGTERM
      7s app exited 0
      7s exit
      7s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
      7s exit code 0: stopped by SIGTERM
