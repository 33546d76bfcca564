A hook is stopped before usher knows its pid, and times out. A stop is no exit, so the hook
gets SIGTERM, and SIGKILL a second later.

-- usher --
usher --grace 10s --pre-start 'timeout=1s migrate' -- app
-- processes --
migrate: is stopped after 100ms; its start is reported 2s later; on a stop signal exits 1 after 100ms
app: exits 0 after 1s
-- trace --
      0s pre-start
      0s   fork migrate TIME_LEFT=1
      2s   kill group of migrate SIGTERM
    2.1s hook migrate finished: timed out after 1s
    2.1s failed: pre-start: hook migrate failed: timed out after 1s
      3s   kill group of migrate SIGKILL
      3s exit
      3s shutdown took 900ms: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      3s exit code 125: pre-start: hook migrate failed: timed out after 1s
