<?php
echo "started\n";
ob_flush();
flush();
// Not one sleep: a signal ends it early.
for ($end = microtime(true) + 1.2; microtime(true) < $end;) {
    usleep(10000);
}
echo "finished\n";
