A post-start hook ignores the SIGTERM after a stop signal. It gets SIGKILL when the drain's
share of --grace is used up.

-- usher --
usher --grace 10s --post-start register --drain leave -- app
-- processes --
app: on a stop signal exits 0
register: ignores signals
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
      6s   kill group of register SIGKILL
      6s hook register finished: interrupted by SIGTERM: its share of --grace is used up
      6s drain
      6s hook leave skipped: no time left
      6s stop
      6s   kill app SIGTERM
      6s app exited 0
      6s exit
      6s shutdown took 5s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      6s exit code 0: stopped by SIGTERM
