     0s wait
     1s db yes
     1s exit
     1s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     1s code 0: <nil>
