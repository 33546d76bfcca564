A long wait reports its progress after 5s and then every 30s.

-- usher --
usher --wait tcp://db:1
-- targets --
tcp://db:1: ready after 1m10s
-- trace --
      0s wait
      5s still waiting for 1
     35s still waiting for 1
    1m5s still waiting for 1
   1m10s tcp://db:1 is ready
   1m10s exit
   1m10s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
   1m10s exit code 0: <nil>
