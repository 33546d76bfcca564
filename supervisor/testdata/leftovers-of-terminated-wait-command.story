The wait fails while the command of a probe runs. The command's child gets SIGTERM with the
command's process group, and no second stop signal as a leftover.

-- usher --
usher --grace 1s --wait 'within=1s check' -- app
-- processes --
check: children helper
helper: on a stop signal exits 2 after 300ms; is killed by a second stop signal
-- trace --
      0s wait
      0s   fork check
      1s   kill group of check SIGTERM
      1s failed: wait: check was not ready within 1s; check: no answer yet (1 attempt in 1s)
      1s leftovers
    1.3s orphan 3 exited 2
    1.3s exit
    1.3s shutdown took 300ms: drain 0s, stop 0s, leftovers 300ms, post-stop 0s
    1.3s exit code 124: wait: check was not ready within 1s; check: no answer yet (1 attempt in 1s)
