#!/bin/sh
# Makes sure that Rust's library for WebAssembly is there; adds it with rustup where it is not, and
# says so first. L2RW_INSTALL=no keeps it from installing anything.
set -eu

target=wasm32-unknown-unknown
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then exit 0; fi
if [ "${L2RW_INSTALL:-yes}" = no ]; then
    echo "ensure-wasm: $target is missing, and L2RW_INSTALL=no forbids to add it:" \
        "rustup target add $target" >&2
    exit 1
fi
echo "ensure-wasm: adding Rust's library for $target with rustup; L2RW_INSTALL=no prevents it" >&2
rustup target add "$target"
