The start of the app returns after usher has abandoned it, while usher reads /proc. The app
is a leftover, and gets a stop signal before SIGKILL.

-- usher --
usher --grace 5s -- app
-- machine --
reading /proc takes 1s
-- processes --
app: its start takes 3500ms; on a stop signal exits 0 after 500ms
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      1s received SIGTERM
      3s leftovers
      4s   kill app SIGTERM
      4s   kill app SIGCONT
      4s leftovers get SIGTERM: app
    4.5s exit
    4.5s shutdown took 3.5s: drain 0s, stop 0s, leftovers 1.5s, post-stop 0s
    4.5s exit code 143: stopped by SIGTERM
