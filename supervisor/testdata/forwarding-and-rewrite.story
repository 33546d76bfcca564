Signals are forwarded to the app, changed by --rewrite. A rewrite to 0 drops the signal.

-- usher --
usher --grace 10s --rewrite HUP:USR1 --rewrite WINCH:0 -- app
-- processes --
app: on a stop signal exits 0
-- events --
1s HUP
2s WINCH
3s USR1
4s RTMIN+6
5s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGUSR1
      2s SIGWINCH dropped
      3s   kill app SIGUSR1
      4s   kill app SIGRTMIN+6
      5s received SIGTERM
      5s stop
      5s   kill app SIGTERM
      5s app exited 0
      5s exit
      5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 0: stopped by SIGTERM
