#!/bin/sh
# Makes sure that there is a Vulkan driver and the Vulkan loader; installs Mesa's software driver
# where there is none, and says so first. With a driver present it prints and changes nothing.
# L2RW_INSTALL=no keeps it from installing anything.
#
# L2RW_DRIVER_DIRS and L2RW_LIBRARY_DIRS (separated by colons) replace the folders that are searched.
set -eu

say() { printf '%s\n' "ensure-driver: $*" >&2; }

fail() {
    say "$1"
    cat >&2 <<'END'
Install a Vulkan driver and the Vulkan loader by hand, then run this again:
  Debian, Ubuntu   apt-get install mesa-vulkan-drivers libvulkan1
  Fedora           dnf install mesa-vulkan-drivers vulkan-loader
  Arch             pacman -S vulkan-swrast vulkan-icd-loader
  other            the driver of your GPU's vendor, or Mesa's lavapipe (software), and libvulkan.so.1
END
    exit 1
}

# Calls "$1 <entry>" for the entries of a list separated by colons until one succeeds.
any_of() {
    predicate=$1
    saved_ifs=$IFS
    IFS=:
    set -f
    # shellcheck disable=SC2086 # split at the colons
    set -- $2
    set +f
    IFS=$saved_ifs
    for entry; do
        if [ -n "$entry" ] && "$predicate" "$entry"; then return 0; fi
    done
    return 1
}

is_manifest() { [ -f "$1" ] && [ -s "$1" ]; }

# A manifest, or a folder that holds one.
has_manifest() {
    if is_manifest "$1"; then return 0; fi
    for file in "$1"/*.json; do
        if is_manifest "$file"; then return 0; fi
    done
    return 1
}

has_loader_in() { [ -e "$1/libvulkan.so.1" ]; }

# Where the loader looks (https://vulkan.lunarg.com/doc/view/latest/linux/LoaderDriverInterface.html),
# and where containers put the drivers of their host.
driver_dirs() {
    config=${XDG_CONFIG_HOME:-${HOME:-}/.config}:${XDG_CONFIG_DIRS:-/etc/xdg}:/etc
    data=${XDG_DATA_HOME:-${HOME:-}/.local/share}:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
    saved_ifs=$IFS
    IFS=:
    for base in $config $data /usr/local/share /usr/share /usr/local/nvidia/share /run/opengl-driver/share; do
        printf '%s:' "$base/vulkan/icd.d"
    done
    IFS=$saved_ifs
}

library_dirs() {
    printf '%s:' "${LD_LIBRARY_PATH:-}" /usr/local/lib /usr/local/lib64 /usr/lib /usr/lib64 /lib /lib64 \
        /usr/lib/*-linux-* /lib/*-linux-* /usr/local/nvidia/lib64 /run/opengl-driver/lib
}

has_driver() {
    # These two replace the folders; VK_ADD_DRIVER_FILES adds to them.
    chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$chosen" ]; then
        any_of has_manifest "$chosen"
    else
        any_of has_manifest "${VK_ADD_DRIVER_FILES:-}:${L2RW_DRIVER_DIRS-$(driver_dirs)}"
    fi
}

has_loader() {
    if [ -z "${L2RW_LIBRARY_DIRS+set}" ]; then
        # Ordinary users may lack /sbin in their PATH.
        for ldconfig in ldconfig /sbin/ldconfig; do
            if "$ldconfig" -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; then return 0; fi
        done
    fi
    any_of has_loader_in "${L2RW_LIBRARY_DIRS-$(library_dirs)}"
}

# Runs a command with the rights to install.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"; }

install_with() {
    manager=$1
    shift
    case $manager in
        apt-get)
            # One unreachable source need not stop the others.
            apt update || say "apt-get update failed; trying with the package lists that there are"
            apt install -y --no-install-recommends "$@"
            ;;
        dnf) as_root dnf install -y "$@" ;;
        pacman)
            # Fresh lists only where it cannot be had without: they upgrade a system in part.
            as_root pacman -S --needed --noconfirm "$@" || as_root pacman -Sy --needed --noconfirm "$@"
            ;;
    esac
}

case $(uname -s) in
    Darwin | MINGW* | MSYS* | CYGWIN*) exit 0 ;; # Metal and DirectX come with the system.
esac

missing=
has_driver || missing="no Vulkan driver"
has_loader || missing="${missing:+$missing and }no Vulkan loader (libvulkan.so.1)"
if [ -z "$missing" ]; then exit 0; fi

chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
if [ -n "$chosen" ] && ! has_driver; then
    fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names '$chosen', where there is no driver: correct or unset it."
fi

manager=
packages=
for candidate in apt-get dnf pacman; do
    if command -v "$candidate" >/dev/null 2>&1; then
        manager=$candidate
        break
    fi
done
case $manager in
    apt-get) packages="mesa-vulkan-drivers libvulkan1" ;;
    dnf) packages="mesa-vulkan-drivers vulkan-loader" ;;
    pacman) packages="vulkan-swrast vulkan-icd-loader" ;;
    *) fail "there is $missing here, and none of apt-get, dnf and pacman to install it with." ;;
esac
if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
    fail "there is $missing here; installing it takes root's rights, and there is no sudo."
fi

if [ "${L2RW_INSTALL:-yes}" = no ]; then
    fail "there is $missing here, and L2RW_INSTALL=no forbids to install Mesa's software driver."
fi
say "there is $missing here: installing Mesa's software driver with $manager ($packages);" \
    "L2RW_INSTALL=no prevents it"
# shellcheck disable=SC2086 # several packages
install_with "$manager" $packages || fail "$manager could not install $packages."
has_driver || fail "$manager installed $packages, but there is still no Vulkan driver."
has_loader || fail "$manager installed $packages, but there is still no libvulkan.so.1."
say "done"
