#!/bin/sh
# Makes dist/peregrine-VERSION.ARCH.rpm from a Debian package that
# deploy/debian/build.sh has made, whose files it takes.
#
#   deploy/rpm/build.sh PACKAGE.deb [OUTPUT_DIRECTORY]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
deb=$(realpath "$1")
out=$(realpath "${2:-$root/dist}")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
dpkg-deb --extract "$deb" "$tree"
cp "$root/deploy/rpm/postinstall" "$root/deploy/rpm/preremove" "$tree"
VERSION=$(dpkg-deb --field "$deb" Version)
ARCH=$(dpkg-deb --field "$deb" Architecture)
SOURCE_DATE_EPOCH=$(stat -c %Y "$tree/usr/bin/peregrine")
export VERSION ARCH SOURCE_DATE_EPOCH
nfpm=$(cd "$root" && go tool -n nfpm)
cd "$tree"
"$nfpm" package --config "$root/deploy/rpm/nfpm.yaml" --packager rpm --target "$out/"
