#!/bin/sh
# Audits a small folder of pictures, drives the page of the audit in Chromium, and audits again with
# the decisions that it exports; then looks at the report of the runs in docs/results.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR="$target"

sh "$root/scripts/ensure-browser.sh" "$target/tools"
cargo build --release --features cli --bin l2rw
for page in audit report; do
    NODE_PATH="$target/tools/node_modules" node "$root/tests/page/$page.cjs" "$target" \
        "$target/release/l2rw"
done
