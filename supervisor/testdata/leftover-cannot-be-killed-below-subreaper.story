A subreaper does not wait for long for a process that SIGKILL does not end.

-- machine --
not PID 1
-- usher --
usher --grace 4s -- app
-- processes --
app: exits 0 after 1s; daemons server
server: cannot be killed
-- events --
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s leftovers
      1s still running: server
      1s   kill server SIGTERM
      1s   kill server SIGCONT
      1s leftovers get SIGTERM: server
      3s leftovers get SIGKILL at the deadline
      3s   kill everything SIGKILL
   3.05s   kill everything SIGKILL
   3.15s   kill everything SIGKILL
   3.35s   kill everything SIGKILL
    3.7s exit
    3.7s shutdown took 2.7s: drain 0s, stop 0s, leftovers 2.7s, post-stop 0s
    3.7s exit code 0: <nil>
