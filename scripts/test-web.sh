#!/bin/sh
# Drives the page in target/web with Chromium on its software driver, and compares u and w of a
# fixed step with the native library's.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR="$target"

sh "$root/scripts/ensure-browser.sh" "$target/tools"
(cd "$root/examples/web" && cargo build --profile native --bin native --locked)
"$target/native/native" fixture >"$target/web-fixture.json"
NODE_PATH="$target/tools/node_modules" node "$root/examples/web/test/drive.cjs" "$target"
