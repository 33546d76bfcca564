The app exits while the command of a ready probe runs. The command has no handler for
SIGTERM and exits; its child takes a moment to exit. The log does not report that child as a
process that the app has left running, because usher itself is terminating its group.

-- usher --
usher --ready 'timeout=0 check' -- app
-- processes --
app: exits 3 after 3s
check: children sleeper
sleeper: on a stop signal exits 0 after 20ms
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      3s app exited 3
      3s   kill group of check SIGTERM
      3s   kill group of sleeper SIGKILL
      3s orphan 4 was killed by SIGKILL
      3s exit
      3s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      3s exit code 3: <nil>
