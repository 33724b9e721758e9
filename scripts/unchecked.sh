#!/bin/sh
# Names what `make test` did not check on this machine because a tool is missing.
set -eu

missing() { echo "not checked: $1 ($2)"; }

command -v tint >/dev/null 2>&1 ||
    missing "WGSL by the rules of browsers" "tint, Dawn's compiler, is not in PATH"
[ -e "${L2RW_DXC:-target/portability/libdxcompiler.so}" ] ||
    missing "HLSL by DirectX's compiler" "make portability fetches DXC"
cargo deny --version >/dev/null 2>&1 ||
    missing "licences and sources of dependencies" "cargo install cargo-deny"
