#!/bin/sh
# Names what `make test` did not check on this machine because a tool is missing.
set -eu

missing() { echo "not checked: $1 ($2)"; }

command -v tint >/dev/null 2>&1 ||
    missing "WGSL by the rules of browsers" "tint, Dawn's compiler, is not in PATH"
[ -n "${L2RW_DAWN:-}" ] ||
    missing "pipelines in Dawn, Chrome's WebGPU" "npm install webgpu, L2RW_DAWN=its node_modules"
[ -e "${L2RW_DXC:-target/portability/libdxcompiler.so}" ] ||
    missing "HLSL by DirectX's compiler" "make portability fetches DXC"
sh scripts/has-mpi.sh >/dev/null || missing "ranks that MPI starts" "$(sh scripts/has-mpi.sh)"
command -v clang >/dev/null 2>&1 ||
    missing "MSL by the rules of C++" "clang is not in PATH"
[ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ] ||
    missing "the library for browsers" "rustup target add wasm32-unknown-unknown"
cargo deny --version >/dev/null 2>&1 ||
    missing "licences and sources of dependencies" "cargo install cargo-deny"
