After a stop signal a running post-start hook gets SIGTERM and may use the drain's share of
the budget. The drain and the stop follow.

-- usher --
usher --grace 10s --post-start register --drain leave -- app
-- processes --
app: on a stop signal exits 0
register: on a stop signal exits 1 after 2s
leave: exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s post-start
      0s   fork register APP_PID=2
      1s received SIGTERM
      1s   kill register SIGTERM
      1s   kill register SIGCONT
      1s hook register is interrupted, may run for 5s
      3s hook register finished: interrupted by SIGTERM: exit status 1
      3s drain
      3s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=3
      4s hook leave finished: ok
      4s stop
      4s   kill app SIGTERM
      4s app exited 0
      4s exit
      4s shutdown took 3s: drain 1s, stop 0s, leftovers 0s, post-stop 0s
      4s exit code 0: stopped by SIGTERM
