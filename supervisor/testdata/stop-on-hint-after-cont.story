systemd sends SIGCONT after the stop signal of a unit (KillSignal=SIGQUIT). The log suggests
--stop-on for SIGQUIT, and not for SIGCONT.

-- usher --
usher --grace 1s -- app
-- processes --
app: ignores signals; exits 0 after 7s
-- events --
5s QUIT
5.1s CONT
-- trace --
      0s start
      0s   fork app
      0s run
      5s   kill app SIGQUIT
    5.1s   kill app SIGCONT
      7s app exited 0
      7s hint: --stop-on SIGQUIT
      7s exit
      7s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      7s exit code 0: <nil>
