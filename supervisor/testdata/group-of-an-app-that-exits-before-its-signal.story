A forwarded SIGQUIT ends the app while usher reads /proc, before it sends the stop signal. So
the app's group does not get the stop signal, and the app's child gets it as a leftover.

-- usher --
usher --grace 10s --group -- app
-- machine --
reading /proc takes 80ms
-- processes --
app: children child
child: ignores signals
-- events --
1s TERM
1040ms QUIT
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
   1.04s   kill group of app SIGQUIT
   1.04s app was killed by SIGQUIT
   1.08s leftovers
   1.16s   kill child SIGTERM
   1.16s   kill child SIGCONT
   1.16s leftovers get SIGTERM: child
     11s leftovers get SIGKILL at the deadline
     11s   kill everything SIGKILL
     11s orphan 3 was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 80ms, leftovers 9.92s, post-stop 0s
     11s exit code 131: stopped by SIGTERM
