Without --grace a post-start hook has one second after a stop signal.

-- usher --
usher --post-start register -- app
-- processes --
app: on a stop signal exits 0
register: ignores signals
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
      1s hook register is interrupted, may run for 1s
      2s   kill group of register SIGKILL
      2s hook register finished: interrupted by SIGTERM: its share of --grace is used up
      2s stop
      2s   kill app SIGTERM
      2s app exited 0
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 0: stopped by SIGTERM
