     0s wait
     5s still waiting for 1
    35s still waiting for 1
   1m5s still waiting for 1
  1m10s db yes
  1m10s exit
  1m10s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
  1m10s code 0: <nil>
