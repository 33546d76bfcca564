<?php
echo "started\n";
ob_flush();
flush();
// A loop instead of one sleep, which a signal would interrupt.
for ($end = microtime(true) + 1.2; microtime(true) < $end;) {
    usleep(10000);
}
echo "finished\n";
