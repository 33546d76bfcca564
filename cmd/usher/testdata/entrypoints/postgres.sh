#!/bin/sh
set -e
as_postgres="setpriv --reuid postgres --regid postgres --clear-groups"
mkdir data
chown postgres: data
$as_postgres /usr/lib/postgresql/*/bin/initdb -D data --auth trust --no-sync
exec $as_postgres /usr/lib/postgresql/*/bin/postgres -D data -k '' -c fsync=off
