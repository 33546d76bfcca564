Without a command there is no app that could have exited because of a forwarded signal.

-- usher --
usher --grace 10s --wait tcp://db:1
-- targets --
tcp://db:1: ready after 1s
-- trace --
      0s wait
      1s tcp://db:1 is ready
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: <nil>
