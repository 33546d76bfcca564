SIGKILL does not end a probe's command. The wait still ends in time, and no second command
of this target is started meanwhile.

-- usher --
usher --wait-timeout 10s --wait 'timeout=1s check' -- app
-- processes --
check: cannot be killed
-- trace --
      0s wait
      0s   fork check
      1s   kill group of check SIGTERM
      2s   kill group of check SIGKILL
      5s still waiting for 1
     10s failed: wait: timed out after 10s; check: the command of an earlier attempt is still running (pid 2) (some attempts in 10s)
     10s exit
     10s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     10s exit code 124: wait: timed out after 10s; check: the command of an earlier attempt is still running (pid 2) (some attempts in 10s)
