#!/bin/sh
# Makes sure that there are Chromium (apt) and playwright-core (npm, in target/tools); installs what
# is missing, and says so first. L2RW_INSTALL=no keeps it from installing anything.
set -eu

tools=$1
missing=
command -v chromium >/dev/null 2>&1 || missing=chromium
[ -d "$tools/node_modules/playwright-core" ] || missing="${missing:+$missing and }playwright-core"
if [ -z "$missing" ]; then exit 0; fi
if [ "${L2RW_INSTALL:-yes}" = no ]; then
    echo "ensure-browser: there is no $missing, and L2RW_INSTALL=no forbids to install it" >&2
    exit 1
fi
echo "ensure-browser: installing $missing; L2RW_INSTALL=no prevents it" >&2
case $missing in
    chromium*)
        root=
        [ "$(id -u)" -eq 0 ] || root=sudo
        $root apt-get update
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
        ;;
esac
mkdir -p "$tools"
npm install --prefix "$tools" --no-audit --no-fund playwright-core@1.65.1
