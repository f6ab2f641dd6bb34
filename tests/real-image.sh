#!/usr/bin/env bash
# Carries a real image, as CI and releases do: a Debian root file system of at least 100 MB, packed by umoci
# for two platforms, indexed and attached to by oras, signed by regctl; out by `export`, in by `import`, unpacked
# again by umoci, and compared file by file.
#
# usage: tests/real-image.sh [OCISTOW]    (default: target/release/ocistow)
# needs: umoci oras regctl mmdebstrap, root; 3 GB below ${TMPDIR:-/tmp}. The root file system is kept there
# between runs. With CI=true a missing tool is a failure, else the test is skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ocistow=$(realpath "${1:-$here/../target/release/ocistow}")
PATH=$PATH:$HOME/go/bin
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

[ -x "$ocistow" ] || fail "$ocistow is not there: cargo build --release"
for tool in umoci oras regctl mmdebstrap; do
  command -v $tool >/dev/null && continue
  [ "${CI:-}" != true ] || fail "$tool is not installed"
  echo "skipped: $tool is not installed" >&2
  exit 0
done
[ "$(id -u)" = 0 ] || { [ "${CI:-}" != true ] || fail "needs root"; echo "skipped: needs root" >&2; exit 0; }

cache=${TMPDIR:-/tmp}/ocistow-real-image
mkdir -p "$cache"
debian=$cache/bookworm.tar
if [ ! -s "$debian" ]; then
  say "a Debian root file system"
  mmdebstrap --variant=minbase --mode=root --format=tar bookworm "$debian.new"
  mv "$debian.new" "$debian"
fi
[ "$(stat -c %s "$debian")" -ge 100000000 ] || fail "the root file system is too small to mean anything"

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

say "pack it for two platforms (umoci), index and attach (oras), sign (regctl)"
umoci init --layout L
for arch in amd64 arm64; do
  umoci new --image L:$arch
  umoci config --image L:$arch --architecture $arch --os linux --config.cmd /bin/sh
  umoci raw add-layer --image L:$arch "$debian"
  mkdir -p own
  echo $arch >own/architecture
  umoci insert --image L:$arch own /own
done
umoci gc --layout L
oras manifest index create --oci-layout L:1.0 amd64 arm64 >/dev/null
tar tf "$debian" >sbom.txt
oras attach --oci-layout L:1.0 --artifact-type application/x.sbom sbom.txt >/dev/null
oras attach --oci-layout L:amd64 --artifact-type application/x.sbom sbom.txt >/dev/null
sbom=$(oras discover --oci-layout L:1.0 --format go-template --template '{{(index .referrers 0).digest}}')
oras attach --oci-layout "L@$sbom" --artifact-type application/x.sig --annotation by=oras >/dev/null
echo 'signed by regctl' | regctl artifact put --subject ocidir://L:1.0 --artifact-type application/x.sig >/dev/null
echo 'signed by regctl' | regctl artifact put --subject ocidir://L:arm64 --artifact-type application/x.sig >/dev/null
du -sh L

# The digests of a layout's referrers as somebody else finds them.
found() { # LAYOUT
  for ref in 1.0 amd64 arm64; do
    oras discover --oci-layout "$1:$ref" --format json | grep -o 'sha256:[0-9a-f]*' | sort -u | sed "s/^/oras $ref /"
    regctl artifact list --slow-referrers --format '{{range .Descriptors}}{{println .Digest}}{{end}}' "ocidir://$1:$ref" |
      sed '/^$/d' | sort -u | sed "s/^/regctl $ref /"
  done
}
# One digest over a tree: names, types, modes, owners, times, link targets, contents.
tree() { # DIRECTORY
  tar --sort=name --numeric-owner --format=posix --pax-option=delete=atime,delete=ctime -C "$1" -cf - . | sha256sum
}
found L >before
grep -q '^oras 1.0' before || fail "oras finds no referrers in what it made"

say "carry it: a plain archive, a pipe, compressed archives"
refs=(amd64 arm64)
time "$ocistow" export L:1.0 "${refs[@]}" -o x.tar
ls -l x.tar
time "$ocistow" import x.tar L2
"$ocistow" export -q L:1.0 "${refs[@]}" -o - | "$ocistow" import -q - L3
"$ocistow" export -q L:1.0 "${refs[@]}" -o - | cmp - x.tar
# Not x.tar again: regctl's list in L does not name what oras attached to the same index; in L2 it does.
"$ocistow" export -q L2:1.0 "${refs[@]}" -o y.tar
"$ocistow" export -q L3:1.0 "${refs[@]}" -o - | cmp - y.tar || fail "one bundle became two different layouts"
for end in tar.gz tar.zst; do
  "$ocistow" export -q L:1.0 "${refs[@]}" -o x.$end
  "$ocistow" import -q x.$end unpacked
  "$ocistow" fsck unpacked
  cmp L2/index.json unpacked/index.json
  rm -rf x.$end unpacked
done
for layout in L x.tar L2 L3; do "$ocistow" fsck $layout; done

say "one platform alone"
"$ocistow" export L:1.0 --platform linux/arm64 -o arm64.tar
"$ocistow" import arm64.tar L4
"$ocistow" fsck L4
blob() { local digest; digest=$(oras resolve --oci-layout "$2"); echo "$1/blobs/sha256/${digest#sha256:}"; }
[ -e "$(blob L4 L:arm64)" ] && [ ! -e "$(blob L4 L:amd64)" ] || fail "not the one platform that was asked for"

say "others find the same referrers"
for layout in L2 L3; do
  found $layout | diff before - || fail "$layout: referrers differ"
done
wc -l <before

say "umoci unpacks the same trees"
mkdir src
tar xpf "$debian" -C src --numeric-owner
for arch in amd64 arm64; do
  umoci unpack --image L:$arch bundle
  tree bundle/rootfs >wanted
  [ "$(cat bundle/rootfs/own/architecture)" = $arch ] || fail "umoci unpacked something else"
  # Against the file system the image was packed from, too: nothing can hide in both unpacked trees. Only the
  # time of the root is new, since something was inserted there.
  rm -rf bundle/rootfs/own
  touch -r src bundle/rootfs
  [ "$(tree bundle/rootfs)" = "$(tree src)" ] || fail "umoci does not give back what was packed"
  rm -rf bundle
  for layout in L2 L3; do
    umoci unpack --image $layout:$arch bundle
    tree bundle/rootfs | diff wanted - || fail "$layout:$arch: the trees differ"
    rm -rf bundle
  done
done
echo "every tree is the same"
