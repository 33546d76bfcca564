The leftovers that are usher's children (the roots) get the app's stop signal, here SIGWINCH.

-- usher --
usher --grace 10s --stop-on WINCH -- sh
-- processes --
sh: treats WINCH as a stop signal; children httpd
httpd: treats WINCH as a stop signal; on a stop signal exits 0 after 1s
-- events --
1s WINCH
-- trace --
      0s start
      0s   fork sh
      0s run
      1s received SIGWINCH
      1s stop
      1s   kill sh SIGWINCH
      1s app was killed by SIGWINCH
      1s leftovers
      1s   kill httpd SIGWINCH
      1s   kill httpd SIGCONT
      1s leftovers get SIGWINCH: httpd
      2s orphan 3 exited 0
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 1s, post-stop 0s
      2s exit code 156: stopped by SIGWINCH
