#!/bin/sh
# Runs cargo for WebAssembly: scripts/cargo-wasm.sh build|check ARGUMENTS...
#
# Where Rust's library for it is missing, rustup adds it, and this says so first; L2RW_INSTALL=no
# prevents that. Where there is no rustup, or it reaches no server, cargo builds the library from its
# source, if that is installed (Debian's rust-src or rust-web-src).
set -eu

target=wasm32-unknown-unknown
sysroot=$(rustc --print sysroot)
command=$1
shift

say() { printf '%s\n' "cargo-wasm: $*" >&2; }

has_library() { [ -d "$sysroot/lib/rustlib/$target" ]; }

has_source() { [ -e "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ]; }

if ! has_library && command -v rustup >/dev/null 2>&1 && [ "${L2RW_INSTALL:-yes}" != no ]; then
    say "adding Rust's library for $target with rustup; L2RW_INSTALL=no prevents it"
    rustup target add "$target" || say "rustup could not add it"
fi
if has_library; then
    exec cargo "$command" --target "$target" "$@"
fi
if ! has_source || ! command -v wasm-ld >/dev/null 2>&1; then
    say "Rust's library for $target is missing: 'rustup target add $target', or from Debian" \
        "'apt-get install rustc-web cargo-web rust-web-src lld', with which it is built from source"
    exit 1
fi
say "building Rust's library for $target from its source"
# The flag belongs to nightly releases; the library is the one that this compiler came with.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
exec cargo "$command" -Z build-std=std,panic_abort --target "$target" "$@"
