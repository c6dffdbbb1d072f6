#!/bin/sh
# A real PostgreSQL 15 cluster, stopped: backed up, changed by pgbench, backed up again. Both points are restored, the server
# starts on each, pgbench's sums agree and pg_amcheck finds nothing. The ready-made policy for base databases is used.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need rsync rsync

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] && [ -x "$bin/pgbench" ] && [ -x "$bin/pg_amcheck" ] || { echo "skipped: no PostgreSQL with pgbench: install postgresql"; exit 77; }
chmod 755 "$T"
if [ "$(id -u)" = 0 ]; then
	mkdir "$T/pg"
	chown postgres: "$T/pg"
	as="runuser -u postgres --"
else
	mkdir "$T/pg"
	as=
fi
# pg COMMAND...: one of PostgreSQL's programs, as its user.
pg()
{
	program=$1
	shift
	# shellcheck disable=SC2086
	(cd "$T/pg" && $as "$bin/$program" "$@") >"$T/out" 2>"$T/err" </dev/null || fail "$program ends with $?"
}
start()
{
	pg pg_ctl -D "$1" -w -t 60 -o "-k $T/pg -c listen_addresses= -c fsync=off" -l "$T/pg/log" start
	running=$1
}
stop()
{
	pg pg_ctl -D "$running" -w -m fast stop
	running=
}
query()
{
	pg psql -h "$T/pg" -d bench -AtXc "$1"
	cat "$T/out"
}
running=
server_down()
{
	# shellcheck disable=SC2086
	[ -z "$running" ] || (cd "$T/pg" && $as "$bin/pg_ctl" -D "$running" -m immediate stop) >/dev/null 2>&1 || :
	unlock_tree
}
trap server_down EXIT

# sums: what pgbench keeps equal, the number of accounts and of what was done, and a digest of a whole table.
sums()
{
	query "select (select sum(abalance) from pgbench_accounts) = (select sum(tbalance) from pgbench_tellers)
		and (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)
		and (select sum(abalance) from pgbench_accounts) = coalesce((select sum(delta) from pgbench_history), 0),
		(select count(*) from pgbench_accounts), (select count(*) from pgbench_history),
		(select md5(string_agg(aid || ':' || abalance, ',' order by aid)) from pgbench_accounts where abalance <> 0)"
}

pg initdb -D "$T/pg/data" -U "$(if [ -n "$as" ]; then echo postgres; else id -un; fi)" --auth=trust
start "$T/pg/data"
pg createdb -h "$T/pg" bench
pg pgbench -h "$T/pg" -i -q -s 10 bench
pg pgbench -h "$T/pg" -c 4 -t 500 bench
sums >"$T/sums.1"
stop
# What the server has written itself is compared: the copies are not touched by a server.
cp -a "$T/pg/data" "$T/copy.1"
expect 0 twinkeep init -q --home "$T/home" --passphrase-file "$PASS" --dataset "db=$T/pg/data" --site "a=dir:$T/a" --site "b=dir:$T/b" \
	--policy "$TK_SRCDIR/policies/ready/population.conf"
backup 0 --json
first=$(json point)
json_is files_inconsistent 0
echo "first: $(json total_bytes) bytes, $(json stored_bytes) stored in $(json elapsed_seconds) s"

start "$T/pg/data"
pg pgbench -h "$T/pg" -n -c 4 -t 1500 bench
sums >"$T/sums.2"
stop
cp -a "$T/pg/data" "$T/copy.2"
changed=$(rsync -naHAXSc --out-format='%l' --delete "$T/copy.2/" "$T/copy.1/" | awk '{ n += $1 } END { printf "%d", n }')
backup 0 --json
second=$(json point)
echo "second: $changed bytes in files that changed, $(json literal_bytes) literal, $(json stored_bytes) stored in $(json elapsed_seconds) s"
[ "$(json stored_bytes)" -lt $((changed / 2)) ] || fail "$(json stored_bytes) bytes were stored of $changed in changed files"
! cmp -s "$T/sums.1" "$T/sums.2" || fail "pgbench has changed nothing"
backup 0 --json
[ "$(json stored_bytes)" -lt 100000 ] || fail "an unchanged cluster stored $(json stored_bytes) bytes"

for number in 1 2; do
	[ $number = 1 ] && point=$first || point=$second
	restore 0 "db@$point" --target "$T/pg/back.$number" --strip --json
	json_is verified true
	json_is point "$point"
	echo "point $number restored in $(json elapsed_seconds) s"
	# The policy leaves out what a server makes anew.
	same_files "$T/copy.$number" "$T/pg/back.$number" --exclude=pgsql_tmp
	start "$T/pg/back.$number"
	sums >"$T/sums.back"
	cmp -s "$T/sums.$number" "$T/sums.back" || fail "point $number: $(cat "$T/sums.back"), not $(cat "$T/sums.$number")"
	grep -q '^t|1000000|' "$T/sums.back" || fail "pgbench's sums do not agree: $(cat "$T/sums.back")"
	pg psql -h "$T/pg" -d bench -qXc 'create extension if not exists amcheck'
	pg pg_amcheck -h "$T/pg" --heapallindexed --all
	[ ! -s "$T/out" ] || fail "pg_amcheck finds damage in point $number"
	stop
done
echo ok
