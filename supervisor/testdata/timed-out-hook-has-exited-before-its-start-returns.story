A hook times out, but it exited before usher knew its pid. It gets no signal, because
another process may have the pid now.

-- usher --
usher --grace 10s --pre-start 'timeout=1s migrate' -- app
-- processes --
migrate: exits 0 after 500ms; its start is reported 2s later
app: exits 0 after 1s
-- trace --
      0s pre-start
      0s   fork migrate TIME_LEFT=1
      2s hook migrate finished: timed out after 1s
      2s failed: pre-start: hook migrate failed: timed out after 1s
      2s exit
      2s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 125: pre-start: hook migrate failed: timed out after 1s
