#!/bin/sh
# Builds the page of examples/web into one folder, target/web (or $1).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=${1:-$target/web}
export CARGO_TARGET_DIR="$target"

(cd "$root/examples/web" && sh "$root/scripts/cargo-wasm.sh" build --release --lib --locked)
(cd "$root/examples/web/bindgen" && cargo build --release --locked)
mkdir -p "$out"
"$target/release/l2rw_web_bindgen" "$target/wasm32-unknown-unknown/release/l2rw_web.wasm" "$out"
module=$out/l2rw_web_bg.wasm
# No wasm-opt: Debian's (108) breaks the table of references that the bindings use.
cp "$root"/examples/web/page/* "$out"
echo "$out: $(wc -c <"$module") bytes of WebAssembly, $(gzip -9 <"$module" | wc -c) with gzip"
