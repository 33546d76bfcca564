A hook times out before usher knows its pid, and an orphan exits meanwhile. The hook gets
SIGTERM as soon as its pid is known, although the exit of a process is unclaimed.

-- usher --
usher --grace 10s --pre-start prepare --pre-start 'timeout=1s migrate' -- app
-- processes --
prepare: exits 0 after 1s; daemons daemon
daemon: exits 0 after 1500ms
migrate: its start is reported 2s later; on a stop signal exits 1 after 100ms
app: exits 0 after 1s
-- trace --
      0s pre-start
      0s   fork prepare
      1s hook prepare finished: ok
      1s   fork migrate TIME_LEFT=1
      3s   kill group of migrate SIGTERM
      3s orphan 3 exited 0
    3.1s hook migrate finished: timed out after 1s
    3.1s failed: pre-start: hook migrate failed: timed out after 1s
    3.1s exit
    3.1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    3.1s exit code 125: pre-start: hook migrate failed: timed out after 1s
