A probe's command cannot be signalled, because it runs as another user. Its timeout applies
nevertheless, and no second command is started.

-- usher --
usher --wait-timeout 2500ms --wait 'timeout=1s check' -- app
-- processes --
check: runs as another user
-- trace --
      0s wait
      0s   fork check
      1s   kill group of check SIGTERM: not permitted
      1s cannot send SIGTERM to check: operation not permitted
      2s   kill group of check SIGKILL: not permitted
    2.5s failed: wait: timed out after 2.5s; check: the command of an earlier attempt is still running (pid 2) (some attempts in 2.5s)
    2.5s exit
    2.5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    2.5s exit code 124: wait: timed out after 2.5s; check: the command of an earlier attempt is still running (pid 2) (some attempts in 2.5s)
