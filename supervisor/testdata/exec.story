     0s wait
  500ms signal 10 kept
     1s db yes
     1s pre-start
     1s   fork migrate
     5s migrate done: fine
     5s start
     5s warning: SIGUSR1 came before the app and is lost: with --exec nobody is left to pass it on
     5s   exec app
     5s failed: start: cannot run app: permission denied
     5s exit
     5s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     5s code 126: start: cannot run app: permission denied
