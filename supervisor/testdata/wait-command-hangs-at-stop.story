     0s wait
     0s   fork check
     1s asked to stop by 15
     1s   kill group of check 15
     2s   kill group of check 9
     2s exit
     2s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     2s code 143: stopped by SIGTERM
