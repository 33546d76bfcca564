The start of a pre-start hook hangs, and a stop signal is received. When the start returns,
the hook's time is over. The hook gets SIGTERM and exits within the second that it has
before SIGKILL.

-- usher --
usher --grace 10s --pre-start 'timeout=2s migrate' -- app
-- processes --
migrate: its start takes 3s; on a stop signal exits 1 after 500ms
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork migrate TIME_LEFT=2
      1s received SIGTERM
      1s hook migrate is interrupted, may run for 10s
      3s   kill group of migrate SIGTERM
    3.1s hook migrate finished: interrupted by SIGTERM: timed out after 2s
    3.5s exit
    3.5s shutdown took 2.5s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    3.5s exit code 143: stopped by SIGTERM
