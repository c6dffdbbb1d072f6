#!/bin/bash
# Goal: a real PostgreSQL data directory, backed up, changed by transactions, backed up again; both points come back, and a server
# started on each is whole: pgbench's sums agree and pg_amcheck finds nothing.
. "$(dirname "$0")/lib.sh"

pgbin=$(echo /usr/lib/postgresql/*/bin | awk '{print $NF}')
echo 'a test: correct horse battery staple 7' >"$T/pass"
export TWINKEEP_PASSPHRASE_FILE=$T/pass
[ -x "$pgbin/initdb" ] || { echo "postgresql is not installed"; exit 77; }
chmod 755 "$T"
if [ "$(id -u)" -eq 0 ]; then as_pg() { runuser -u postgres -- "$@"; }; else as_pg() { "$@"; }; fi
mkdir "$T/db" && { [ "$(id -u)" -ne 0 ] || chown postgres "$T/db"; }
data=$T/db/data

start() { as_pg "$pgbin/pg_ctl" -s -w -D "$1" -l "$T/db/log" -o "-k $T/db -c listen_addresses= -p 54329" start; }
stop() { as_pg "$pgbin/pg_ctl" -s -w -D "$1" -m fast stop; }
sql() { as_pg "$pgbin/psql" -h "$T/db" -p 54329 -At -d bench -c "$1"; }
sums() { sql "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta),0) from pgbench_history), (select count(*) from pgbench_history)"; }
stored() { tail -n 1 "$T/runs" | python3 -c 'import json,sys; print(json.load(sys.stdin)["stored_bytes"])'; }
backup() { expect 0 twinkeep backup --home "$T/home" --json; tr -d '\n' <"$T/out" >>"$T/runs"; echo >>"$T/runs"; }

as_pg "$pgbin/initdb" -D "$data" --no-sync >/dev/null
start "$data"
as_pg "$pgbin/createdb" -h "$T/db" -p 54329 bench
as_pg "$pgbin/pgbench" -h "$T/db" -p 54329 -q -i -s "${TK_PGBENCH_SCALE:-10}" bench >/dev/null 2>&1
as_pg "$pgbin/pgbench" -h "$T/db" -p 54329 -t 500 -n bench >/dev/null 2>&1
before=$(sums)
stop "$data"

twinkeep -q init --home "$T/home" --site "a=dir:$T/vault" --dataset "base=$data" --policy "$TK_SRCDIR/policies/ready/population.conf" || exit 1
backup
first=$(stored)
start "$data"
as_pg "$pgbin/pgbench" -h "$T/db" -p 54329 -t 2000 -n bench >/dev/null 2>&1
after=$(sums)
stop "$data"
[ "$before" != "$after" ] || { echo "the transactions changed nothing"; exit 1; }
backup
echo "stored: $first bytes at first, $(stored) after 2000 transactions, of $(du -sb "$data" | cut -f1)"

points=($(twinkeep list --home "$T/home" --json | python3 -c 'import json,sys; print(*[p["point"] for p in json.load(sys.stdin)["points"]])'))
for i in 0 1; do
	back=$T/db/back$i
	twinkeep -q restore "base@${points[$i]}" --home "$T/home" --target "$back" --strip || exit 1
	start "$back"
	want=$before; [ $i -eq 0 ] || want=$after
	got=$(sums)
	[ "$got" = "$want" ] || { echo "point $i: sums $got, not $want"; stop "$back"; exit 1; }
	[ "$(echo "$got" | tr '|' '\n' | head -4 | sort -u | wc -l)" -eq 1 ] || { echo "point $i: the sums do not agree: $got"; stop "$back"; exit 1; }
	sql "create extension if not exists amcheck" >/dev/null
	as_pg "$pgbin/pg_amcheck" -h "$T/db" -p 54329 -d bench --heapallindexed || { echo "point $i: pg_amcheck finds faults"; stop "$back"; exit 1; }
	stop "$back"
	rm -rf "$back"
done
echo "both points are whole"
