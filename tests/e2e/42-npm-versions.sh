#!/bin/bash
# Goal: 30 released versions of one real package, unpacked one over the other, a point each: every point comes back exactly, and the last as fast as the first.
. "$(dirname "$0")/lib.sh"

command -v npm >/dev/null || { echo "npm is not installed"; exit 77; }
package=${TK_NPM_PACKAGE:-typescript}
count=${TK_NPM_VERSIONS:-30}
echo 'a test: correct horse battery staple 7' >"$T/pass"
export TWINKEEP_PASSPHRASE_FILE=$T/pass

mkdir "$T/src" "$T/pack" "$T/want"
npm view "$package" versions --json 2>/dev/null | python3 -c '
import json, re, sys
v = [x for x in json.load(sys.stdin) if re.fullmatch(r"\d+\.\d+\.\d+", x)]
print("\n".join(v[-int(sys.argv[1]):]))' "$count" >"$T/versions"
[ "$(wc -l <"$T/versions")" -eq "$count" ] || fail "the registry names too few versions of $package"
expect 0 twinkeep -q init --home "$T/home" --site "a=dir:$T/vault" --dataset "data=$T/src"

listing() { (cd "$1" && find . -printf '%p %y %m %s %T@ %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

total=0
while read -r version; do
	(cd "$T/pack" && npm pack --silent "$package@$version" >/dev/null 2>&1) || fail "cannot fetch $package@$version"
	rm -rf "$T/new" && mkdir "$T/new" && tar -xzf "$T"/pack/*.tgz -C "$T/new" && rm -f "$T"/pack/*.tgz
	rsync -a --delete "$T/new/" "$T/src/"
	listing "$T/src" | sha256sum >"$T/want/$version"
	expect 0 twinkeep backup --home "$T/home" --json
	stored=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["stored_bytes"])' "$T/out")
	total=$((total + stored))
	echo "$version: $stored bytes stored"
done <"$T/versions"
echo "$count versions: $total bytes stored; the last one alone has $(du -sb "$T/src" | cut -f1)"

expect 0 twinkeep list --home "$T/home" --json
mapfile -t points < <(python3 -c 'import json,sys; [print(p["point"]) for p in json.load(open(sys.argv[1]))["points"]]' "$T/out")
mapfile -t versions <"$T/versions"
[ "${#points[@]}" -eq "$count" ] || fail "${#points[@]} points, not $count"
for i in "${!versions[@]}"; do
	rm -rf "$T/back"
	began=$(date +%s%N)
	expect 0 twinkeep -q restore "data@${points[$i]}" --home "$T/home" --target "$T/back" --strip
	ms=$((($(date +%s%N) - began) / 1000000))
	[ "$(listing "$T/back" | sha256sum)" = "$(cat "$T/want/${versions[$i]}")" ] || fail "${versions[$i]} did not come back as it was"
	if [ "$i" -eq 0 ] || [ "$i" -eq $((count - 1)) ]; then echo "restore of ${versions[$i]}: $ms ms"; fi
done
echo "every version came back"
