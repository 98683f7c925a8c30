# SPDX-License-Identifier: LGPL-2.1-or-later
# What tests/run and tests/quickstart share: missing packages and builds. Sourced by bash with $top set.

# Tests run programs of the build folder as other users, and packages are for all of them.
umask 022
mkdir -p "$top/build"

say() { printf '\n== %s\n' "$*"; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# need_packages FILE...: installs with apt what the lists name and the machine does not have. A program of that name counts
# as well: Node.js of another source comes with its own npm, which Debian's npm would conflict with.
need_packages() {
	local missing
	missing=$(grep -hv '^#' "$@" | sort -u | while read -r package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || command -v "$package" >/dev/null || printf '%s ' "$package"
	done)
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "missing packages: $missing- install them, or run this as root"
	say "installing $missing"
	# shellcheck disable=SC2086
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } >"$top/build/apt.log" 2>&1 ||
		{ tail -n 20 "$top/build/apt.log" >&2; die "apt-get failed"; }
}

# build NAME CC [MESON OPTION...]: configures build/NAME once and brings it up to date.
build() {
	local name=$1 cc=$2 dir=$top/build/$1
	shift 2
	if [ ! -f "$dir/build.ninja" ]; then
		say "configuring build/$name with $cc"
		CC=$cc meson setup "$@" "$dir" "$top" >"$top/build/$name.log" 2>&1 ||
			{ tail -n 40 "$top/build/$name.log" >&2; die "meson failed"; }
	fi
	say "building build/$name"
	ninja -C "$dir" >"$top/build/$name.log" 2>&1 || { grep -E -A8 'error|warning|FAILED' "$top/build/$name.log" | head -60 >&2; die "the build failed"; }
}
