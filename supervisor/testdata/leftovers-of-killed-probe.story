The app exits while the command of a ready probe runs. The command and its child ignore
SIGTERM and get SIGKILL; the child takes a moment to exit. The log does not report the child
as a process that the app has left running, because usher itself has killed its group.

-- usher --
usher --ready 'timeout=0 check' -- app
-- processes --
app: exits 3 after 3s
check: ignores signals; children sleeper
sleeper: ignores signals; exits 20ms after SIGKILL
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      3s app exited 3
      3s   kill group of check SIGTERM
      4s   kill group of check SIGKILL
      4s exit
      4s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      4s exit code 3: <nil>
