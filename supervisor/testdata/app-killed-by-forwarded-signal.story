A forwarded SIGQUIT, which is no stop signal here, kills the app. The shutdown is that of an
app that exits by itself, and the log suggests --stop-on.

-- usher --
usher --grace 1s --post-stop report -- app
-- processes --
report: exits 0 after 1ns
-- events --
5s QUIT
-- trace --
      0s start
      0s   fork app
      0s run
      5s   kill app SIGQUIT
      5s app was killed by SIGQUIT
      5s hint: --stop-on SIGQUIT
      5s post-stop
      5s   fork report REASON=exit EXIT_CODE=131 TIME_LEFT=1
5.000000001s hook report finished: ok
5.000000001s exit
5.000000001s shutdown took 1ns: drain 0s, stop 0s, leftovers 0s, post-stop 1ns
5.000000001s exit code 131: <nil>
