#!/bin/sh
# Compiles the library with each of its features alone, and with none: examples and tests always
# have them all.
set -eu

for feature in "" data download report vulkan metal dx12 webgpu; do
    echo "-- ${feature:-no feature}"
    cargo check --release --lib --no-default-features --features "$feature"
done
