# Sourced by quickstart, runtests and .ci/run: what is missing is installed or named; the tree is built.
# $top is the tree's top; functions end the script when they cannot do their work.
: "${top:?}"

say()
{
	printf '%s\n' "$*"
}

give_up()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

is_debian()
{
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null && [ -r /etc/os-release ] &&
		( . /etc/os-release; case " ${ID:-} ${ID_LIKE:-} " in *" debian "* | *" ubuntu "*) ;; *) exit 1 ;; esac )
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		return 1
	fi
}

# wanted_packages LIST...: without comments, and without what is for other architectures ("package [amd64]").
wanted_packages()
{
	local package only here
	here=$(dpkg --print-architecture 2>/dev/null || :)
	sed 's/#.*//' "$@" | while read -r package only; do
		[ -n "$only" ] && [ "$only" != "[$here]" ] || printf '%s\n' "$package"
	done
}

# need_packages LIST...: installs what the lists of packages name and the machine lacks.
need_packages()
{
	local package wanted missing=()
	wanted=$(wanted_packages "$@")
	if ! is_debian; then
		have_tools || give_up "this is neither Debian nor Ubuntu: install what these packages bring, then run it again:" $wanted
		return 0
	fi
	for package in $wanted; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	say "installing ${missing[*]}"
	as_root true || give_up "not root, and there is no sudo: as root, run apt-get install ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return 0
	# The lists of a fresh machine are empty or old.
	as_root apt-get update -q >/dev/null || give_up "apt-get update fails: is there a network?"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
		give_up "cannot install ${missing[*]}"
}

# Elsewhere than on Debian: is what one can ask for there? configure names the rest.
have_tools()
{
	local tool
	for tool in autoreconf automake cc make pkg-config protoc-c python3; do
		command -v "$tool" >/dev/null || return 1
	done
}

# build_tree DIR CONFIGURE-ARGUMENT...: configures anew when the arguments are others than before, and builds.
build_tree()
{
	local dir=$1 log=$1/build.log
	shift
	[ ! -f "$top/config.status" ] || give_up "$top was configured in place, and this builds in $dir: run make distclean in $top first"
	mkdir -p "$dir"
	[ -x "$top/configure" ] && [ ! "$top/configure.ac" -nt "$top/configure" ] ||
		( cd "$top" && autoreconf -i ) >"$log" 2>&1 || { tail -n 20 "$log"; give_up "autoreconf fails: see $log"; }
	if [ ! -f "$dir/Makefile" ] || [ "$(cat "$dir/configured-with" 2>/dev/null)" != "$*" ]; then
		( cd "$dir" && "$top/configure" -q "$@" ) >"$log" 2>&1 || { tail -n 20 "$log"; give_up "configure fails: see $log"; }
		printf '%s\n' "$*" >"$dir/configured-with"
	fi
	make -C "$dir" -s -j "$(getconf _NPROCESSORS_ONLN)" all >"$log" 2>&1 || { tail -n 30 "$log"; give_up "the build fails: see $log"; }
}
