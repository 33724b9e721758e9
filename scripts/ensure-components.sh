#!/bin/sh
# Makes sure that cargo has the subcommands named as arguments (clippy, fmt): installations of the
# minimal profile lack them. Adds them with rustup, and says so first; L2RW_INSTALL=no prevents it.
set -eu

for command; do
    if cargo "$command" --version >/dev/null 2>&1; then continue; fi
    case $command in
        fmt) component=rustfmt ;;
        *) component=$command ;;
    esac
    if ! command -v rustup >/dev/null 2>&1; then
        echo "ensure-components: 'cargo $command' is missing and there is no rustup to add it with:" \
            "install $component with what Rust was installed with." >&2
        exit 1
    fi
    if [ "${L2RW_INSTALL:-yes}" = no ]; then
        echo "ensure-components: 'cargo $command' is missing, and L2RW_INSTALL=no forbids to add it:" \
            "run 'rustup component add $component'." >&2
        exit 1
    fi
    echo "ensure-components: 'cargo $command' is missing: adding it with 'rustup component add $component';" \
        "L2RW_INSTALL=no prevents it" >&2
    rustup component add "$component"
done
