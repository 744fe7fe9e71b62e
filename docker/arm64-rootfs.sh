#!/usr/bin/env bash
# A folder with what an emulated aarch64 board needs: Python and its libraries from Debian's arm64 packages, and numpy,
# LiteRT and onnxruntime in wheels. On Debian or Ubuntu on x86-64, with pip; a minute, some 500 MB.
#
#     apt-get install qemu-user-static
#     docker/arm64-rootfs.sh arm64
#     ecgedge board add arm64 --emulated cortex-a76 --rootfs arm64
#
# Packages are taken out, not installed: nothing of this machine changes but the list of what apt knows.
set -euo pipefail

if [ $# != 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
mkdir -p "$1"
root=$(cd "$1" && pwd)
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A list of packages of its own, so that neither root is needed nor the machine's own list of architectures changed.
mkdir -p "$scratch"/{lists/partial,cache/archives/partial}
: > "$scratch/status"
apt=(
    -o APT::Architecture=arm64 -o APT::Architectures::=arm64
    -o Dir::State::lists="$scratch/lists" -o Dir::State::status="$scratch/status"
    -o Dir::Cache="$scratch/cache" -o Debug::NoLocking=true -o APT::Sandbox::User=
)
apt-get "${apt[@]}" -qq update
interpreter=$(apt-cache "${apt[@]}" depends python3-minimal | sed -n 's/.*Depends: \(python3\.[0-9]*\)-minimal.*/\1/p' | head -1)
apt-get "${apt[@]}" -qq -y --no-install-recommends --download-only install "$interpreter" libstdc++6 libgomp1
for package in "$scratch"/cache/archives/*.deb; do
    dpkg -x "$package" "$root"
done

version=${interpreter#python}
libraries=(numpy ai-edge-litert onnxruntime)
# In the versions that this machine has, where it has them, so that answers compare.
mapfile -t wanted < <("$python" - "${libraries[@]}" <<'PY'
import sys
from importlib import metadata

for name in sys.argv[1:]:
    for ours in (name, f"{name}-gpu"):
        try:
            print(f"{name}=={metadata.version(ours)}")
            break
        except metadata.PackageNotFoundError:
            pass
    else:
        print(name)
PY
)
"$python" -m pip install -q --target "$root/usr/lib/python3/dist-packages" --upgrade --only-binary=:all: \
    --implementation cp --python-version "$version" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    "${wanted[@]}"
ln -sf "$interpreter" "$root/usr/bin/python3"
echo "$root: Python $version with ${wanted[*]}"
