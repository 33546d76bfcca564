#!/bin/sh
exec /usr/sbin/php-fpm* --nodaemonize --allow-to-run-as-root --prefix . --fpm-config php-fpm.conf
