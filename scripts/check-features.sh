#!/bin/sh
# Compiles the library with each of its features alone, and with none: examples and tests always
# have them all but mpi. Also for browsers, with the features of their page, where Rust's library for
# WebAssembly is.
set -eu

for feature in "" data download report tables cli vulkan metal dx12 webgpu; do
    echo "-- ${feature:-no feature}"
    cargo check --release --lib --no-default-features --features "$feature"
done
# scripts/unchecked.sh says where something is not there.
if sh scripts/has-mpi.sh >/dev/null; then
    echo "-- mpi"
    cargo check --release --lib --no-default-features --features mpi
fi
target=wasm32-unknown-unknown
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    for features in webgpu data,webgpu; do
        echo "-- $features for $target"
        cargo check --release --lib --target "$target" --no-default-features --features "$features"
    done
fi
