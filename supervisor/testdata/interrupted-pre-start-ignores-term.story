A pre-start hook ignores the SIGTERM after a stop signal. It gets SIGKILL at Budget.Kill.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: ignores signals
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- events --
5s TERM
-- trace --
      0s wait
      2s tcp://db:1 is ready
      3s tcp://auth:1 is ready
      3s pre-start
      3s   fork migrate
      5s received SIGTERM
      5s   kill migrate SIGTERM
      5s   kill migrate SIGCONT
      5s hook migrate is interrupted, may run for 20s
     25s   kill group of migrate SIGKILL
     25s hook migrate finished: interrupted by SIGTERM: its share of --grace is used up
     25s post-stop
     25s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=5
     26s hook report finished: ok
     26s exit
     26s shutdown took 21s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
     26s exit code 143: stopped by SIGTERM
