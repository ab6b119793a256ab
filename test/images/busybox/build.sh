#!/bin/sh
# Builds the busybox of the test images from Debian's source package.
# usage: build.sh OUTPUT
#
# Debian's own busybox-static will not do: it is built with a standalone shell, which runs its
# applets whatever a file in the container says, while the CRI validation suite masks /bin/ls and
# expects a shell that notices. Busybox's default configuration has neither that nor preferred
# applets. The source is fetched by apt, which checks its signature; no apt state of the host changes.
set -eu

out=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt reads it as its own user
cd "$work"

# A source list of our own: most machines have none for sources.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $codename" | head -n 1)
echo "deb-src ${mirror:-http://deb.debian.org/debian} $codename main" >sources.list
mkdir -p lists/partial src
chown -R _apt: lists src 2>/dev/null || true
# Without the last, apt calls an update that reached nothing a success.
set -- -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- \
	-o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
	-o APT::Update::Error-Mode=any
apt-get "$@" update >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
cd src
apt-get "$@" source --download-only busybox >../apt.log 2>&1 || { cat ../apt.log >&2; exit 1; }

tar -xf busybox_*.orig.tar.bz2 --strip-components 1
export KCONFIG_NOTIMESTAMP=1 # the same source gives the same binary
make -s defconfig >/dev/null

# tc does not build with newer kernel headers; the applets that need a kernel of their own are dead weight.
for option in TC FEATURE_SH_STANDALONE FEATURE_PREFER_APPLETS; do
	sed -i "s/^CONFIG_$option=y/# CONFIG_$option is not set/" .config
done
sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config
yes '' | make -s oldconfig >/dev/null
make -s -j"$(nproc)" busybox >make.log 2>&1 || { tail -n 40 make.log >&2; exit 1; }

mkdir -p "$(dirname "$out")"
install -m 755 busybox "$out.tmp"
mv "$out.tmp" "$out"
