Reading /proc takes too long, so usher does not know which processes are in the app's group
when the group gets the stop signal. These processes get no second stop signal.

-- usher --
usher --grace 10s --group -- app
-- machine --
reading /proc takes 300ms
-- processes --
app: children worker
worker: on a stop signal exits 0 after 2s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
    1.1s   kill group of app SIGTERM
    1.1s app was killed by SIGTERM
    1.1s leftovers
    3.1s orphan 3 exited 0
    3.1s exit
    3.1s shutdown took 2.1s: drain 0s, stop 100ms, leftovers 2s, post-stop 0s
    3.1s exit code 143: stopped by SIGTERM
