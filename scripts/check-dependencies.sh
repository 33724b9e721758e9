#!/bin/sh
# Holds the dependencies to deny.toml where cargo-deny is installed. Advisories are looked up on the
# network, so they are no part of this: `cargo deny check advisories`.
set -eu

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline --all-features check licenses bans sources
else
    echo "check-dependencies: cargo-deny is not installed (cargo install cargo-deny): not checked"
fi
