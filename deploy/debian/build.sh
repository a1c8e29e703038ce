#!/bin/sh
# Builds dist/peregrine_VERSION_ARCH.deb with dpkg-deb alone.
#
#   deploy/debian/build.sh [VERSION [BINARY [OUTPUT_DIRECTORY]]]
#
# VERSION: git describe by default. BINARY: built by default, for GOARCH.
# SOURCE_DATE_EPOCH makes the package repeatable; by default it is the date of
# the last commit.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
version=${1:-$(git -C "$root" describe --tags --always 2>/dev/null || echo 0)}
version=${version#v}
case $version in [0-9]*) ;; *) version=0~git$version ;; esac # Debian versions start with a digit
binary=${2:-}
out=${3:-$root/dist}
arch=$(dpkg --print-architecture)
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
put() { install -D -m "$1" "$2" "$tree/$3"; } # MODE FILE PLACE

if [ -z "$binary" ]; then
	binary=$tree.bin
	trap 'rm -rf "$tree" "$tree.bin"' EXIT
	(cd "$root" && CGO_ENABLED=0 go build -buildvcs=false -trimpath \
		-ldflags "-s -w -X github.com/peregrine-sec/peregrine/internal/version.version=$version" \
		-o "$binary" ./cmd/peregrine)
fi
put 755 "$binary" usr/bin/peregrine
put 644 "$root/deploy/systemd/peregrine.service" lib/systemd/system/peregrine.service
put 644 "$root/deploy/peregrine.yaml" etc/peregrine/peregrine.yaml
put 644 "$root/LICENSE" usr/share/doc/peregrine/copyright
install -d -m 755 "$tree/etc/peregrine/config.d" "$tree/etc/peregrine/rules.d"

"$binary" man "$tree/usr/share/man/man8"
gzip -9n "$tree"/usr/share/man/man8/*.8
for shell in bash:bash-completion/completions/peregrine zsh:zsh/vendor-completions/_peregrine fish:fish/vendor_completions.d/peregrine.fish; do
	place=$tree/usr/share/${shell#*:}
	install -d -m 755 "$(dirname "$place")"
	"$binary" completion "${shell%%:*}" >"$place"
done

install -d -m 755 "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" \
	-e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$tree" | cut -f1)/" \
	"$root/deploy/debian/control.in" >"$tree/DEBIAN/control"
echo /etc/peregrine/peregrine.yaml >"$tree/DEBIAN/conffiles"
for script in postinst prerm; do
	install -m 755 "$root/deploy/debian/$script" "$tree/DEBIAN/$script"
done
find "$tree" -exec chmod go-w {} +
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/peregrine_${version}_$arch.deb"
