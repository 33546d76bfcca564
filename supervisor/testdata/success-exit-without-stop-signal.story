--success-exit does not apply to an app that exits by itself.

-- usher --
usher --success-exit 3 -- app
-- processes --
app: exits 3 after 1ns
-- trace --
      0s start
      0s   fork app
      0s run
     1ns app exited 3
     1ns exit
     1ns shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     1ns exit code 3: <nil>
