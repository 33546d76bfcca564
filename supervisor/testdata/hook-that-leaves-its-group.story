A hook's command has left its process group. It is terminated at its timeout nevertheless.

-- usher --
usher --pre-start 'timeout=1s hook' -- app
-- processes --
hook: moves to another group
-- trace --
      0s pre-start
      0s   fork hook TIME_LEFT=1
      1s   kill hook SIGTERM
      1s hook hook finished: timed out after 1s
      1s failed: pre-start: hook hook failed: timed out after 1s
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 125: pre-start: hook hook failed: timed out after 1s
