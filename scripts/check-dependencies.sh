#!/bin/sh
# Holds the dependencies to deny.toml where cargo-deny is installed. Advisories are looked up on the
# network, so they are no part of this: `cargo deny check advisories`.
set -eu

# scripts/unchecked.sh says where it is not.
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline --all-features check licenses bans sources
fi
