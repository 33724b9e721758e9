#!/bin/sh
# Drives the page in target/web with Chromium on its software driver, and compares u and w of a
# fixed step with the native library's.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR="$target"

sh "$root/scripts/ensure-browser.sh" "$target/tools"
(cd "$root/examples/web" && cargo build --profile native --bin native --locked)
# On the driver that Chromium carries: other drivers round otherwise, and a network with batch
# statistics makes 4e-4 of that.
swiftshader=/usr/lib/chromium/vk_swiftshader_icd.json
if [ -e "$swiftshader" ]; then export VK_DRIVER_FILES="$swiftshader"; fi
"$target/native/native" fixture >"$target/web-fixture.json"
unset VK_DRIVER_FILES
NODE_PATH="$target/tools/node_modules" node "$root/examples/web/test/drive.cjs" "$target"
